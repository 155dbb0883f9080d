"""A suite says at once that it begins, before the libraries that take seconds to import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

WATCHED = """
import importlib.abc, os, sys
class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            os.write(2, b"torch is imported\\n")
            os._exit(3)
sys.meta_path.insert(0, Watch())
from m2f2bench.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ([], "quickstart: "),
        (["quickstart"], "quickstart: "),
        (["ddvqa-c40"], "ddvqa-c40: "),
        (["-v"], "quickstart: "),
    ],
)
def test_run_says_so_before_torch_is_imported(words: list[str], first: str, tmp_path: Path) -> None:
    lines = started(["run", *words], tmp_path)
    assert first in lines[0] and lines[0].lstrip(" .0123456789s").startswith("m2f2bench: ")
    assert lines[-1] == "torch is imported" and len(lines) > 1


def test_quiet_says_nothing(tmp_path: Path) -> None:
    assert started(["run", "-q"], tmp_path) == ["torch is imported"]


def started(words: list[str], folder: Path) -> list[str]:
    """Return what a process writes to a pipe as standard error until it imports torch, which ends it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *words], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 3, done.stderr
    return done.stderr.splitlines()
