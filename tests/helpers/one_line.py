"""The line of an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from m2f2bench.core.errors import M2F2BenchError


def error_of(call: Callable[[], Any]) -> str:
    """The text of the error that a call raises, which its author wrote as one line."""
    with pytest.raises(M2F2BenchError) as caught:
        call()
    assert "\n" not in str(caught.value.args[0])  # `str` of the error itself would escape a line break
    return str(caught.value)
