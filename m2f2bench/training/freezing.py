"""Freezing of single parameters by patterns of their names."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn

from ..core.errors import DetectorError
from .objective import nearest


def freeze(module: nn.Module, patterns: Iterable[str], detector: str) -> None:
    """Freeze the parameters whose names match a pattern (`*` stands for any part of a name, dots included).

    Statistics of batch normalisation are no parameters and still follow the data. Raises DetectorError, with the name
    of the `detector`, for a pattern that matches no trained parameter, and if nothing would be left to train.
    """
    trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
    frozen: set[str] = set()
    for pattern in patterns:
        found = [name for name in trained if fnmatchcase(name, pattern)]
        if not found:
            raise DetectorError(
                f"detector '{detector}': `freeze` pattern '{pattern}' matches no trained parameter"
                f"{nearest(pattern, trained)}"
            )
        frozen.update(found)
        if len(frozen) == len(trained):
            raise DetectorError(
                f"detector '{detector}': `freeze` pattern '{pattern}' leaves no parameter to train: all {len(trained)} "
                "are frozen"
            )
    for name in frozen:
        trained[name].requires_grad_(False)
