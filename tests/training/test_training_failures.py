"""What one process meets ends all of them, with the same line, within a short time; none waits for another."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from toy_failures import WAYS
from toy_language import why_no_fsdp
from toy_launch import launch

from m2f2bench.core.errors import DetectorError
from m2f2bench.training.device import process_device
from m2f2bench.training.processes import agreed, gathered, share, summed, together

BLOCK = "cannot be read, first '.*': (bad block|drawn broken); at most 5% may be: repair the dataset$"
FULL = "^cannot write 'out': No space left on device$"
UNSEEN = "^the 2 processes have different checkpoints in '.*': put --out on a disk that all of them see$"
ENDS: dict[str, tuple[str, str]] = {
    "frames before the first step": ("DataError", rf"of 48 training and validation frames {BLOCK}"),
    "frames at a step": ("DataError", rf"of 48 training and validation frames {BLOCK}"),
    "frames of the validation": ("DataError", rf"of 48 training and validation frames {BLOCK}"),
    "a checkpoint to write": ("StoreError", FULL),
    "weights to write": ("StoreError", FULL),
    "a report to write": ("StoreError", FULL),
    "a checkpoint to read": ("DataError", "^bad block$"),
    "a checkpoint that is not seen": ("DetectorError", UNSEEN),
    "a batch": ("DataError", "^bad block$"),
    "a batch of the validation": ("DataError", "^bad block$"),
    "a sharded batch": ("DataError", "^bad block$"),
    "a sharded batch of the validation": ("DataError", "^bad block$"),
    "frames left out": ("DataError", "training and validation frames cannot be read, first"),
    "memory for the optimiser": ("DetectorError", "the GPU's memory does not hold the optimiser's state"),
    "memory for the validation": ("DataError", "none: "),
    "a language checkpoint to write": ("StoreError", FULL),
    "language weights to write": ("StoreError", FULL),
    "a language report to write": ("StoreError", FULL),
    "a language checkpoint to read": ("DataError", "^bad block$"),
    "a language checkpoint that is not seen": ("DetectorError", UNSEEN),
    "a dataset to open": ("DataError", "^bad block$"),
    "a record to write": ("StoreError", FULL),
}
SHORT = 60.0
"""Seconds within which both must have ended; where one waited for the other it would be half an hour."""


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which both processes wrote how each of WAYS ended."""
    out = tmp_path_factory.mktemp("failures")
    done = launch("toy_failures.py", str(out))
    assert done.returncode == 0, done.stderr[-4000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("way", ENDS)
def test_b2_all_processes_end_with_one_line(way: str, ends: Path) -> None:
    if "sharded" in way and (why := why_no_fsdp()):
        pytest.skip(why)
    kind, pattern = ENDS[way]
    found = [json.loads((ends / f"{way}-{rank}.json").read_text()) for rank in (0, 1)]
    assert found[0][:2] == found[1][:2]
    assert found[0][0] == kind and re.search(pattern, found[0][1]) and "\n" not in found[0][1]
    assert max(seconds for *_, seconds in found) < SHORT


@pytest.mark.slow
def test_b2_an_error_of_somebodys_own_is_told_in_one_line(ends: Path) -> None:
    """The process that has it ends with it; the other with where it was and its first line."""
    first, second = (json.loads((ends / f"an error of somebody's own-{rank}.json").read_text()) for rank in (0, 1))
    assert second[:2] == ["ValueError", "two\nlines"]
    assert first[:2] == ["DetectorError", "process 1 of 2 failed: ValueError: two"]
    assert set(ENDS) | {"an error of somebody's own"} == set(WAYS)


@pytest.mark.slow
def test_b2_the_command_line_ends_in_both(tmp_path: Path) -> None:
    """Process 1 has a file that cannot be read where process 0 has a picture."""
    done = launch("toy_failures.py", str(tmp_path), "command", timeout=120)
    line = "m2f2bench: the 2 processes have different data, cards or folders: give all of them the same dataset, and"
    assert done.returncode != 0
    assert done.stderr.count(line) == 2, done.stderr[-3000:]
    assert not (tmp_path / "out").exists()


def test_b2_more_processes_than_gpus_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert process_device("auto") == torch.device("cuda") and process_device("cuda:1") == torch.device("cuda:1")
    for here, rank, found in (("1", "0", "cuda"), ("2", "1", "cuda:1"), ("2", "0", "cuda:0")):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert process_device("auto") == process_device("cuda") == torch.device(found)
        assert process_device("cpu") == torch.device("cpu")
    with pytest.raises(DetectorError, match=r"^device 'cuda:1' is one GPU, and there are 2 processes here"):
        process_device("cuda:1")
    for variable in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
        monkeypatch.setenv(variable, "3")
        with pytest.raises(DetectorError, match=r"^there are 3 processes here and 2 CUDA devices, and"):
            process_device("auto")


def test_b2_alone_nothing_is_exchanged() -> None:
    error = ValueError("mine")
    assert gathered({"a": 1}) == [{"a": 1}] and summed([1.0, 2.5], torch.device("cpu")) == [1.0, 2.5]
    agreed(3, "nothing")
    share(None)
    for way in (lambda: share(error), lambda: summed([1.0], torch.device("cpu"), error)):
        with pytest.raises(ValueError, match="mine") as caught:
            way()
        assert caught.value is error
    with pytest.raises(ValueError, match="mine"), together():
        raise error
