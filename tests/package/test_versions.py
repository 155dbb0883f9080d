"""The versions that are admitted, tested with and tested as the lowest: pyproject.toml, constraints.txt, lowest.txt."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from paths import ROOT

PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    found: dict[str, Any] = toml.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


@pytest.fixture(scope="module")
def admitted(project: dict[str, Any]) -> dict[str, Requirement]:
    """What `pip install m2f2bench[test,dev]` asks for, by name."""
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["test"], *extras["dev"]]
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def pins(path: Path) -> list[Requirement]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def version(pin: Requirement) -> Version:
    (only,) = pin.specifier
    assert only.operator == "==", pin
    return Version(only.version)


def test_f3_lowest_versions_are_those_that_pyproject_admits(admitted: dict[str, Requirement]) -> None:
    lowest = {
        name: Version(one.version)
        for name, requirement in admitted.items()
        for one in requirement.specifier
        if one.operator == ">="
    }
    assert {canonicalize_name(pin.name): version(pin) for pin in pins(ROOT / "tests" / "lowest.txt")} == lowest
    assert set(admitted) - set(lowest) == {"types-pyyaml"}  # of types alone


@pytest.mark.parametrize("python", PYTHONS)
def test_f3_constraints_pin_all_of_it_for_each_python(admitted: dict[str, Requirement], python: str) -> None:
    pinned: dict[str, Version] = {}
    for pin in pins(ROOT / "constraints.txt"):
        if pin.marker is None or pin.marker.evaluate({"python_version": python}):
            assert canonicalize_name(pin.name) not in pinned, f"{pin.name} is pinned twice"
            pinned[canonicalize_name(pin.name)] = version(pin)
    for name, requirement in admitted.items():
        assert name in pinned, f"constraints.txt does not pin {name} for Python {python}"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} does not admit {pinned[name]}"


def test_an_extra_admits_what_the_tests_ask_of_it(project: dict[str, Any], admitted: dict[str, Requirement]) -> None:
    for extra, lines in project["optional-dependencies"].items():
        for one in map(Requirement, lines):
            of_tests = admitted.get(canonicalize_name(one.name))
            assert of_tests is None or of_tests.specifier == one.specifier, f"[{extra}] {one} and {of_tests} differ"


def test_this_python_is_one_that_is_admitted(project: dict[str, Any]) -> None:
    assert project["requires-python"] == f">={PYTHONS[0]}" and sys.version_info >= (3, 10)


def test_detection_reads_no_words_of_answers() -> None:
    """The readers' words are compiled when the first answer is read, not when a detector is run."""
    told = "[name for name in sys.modules if name.startswith('m2f2bench.') and name.endswith('_words')]"
    code = f"import sys, m2f2bench.runs.run; print({told})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
