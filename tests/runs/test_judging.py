"""Judging in the background: the next batch is begun before the scores of one are waited for, and rows are the same."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from m2f2bench.cards.settings import InputSettings
from m2f2bench.core.errors import DetectorError, FrameError, MachineError
from m2f2bench.core.records import Frame, Locator, Prediction
from m2f2bench.datasets.base import Adapter
from m2f2bench.detectors.base import Detector
from m2f2bench.detectors.network import NetworkDetector
from m2f2bench.runs.judging import later, predict
from m2f2bench.training.device import fetch, send

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def frames(count: int) -> list[Frame]:
    return [
        Frame(f"f{i}", f"v{i}", i % 2, "original" if i % 2 == 0 else "made", "test", (), Locator(""))
        for i in range(count)
    ]


class Pictures(Adapter):
    """Frame i is grey of value i; some cannot be read, and at one the disk fails."""

    def __init__(self, unreadable: Sequence[int] = (), broken: int = -1) -> None:
        super().__init__()
        self.unreadable, self.broken = set(unreadable), broken

    def frames(self, split: str) -> list[Frame]:
        return []

    def read(self, frame: Frame) -> Any:
        number = int(frame.id[1:])
        if number == self.broken:
            raise MachineError("the disk failed")
        if number in self.unreadable:
            raise FrameError(frame.id, "torn")
        return np.full((8, 8, 3), number, dtype=np.uint8)


class Picture:
    """What is prepared of a frame, and whether it is still in memory."""

    alive: ClassVar[weakref.WeakSet[Picture]] = weakref.WeakSet()
    nbytes = 8 * 8 * 3

    def __init__(self, image: Any) -> None:
        self.value = int(image[0, 0, 0])
        Picture.alive.add(self)


class Toy(Detector):
    """P(fake) by the value of a picture. `early` and `late` fail when begun and when waited for."""

    def __init__(
        self, background: bool, early: Sequence[int] = (), late: Sequence[int] = (), odd: Sequence[int] = ()
    ) -> None:
        self.in_background = background
        self.early, self.late, self.odd = set(early), set(late), set(odd)
        self.events: list[str] = []
        self.most = 0

    def prepare(self, image: Any) -> Picture:
        return Picture(image)

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Any:
        return self.begin_forward(batch, ids)()

    def begin_forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Callable[[], Any]:
        values = [one.value for one in batch]
        self.most = max(self.most, len(Picture.alive))
        self.events.append(f"begin {values[0]}")
        if self.early & set(values):
            raise ValueError("early")

        def wait() -> Any:
            self.events.append(f"wait {values[0]}")
            if self.late & set(values):
                raise ValueError("late")
            return np.array([np.nan if value in self.odd else value / 255 for value in values])

        return wait


def rows(detector: Toy, adapter: Pictures, count: int, size: int) -> tuple[list[list[Prediction]], str]:
    """Rows by batch, and the error that ended them."""
    found: list[list[Prediction]] = []
    try:
        for batch in predict("toy", detector, adapter, frames(count), size, 2):
            found.append(batch)
    except (DetectorError, MachineError) as error:
        return found, str(error)
    return found, ""


def test_the_next_batch_is_begun_before_scores_are_waited_for() -> None:
    detector = Toy(background=True)
    rows(detector, Pictures(), 10, 3)
    assert detector.events == ["begin 0", "begin 3", "wait 0", "begin 6", "wait 3", "begin 9", "wait 6", "wait 9"]
    detector = Toy(background=False)
    rows(detector, Pictures(), 7, 3)
    assert detector.events == ["begin 0", "wait 0", "begin 3", "wait 3", "begin 6", "wait 6"]


numbers = st.lists(st.integers(0, 20), max_size=3)


@given(numbers, numbers, numbers, numbers, st.sampled_from([-1, -1, 0, 5, 13]), st.integers(0, 20), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_rows_and_errors_are_those_of_one_batch_after_the_other(
    unreadable: list[int], early: list[int], late: list[int], odd: list[int], broken: int, count: int, size: int
) -> None:
    one, other = (
        rows(Toy(background, early, late, odd), Pictures(unreadable, broken), count, size)
        for background in (False, True)
    )
    assert one == other


def test_a_fault_of_the_machine_comes_after_the_rows_before_it() -> None:
    found, said = rows(Toy(background=True), Pictures(broken=7), 12, 3)
    assert [row.frame for batch in found for row in batch] == [f"f{i}" for i in range(7)] and "the disk failed" in said


@pytest.mark.parametrize(("background", "batches"), [(False, 1), (True, 2)])
def test_pictures_are_freed_once_their_rows_are_there(background: bool, batches: int) -> None:
    """In memory at most: the batches of the detector, and two batches that are read ahead."""
    detector = Toy(background)
    Picture.alive.clear()
    found, said = rows(detector, Pictures(), 120, 6)
    assert len(found) == 20 and said == ""
    assert detector.most <= (batches + 2) * 6
    gc.collect()
    assert len(Picture.alive) == 0


@given(st.lists(st.integers()), st.integers(0, 4), st.integers(0, 12))
def test_later_loses_nothing_and_keeps_the_order(items: list[int], count: int, failing: int) -> None:
    taken: list[int] = []

    def source() -> Any:
        for place, item in enumerate(items):
            if place == failing:
                raise ValueError("torn")
            taken.append(item)
            yield item

    found = []
    try:
        for item in later(source(), count):
            found.append(item)
            assert len(taken) == min(len(found) + count, len(items), failing)
    except ValueError:
        assert failing < len(items)
    assert found == items[:failing]


class Grey(nn.Module):
    """One logit an image: a weighted mean of its pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.weight * pixels.mean((1, 2, 3))


class Halved(NetworkDetector):
    """A user's class that judges in its own way."""

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Any:
        return super().forward(batch, ids) / 2


def test_a_network_goes_on_in_the_background_on_a_gpu_alone_and_as_its_class_judges() -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8))
    for kind in (NetworkDetector, Halved):
        detector = kind(Grey(), InputSettings(size=16), "cpu", "")
        ids = list("abcde")
        assert not detector.in_background
        detector.device = torch.device("cuda", 0)  # nothing is computed there
        assert detector.in_background is (kind is NetworkDetector)
        detector.device = torch.device("cpu")
        if kind is NetworkDetector:
            assert np.array_equal(detector.begin_forward(images, ids)(), detector.forward(images, ids))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_what_is_sent_and_fetched_is_the_same(device: str) -> None:
    draws = np.random.default_rng(1)
    waits = []
    for size in (4, 4, 2, 7):
        arrays = list(draws.integers(0, 256, (size, 8, 8, 3), dtype=np.uint8))
        sent = send(arrays, torch.device(device))
        assert sent.device.type == device and sent.dtype == torch.uint8
        waits.append((arrays, fetch(sent)))
    for arrays, wait in waits:
        found = wait()
        assert found.device.type == "cpu" and np.array_equal(found.numpy(), np.stack(arrays))
