"""What a training that is killed leaves behind, without training twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from m2f2bench.training import loop


@contextmanager
def kept_at_first_checkpoint(folder: Path, copy: Path) -> Iterator[None]:
    """Copy the folder of a training as it is after its first checkpoint: as if it had been killed there."""
    save = loop.save_checkpoint

    def saved(*given: Any) -> None:
        save(*given)
        if not copy.exists():
            shutil.copytree(folder, copy)

    with mock.patch.object(loop, "save_checkpoint", saved):
        yield
