"""What commands load: torch only where a network is needed, no card models for `list` and `--help`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

HEAVY = ("torch", "transformers", "timm", "torchvision")
RESULTS = ROOT / "leaderboards" / "results"
RESULT = str(next(RESULTS.glob("random--ddvqa-c40--frame.json")))
OTHER = str(next(RESULTS.glob("constant--ddvqa-c40--frame.json")))
SCORES = "id,label,score,video\n" + "".join(f"{n},{n % 2},0.{n % 7}{n},v{n}\n" for n in range(40))
COMMANDS = {
    "help": ["--help"],
    "run help": ["run", "--help"],
    "list": ["list"],
    "list detectors": ["list", "detectors"],
    "describe": ["describe", "synthetic"],
    "describe leaderboard": ["describe", "quickstart"],
    "score": ["score", "rows.csv"],
    "compare": ["compare", RESULT, OTHER],
    "leaderboard": ["leaderboard", "ddvqa-c40", str(RESULTS)],
    "validate": ["validate", RESULT],
}


def loaded(folder: Path, words: list[str]) -> set[str]:
    """The modules of a process that ran a command."""
    (folder / "rows.csv").write_text(SCORES)
    code = (
        "import sys, json, atexit\n"
        "atexit.register(lambda: json.dump(sorted(sys.modules), open('modules.json', 'w')))\n"
        "sys.argv = ['m2f2bench', *sys.argv[1:]]\n"
        "from m2f2bench.cli.main import main\nmain()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads((folder / "modules.json").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_torch_is_not_loaded(name: str, tmp_path: Path) -> None:
    assert not loaded(tmp_path, COMMANDS[name]) & set(HEAVY)


def test_list_and_help_build_no_models_of_cards(tmp_path: Path) -> None:
    for words in (["--help"], ["list", "detectors"], ["list"]):
        slow = {"m2f2bench.cards.models", "numpy", "pandas", "pydantic.type_adapter"}
        assert not loaded(tmp_path, words) & slow, words


def test_list_checks_the_users_cards(tmp_path: Path) -> None:
    (tmp_path / "detectors").mkdir()
    (tmp_path / "detectors" / "mine.yaml").write_text("name: mine\nbackend: constant\nbakcend: x\n")
    words = [sys.executable, "-m", "m2f2bench", "list", "detectors", "--cards", str(tmp_path)]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 2 and "unknown key" in done.stderr and "small-cnn" in done.stdout
