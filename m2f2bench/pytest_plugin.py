"""Pytest plugin: a fixture that fails a test if a detector has become worse than its baseline.

    def test_release(m2f2bench_check):
        m2f2bench_check("my_detector.py:Detector", baseline="baselines/ffpp-c40.json")

Installed with m2f2bench (entry point `pytest11`). Tests that use it have the marker `m2f2bench`, so that
`pytest -m "not m2f2bench"` leaves them out; the marker's own arguments (`metrics`, `chance`, `tolerance`, `margin`,
`dataset`, `device`) are defaults for the checks in the marked test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .runs.check_report import CheckReport

MARKER = "m2f2bench"
FIXTURE = "m2f2bench_check"
SETTINGS = ("metrics", "chance", "tolerance", "margin", "dataset", "device")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(metrics=(), chance=0.05, tolerance=0.0, margin=None, dataset=None, device='auto'): a check of a "
        f"detector against a stored result; set by itself on tests that use {FIXTURE}.",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses the fixture."""
    for item in items:
        if FIXTURE in getattr(item, "fixturenames", ()) and item.get_closest_marker(MARKER) is None:
            item.add_marker(MARKER)


@pytest.fixture
def m2f2bench_check(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., list[CheckReport]]:
    """Return `m2f2bench_check(detector, baseline, **settings)`.

    It runs the detector as the baseline was run, fails the test if the detector is worse by more than noise, and
    returns the reports. See `m2f2bench.check` for the settings. `detector` is a name, a card, a folder,
    `file.py:Class` or an object; `baseline` a result file or a run's folder. Relative paths are resolved from the
    test's file, then from pytest's root folder.
    """
    marker = request.node.get_closest_marker(MARKER)
    defaults = dict(marker.kwargs) if marker is not None else {}
    unknown = sorted(set(defaults) - set(SETTINGS))
    if unknown:
        raise pytest.UsageError(f"marker {MARKER}: unknown '{unknown[0]}'; known: {', '.join(SETTINGS)}")
    places = (request.path.parent, request.config.rootpath)

    def check(detector: Any, baseline: str | Path, **settings: Any) -> list[CheckReport]:
        from .core.errors import M2F2BenchError
        from .runs import check as checker
        from .runs.check_report import describe

        wanted = defaults | settings
        try:
            wanted["dataset"] = _named("datasets", wanted.get("dataset"), places)
            reports = checker.check(
                _baseline(baseline, places),
                detector=_named("detectors", detector, places),
                out=tmp_path / "m2f2bench",
                **wanted,
            )
        except M2F2BenchError as error:
            pytest.fail(f"m2f2bench: {error}", pytrace=False)
        if not all(report.passed for report in reports):
            pytest.fail(describe(reports), pytrace=False)
        return reports

    return check


def _baseline(given: str | Path, places: Sequence[Path]) -> Path:
    """Return the baseline's path: a relative one is in the folder of the test's file or in pytest's root folder."""
    from .core.errors import DataError

    path = Path(given).expanduser()
    found = next((place / path for place in places if (place / path).exists()), None)
    if found is None:
        listed = " or ".join(f"'{place}'" for place in dict.fromkeys(places))
        raise DataError(f"there is no baseline '{given}'" + ("" if path.is_absolute() else f" in {listed}"))
    return found


def _named(kind: str, given: Any, places: Sequence[Path]) -> Any:
    """Return a detector or dataset; a relative path in its name is resolved as in `_baseline`."""
    from .cards.folders import find_card
    from .cards.registry import ADAPTERS, BACKENDS

    known = BACKENDS if kind == "detectors" else ADAPTERS
    if not isinstance(given, str) or find_card(kind, given) is not None or given in known.names():
        return given
    file, colon, name = given.rpartition(":") if given.rpartition(":")[0].endswith(".py") else (given, "", "")
    found = next((place / file for place in places if (place / file).exists()), None)
    return given if found is None else f"{found}{colon}{name}"
