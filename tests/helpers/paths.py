"""Places in the checkout."""

from __future__ import annotations

from pathlib import Path

HELPERS = Path(__file__).resolve().parent
TESTS = HELPERS.parent
ROOT = TESTS.parent
SHARED = ROOT.parent / "shared"
"""Research data and cases, where they lie beside the checkout."""
