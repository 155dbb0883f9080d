"""The pytest plugin: a fixture that fails a test when a detector has become worse than its baseline.

    def test_release(m2f2bench_check):
        m2f2bench_check("my_detector.py:Detector", baseline="baselines/ffpp-c40.json")

Installed with m2f2bench (entry point `pytest11`). Tests that use it have the marker `m2f2bench`, so that
`pytest -m "not m2f2bench"` leaves them out; the marker's own arguments (`metrics`, `chance`, `tolerance`, `dataset`,
`device`) are defaults for the checks in the test that it stands on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .checker import CheckReport

MARKER = "m2f2bench"
FIXTURE = "m2f2bench_check"
SETTINGS = ("metrics", "chance", "tolerance", "dataset", "device")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(metrics=(), chance=0.05, tolerance=0.0, dataset=None, device='auto'): a check of a detector against "
        f"a stored result; set by itself on tests that use {FIXTURE}.",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses the fixture."""
    for item in items:
        if FIXTURE in getattr(item, "fixturenames", ()) and item.get_closest_marker(MARKER) is None:
            item.add_marker(MARKER)


@pytest.fixture
def m2f2bench_check(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., list[CheckReport]]:
    """`m2f2bench_check(detector, baseline, **settings)`: run the detector as the baseline was run, and fail the test if
    it is worse by more than noise. See `m2f2bench.check` for the settings.

    `detector` is a name, a card, a folder, `file.py:Class` or an object; `baseline` a result file or a run's folder.
    Relative paths are looked for from pytest's root folder, then from the test's file. Returns the reports.
    """
    marker = request.node.get_closest_marker(MARKER)
    defaults = dict(marker.kwargs) if marker is not None else {}
    unknown = sorted(set(defaults) - set(SETTINGS))
    if unknown:
        raise pytest.UsageError(f"marker {MARKER}: unknown '{unknown[0]}'; known: {', '.join(SETTINGS)}")
    places = (request.config.rootpath, request.path.parent)

    def found(path: str) -> str:
        return next((str(place / path) for place in places if (place / path).exists()), path)

    def check(detector: Any, baseline: str | Path, **settings: Any) -> list[CheckReport]:
        from . import checker
        from .errors import M2F2BenchError

        if isinstance(detector, str):
            file, colon, name = detector.rpartition(":")
            detector = f"{found(file)}:{name}" if colon and file.endswith(".py") else found(detector)
        try:
            reports = checker.check(
                found(str(baseline)), detector=detector, out=tmp_path / "m2f2bench", **(defaults | settings)
            )
        except M2F2BenchError as error:
            pytest.fail(f"m2f2bench: {error}", pytrace=False)
        if not all(report.passed for report in reports):
            pytest.fail(checker.describe(reports), pytrace=False)
        return reports

    return check
