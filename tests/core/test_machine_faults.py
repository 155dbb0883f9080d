"""What the machine fails at (memory, disks, connections, open files) ends the work in one line and is not stored."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rows_held import rows_held
from toy_asking import Together
from toy_questions import Faces

import m2f2bench
from m2f2bench.auditing.audit import audit
from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.errors import FrameError, MachineError, is_machine_fault
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.base import Adapter
from m2f2bench.datasets.lists.folder import FolderAdapter
from m2f2bench.datasets.read_ahead import load_frame
from m2f2bench.detectors.base import Localizer
from m2f2bench.heatmaps.measurement import faithfulness, localize
from m2f2bench.runs.detection import AGAIN
from m2f2bench.training.frames import FrameReader

FEW = Bootstrap(resamples=100)
FAULTS: dict[str, Callable[[], BaseException]] = {
    "memory": lambda: MemoryError("Unable to allocate 9.31 GiB"),
    "disk": lambda: OSError(errno.EIO, os.strerror(errno.EIO)),
    "full": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "open files": lambda: OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    "stale": lambda: OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
    "connection": lambda: ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    "hdf5": lambda: OSError(
        "Can't synchronously read data (file read failed: errno = 5, error message = 'Input/output')"
    ),
    "torch": lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
}


class Bright(Localizer):
    """P(fake) by brightness, with a map of the green channel."""

    name = "bright"

    def fingerprint(self) -> str:
        return "bright"

    def predict(self, images: list[Any]) -> list[float]:
        return [float(image.mean()) / 255 for image in images]

    def heatmap(self, images: Any) -> Any:
        return np.stack([image[::4, ::4, 1] / 255 for image in images]).astype(np.float32)


class Shaky(Adapter):
    """40 frames of 16×16, with masks; reading number 25 fails as long as `fault` is there."""

    name = "shaky"
    fault: BaseException | None = None
    reads = 0

    def frames(self, split: str) -> list[Frame]:
        kinds = ("original", "swap")
        return [
            Frame(f"{i:02d}", f"{kinds[i % 2]}/{i}", i % 2, kinds[i % 2], split, (f"p{i}",), Locator("", index=i))
            for i in range(40)
        ]

    def read(self, frame: Frame) -> np.ndarray:
        if frame.locator.index == 25 and self.fault is not None:
            raise self.fault
        self.reads += 1
        return np.random.default_rng(frame.locator.index).integers(0, 256, (16, 16, 3), dtype=np.uint8)

    def mask(self, frame: Frame) -> Any:
        mask = np.zeros((16, 16), bool)
        mask[4:12, 4:12] = True
        return mask


def shaky(fault: BaseException) -> Shaky:
    data = Shaky()
    data.fault = fault
    return data


JOBS: dict[str, Callable[[Shaky, Path], Any]] = {
    "run": lambda data, out: m2f2bench.run(detectors=[Bright()], datasets=[data], out=out, batch_size=4),
    "localize": lambda data, out: localize(Bright(), data, bootstrap=FEW),
    "faithfulness": lambda data, out: faithfulness(Bright(), data, steps=2, bootstrap=FEW),
    "audit": lambda data, out: audit(data, probe=False, frames_per_video=0),
    "training": lambda data, out: FrameReader(data.read).fill(data.frames("train")),
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("fault", ["memory", "disk"])
def test_e2_a_machine_fault_ends_every_job_in_one_line(job: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="the machine failed here") as caught:
        JOBS[job](shaky(FAULTS[fault]()), tmp_path)
    assert "\n" not in str(caught.value) and "'25'" in str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_e2_every_kind_of_machine_fault_is_told_from_a_frames_own(fault: str) -> None:
    data = shaky(FAULTS[fault]())
    with pytest.raises(MachineError):
        load_frame(data, data.frames("test")[25])
    chained = ValueError("cannot decode")
    chained.__cause__ = FAULTS[fault]()
    assert is_machine_fault(chained)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file"),
        PermissionError(errno.EACCES, "Permission denied"),
        OSError("image file is truncated"),
        ValueError("bad header"),
        RuntimeError("out of memory bank 3"),
        SystemExit(3),
        FrameError("25", "gone", "no_face"),
    ],
)
def test_e2_a_frames_own_fault_stays_a_row(error: BaseException) -> None:
    data = shaky(error)
    loaded = load_frame(data, data.frames("test")[25])
    assert loaded.image is None and loaded.reason and loaded.digest == ""
    assert loaded.status == ("no_face" if isinstance(error, FrameError) else "unreadable")


def test_e2_rows_before_a_machine_fault_are_kept_and_the_same_command_goes_on(tmp_path: Path) -> None:
    data = shaky(FAULTS["memory"]())
    data.stamp = lambda frame: f"{frame.id}"  # type: ignore[method-assign]
    with pytest.raises(MachineError):
        JOBS["run"](data, tmp_path)
    (partial,) = tmp_path.glob("*/predictions.partial.arrows")
    assert len(rows_held(partial)) == 25, "every frame before the one that failed"
    data.fault, before = None, data.reads
    (result,) = JOBS["run"](data, tmp_path)
    assert result.statuses == {"ok": 40} and data.reads - before == 15 + AGAIN
    (fresh,) = JOBS["run"](Shaky(), tmp_path / "fresh")
    assert result.metrics == fresh.metrics and result.signature == fresh.signature


def test_e2_an_explainers_machine_fault_is_no_answer(rules: Path, tmp_path: Path) -> None:
    class Breaks(Together):
        def check(self, images: Any) -> None:
            if any(image.mean() == 54 for image in images):
                raise MemoryError

    with pytest.raises(MachineError, match="MemoryError"):
        m2f2bench.run(detectors=[Breaks()], datasets=[Faces()], protocols=[str(rules)], out=tmp_path)


def test_e2_a_detectors_machine_fault_is_no_row(tmp_path: Path) -> None:
    class Breaks(Bright):
        def predict(self, images: list[Any]) -> list[float]:
            if len(images) == 1:
                raise MemoryError
            raise RuntimeError("asked again one by one")

    with pytest.raises(MachineError, match="detector 'bright' on frame '00': MemoryError"):
        m2f2bench.run(detectors=[Breaks()], datasets=[Shaky()], out=tmp_path)


def test_e2_a_dataset_whose_disk_has_gone_is_not_a_set_of_unreadable_frames(squares: Path) -> None:
    adapter = FolderAdapter(squares)
    frame = Frame("x", "x", 0, "original", "test", (), Locator(str(squares / "real" / "00.png")))
    assert adapter.read(frame).shape == (32, 32, 3)
    squares.rename(squares.with_name("elsewhere"))
    with pytest.raises(MachineError, match="still mounted"):
        adapter.read(frame)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are Linux's")
def test_e2_too_few_open_files_are_no_unreadable_frames(squares: Path, tmp_path: Path) -> None:
    """In a process of its own that may open no further file once its frames are listed."""
    program = """
        import resource, sys
        from m2f2bench.datasets.read_ahead import load_frame
        from m2f2bench.core.errors import MachineError
        from m2f2bench.loading import load_dataset
        data = load_dataset(sys.argv[1])
        frame = data.frames("test")[0]
        load_frame(data.adapter, frame)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        try:
            load_frame(data.adapter, frame)
        except MachineError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(squares)], capture_output=True, text=True, timeout=60
    )
    assert "Too many open files" in done.stdout, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_e8_a_full_disk_behind_the_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "m2f2bench", "list", "metrics"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "No space left on device" in line and "Traceback" not in line
