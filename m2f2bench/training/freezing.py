"""Freezing of single parameters by patterns of their names, for a whole training or for its first steps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from torch import nn

from ..core.errors import DetectorError
from .objective import nearest


def freeze(module: nn.Module, patterns: Iterable[str], detector: str) -> None:
    """Freeze the parameters whose names match a pattern (`*` stands for any part of a name, dots included).

    Statistics of batch normalisation are no parameters and still follow the data. Raises DetectorError, with the name
    of the `detector`, for a pattern that matches no trained parameter, and if nothing would be left to train.
    """
    trained = _trained(module)
    frozen: set[str] = set()
    for pattern in patterns:
        frozen.update(_matched(pattern, trained, "freeze", detector))
        if len(frozen) == len(trained):
            raise DetectorError(
                f"detector '{detector}': `freeze` pattern '{pattern}' leaves no parameter to train: all {len(trained)} "
                "are frozen"
            )
    for name in frozen:
        trained[name].requires_grad_(False)


class Held:
    """Parameters that do not learn in the first steps of a training.

    A submodule all of whose trained parameters are held is in eval mode as long.
    """

    def __init__(self, module: nn.Module, steps: Mapping[str, int], detector: str) -> None:
        """`steps` are the first steps, by patterns of names as `freeze` has them; of two that match, the longer counts.

        Raises DetectorError for a pattern that matches no trained parameter, and if at first nothing would learn.
        """
        self.module, self._stage = module, -1
        trained = _trained(module)
        self.until = dict.fromkeys(trained, 0)
        """For each trained parameter the first step in which it learns, from 0."""
        for pattern, count in steps.items():
            for name in _matched(pattern, trained, "freeze_epochs", detector):
                self.until[name] = max(self.until[name], count)
        if steps and min(self.until.values()) > 0:
            raise DetectorError(
                f"detector '{detector}': `freeze_epochs` leaves no parameter to train in the first epoch: hold fewer"
            )
        self._ends = sorted(set(self.until.values()) - {0})
        self._held = {name for name, until in self.until.items() if until > 0}

    def begin(self, step: int) -> bool:
        """Let learn what learns in this step, and nothing else; return whether anything changed."""
        stage = bisect_right(self._ends, step)
        changed, self._stage = stage != self._stage, stage
        if changed:
            self._held = {name for name, until in self.until.items() if until > step}
            for name, value in self.module.named_parameters():
                if name in self.until:
                    value.requires_grad_(name not in self._held)
        return changed

    def submodules(self) -> list[nn.Module]:
        """Return the submodules that hold back all they would learn."""
        found = []
        for prefix, one in self.module.named_modules() if self._held else ():
            own = [name for name in (f"{prefix}.{inner}" for inner, _ in one.named_parameters()) if name in self.until]
            if own and self._held.issuperset(own):
                found.append(one)
        return found


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def _matched(pattern: str, trained: Iterable[str], setting: str, detector: str) -> list[str]:
    """Return the names that a setting's pattern matches. Raises DetectorError for none."""
    names = list(trained)
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        raise DetectorError(
            f"detector '{detector}': `{setting}` pattern '{pattern}' matches no trained parameter"
            f"{nearest(pattern, names)}"
        )
    return found
