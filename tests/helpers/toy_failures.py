"""Trainings over several processes in which one meets something that the others do not.

torchrun --nproc_per_node 2 tests/helpers/toy_failures.py OUT: writes for every one of WAYS and every
process how it ended.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import toy_language
import toy_training
from PIL import Image

from m2f2bench.cli.main import main as command
from m2f2bench.core.errors import DataError, FrameError, StoreError
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.runs import train as trainer
from m2f2bench.training import language, loader, loop, network, objective, sharing
from m2f2bench.training.job import FitReport

RANK = int(os.environ.get("RANK", "0"))
FULL = StoreError("cannot write 'out': No space left on device")


def on(rank: int, error: Exception, after: int = 0) -> Callable[..., Any]:
    """A function that raises in one process, from the call after `after` others on; else it does what it stands for."""

    def make(own: Callable[..., Any]) -> Callable[..., Any]:
        calls = 0

        def instead(*given: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if rank == RANK and calls > after:
                raise error
            return own(*given, **named)

        return instead

    return make


@contextmanager
def changed(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    with patch.object(owner, name, make(getattr(owner, name))):
        yield


def detector(out: Path, read: Callable[[Any], Any] | None = None, **settings: Any) -> FitReport:
    """The training of a small network; `read` changes how frames are read."""
    torch.set_num_threads(1)
    job = toy_training.toy_job(out, **{"epochs": 1, **settings})
    return TimmDetector.fit(dataclasses.replace(job, read=(read or (lambda own: own))(job.read)))


def unreadable(split: str = "", after: int = 0) -> Callable[..., Any]:
    """Frames, of a split, that process 1 cannot read, from the one after `after` others on."""

    def make(own: Callable[[Any], Any]) -> Callable[[Any], Any]:
        calls = 0

        def read(frame: Any) -> Any:
            nonlocal calls
            calls += frame.id.startswith(split)
            if RANK == 1 and frame.id.startswith(split) and calls > after:
                raise FrameError(frame.id, "bad block")
            return own(frame)

        return read

    return make


def uncached() -> Any:
    """Frames are read when their turn comes."""
    return changed(network.FrameReader, "fill", lambda own: lambda self, frames: None)


def at_a_step(out: Path) -> None:
    with uncached():
        detector(out, unreadable(after=4), checkpoint_steps=1)


def own_error(out: Path) -> None:
    with uncached(), changed(loader, "augment_both", on(1, ValueError("two\nlines"), 5)):
        detector(out)


def in_validation(out: Path) -> None:
    with uncached():
        detector(out, unreadable("val", after=2))


def written(fit: Callable[..., Any], name: str, owner: Any = loop) -> Callable[[Path], Any]:
    """A file that process 0 alone writes and cannot."""

    def way(out: Path) -> None:
        with changed(owner, name, on(0, FULL)):
            fit(out)

    return way


def resumed(fit: Callable[..., Any]) -> Callable[[Path], Any]:
    """A training that was cut off, whose checkpoint process 1 cannot read."""

    def way(out: Path) -> None:
        cut_off(fit, out)
        with changed(loop, "load_checkpoint", on(1, DataError("bad block"))):
            fit(out, resume=True)

    return way


def unseen(fit: Callable[..., Any]) -> Callable[[Path], Any]:
    """The same, and process 1 does not see the checkpoint."""

    def way(out: Path) -> None:
        cut_off(fit, out)
        with changed(loop, "latest_checkpoint", lambda own: own if RANK == 0 else lambda out: None):
            fit(out, resume=True)

    return way


def cut_off(fit: Callable[..., Any], out: Path) -> None:
    try:
        with changed(loop, "write_report", on(0, FULL)):
            fit(out, checkpoint_steps=2)
    except StoreError:
        return
    raise AssertionError("it was not cut off")


def language_of(out: Path, made: dict[str, Any] | None = None, **settings: Any) -> FitReport:
    """The training of a small language model."""
    return toy_language.fit(out, {"lora": 0.0, **(made or {})}, **{"epochs": 1, **settings})


def collating(after: int, fsdp: bool = False) -> Callable[[Path], Any]:
    """Examples that process 1 cannot make a batch of."""

    def way(out: Path) -> None:
        with ExitStack() as stack:
            if fsdp:
                stack.enter_context(changed(loop, "make_accelerator", lambda own: toy_language.accelerator_on_cpus))
            stack.enter_context(changed(toy_language.Collator, "__call__", on(1, DataError("bad block"), after)))
            language_of(out)

    return way


def many_left_out(out: Path) -> None:
    """More than one frame in twenty, which process 1 alone finds out about."""
    language_of(out, {"broken": "" if RANK == 1 else "none"})


def no_memory(out: Path) -> None:
    short = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
    with changed(sharing.Whole, "_step", on(1, short)):
        language_of(out)


def short_validation(out: Path) -> None:
    """No error: validation in parts when process 1 has no memory for the second batch of it."""
    calls: list[int] = []
    own = language._Answers.judge

    def judge(self: Any, batch: Any) -> Any:
        calls.append(len(batch.get("ids", ())))
        if RANK == 1 and calls[-1] > 1 and len(calls) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return own(self, batch)

    with patch.object(language._Answers, "judge", judge):
        report = language_of(out, val=16, batch_size=4)
    assert np.isfinite(report.curves[-1]["val_loss"])
    raise DataError(f"none: {report.curves[-1]['val_loss']:.3f}")


LABELS = ("real", "fake")
CARD = """
name: mini
backend: timm
input: {size: 32}
options: {model: test_resnet}
training: {epochs: 1, batch_size: 4}
"""


def pictures(out: Path) -> tuple[Path, Path]:
    """A detector's card, and that of a dataset of pictures of which each process sees a copy of its own."""
    place = out / str(RANK)
    for number in range(8):
        for label in LABELS:
            path = place / "data" / label / f"{number:02d}_{label}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(number).integers(0, 255, (40, 40, 3), np.uint8)).save(path)
    (place / "mini.yaml").write_text(CARD)
    rows = [f"{label}/{number:02d}_{label}.png,{label},train,{number}" for number in range(8) for label in LABELS]
    (place / "data" / "list.csv").write_text("\n".join(["path,label,split,identity", *rows]))
    options = "{manifest: list.csv}\nsplits: [train]"
    (place / "pictures.yaml").write_text(f"name: pictures\nadapter: folder\nroot: {place / 'data'}\noptions: {options}")
    return place / "mini.yaml", place / "pictures.yaml"


def commanded(out: Path) -> None:
    """The command line, where process 1 has a file that cannot be read."""
    detector, dataset = pictures(out)
    if RANK == 1:
        (dataset.parent / "data" / "fake" / "03_fake.png").write_bytes(b"bad block")
    sys.argv = ["m2f2bench", "train", str(detector), "-s", str(dataset), "--out", str(out / "out"), "--device", "cpu"]
    command()


def prepared(out: Path) -> None:
    """The dataset cannot be opened by process 1."""
    detector, dataset = map(str, pictures(out))
    with changed(trainer, "load_dataset", on(1, DataError("bad block"))):
        trainer.train(detector, dataset, out=out / "out", device="cpu")


def recorded(out: Path) -> None:
    """The record of a finished training cannot be written."""
    detector, dataset = map(str, pictures(out))
    with changed(trainer, "write_json", on(0, FULL)):
        trainer.train(detector, dataset, out=out / "out", device="cpu")


WAYS: dict[str, Callable[[Path], Any]] = {
    "frames before the first step": lambda out: detector(out, unreadable()),
    "frames at a step": at_a_step,
    "frames of the validation": in_validation,
    "an error of somebody's own": own_error,
    "a checkpoint to write": written(detector, "save_checkpoint"),
    "weights to write": written(detector, "write_tensors", objective),
    "a report to write": written(detector, "write_report"),
    "a checkpoint to read": resumed(detector),
    "a checkpoint that is not seen": unseen(detector),
    "a batch": collating(3),
    "a batch of the validation": collating(0),
    "frames left out": many_left_out,
    "memory for the optimiser": no_memory,
    "memory for the validation": short_validation,
    "a language checkpoint to write": written(language_of, "save_checkpoint"),
    "language weights to write": written(language_of, "write_tensors", objective),
    "a language report to write": written(language_of, "write_report"),
    "a language checkpoint to read": resumed(language_of),
    "a language checkpoint that is not seen": unseen(language_of),
    "a dataset to open": prepared,
    "a record to write": recorded,
    # What was told to accelerate for these stays so.
    "a sharded batch": collating(3, fsdp=True),
    "a sharded batch of the validation": collating(0, fsdp=True),
}


def main(out: Path, names: list[str]) -> None:
    for name in names or list(WAYS):
        place = out / name
        place.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        try:
            WAYS[name](place)
            ended = ["nothing", ""]
        except Exception as error:
            ended = [type(error).__name__, str(error)]
        (out / f"{name}-{RANK}.json").write_text(json.dumps([*ended, time.monotonic() - started]))


if __name__ == "__main__":
    if sys.argv[2:] == ["command"]:
        commanded(Path(sys.argv[1]))
    else:
        main(Path(sys.argv[1]), sys.argv[2:])
