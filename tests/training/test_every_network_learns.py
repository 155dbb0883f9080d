"""Every card's network with the card's own loss: cut off and resumed, and over two processes, as in one piece."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from toy_launch import launch
from toy_networks import train, trainable

from m2f2bench.core.tensors import read_tensors
from m2f2bench.training import loop

CARDS = list(trainable())


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two processes did."""
    out = tmp_path_factory.mktemp("two")
    done = launch("toy_networks.py", str(out), timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CARDS)
def test_resumed_and_shared_it_learns_the_same(
    name: str, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = loop.save_checkpoint

    def copied(*given: Any) -> None:
        """What a training that is killed after its first epoch leaves behind."""
        kept(*given)
        if not (tmp_path / "cut").exists():
            shutil.copytree(tmp_path / "whole", tmp_path / "cut")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", copied)
        whole = train(name, tmp_path / "whole")
    again = train(name, tmp_path / "cut", resume=True)
    assert again.curves == whole.curves and len(whole.curves) == 2
    mine, theirs = read_tensors(whole.weights)[0], read_tensors(again.weights)[0]
    assert all(bool((theirs[key] == value).all()) for key, value in mine.items()) and set(mine) == set(theirs)
    shared = json.loads((two / name / "fit.json").read_text())["curves"]
    for one, both in zip(whole.curves, shared, strict=True):
        assert both["train_loss"] == pytest.approx(one["train_loss"], rel=1e-3), name
