"""Checkpoints are data: their tensors are read, and nothing that they name is imported or called."""

from __future__ import annotations

import builtins
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.weights.pickled import StoredTensor, open_pickled

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Call:
    """Pickled as a call of any function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> Any:
        return self.function, self.args


class Touching:
    """Its state is set by a method that writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __setstate__(self, state: dict[str, Any]) -> None:
        Path(state["path"]).write_text("run")


class Listing(list[Any]):
    """A list that writes a file when something is appended to it."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return Listing, (), None, iter([1, 2, 3])

    def extend(self, items: Any) -> None:
        Path("planted").write_text("run")


def tensors() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    base = torch.randn(6, 4, generator=g)
    return {
        "plain": torch.randn(3, 5, generator=g),
        "half": torch.randn(4, generator=g).half(),
        "bfloat": torch.randn(4, generator=g).bfloat16(),
        "double": torch.randn(2, 2, generator=g).double(),
        "count": torch.tensor(12),
        "flags": torch.tensor([True, False]),
        "transposed": base.T,
        "slice": base[2:4, 1:],
        "same": base,
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(2, generator=g)),
    }


def same(found: Any, wanted: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert isinstance(found[name], StoredTensor)
        got = found[name].read()
        assert got.dtype == value.dtype and got.shape == value.shape == found[name].shape
        assert torch.equal(got, value), name


@FORMATS
def test_tensors_of_both_formats(tmp_path: Path, zipped: bool) -> None:
    path, wanted = tmp_path / "a.pth", tensors()
    torch.save({"state": OrderedDict(wanted), "epoch": 3, "text": "x"}, path, _use_new_zipfile_serialization=zipped)
    file = open_pickled(path)
    same(file.data["state"], wanted)
    assert file.data["epoch"] == 3 and file.data["text"] == "x"
    assert not file.stubbed


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "payload",
    [
        lambda path: Call(os.system, f"touch {path}"),
        lambda path: Call(builtins.eval, f"open({str(path)!r}, 'w').close()"),
        lambda path: Call(Path.write_text, path, "run"),
        lambda path: Call(getattr(builtins, "exec"), f"open({str(path)!r}, 'w').close()"),  # noqa: B009
        lambda path: Call(torch.storage._load_from_bytes, pickle.dumps(Call(os.system, f"touch {path}"))),
        lambda path: Call(torch.load, str(path)),
        Touching,
        lambda path: Listing([1]),
    ],
    ids=["system", "eval", "method", "exec", "storage bytes", "torch.load", "setstate", "extend"],
)
def test_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, payload: Callable[[Path], Any], protocol: int, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    planted, path, wanted = tmp_path / "planted", tmp_path / "a.pth", tensors()
    content = {
        "scheduler": {"inner": [payload(planted)]},
        "state": {**wanted, "last": torch.ones(1)},
        payload(planted): 1,
        "list": [payload(planted), wanted["plain"]],
    }
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    file = open_pickled(path)
    same(file.data["state"], {**wanted, "last": torch.ones(1)})
    assert not planted.exists() and not (tmp_path / "planted").exists()
    assert file.stubbed


def test_the_payloads_do_run_elsewhere(tmp_path: Path) -> None:
    """What the tests above keep from running does run when it is let: else they could not fail."""
    planted = tmp_path / "planted"
    for payload in (Call(os.system, f"touch {planted}"), Touching(planted)):
        torch.save(payload, tmp_path / "a.pth")
        torch.load(tmp_path / "a.pth", weights_only=False)
        assert planted.exists()
        planted.unlink()


@pytest.mark.parametrize("opcode", [b"b", b"R", b"\x81", b"u", b"e", b"\x90"], ids=repr)
@pytest.mark.parametrize(
    "target", [b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"cos\nsystem\n"], ids=repr
)
def test_functions_and_classes_cannot_be_changed(tmp_path: Path, target: bytes, opcode: bytes) -> None:
    """State, items or arguments pushed onto the very objects that stand for the names, in a pickle made by hand."""
    state = b"}(X\x07\x00\x00\x00patchedK\x01u"
    stack = {b"R": b"(K\x01K\x02t", b"\x81": b"(t", b"u": b"(K\x01K\x02", b"e": b"(K\x01", b"\x90": b"(K\x01"}
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x04" + target + stack.get(opcode, state) + opcode + b".")
    try:
        open_pickled(path)
    except DetectorError as error:
        assert "\n" not in str(error)
    for one in (torch._utils._rebuild_tensor_v2, OrderedDict, os.system):
        assert not hasattr(one, "patched")
    good = tmp_path / "b.pth"
    torch.save(tensors(), good)
    same(open_pickled(good).data, tensors())


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def broken(path: Path, kind: str) -> None:
    """A file that cannot be read, of one kind or another."""
    torch.save(tensors(), path, _use_new_zipfile_serialization=kind != "cut legacy")
    whole = path.read_bytes()
    if kind in ("cut", "cut legacy"):
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a checkpoint\n" * 50)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"a": 1}))
    elif kind == "other zip":
        write_zip(path, {"readme.txt": b"hello"})
    elif kind == "compressed":
        write_zip(path, {"archive/data.pkl": pickle.dumps({"a": 1})}, zipfile.ZIP_DEFLATED)
    elif kind == "big-endian":
        write_zip(path, {"archive/data.pkl": pickle.dumps({}), "archive/byteorder": b"big"})
    elif kind == "deep":
        write_zip(path, {"archive/data.pkl": b"\x80\x02" + b"]" * 4 + b"(" * 100_000})


@pytest.mark.parametrize(
    "kind", ["cut", "cut legacy", "empty", "text", "pickle", "other zip", "compressed", "big-endian", "deep"]
)
def test_unreadable_files_are_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.pth"
    broken(path, kind)
    told = r"incomplete \(1,\d+ bytes\); download" if kind == "cut" else ".*; give a file that torch.save"
    with pytest.raises(DetectorError, match=rf"'.*a\.pth' cannot be read: .*{told}"):
        open_pickled(path)


def test_a_tensor_past_the_end_of_its_values_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    storage = torch.ones(4)
    torch.save({"a": storage}, path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(name for name in members if name.endswith("data.pkl"))
    assert members[name].count(b"K\x04\x85") == 1  # the shape (4,)
    write_zip(path, {**members, name: members[name].replace(b"K\x04\x85", b"K\x09\x85")})
    with pytest.raises(DetectorError, match=r"a tensor of shape \[9\] is outside its storage of 4 values"):
        open_pickled(path).data["a"].read()
    data = next(name for name in members if name.endswith("data/0"))
    write_zip(path, {**members, data: members[data][:-1]})
    with pytest.raises(DetectorError, match="does not hold the values of storage '0'"):
        open_pickled(path).data["a"].read()
