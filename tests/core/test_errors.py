"""Errors go from one process to another as they are."""

from __future__ import annotations

import inspect
import pickle

import pytest

from m2f2bench.core import errors
from m2f2bench.core.errors import FrameError, M2F2BenchError

KINDS = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, M2F2BenchError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_the_same_in_another_process(kind: type[M2F2BenchError]) -> None:
    sent = kind("a", "b", "no_face") if issubclass(kind, FrameError) else kind("a: b")
    found = pickle.loads(pickle.dumps(sent))
    assert type(found) is kind and str(found) == str(sent) and vars(found) == vars(sent)
