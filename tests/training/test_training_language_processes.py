"""Two processes learn to answer as one does: whole copies of the network, and FSDP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_language import fit, why_no_fsdp
from toy_launch import fork

from m2f2bench.core.tensors import read_tensors

STILL = {"lora": 0.0}
TRAININGS: dict[str, dict[str, Any]] = {
    "whole": {"made": STILL, "accumulation": 2, "epochs": 1.5},
    # Batches of one: one process has never an example, and of the unreadable frame's neither has.
    "alone": {"made": {**STILL, "longest": 4}, "batch_size": 1, "epochs": 1, "count": 14},
    "short": {"made": {**STILL, "most": 2}, "epochs": 1},
    "resumed": {"made": {**STILL, "stop": 9}, "checkpoint_steps": 2},
    "fsdp": {"made": STILL, "validate_steps": 5, "projector_lr": 1e-2},
    "fsdp resumed": {"made": {**STILL, "stop": 9}, "checkpoint_steps": 2},
    "fsdp alone": {"made": STILL, "batch_size": 1, "epochs": 1, "count": 14},
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two processes did; see `toy_language.main`."""
    out = tmp_path_factory.mktemp("two")
    can = {name: values for name, values in TRAININGS.items() if not (name.startswith("fsdp") and why_no_fsdp())}
    done = fork("toy_language.py", str(out), json.dumps(can))
    assert done.returncode == 0, done.stderr[-6000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_learn_what_one_learns(name: str, two: Path, tmp_path: Path) -> None:
    if name.startswith("fsdp") and (why := why_no_fsdp()):
        pytest.skip(why)
    values = {**TRAININGS[name]}
    made = {**values.pop("made"), "stop": None, "most": None}
    alone = fit(tmp_path / "one", made, **values)
    report = json.loads((two / name / "fit.json").read_text())
    assert "each batch shared out over 2 processes" in report["notes"]
    assert ("the network sharded by FSDP" in report["notes"]) == name.startswith("fsdp")
    assert ("batches in 2 parts, not 1" in " ".join(report["notes"])) == (name == "short")
    assert [note for note in report["notes"] if "left out" in note] == [
        note for note in alone.notes if "left out" in note
    ]
    assert len(report["curves"]) == len(alone.curves)
    for one, both in zip(alone.curves, report["curves"], strict=True):
        assert one.keys() == both.keys()
        assert [both[key] for key in one] == pytest.approx(list(one.values()), abs=1e-4)
    mine, theirs = read_tensors(alone.weights)[0], read_tensors(two / name / "model.safetensors")[0]
    torch.testing.assert_close(theirs, mine, rtol=1e-3, atol=2e-4)
    assert not (two / name / "checkpoints").exists()
