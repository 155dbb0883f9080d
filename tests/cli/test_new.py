"""`m2f2bench new`: skeletons that work as they are written, and names that are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.cli.new import KINDS, NAME, TEMPLATES, skeleton

NAMES = {"detector": "my-net", "dataset": "Photos_2", "metric": "worst_case"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_skeleton_passes_its_own_tests(kind: str, cli: Callable[..., Any], tmp_path: Path) -> None:
    name, module = NAMES[kind], NAMES[kind].replace("-", "_")
    done = cli("new", kind, name, "--out", "mine")
    assert done.status == 0 and f"test it: python -m pytest mine/test_{module}.py" in done.out
    files = {path.name for path in (tmp_path / "mine").iterdir()}
    assert files == {f"{module}.py", f"{name}.yaml", f"test_{module}.py"}
    assert not [path for path in (tmp_path / "mine").iterdir() if "skeleton" in path.read_text().lower()]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "mine"]
    tested = subprocess.run(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert tested.returncode == 0


def test_a_name_may_hold_the_placeholder() -> None:
    texts = skeleton("detector", "skeleton-x")
    assert set(texts) == {"skeleton_x.py", "skeleton-x.yaml", "test_skeleton_x.py"}
    assert "backend: skeleton_x.py:SkeletonX " in texts["skeleton-x.yaml"]


def test_each_kind_has_its_skeleton() -> None:
    assert {path.name for path in TEMPLATES.iterdir() if path.is_dir()} - {"__pycache__"} == set(KINDS)
    for kind in KINDS:
        assert set(skeleton(kind, "x")) == {"x.py", "x.yaml", "test_x.py"}


@pytest.mark.parametrize("taken", ["mine.py", "mine.yaml", "test_mine.py"])
def test_nothing_is_overwritten(
    taken: str, cli: Callable[..., Any], one_line: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / taken).write_text("precious")
    assert f"'{taken}' exists and is not overwritten" in one_line(cli("new", "detector", "mine"))
    assert [path.name for path in tmp_path.iterdir()] == [taken] and (tmp_path / taken).read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../mine", "cannot be a name"),
        ("9lives", "cannot be a name"),
        ("a.b", "cannot be a name"),
        ("naïve", "cannot be a name"),
        ("a" * 61, "cannot be a name"),
        ("", "cannot be a name"),
        ("class", "word of Python's own"),
        ("none", "word of Python's own"),
        ("numpy", "would hide the Python module 'numpy'"),
        ("typing", "would hide the Python module 'typing'"),
        ("constant", "there is a card 'constant' already"),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    name: str, why: str, cli: Callable[..., Any], one_line: Callable[..., str], tmp_path: Path
) -> None:
    assert why in one_line(cli("new", "detector", name))
    assert not list(tmp_path.iterdir())


def test_a_metric_has_a_name_of_its_own(cli: Callable[..., Any], one_line: Callable[..., str]) -> None:
    assert "there is a metric 'eer' already" in one_line(cli("new", "metric", "eer"))
    assert "has no -: take 'worst_case'" in one_line(cli("new", "metric", "worst-case"))
    assert "there is a card 'video' already" in one_line(cli("new", "metric", "video"))


def test_an_unknown_kind_is_refused(cli: Callable[..., Any], one_line: Callable[..., str]) -> None:
    assert "cannot make a new 'detectr'; did you mean 'detector'?" in one_line(cli("new", "detectr", "mine"))


@given(
    st.from_regex(NAME, fullmatch=True).filter(lambda name: name.lower() not in ("none", "true", "false")),
    st.sampled_from(list(KINDS)),
)
def test_every_name_gives_three_files_of_that_name(name: str, kind: str) -> None:
    module = name.replace("-", "_")
    name = module if kind == "metric" else name
    texts = skeleton(kind, name)
    assert set(texts) == {f"{module}.py", f"{name}.yaml", f"test_{module}.py"}
    assert f"\nname: {name}\n" in f"\n{texts[f'{name}.yaml']}"
    assert f"{module}.py:" in texts[f"{name}.yaml"]
    for file in (f"{module}.py", f"test_{module}.py"):
        compile(texts[file], file, "exec")
