"""Fixtures of the tests of users' metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_metric import SOURCE

from m2f2bench.metrics import registry


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers ends with it."""
    monkeypatch.setattr(registry, "_REGISTERED", {})


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with a user's file and a protocol card that names a metric in it."""
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nlevel: frame\nmetrics: [auc, mine.py:cost]\nbootstrap: {resamples: 200}\n"
    )
    return tmp_path
