"""The rooms of the package: few modules at its root, and imports that go down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import m2f2bench

PACKAGE = Path(m2f2bench.__file__).parent
ROOT = {"__init__", "__main__", "loading", "pytest_plugin", "version"}
ROOMS = (
    "core",
    "cards",
    "datasets",
    "faces",
    "stats",
    "metrics",
    "results",
    "training",
    "detectors",
    "loading",
    "heatmaps",
    "auditing",
    "scoring",
    "leaderboards",
    "reporting",
    "runs",
    "inference",
    "demo",
    "cli",
)
"""From the ground up: each imports only itself and those before it."""
OUTSIDE = ("version",)
"""What every room may import."""


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of each import of this package in a file, also inside functions and for type checkers."""
    place = ("m2f2bench", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(place[: len(place) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            found = [[*base, alias.name] for alias in node.names]
        else:
            continue
        yield from ((node.lineno, parts[1]) for parts in found if parts[0] == "m2f2bench" and len(parts) > 1)


def modules() -> dict[str, Path]:
    """Each module of the package by its dotted name."""
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("m2f2bench", *path.relative_to(PACKAGE).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def needed(name: str, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a module imports, also inside functions and for type checkers."""
    path = known[name]
    place = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join([*place[: len(place) - node.level + 1], *(node.module.split(".") if node.module else [])])
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names}
    return found & set(known) - {name}


def upward(room: str, path: Path) -> list[str]:
    """Each import of a file that goes up, as `room imports room (file:line)`."""
    allowed = {*ROOMS[: ROOMS.index(room) + 1], *OUTSIDE}
    name = path.relative_to(PACKAGE).as_posix()
    return [f"{room} imports {other} ({name}:{line})" for line, other in imported(path) if other not in allowed]


def test_the_root_holds_five_modules_and_the_rooms() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOT
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name not in ("__pycache__", "_cards")}
    assert folders == set(ROOMS) - {"loading"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    files = sorted((PACKAGE / room).rglob("*.py")) if room != "loading" else [PACKAGE / "loading.py"]
    assert files
    assert [line for path in files for line in upward(room, path)] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    sorter = TopologicalSorter({name: needed(name, known) for name in known})
    sorter.prepare()  # raises CycleError, which names the circle


def test_no_module_of_the_package_is_imported_by_its_name() -> None:
    """Such an import would go up unseen. Classes that cards name are imported by the registry, from its own table."""
    pattern = re.compile(r"import_module\(\s*f?[\"']m2f2bench")
    assert [str(path) for path in PACKAGE.rglob("*.py") if pattern.search(path.read_text(encoding="utf-8"))] == []


def test_an_import_upward_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_rooms.PACKAGE", tmp_path)
    (tmp_path / "core").mkdir()
    module = tmp_path / "core" / "files.py"
    module.write_text("def read():\n    from ..scoring.score import score\n    from .errors import X\n")
    assert upward("core", module) == ["core imports scoring (core/files.py:2)"]


def test_imports_for_type_checkers_count(tmp_path: Path) -> None:
    module = tmp_path / "base.py"
    module.write_text("if TYPE_CHECKING:\n    from .listing import Lister\n")
    known = {"m2f2bench.datasets.base": module, "m2f2bench.datasets.listing": tmp_path / "listing.py"}
    assert needed("m2f2bench.datasets.base", known) == {"m2f2bench.datasets.listing"}
