"""Losses over two processes: the loss curve and the weights of one process with the same global batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from toy_launch import fork
from toy_losses import TRAININGS, trained

from m2f2bench.core.tensors import read_tensors


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two processes did."""
    out = tmp_path_factory.mktemp("two")
    done = fork("toy_losses.py", str(out))
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_learn_what_one_learns(name: str, two: Path, tmp_path: Path) -> None:
    alone = trained(tmp_path, TRAININGS[name])
    report = json.loads((two / name / "fit.json").read_text())
    assert any(note.startswith(f"loss {TRAININGS[name]['loss']['name']} (") for note in report["notes"])
    assert len(report["curves"]) == len(alone.curves) == 2
    for one, both in zip(alone.curves, report["curves"], strict=True):
        assert [both[key] for key in one] == pytest.approx(list(one.values()), abs=1e-6)
    mine, theirs = read_tensors(alone.weights)[0], read_tensors(two / name / "model.safetensors")[0]
    torch.testing.assert_close(theirs, mine, rtol=1e-7, atol=1e-7)
