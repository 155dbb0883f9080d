"""Helpers for models of transformers: quiet loading, precision, a check of the tensors."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from ...core.errors import DetectorError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolved(dtype: str, device: torch.device) -> str:
    """Return a key of DTYPES; `auto` is bf16 on a GPU and fp32 on a CPU."""
    return ("bf16" if device.type == "cuda" else "fp32") if dtype == "auto" else dtype


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the libraries' progress bars and warnings; the error that follows a warning explains it."""
    from transformers.utils import logging as own

    shown = own.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    own.disable_progress_bar()
    try:
        # Reading a .gguf file draws a bar that cannot be switched off in another way.
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        if shown:
            own.enable_progress_bar()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def check_report(report: Mapping[str, Iterable[Any]], where: str, computed: tuple[str, ...] = ()) -> None:
    """Raise DetectorError if a folder's tensors and its config do not match.

    `report` is transformers' own; transformers would draw missing tensors at random. Unexpected tensors whose names end
    in one of `computed` are allowed.
    """
    problems = {
        "missing": report.get("missing_keys", ()),
        "of another shape": report.get("mismatched_keys", ()),
        "unexpected": [key for key in report.get("unexpected_keys", ()) if not str(key).endswith(computed)],
    }
    for what, keys in problems.items():
        names = sorted(str(key) for key in keys)
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise DetectorError(f"{where}: tensor '{names[0]}'{more} {what}: its weights do not match its config")
