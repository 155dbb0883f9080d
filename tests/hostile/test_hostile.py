"""Inputs that mean harm, or are damaged in every way that could be thought of: see `hostile.py` for what must hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import hostile
import pytest
from hostile import Case, Server

EVERY = list(hostile.every())
STEP = 1 if os.environ.get("M2F2BENCH_HOSTILE") == "all" else 3
"""All of them take two minutes on two cores: a suite runs every third."""
CHOSEN = EVERY[::STEP]
QUICK = 4
"""Without the slow tests, every fourth of those."""
CASES = [
    pytest.param(
        table,
        case,
        id=f"{table.removeprefix('hostile_')}-{case.name}",
        marks=pytest.mark.slow if number % QUICK else (),
    )
    for number, (table, case) in enumerate(CHOSEN)
]


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Starts on all the cases that are asked for at once."""
    items = [item for item in request.session.items if getattr(item, "function", None) is test_hostile]
    wanted = [(item.callspec.params["table"], item.callspec.params["case"].name) for item in items]
    own = Server(tmp_path_factory.mktemp("hostile"), wanted)
    yield own
    own.close()


def test_there_are_many_and_each_has_a_name() -> None:
    names = Counter((table, case.name) for table, case in EVERY)
    assert [name for name, n in names.items() if n > 1] == []
    assert len(names) >= 1500 and len(CHOSEN) >= 300
    good = [case.name for _, case in EVERY if not hostile.is_refusal(case.check)]
    assert len(good) >= 60, "whoever refuses everything would pass"


@pytest.mark.parametrize(("table", "case"), CASES)
def test_hostile(server: Server, table: str, case: Case) -> None:
    outcome = server.outcome(table, case.name)
    assert hostile.problems(case, outcome) == []
