"""Hostile HDF5 files and split lists: FaceForensics++ of two real and two fake videos of three frames, damaged."""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from hostile import Case, Check, Outcome, either, refused, works
from hostile_materials import CORNER, face

VICTIM = "000_003"
NAME = "FF++_Deepfakes_c23.h5"
CARD = """name: data
adapter: hdf5
root: .
options: {methods: [original, Deepfakes]}
"""
Change = Callable[[Any], object]
"""What is done to the open file of fakes, from which VICTIM has been taken."""


def clip(n: int = 3, side: int = 16) -> np.ndarray:
    """Frames, uint8 [n, side, side, 3]."""
    return np.repeat(face(side, side)[None], n, axis=0)


def draw(folder: Path, change: Change | None = None, pairs: Any = (("000", "003"),), raw: Any = None) -> None:
    """Write both files and the list; `raw` changes the bytes of the file of fakes."""
    import h5py

    (folder / "corner.py").write_text(CORNER)
    (folder / "card.yaml").write_text(CARD)
    (folder / "FFPP_split").mkdir()
    text = pairs if isinstance(pairs, str) else json.dumps(pairs)
    (folder / "FFPP_split" / "test.json").write_text(text)
    for method, keys in (("original", ("000", "003")), ("Deepfakes", (VICTIM, "003_000"))):
        with h5py.File(folder / f"FF++_{method}_c23.h5", "w") as file:
            for key in keys:
                file[key] = clip()
    if change is not None:
        with h5py.File(folder / NAME, "a") as file:
            del file[VICTIM]
            change(file)
    if raw is not None:
        path = folder / NAME
        path.write_bytes(raw(path.read_bytes()))


def planned(outcome: Outcome, *, lost: int) -> str:
    """So many frames are rows that say that they cannot be read; all others are scored."""
    if outcome.status != 0:
        return f"refused altogether: {outcome.err!r}"
    found = outcome.json()[0]["statuses"]
    return "" if found.get("unreadable", 0) == lost and found.get("ok", 0) >= 3 else f"{found}, not {lost} unreadable"


def lost_or_refused(outcome: Outcome) -> str:
    """Nothing of the victim is scored."""
    if outcome.status != 0:
        return refused(outcome)
    ok = outcome.json()[0]["statuses"].get("ok", 0)
    return "" if ok == 9 else f"{ok} frames are scored, and 9 can be"


ALL: Check = partial(planned, lost=0)


def put(**how: Any) -> Change:
    return lambda file: file.create_dataset(VICTIM, **how)


def packed(**how: Any) -> Change:
    return put(data=clip(), chunks=(1, 16, 16, 3), **how)


def written_in_part(file: Any) -> None:
    frames = file.create_dataset(VICTIM, (3, 16, 16, 3), np.uint8, chunks=(1, 16, 16, 3))
    frames[0] = clip()[0]


def damaged_chunk(file: Any, **how: Any) -> None:
    """The second frame's chunk is not what its filters made."""
    packed(**how)(file)
    frames = file[VICTIM].id
    mask, data = frames.read_direct_chunk((1, 0, 0, 0))
    frames.write_direct_chunk((1, 0, 0, 0), data[: len(data) // 2] + bytes(len(data) - len(data) // 2), mask)


def short_chunk(file: Any) -> None:
    packed(compression="gzip")(file)
    file[VICTIM].id.write_direct_chunk((1, 0, 0, 0), b"\x78\x9c", 0)


def bomb_chunk(file: Any) -> None:
    """One frame whose packed pixels are a gigabyte."""
    from hostile_images import bomb

    packed(compression="gzip")(file)
    file[VICTIM].id.write_direct_chunk((1, 0, 0, 0), bomb(), 0)


def rename_filter(data: bytes) -> bytes:
    """The gzip filter's number in the pipeline message becomes one of a plugin that is not installed."""
    return data.replace(b"\x01\x00\x08\x00\x01\x00\x01\x00deflate", b"\x01\x7d\x08\x00\x00\x00\x01\x00deflate")


def external_link(place: str, key: str = "000") -> Change:
    def change(file: Any) -> None:
        import h5py

        file[VICTIM] = h5py.ExternalLink(place, key)

    return change


def soft_link(place: str) -> Change:
    def change(file: Any) -> None:
        import h5py

        file[VICTIM] = h5py.SoftLink(place)

    return change


def link_loop(file: Any) -> None:
    import h5py

    file[VICTIM] = h5py.SoftLink("/other")
    file["other"] = h5py.SoftLink(f"/{VICTIM}")


def external_storage(name: str, size: int) -> Change:
    """Pixels that lie in another file."""
    return put(shape=(3, 16, 16, 3), dtype=np.uint8, external=[(name, 0, size)])


def virtual(name: str) -> Change:
    def change(file: Any) -> None:
        import h5py

        layout = h5py.VirtualLayout((3, 16, 16, 3), np.uint8)
        for i in range(3):
            layout[i] = h5py.VirtualSource(name, "003", (3, 16, 16, 3))[i]
        file.create_virtual_dataset(VICTIM, layout)

    return change


def group(file: Any) -> None:
    file.create_group(VICTIM)["frames"] = clip()


def named_type(file: Any) -> None:
    file[VICTIM] = np.dtype("uint8")


def attributes(file: Any) -> None:
    file[VICTIM] = clip()
    for i in range(2000):
        file[VICTIM].attrs[f"a{i}"] = "x" * 500


def many_keys(file: Any) -> None:
    file[VICTIM] = clip()
    for i in range(3000):
        file.create_group(f"other{i}")


def references(file: Any) -> None:
    import h5py

    file.create_dataset(VICTIM, (3, 16, 16, 3), h5py.ref_dtype)


def texts(file: Any) -> None:
    import h5py

    file.create_dataset(VICTIM, (3,), h5py.string_dtype())


FILES: list[tuple[str, Change, Check]] = [
    ("plain", put(data=clip()), ALL),
    ("gzip", packed(compression="gzip"), ALL),
    ("lzf", packed(compression="lzf"), ALL),
    ("shuffled-with-checksum", packed(compression="gzip", shuffle=True, fletcher32=True), ALL),
    ("whole-clip-in-a-chunk", put(data=clip(), chunks=(3, 16, 16, 3)), ALL),
    ("growable", packed(maxshape=(None, 16, 16, 3)), ALL),
    ("attributes", attributes, ALL),
    ("many-other-keys", many_keys, ALL),
    ("soft-link-within", soft_link("/003_000"), ALL),
    ("without", lambda file: None, partial(planned, lost=1)),
    ("no-frames", put(data=clip(0)), partial(planned, lost=1)),
    ("written-in-part", written_in_part, partial(planned, lost=2)),
    ("never-written", put(shape=(3, 16, 16, 3), dtype=np.uint8), partial(planned, lost=3)),
    ("never-written-in-chunks", put(shape=(3, 16, 16, 3), dtype=np.uint8, chunks=(1, 16, 16, 3)), partial(planned, lost=3)),
    ("never-written-and-filled", put(shape=(3, 16, 16, 3), dtype=np.uint8, chunks=(1, 16, 16, 3), fillvalue=127), partial(planned, lost=3)),
    ("damaged-gzip", partial(damaged_chunk, compression="gzip"), partial(planned, lost=1)),
    ("damaged-lzf", partial(damaged_chunk, compression="lzf"), either),
    ("damaged-checksum", partial(damaged_chunk, fletcher32=True), partial(planned, lost=1)),
    ("short-chunk", short_chunk, partial(planned, lost=1)),
    ("bomb-in-a-chunk", bomb_chunk, partial(planned, lost=1)),
    ("floats", put(data=clip().astype(np.float32)), refused),
    ("16-bits", put(data=clip().astype(np.uint16)), refused),
    ("signed", put(data=clip().astype(np.int8)), refused),
    ("truth-values", put(data=clip() > 0), refused),
    ("texts", texts, refused),
    ("references", references, refused),
    ("compound", put(data=np.zeros(3, [("r", "u1"), ("g", "u1")])), refused),
    ("one-value", put(data=np.uint8(7)), refused),
    ("no-value", put(dtype=np.uint8, shape=None), refused),
    ("three-dimensions", put(data=clip()[..., 0]), refused),
    ("five-dimensions", put(data=clip()[None]), refused),
    ("four-channels", put(data=np.zeros((3, 16, 16, 4), np.uint8)), refused),
    ("channels-first", put(data=np.zeros((3, 3, 16, 16), np.uint8)), refused),
    ("frames-of-no-width", put(data=np.zeros((3, 16, 0, 3), np.uint8)), refused),
    ("frames-of-one-pixel", put(data=clip(3, 1)), lost_or_refused),
    ("frames-of-seven-pixels", put(data=clip(3, 7)), lost_or_refused),
    ("frames-of-60000-squared", put(shape=(3, 60_000, 60_000, 3), dtype=np.uint8, chunks=(1, 100, 100, 3)), lost_or_refused),
    ("frames-of-2-billion-by-8", put(shape=(1, 2**31, 8, 3), dtype=np.uint8, chunks=(1, 100, 8, 3)), lost_or_refused),
    ("a-billion-frames", put(shape=(10**9, 16, 16, 3), dtype=np.uint8, chunks=(1, 16, 16, 3)), lost_or_refused),
    ("a-quintillion-frames", put(shape=(10**18, 8, 8, 3), dtype=np.uint8, chunks=(1, 8, 8, 3)), lost_or_refused),
    ("chunks-of-a-gigabyte", put(shape=(3, 16, 16, 3), dtype=np.uint8, chunks=(2**20, 16, 16, 3), maxshape=(None, 16, 16, 3), compression="gzip"), lost_or_refused),
    ("group", group, refused),
    ("named-type", named_type, refused),
    ("dead-soft-link", soft_link("/nowhere"), lost_or_refused),
    ("soft-link-to-itself", soft_link(f"/{VICTIM}"), lost_or_refused),
    ("soft-links-in-a-circle", link_loop, lost_or_refused),
    ("soft-link-to-the-root", soft_link("/"), lost_or_refused),
    ("dead-external-link", external_link("nowhere.h5"), lost_or_refused),
    ("external-link-to-another-file", external_link("FF++_original_c23.h5"), either),
    ("external-link-to-passwd", external_link("/etc/passwd"), lost_or_refused),
    ("external-link-to-zeros", external_link("/dev/zero"), lost_or_refused),
    ("external-link-to-itself", external_link(NAME, VICTIM), lost_or_refused),
    ("external-pixels-of-passwd", external_storage("/etc/passwd", 3 * 16 * 16 * 3), lost_or_refused),
    ("external-pixels-of-zeros", external_storage("/dev/zero", 3 * 16 * 16 * 3), lost_or_refused),
    ("external-pixels-missing", external_storage("nowhere.raw", 3 * 16 * 16 * 3), lost_or_refused),
    ("virtual-of-another-file", virtual("FF++_original_c23.h5"), either),
    ("virtual-of-a-missing-file", virtual("nowhere.h5"), lost_or_refused),
]  # fmt: skip

RAW: list[tuple[str, Callable[[bytes], bytes], Check]] = [
    ("empty", lambda data: b"", refused),
    ("text", lambda data: b"a page that says 404\n" * 50, refused),
    ("signature-alone", lambda data: data[:8], refused),
    ("cut-in-the-superblock", lambda data: data[:40], refused),
    ("cut-in-half", lambda data: data[: len(data) // 2], refused),
    ("cut-by-one-byte", lambda data: data[:-1], refused),
    ("superblock-version-9", lambda data: data[:8] + b"\x09" + data[9:], refused),
    ("offsets-of-3-bytes", lambda data: data[:13] + b"\x03" + data[14:], refused),
    ("end-of-file-behind-the-end", lambda data: data[:40] + b"\xff\xff\xff\xff\xff\xff\xff\x7f" + data[48:], refused),
    ("root-behind-the-end", lambda data: data[:64] + b"\xff\xff\xff\xff\xff\xff\xff\x7f" + data[72:], refused),
    ("group-tree-damaged", lambda data: data.replace(b"TREE", b"EERT"), lost_or_refused),
    ("group-names-damaged", lambda data: data.replace(b"HEAP", b"PAEH"), lost_or_refused),
    ("group-table-damaged", lambda data: data.replace(b"SNOD", b"DONS"), lost_or_refused),
    ("group-table-claims-65535", lambda data: data.replace(b"SNOD\x01\x00\x02\x00", b"SNOD\x01\x00\xff\xff"), lost_or_refused),
    ("group-names-not-text", lambda data: data.replace(b"003_000", b"\xff\xfe\xfd_000"), lost_or_refused),
    ("behind-a-user-block", lambda data: bytes(512) + data, either),
    ("netcdf", lambda data: b"CDF\x01" + bytes(2000), refused),
]  # fmt: skip

LISTS: list[tuple[str, Any, Check]] = [
    ("list-empty-file", "", refused),
    ("list-not-json", "[[000, 003]]", refused),
    ("list-of-no-pairs", [], refused),
    ("list-of-numbers", [[0, 3]], refused),
    ("list-of-triples", [["000", "003", "004"]], refused),
    ("list-object", {"000": "003"}, refused),
    ("list-null", None, refused),
    ("list-same-video-twice", [["000", "003"], ["003", "000"]], refused),
    ("list-of-itself", [["000", "000"]], refused),
    ("list-empty-names", [["", "003"]], refused),
    ("list-of-paths", [["../000", "/etc/passwd"]], refused),
    ("list-of-surrogates", '[["\\ud800", "003"]]', refused),
    ("list-of-null-bytes", '[["\\u0000", "003"]]', refused),
    ("list-nested-deep", "[" * 100_000, refused),
    ("list-a-huge-number", f"[[{'9' * 10_000}, 1]]", refused),
    ("list-with-a-mark", '\ufeff[["000", "003"]]', works),
    ("list-of-others", [["111", "222"]], refused),
]  # fmt: skip


def run() -> None:
    """What `run --json` prints, without the leaderboard's files."""
    import m2f2bench

    results = m2f2bench.run(detectors="corner.py:Corner", datasets="card.yaml", out="o")
    print(json.dumps([result.to_json() for result in results]))


def case(name: str, check: Check, **how: Any) -> Case:
    return Case(name, partial(draw, **how), run, check, code=("corner.py",))


CASES = [
    *[case(name, check, change=change) for name, change, check in FILES],
    *[case(name, check, raw=raw) for name, raw, check in RAW],
    *[case(name, check, pairs=pairs) for name, pairs, check in LISTS],
    case("unknown-filter", partial(planned, lost=3), change=packed(compression="gzip"), raw=rename_filter),
]
