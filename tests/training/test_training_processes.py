"""Two processes learn what one learns, batch normalisation included: same curves, weights, gradients, statistics."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import init_process_group, is_initialized
from toy_launch import fork, launch
from toy_processes import MODULES, SHARES, module, passes, train, values
from toy_training import frames

from m2f2bench.core.tensors import read_tensors
from m2f2bench.training import device
from m2f2bench.training.frames import epoch_batches

TRAININGS: dict[str, dict[str, Any]] = {
    "no batch norm": {"options": {"model": "test_convnext"}, "lr": 1e-3, "clip_grad_norm": 1.0},
    "batch norm": {"options": {"model": "test_resnet"}, "lr": 1e-3},
    # timm's BatchNormAct2d
    "in parts": {"options": {"model": "test_efficientnet"}, "lr": 1e-3, "accumulation": 2, "schedule": "plateau"},
    # Two images a step in four pieces: one process has never any, and of the unreadable frame's part none has.
    "blanks": {"batch_size": 2, "accumulation": 2, "size": 64, "lr": 1e-3},
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two processes did (see `toy_processes`)."""
    out = tmp_path_factory.mktemp("two")
    done = fork("toy_processes.py", str(out), json.dumps(TRAININGS))
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_learn_what_one_learns(name: str, two: Path, tmp_path: Path) -> None:
    alone = train(tmp_path / "one", **TRAININGS[name])
    report = json.loads((two / name / "fit.json").read_text())
    assert "each batch shared out over 2 processes" in report["notes"]
    assert any("train-fake-013" in note for note in report["notes"])
    curves = report["curves"]
    assert len(curves) == len(alone.curves) == 2
    for one, both in zip(alone.curves, curves, strict=True):
        assert one.keys() == both.keys()
        assert [both[key] for key in one] == pytest.approx(list(one.values()), abs=1e-6)  # the loss is float32
    mine, theirs = read_tensors(alone.weights)[0], read_tensors(two / name / "model.safetensors")[0]
    torch.testing.assert_close(theirs, mine, rtol=1e-7, atol=1e-7)


@pytest.mark.slow
def test_the_processes_do_share_a_batch(two: Path, tmp_path: Path) -> None:
    """Half of it, what one process sees, would give another loss."""
    values = TRAININGS["batch norm"]
    whole = json.loads((two / "batch norm" / "fit.json").read_text())["curves"]
    half = train(tmp_path / "half", **{**values, "batch_size": 4})
    assert abs(half.curves[1]["train_loss"] - whole[1]["train_loss"]) > 1e-3


def test_the_unreadable_frame_comes_up_where_blanks_are_meant_to() -> None:
    labels = [frame.label for frame in frames(12, 20)]
    broken = next(i for i, frame in enumerate(frames(12, 20)) if frame.id == "train-fake-013")
    drawn = [index for epoch in (0, 1) for batch in epoch_batches(labels, 2, 0, epoch) for index, _ in batch]
    assert broken in drawn


def joined(two: Path, name: str) -> dict[str, torch.Tensor]:
    """What both processes found of a module, put together: outcomes and gradients of x in a row, others' gradients
    summed, running statistics as both have them."""
    first, second = (torch.load(two / f"batchnorm-{rank}.pt", weights_only=True)[name] for rank in (0, 1))
    assert first.keys() == second.keys()
    together: dict[str, torch.Tensor] = {}
    for key in first:
        if key.startswith("buffer"):
            assert torch.equal(first[key], second[key])  # to the bit: they would drift apart else
            together[key] = first[key]
        else:
            rows = key in ("out", "grad x")
            together[key] = torch.cat([first[key], second[key]]) if rows else first[key] + second[key]
    return together


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_gradients_and_statistics_are_those_of_the_whole_batch(name: str, two: Path) -> None:
    x, weighing = values(name)
    whole = passes(module(name), x, weighing)
    torch.testing.assert_close(joined(two, name), whole, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_a_process_that_does_not_count_changes_nothing(name: str, two: Path) -> None:
    x, weighing = values(name)
    whole = passes(module(name), x[: SHARES[0]], weighing[: SHARES[0]])
    found = joined(two, f"{name}, blank")
    assert torch.isfinite(found["out"]).all()
    assert (found["grad x"][SHARES[0] :] == 0).all()
    for key in ("out", "grad x"):
        found[key] = found[key][: SHARES[0]]
    torch.testing.assert_close(found, whole, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["join", "train"])
def test_a_process_leaves_the_others_before_the_interpreter_ends(way: str, tmp_path: Path) -> None:
    """Without it about one training in five, all of it done, was ended by SIGABRT."""
    done = launch("toy_leaving.py", way, str(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(line for line in done.stdout.splitlines() if line) == ["left 0", "left 1"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are seen in /proc")
def test_a_process_waits_for_threads_that_still_hold_what_was_sent(tmp_path: Path) -> None:
    """torch's caches of sharded tensors keep a group alive that was left, and its threads with it."""
    init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    begun, end, done = threading.Event(), threading.Event(), []

    def work() -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text("pt_gloo_runloop")
        begun.set()
        hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 1_000_000)  # without the interpreter
        done.append("freed")
        end.wait()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    device._leave()
    left = is_initialized(), list(done)
    end.set()
    thread.join()
    assert left == (False, ["freed"])
