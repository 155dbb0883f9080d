"""Valid files of each kind changed at random: a little of what `fuzz.py` does for a day, with what it once found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MUTATIONS = 60
"""Of each kind; those of structure are half of them."""
FOUND = HERE / "fuzz_found"
"""Files that once ended in a traceback or a crash, by kind."""


def fuzz(*words: str) -> dict[str, dict[str, object]]:
    done = subprocess.run([sys.executable, str(HERE / "fuzz.py"), *words, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_what_is_changed_at_random_is_read_or_refused() -> None:
    told = fuzz("all", "--mutations", str(MUTATIONS), "--seed", "1")
    assert len(told) == 15
    for kind, found in told.items():
        assert found["bad"] == [], kind
        assert sum(found["counts"].values()) == MUTATIONS and set(found["counts"]) <= {"read", "refused"}, kind  # type: ignore[attr-defined]


@pytest.mark.slow
def test_what_was_found_is_read_or_refused() -> None:
    kept = sorted(path for path in FOUND.rglob("*") if path.is_file())
    assert len(kept) >= 5
    told = fuzz("all", "--files", str(FOUND))
    assert sum(sum(found["counts"].values()) for found in told.values()) == len(kept)  # type: ignore[attr-defined]
    for kind, found in told.items():
        assert found["bad"] == [], kind
