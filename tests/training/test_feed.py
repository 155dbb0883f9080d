"""Feed of a training: parts that depend on nothing but the plan, and processes that last as long as the training."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_training import auc, frames, read, toy_job

from m2f2bench.cards.settings import TrainingSettings
from m2f2bench.core.errors import DetectorError, MachineError
from m2f2bench.core.records import Frame
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.training import feed as feed_module
from m2f2bench.training.feed import Feed, worker_count
from m2f2bench.training.frames import FrameReader
from m2f2bench.training.loader import Making, Part, Parts
from m2f2bench.training.plan import make_plan

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("wanted", "device", "trainings", "available", "expected"),
    [
        ("auto", "cpu", 1, 16, 0),
        ("auto", "cuda", 1, 16, 15),
        ("auto", "cuda", 1, 96, 16),
        ("auto", "cuda", 4, 16, 3),
        ("auto", "cuda", 8, 8, 0),
        ("auto", "cuda", 1, 1, 0),
        (3, "cpu", 1, 1, 3),
        (0, "cuda", 1, 16, 0),
    ],
)
def test_how_many_processes_there_are(
    wanted: int | str, device: str, trainings: int, available: int, expected: int
) -> None:
    assert worker_count(wanted, device, trainings, available) == expected


def test_where_processes_cannot_be_forked_there_are_none_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FORKING", False)
    assert worker_count("auto", "cuda", 1, 16) == 0 and worker_count(2, "cuda", 1, 16) == 2


def test_processes_are_no_part_of_what_is_learned() -> None:
    """A training that was cut off goes on with any number of them, and hashes of before there was `auto` stay."""
    found = {str(TrainingSettings(workers=count).content()) for count in (0, 7, "auto")}
    assert len(found) == 1 and "'workers': 0" in found.pop()


def small(tmp_path: Path, world: int = 1, rank: int = 0, prepare: Any = None, **settings: Any) -> Feed:
    job = toy_job(tmp_path, epochs=3, **settings)
    making = Making(prepare or (lambda image: image[:6, :6].copy()))
    return Feed(Parts(job, FrameReader(job.read), making, making), make_plan(job, None, False), rank, world, CPU)


@given(st.integers(1, 3), st.integers(1, 3), st.data())
def test_the_parts_of_all_processes_are_the_plan(world: int, accumulation: int, data: st.DataObject) -> None:
    """From any step on, in order, each draw in one part."""
    feeds = [small(Path("unused"), world, rank, accumulation=accumulation) for rank in range(world)]
    plan = feeds[0].plan
    first = data.draw(st.integers(0, 3 * plan.steps - 1))
    wanted = list(chain.from_iterable(plan.batches(epoch) for epoch in range(3)))[first:]
    streams = [feed.drawn(first) for feed in feeds]
    for batch in wanted:
        pieces = [next(stream) for _ in range(accumulation) for stream in streams]
        assert [draw for piece in pieces for unit in piece.units for draw in unit] == batch
        assert {piece.planned for piece in pieces} == {len(batch)}
    assert all(next(stream, None) is None for stream in streams)


def same(a: Part, b: Part) -> bool:
    images = (a.images, b.images)
    alike = all(one is None for one in images) or (
        a.images is not None and b.images is not None and torch.equal(a.images, b.images)
    )
    return alike and torch.equal(a.labels, b.labels) and list(a.numbers) == list(b.numbers)


def test_any_number_of_processes_gives_the_same_parts_from_any_step(tmp_path: Path) -> None:
    feeds = [small(tmp_path, workers=workers, accumulation=2) for workers in (0, 2)]
    for step in (0, 1, 2, 7):  # 7: as after a checkpoint
        for a, b in zip(*(feed.batch(step, 2) for feed in feeds), strict=True):
            assert same(a, b) and a.planned == b.planned == 8
            assert a.unreadable == b.unreadable
    for _ in range(2):
        found = [[part for give in feed.validation(16) for part in give()] for feed in feeds]
        assert len(found[0]) == 2 and all(map(same, *found))
        assert found[0][0].images is not None
    assert small(tmp_path).validation(0) == []
    for feed in feeds:
        feed.close()


class Noting:
    """Reads the toy's pictures, and notes in a folder which process did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def __call__(self, frame: Frame) -> np.ndarray:
        (self.folder / f"{frame.split}-{os.getpid()}").touch()
        return read(frame)

    def processes(self, split: str) -> set[int]:
        return {int(path.name.rpartition("-")[2]) for path in self.folder.glob(f"{split}-*")}


@pytest.mark.slow
def test_processes_last_as_long_as_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FrameReader, "fill", lambda self, frames: None)  # else this process reads all of them
    torch.set_num_threads(1)
    noting = Noting(tmp_path / "noted")
    job = replace(toy_job(tmp_path / "out", epochs=4, workers=2), read=noting)
    report = TimmDetector.fit(job)
    assert len(report.curves) == 4
    for split in ("train", "val"):
        assert 1 <= len(noting.processes(split) - {os.getpid()}) <= 2
    assert not noting.processes("val") & noting.processes("train") - {os.getpid()}
    alive = [pid for pid in noting.processes("train") - {os.getpid()} if Path(f"/proc/{pid}").exists()]
    assert alive == []


def test_what_a_process_raises_is_one_line(tmp_path: Path) -> None:
    def failing(frame: Frame) -> np.ndarray:
        raise MachineError("frame 'a': the disk is gone")

    for workers in (0, 1):
        feed = small(tmp_path, workers=workers)
        feed.parts.reader = FrameReader(failing)
        feed.parts.largest = lambda world: 0  # type: ignore[method-assign]
        with pytest.raises(MachineError, match=r"^frame 'a': the disk is gone$"):
            feed.batch(0, 1)
        feed.close()


@pytest.mark.slow
def test_a_process_that_is_killed_is_told_in_one_line(tmp_path: Path) -> None:
    def dying(image: np.ndarray) -> np.ndarray:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return image

    parent = os.getpid()
    feed = small(tmp_path, workers=1, prepare=dying)
    with pytest.raises(DetectorError, match="detector 'toy': a process that makes training images was ended") as found:
        feed.batch(0, 1)
    assert str(found.value).endswith("): if memory was short, set fewer `workers` in the card's training settings")
    assert "\n" not in str(found.value)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize(("parts", "expected"), [(100, (4, 2)), (6, (4, 1)), (2, (2, 1)), (0.5, (1, 1))])
def test_what_is_made_ahead_is_bounded_in_bytes(
    parts: float, expected: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for so many parts: fewer are made ahead, and then by fewer processes."""
    feed = small(tmp_path, workers=4)
    one = 8 * 6 * 6 * 3
    assert feed.parts.largest(1) == one
    monkeypatch.setattr(feed_module, "AHEAD_BYTES", int(2 * parts * one))  # half of it for validations
    loader = feed._loader([])
    assert (loader.num_workers, loader.prefetch_factor) == expected


def test_a_part_of_a_validation_names_what_it_lacks(tmp_path: Path) -> None:
    job = toy_job(tmp_path)
    job = replace(job, val=frames(0, 16, "val"), auc=auc)
    making = Making(lambda image: image)
    feed = Feed(Parts(job, FrameReader(job.read), making, making), make_plan(job, None, False), 0, 1, CPU)
    found = [part for give in feed.validation(16) for part in give()]
    assert [list(part.numbers) for part in found] == [list(range(8)), [8, 9, 10, 11, 12, 14, 15]]
    assert [part.unreadable for part in found] == [{}, {"val-fake-013": "drawn broken"}]
