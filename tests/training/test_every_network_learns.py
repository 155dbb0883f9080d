"""Every card's network with the card's own loss: cut off and resumed, and over two processes, as in one piece."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy_kill import kept_at_first_checkpoint
from toy_launch import fork
from toy_networks import train, trainable

from m2f2bench.core.tensors import read_tensors

CARDS = list(trainable())


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two processes did."""
    out = tmp_path_factory.mktemp("two")
    done = fork("toy_networks.py", str(out), timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CARDS)
def test_resumed_and_shared_it_learns_the_same(name: str, two: Path, tmp_path: Path) -> None:
    with kept_at_first_checkpoint(tmp_path / "whole", tmp_path / "cut"):
        whole = train(name, tmp_path / "whole")
    again = train(name, tmp_path / "cut", resume=True)
    assert again.curves == whole.curves and len(whole.curves) == 2
    mine, theirs = read_tensors(whole.weights)[0], read_tensors(again.weights)[0]
    assert all(bool((theirs[key] == value).all()) for key, value in mine.items()) and set(mine) == set(theirs)
    shared = json.loads((two / name / "fit.json").read_text())["curves"]
    for one, both in zip(whole.curves, shared, strict=True):
        assert both["train_loss"] == pytest.approx(one["train_loss"], rel=1e-3), name
