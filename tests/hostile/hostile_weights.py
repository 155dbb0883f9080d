"""Hostile checkpoints: pickles that are programs, archives that are bombs, safetensors that lie about themselves."""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from hostile import Case, both, put, refused
from hostile_materials import content, saved

Bytes = Callable[[], bytes]
RUNS = "touch EXECUTED"


class Call:
    """Pickled, it is a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.told = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.told


def calling(text: bytes) -> bytes:
    """A pickle of protocol 0 that calls what `text` names (module newline name) with the command."""
    return b"c" + text + b"\n(S'" + RUNS.encode() + b"'\ntR."


def archive(
    data: bytes, extra: tuple[tuple[str, bytes], ...] = (), how: int = zipfile.ZIP_STORED, top: str = "archive"
) -> bytes:
    """A zip file as torch.save writes it, around any pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as file:
        file.writestr(f"{top}/data.pkl", data)
        file.writestr(f"{top}/version", b"3\n")
        for name, body in extra:
            file.writestr(name, body)
    return buffer.getvalue()


def rebuilt(
    shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, count: int = 4, kind: bytes = b"FloatStorage"
) -> bytes:
    """A state dict of one tensor, told as a pickle of protocol 2, whose storage is `data/0`."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"L" + str(value).encode() + b"L\n" for value in values) + b"t"

    storage = b"(S'storage'\nctorch\n" + kind + b"\nS'0'\nS'cpu'\n" + f"L{count}L\n".encode() + b"tQ"
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + f"L{offset}L\n".encode() + numbers(shape) + numbers(stride)
    )
    return b"\x80\x02}S'weight'\n" + tensor + b"I00\nccollections\nOrderedDict\n)RtRs."


def stored(*told: Any, data: bytes = bytes(16), **how: Any) -> bytes:
    return archive(rebuilt(*told, **how), (("archive/data/0", data),))


def legacy(*parts: Any) -> bytes:
    return b"".join(part if isinstance(part, bytes) else pickle.dumps(part, 2) for part in parts)


MAGIC = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})


def laughs(levels: int = 30) -> bytes:
    """Each list holds the one before ten times, by the memo."""
    body = b"\x80\x02]q\x00"
    for i in range(levels):
        body += b"](" + b"h" + bytes([i]) + (b"h" + bytes([i])) * 9 + b"eq" + bytes([i + 1])
    return body + b"."


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def system(command: str = RUNS) -> bytes:
    import os

    return pickle.dumps({"state_dict": Call(os.system, command)}, 2)


def evaluated() -> bytes:
    return pickle.dumps(Call(eval, f"__import__('os').system({RUNS!r})"), 4)


def deep(n: int = 100_000) -> bytes:
    return b"\x80\x02" + b"]" * n + b"a" * (n - 1) + b"."


def zip_bomb() -> bytes:
    return archive(bytes(1 << 29), how=zipfile.ZIP_DEFLATED)


def lying_sizes() -> bytes:
    """The directory says that a member has 4 GB."""
    data = bytearray(stored((4,), (1,)))
    at = data.rindex(b"PK\x01\x02")
    data[at + 20 : at + 28] = b"\xf0\xff\xff\xff" * 2
    return bytes(data)


def cut_directory() -> bytes:
    return stored((4,), (1,))[:-30]


PICKLES: list[tuple[str, Bytes]] = [
    ("empty", lambda: b""),
    ("text", lambda: b"no weights"),
    ("html", lambda: b"<!DOCTYPE html><html>404</html>"),
    ("git-lfs-pointer", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    ("zeros", lambda: bytes(10_000)),
    ("gzip", lambda: b"\x1f\x8b\x08" + bytes(100)),
    ("hdf5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(1000)),
    ("a-picture", lambda: saved("PNG")),
    ("os-system", system),
    ("os-system-in-an-archive", lambda: archive(system())),
    ("os-system-of-protocol-0", lambda: calling(b"posix\nsystem")),
    ("os-system-behind-the-magic", lambda: legacy(*MAGIC, system())),
    ("os-system-as-magic", lambda: legacy(system(), *MAGIC)),
    ("eval", evaluated),
    ("eval-in-an-archive", lambda: archive(evaluated())),
    ("subprocess", lambda: calling(b"subprocess\ngetoutput")),
    ("runpy", lambda: b"crunpy\nrun_path\n(S'evil.py'\ntR."),
    ("getattr-of-a-module", lambda: b"cbuiltins\ngetattr\n(cposix\nsystem\nS'__call__'\ntR."),
    ("torch-load-within", lambda: b"ctorch\nload\n(S'evil.pth'\ntR."),
    ("hub-load", lambda: b"ctorch.hub\nload\n(S'evil/evil'\nS'x'\ntR."),
    ("state-of-a-function", lambda: b"ctorch._utils\n_rebuild_tensor_v2\n}S'function'\ncposix\nsystem\nsb(S'touch EXECUTED'\ntR."),
    ("state-of-a-dict", lambda: b"ccollections\nOrderedDict\n)R}S'__class__'\ncposix\nsystem\nsb."),
    ("instance-of-old", lambda: b"(S'touch EXECUTED'\niposix\nsystem\n."),
    ("object-of-old", lambda: b"(cposix\nsystem\nS'touch EXECUTED'\no."),
    ("new-object", lambda: b"\x80\x02cposix\nsystem\n(S'touch EXECUTED'\nt\x81."),
    ("extension", lambda: b"\x80\x02\x82\x01."),
    ("persistent-text", lambda: b"Ptouch EXECUTED\n."),
    ("buffer-out-of-band", lambda: b"\x80\x05\x97."),
    ("protocol-255", lambda: b"\x80\xff."),
    ("no-stop", lambda: b"\x80\x02}"),
    ("stack-underflow", lambda: b"\x80\x02a."),
    ("mark-alone", lambda: b"(."),
    ("memo-of-nothing", lambda: b"h\x07."),
    ("memo-of-4-billion", lambda: b"\x80\x02Kr\x01r\xff\xff\xff\xff."),
    ("text-of-4-gb", lambda: b"\x80\x02X\xff\xff\xff\xffabc."),
    ("bytes-of-2-to-63", lambda: b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc."),
    ("bytearray-of-2-to-62", lambda: b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x3fabc."),
    ("number-of-2-gb", lambda: b"\x80\x02\x8b\xff\xff\xff\x7f\x01."),
    ("number-of-negative-length", lambda: b"\x80\x02\x8b\xff\xff\xff\xff\x01."),
    ("number-of-100000-digits", lambda: b"L" + b"9" * 100_000 + b"L\n."),
    ("frame-of-2-to-60", lambda: b"\x80\x04\x95\0\0\0\0\0\0\0\x10N."),
    ("lists-of-lists", laughs),
    ("lists-of-lists-in-an-archive", lambda: archive(laughs())),
    ("deep-lists", deep),
    ("deep-lists-in-an-archive", lambda: archive(deep())),
    ("list-of-itself", lambda: archive(b"\x80\x02]q\x00h\x00a.")),
    ("unhashable-key", lambda: archive(b"\x80\x02}]Ns.")),
    ("archive-cut", lambda: content("weights.pth")[:-200]),
    ("archive-cut-at-its-start", lambda: content("weights.pth")[:50]),
    ("archive-without-directory", cut_directory),
    ("archive-without-pickle", lambda: archive(b"", top="x").replace(b"data.pkl", b"data.txt")),
    ("archive-of-two-pickles", lambda: archive(rebuilt((4,), (1,)), (("other/data.pkl", b"N."),))),
    ("archive-compressed", zip_bomb),
    ("archive-encrypted", lambda: stored((4,), (1,)).replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0")),
    ("archive-upwards", lambda: archive(rebuilt((4,), (1,)), (("../../../tmp/EXECUTED", b"x"),))),
    ("archive-of-lying-sizes", lying_sizes),
    ("archive-big-endian", lambda: archive(rebuilt((4,), (1,)), (("archive/data/0", bytes(16)), ("archive/byteorder", b"big")))),
    ("archive-of-torchscript", lambda: archive(b"N.", (("archive/code/__torch__.py", b"import os\nos.system('touch EXECUTED')"), ("archive/constants.pkl", b"N.")))),
    ("tensor-without-its-storage", lambda: archive(rebuilt((4,), (1,)))),
    ("tensor-over-the-end", lambda: stored((8,), (1,))),
    ("tensor-of-a-negative-stride", lambda: stored((4,), (-1,))),
    ("tensor-of-a-negative-offset", lambda: stored((4,), (1,), -4)),
    ("tensor-of-2-to-62", lambda: stored((2**62, 4), (1, 1))),
    ("tensor-of-zero-strides", lambda: stored((2**40,), (0,))),
    ("tensor-of-2-to-200", lambda: stored((2**200,), (1,))),
    ("tensor-of-lying-count", lambda: stored((4,), (1,), count=10**12)),
    ("tensor-of-texts", lambda: stored((4,), (1,), kind=b"StringStorage")),
    ("tensor-of-two-shapes", lambda: stored((4, 1), (1,))),
    ("legacy-cut", lambda: content("legacy.pth")[:-20]),
    ("legacy-magic-alone", lambda: legacy(*MAGIC)),
    ("legacy-of-keys-that-are-no-list", lambda: legacy(*MAGIC, {}, 7)),
    ("legacy-of-unknown-keys", lambda: legacy(*MAGIC, {}, ["0"])),
    ("numpy-objects", lambda: npy(np.array([Call(eval, f"__import__('os').system({RUNS!r})")], object))),
    ("numpy-header-that-is-code", lambda: b"\x93NUMPY\x01\0\x76\0" + b"__import__('os').system('touch EXECUTED')".ljust(118)),
    ("numpy-plain", lambda: npy(np.zeros((3, 3)))),
]  # fmt: skip


def safe(header: Any, data: bytes = bytes(48), size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def entry(dtype: str = "F32", shape: Any = (3, 4), offsets: Any = (0, 48)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


SAFE: list[tuple[str, Bytes]] = [
    ("empty", lambda: b""),
    ("seven-bytes", lambda: bytes(7)),
    ("text", lambda: b"no weights at all, but a page"),
    ("a-pickle", lambda: content("weights.pth")),
    ("cut", lambda: content("weights.safetensors")[:-9]),
    ("cut-in-the-header", lambda: content("weights.safetensors")[:40]),
    ("more-behind", lambda: content("weights.safetensors") + b"more"),
    ("header-of-2-to-63", lambda: safe({}, size=2**63)),
    ("header-of-a-terabyte", lambda: safe({}, size=2**40)),
    ("header-of-99-megabytes", lambda: safe(b"{" + b" " * 99_000_000 + b"}")),
    ("header-not-json", lambda: safe(b"{nothing")),
    ("header-not-utf-8", lambda: safe(b'{"\xff\xfe": 1}')),
    ("header-list", lambda: safe([1])),
    ("header-null", lambda: safe(None)),
    ("header-nested-deep", lambda: safe(b'{"a": ' + b"[" * 100_000 + b"}")),
    ("no-tensors", lambda: safe({}, b"")),
    ("tensor-list", lambda: safe({"a": [1]})),
    ("tensor-without-type", lambda: safe({"a": {"shape": [3, 4], "data_offsets": [0, 48]}})),
    ("type-of-no-name", lambda: safe({"a": entry("F99")})),
    ("shape-text", lambda: safe({"a": {**entry(), "shape": "3,4"}})),
    ("shape-negative", lambda: safe({"a": entry(shape=(-3, -4))})),
    ("shape-of-another-size", lambda: safe({"a": entry(shape=(3, 5))})),
    ("shape-that-overflows", lambda: safe({"a": entry(shape=(2**33, 2**33))})),
    ("offsets-behind-the-end", lambda: safe({"a": entry(offsets=(0, 4800), shape=(1200,))})),
    ("offsets-turned-round", lambda: safe({"a": entry(offsets=(48, 0))})),
    ("offsets-that-overlap", lambda: safe({"a": entry(), "b": entry(offsets=(24, 72))}, bytes(72))),
    ("offsets-with-a-hole", lambda: safe({"a": entry(offsets=(8, 56))}, bytes(56))),
    ("offsets-of-fractions", lambda: safe({"a": {**entry(), "data_offsets": [0.5, 48.5]}})),
    ("name-twice", lambda: safe(b'{"a": %s, "a": %s}' % ((json.dumps(entry()).encode(),) * 2))),
    ("metadata-list", lambda: safe({"__metadata__": [1], "a": entry()})),
    ("metadata-of-numbers", lambda: safe({"__metadata__": {"a": 1}, "a": entry()})),
    ("metadata-of-ours-not-json", lambda: safe({"__metadata__": {"m2f2bench": "{nothing"}, "a": entry()})),
    ("metadata-of-ours-nested-deep", lambda: safe({"__metadata__": {"m2f2bench": "[" * 100_000}, "a": entry()})),
    ("metadata-of-ours-a-list", lambda: safe({"__metadata__": {"m2f2bench": "[1]"}, "a": entry()})),
    ("another-model", lambda: content("weights.safetensors")),
]  # fmt: skip

TIMM = "name: card\nbackend: timm\noptions: {{model: test_resnet}}\nweights: {file}\n"
NOISE = ("SystemError: deallocated bytearray object has exported buffers",)
"""What Python writes where it runs out of memory in a bytearray of a pickle."""
IMPORT = ("import-weights", "w.pth", "--as", "m2f2det-released-detector", "--out", "o")


def used(name: str, file: str, make: Bytes) -> Case:
    """Weights on the card of a network."""
    draw = both(
        put(file, make), put("card.yaml", TIMM.format(file=file)), put("x.png", lambda: saved("PNG", size=(64, 64)))
    )
    return Case(
        name, draw, ("predict", "--no-faces", "x.png", "-d", "./card.yaml", "--device", "cpu"), refused, torch=True
    )


CASES = [
    *[Case(f"pickle-{name}", put("w.pth", make), IMPORT, refused, torch=True, noise=NOISE) for name, make in PICKLES],
    *[used(f"card-pickle-{name}", "w.pth", make) for name, make in PICKLES if "system" in name or "bomb" in name],
    *[used(f"safetensors-{name}", "w.safetensors", make) for name, make in SAFE],
    *[
        used(f"ending-{ending}", f"w.{ending}", lambda: content("weights.pth"))
        for ending in ("ckpt", "bin", "h5", "onnx")
    ],
    Case("pickle-as-a-detector", put("w.pth", system), ("describe", "./w.pth"), refused),
    Case("pickle-as-rows", put("w.csv", system), ("score", "w.csv"), refused),
]
