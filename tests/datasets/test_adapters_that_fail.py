"""Adapters of somebody's own that raise, and inputs and outputs that are no files: one line each, and no hang."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m2f2bench.core.errors import DataError, MachineError, StoreError
from m2f2bench.core.files import NoInput, make_folder, read_input, write_text
from m2f2bench.core.parsing import Refused, read_text
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.base import Adapter
from m2f2bench.datasets.calls import altered_regions_of, frames_of, questions_of, sampled_frames_of, stamp_of
from m2f2bench.datasets.layouts.ffpp import FFPPAdapter
from m2f2bench.training.frames import FrameReader

FAILING = """
from pathlib import Path
import numpy as np
from m2f2bench import Adapter, Frame, Locator

class Broken(Adapter):
    def frames(self, split):
        FRAMES
    def read(self, frame):
        READ
    def stamp(self, frame):
        STAMP

def two(split):
    known = (("a", "original", 0), ("b", "swap", 1))
    return [Frame(n, n, y, m, split, (n,), Locator("", index=y)) for n, m, y in known]
"""
GOOD = {"FRAMES": "return two(split)", "READ": "return np.full((16, 16, 3), 9, np.uint8)", "STAMP": "return ''"}


def own(tmp_path: Path, **lines: str) -> str:
    """A file with an adapter, some of whose lines are other than good ones, as a dataset."""
    text = FAILING
    for name, line in {**GOOD, **lines}.items():
        text = text.replace(name, line)
    path = tmp_path / "mine.py"
    path.write_text(text)
    return f"{path}:Broken"


@pytest.mark.parametrize("command", ["run", "audit", "sheet", "localize"])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("raise KeyError('video')", ["adapter Broken: ", "('test') failed: KeyError: 'video'"]),
        ("import sys; sys.exit(3)", ["adapter Broken: ", "('test') failed: Ended: it called sys.exit(3)"]),
        ("return [1, 2]", ["adapter Broken: ", "gave int; it should be a list of m2f2bench.Frame"]),
        ("return None", ["adapter Broken: ", "gave NoneType; it should be a list of m2f2bench.Frame"]),
        ("raise MemoryError", ["adapter Broken, ", "MemoryError", "the machine failed here"]),
        ("raise OSError(5, 'Input/output error')", ["adapter Broken, ", "the machine failed here"]),
    ],
)
def test_d7_frames_that_raise_are_one_line_that_names_the_adapter(
    command: str, line: str, words: list[str], tmp_path: Path, cli: Any, one_line: Any
) -> None:
    dataset = own(tmp_path, FRAMES=line)
    calls = {
        "run": ("run", "-d", "constant", "-s", dataset, "--out", tmp_path / "out"),
        "audit": ("audit", dataset, "--split", "test"),
        "sheet": ("sheet", dataset, "--out", tmp_path / "a.png"),
        "localize": ("localize", "-d", "constant", "-s", dataset, "--faithfulness"),
    }
    told = one_line(cli(*calls[command]))
    assert all(word in told for word in words), told


def test_d7_stamps_and_pixels_that_raise(tmp_path: Path, cli: Any, one_line: Any) -> None:
    dataset = own(tmp_path, STAMP="raise KeyError('x')")
    told = one_line(cli("run", "-d", "constant", "-s", dataset, "--out", tmp_path / "out"))
    assert "adapter Broken: stamp() of frame 'a' failed: KeyError: 'x'" in told
    done = cli("run", "-d", "constant", "-s", own(tmp_path, READ="import sys; sys.exit(4)"), "--out", tmp_path / "o2")
    assert "'a' (unreadable: Ended: it called sys.exit(4))" in done.err and "Traceback" not in done.err


class Odd(Adapter):
    """Fails in every way but in making frames."""

    def frames(self, split: str) -> list[Frame]:
        return [Frame("a", "a", 0, "original", split, (), Locator(""))]

    def read(self, frame: Frame) -> Any:
        return np.zeros((4, 4, 3), np.uint8)

    def sample(self, split: str, sampler: Any) -> Any:
        return iter(())

    def questions(self, split: str, kind: str = "blind") -> Any:
        return {"a": 1}

    def altered_regions(self, split: str) -> Any:
        raise AttributeError("no table")

    def stamp(self, frame: Frame) -> str:
        raise ConnectionResetError(104, "Connection reset by peer")


def test_d7_all_that_an_adapter_lists_is_asked_for_in_one_place() -> None:
    odd = Odd()
    (frame,) = frames_of(odd, "test")
    with pytest.raises(DataError, match=r"adapter Odd: sample\('test'\) gave tuple_iterator"):
        sampled_frames_of(odd, "test", range)
    with pytest.raises(DataError, match=r"questions\('test', 'blind'\) gave dict; it should be a list of m2f2bench.Q"):
        questions_of(odd, "test", "blind")
    with pytest.raises(DataError, match=r"altered_regions\('test'\) failed: AttributeError: no table"):
        altered_regions_of(odd, "test")
    with pytest.raises(MachineError, match="adapter Odd, stamp"):
        stamp_of(odd, frame)


def test_e3_every_adapter_has_the_limits_of_images() -> None:
    reader = FrameReader(Odd().read)
    (frame,) = Odd().frames("train")
    assert reader.get(frame) is None
    assert reader.unreadable == {"a": "4x4 pixels are too small to hold a face (at least 8 a side)"}


special = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")


@special
@pytest.mark.parametrize("name", ["list.csv", "list.tsv", "list.jsonl"])
def test_e8_no_pipe_or_device_is_read_as_a_manifest(name: str, tmp_path: Path, cli: Any, one_line: Any) -> None:
    os.mkfifo(tmp_path / name)
    card = tmp_path / "card.yaml"
    card.write_text(f"name: x\nadapter: folder\nroot: {tmp_path}\noptions: {{manifest: {name}}}\n")
    told = one_line(cli("run", "-d", "constant", "-s", card, "--out", tmp_path / "out"))
    assert told.endswith(f"manifest '{tmp_path / name}' cannot be read: it is not a regular file")
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    assert "it is not a regular file" in one_line(cli("run", "-d", "constant", "-s", card, "--out", tmp_path / "out"))


@special
def test_e8_no_pipe_is_read_as_a_split_list_or_hdf5(tmp_path: Path) -> None:
    (tmp_path / "FFPP_split").mkdir()
    os.mkfifo(tmp_path / "FFPP_split" / "test.json")
    with pytest.raises(DataError, match=r"test.json'.* is not a regular file"):
        FFPPAdapter(tmp_path).frames("test")
    (tmp_path / "FFPP_split" / "test.json").unlink()
    (tmp_path / "FFPP_split" / "test.json").write_text(json.dumps([["000", "003"]]))
    os.mkfifo(tmp_path / "FF++_original_c23.h5")
    with pytest.raises(DataError, match="no FF"):
        FFPPAdapter(tmp_path).frames("test")


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000])
def test_e8_json_that_is_too_deep_or_long_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "FFPP_split").mkdir()
    (tmp_path / "FFPP_split" / "test.json").write_text(text)
    with pytest.raises(DataError, match=r"cannot be read|list of pairs"):
        FFPPAdapter(tmp_path).frames("test")


def test_what_is_read_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert read_input(path, 6) == b"\xef\xbb\xbfabc" and read_text(path, 6) == "abc"
    for place, limit, reason in [
        (path, 5, "has 6 bytes, over the limit of 5"),
        (tmp_path, 9, "is a folder"),
        (tmp_path / "b", 9, "does not exist"),
        (path / "c", 9, "cannot be read: Not a directory"),
        (tmp_path / ("x" * 300), 9, "cannot be read: File name too long"),
    ]:
        with pytest.raises(NoInput) as caught:
            read_input(place, limit)
        assert str(caught.value) == reason
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(NoInput, match="cannot be read: Too many levels"):
        read_input(loop, 9)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Refused, match="not UTF-8"):
        read_text(path, 9)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="there is no /proc here")
def test_files_of_the_kernel_that_say_they_are_empty() -> None:
    assert len(read_input(Path("/proc/self/maps"), 1 << 20)) > 100
    with pytest.raises(NoInput, match="has over 50 bytes"):
        read_input(Path("/proc/self/maps"), 50)


@special
def test_e8_nothing_is_written_in_the_place_of_a_device(tmp_path: Path, cli: Any, one_line: Any) -> None:
    """By root a device's name could be taken by a file, and all other programs would write into that."""
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(StoreError, match="it is not a regular file; give the name of a file"):
        write_text(pipe, "x")
    with pytest.raises(StoreError, match="it is a folder"):
        write_text(tmp_path, "x")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(StoreError, match="exists and is not a folder"):
        make_folder(pipe)
    assert "not a regular file" in one_line(cli("sheet", "synthetic", "--per-method", "1", "--out", pipe))
    before = Path("/dev/full").stat().st_rdev if Path("/dev/full").exists() else None
    for out in ("/dev/full", "/dev/null", pipe, pipe / "inside"):
        told = one_line(cli("run", "-d", "constant", "-s", own(tmp_path), "--out", out))
        assert "is not a folder" in told or "cannot write" in told
    assert before is None or Path("/dev/full").stat().st_rdev == before


def test_e8_a_link_keeps_being_one_when_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
