"""Ways to tune a backbone: which of its tensors are trained, and which layers are replaced for that."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from torch import nn

from ...cards.settings import LoraSettings
from ...core.errors import DetectorError, first_line
from .options import TunedOptions
from .svd import SVDLinear

NORM = re.compile(r"layer_?norm|rms_?norm", re.IGNORECASE)
ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
CANCELLED = (".k_proj.bias", ".key.bias")
"""Ends of names of biases without any effect: the softmax of an attention cancels what is added to all keys."""
ADAPTER = "tuned"


def tune(backbone: nn.Module, options: TunedOptions, where: str) -> None:
    """Replace layers of a backbone and set `requires_grad` of its tensors, as `options.tune` says.

    New weights (LoRA's) are drawn from torch's generator. Raises DetectorError if the backbone has none of the layers.
    """
    if options.tune == "lora":
        _add_lora(backbone, options.lora, where)
        return
    if options.tune == "svd":
        split_attention(backbone, options.svd_rank, where)
    else:
        backbone.requires_grad_(options.tune == "full")
    if options.tune == "layernorm":
        norms = [module for module in backbone.modules() if is_layer_norm(module)]
        if not any(list(norm.parameters(recurse=False)) for norm in norms):
            raise DetectorError(
                f"{where}: its backbone has no LayerNorm with weights, so `tune: layernorm` would train none of it: "
                "set tune to probe, lora or full"
            )
        for norm in norms:
            norm.requires_grad_(True)
    for name, value in backbone.named_parameters():
        if f".{name}".endswith(CANCELLED):
            value.requires_grad_(False)


def is_layer_norm(module: nn.Module) -> bool:
    """Return whether a module is a LayerNorm (also of maps) or an RMSNorm, of torch or of a library's own."""
    return isinstance(module, nn.LayerNorm) or bool(NORM.search(type(module).__name__))


def attention_layers(backbone: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layers inside attentions, by name: those with `attn` or `attention` above them.

    Those of torch's own MultiheadAttention are left out: it multiplies by their weights without calling them.
    """
    modules = dict(backbone.named_modules())
    return {
        name: module
        for name, module in modules.items()
        if isinstance(module, nn.Linear)
        and ATTENTION.search(name.rpartition(".")[0])
        and not isinstance(modules[name.rpartition(".")[0]], nn.MultiheadAttention)
    }


def replace_layers(backbone: nn.Module, kind: type[nn.Module], make: Callable[[nn.Module], nn.Module]) -> None:
    """Put `make(layer)` in the place of each layer of a kind."""
    for name, module in list(backbone.named_modules()):
        if isinstance(module, kind):
            _put(backbone, name, make(module))


def _put(backbone: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(backbone.get_submodule(parent), own, module)


def split_attention(backbone: nn.Module, rank: int, where: str, empty: bool = False) -> None:
    """Freeze a backbone and split the linear layers of its attentions; with `empty`, into layers of zeros.

    Raises DetectorError without such layers, or if one has too few singular values.
    """
    backbone.requires_grad_(False)
    layers = attention_layers(backbone)
    if not layers:
        raise DetectorError(
            f"{where}: its backbone has no linear layers in attentions, so `tune: svd` cannot split any"
        )
    for name, layer in layers.items():
        try:
            split = (
                SVDLinear(layer.in_features, layer.out_features, rank, layer.bias is not None)
                if empty
                else SVDLinear.of(layer, rank)
            )
        except ValueError as error:
            raise DetectorError(f"{where}: layer '{name}': {first_line(error)}") from None
        _put(backbone, name, split)


def merge_split(backbone: nn.Module) -> None:
    """Put plain linear layers in the place of split ones."""
    replace_layers(backbone, SVDLinear, lambda layer: layer.merged())  # type: ignore[operator]


def _add_lora(backbone: nn.Module, settings: LoraSettings, where: str) -> None:
    """Add adapters (Hu et al. 2021, arXiv 2106.09685) by peft; only they are trained. Raises DetectorError."""
    from peft import LoraConfig, inject_adapter_in_model

    wanted = settings.targets or tuple(lora_targets(backbone))
    config = LoraConfig(
        r=settings.r, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=list(wanted), bias="none"
    )
    try:
        inject_adapter_in_model(config, backbone, adapter_name=ADAPTER)
    except (ValueError, TypeError) as error:
        raise DetectorError(f"{where}: adapters cannot be added ({first_line(error)}); check lora.targets") from None


def lora_targets(backbone: nn.Module) -> list[str]:
    """Return the names of the layers that get adapters: linear ones in attentions, else all linear ones and
    convolutions that are not grouped."""
    return list(attention_layers(backbone)) or [
        name
        for name, layer in backbone.named_modules()
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
    ]


def merge_lora(backbone: nn.Module) -> None:
    """Add the adapters to the weights of their layers, and put the plain layers back in their places."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(backbone.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)
            _put(backbone, name, module.get_base_layer())


def frozen_parts(model: nn.Module) -> Iterator[str]:
    """Yield the names of the largest submodules that have weights and train none of them."""

    def below(module: nn.Module, prefix: str) -> Iterator[str]:
        for name, child in module.named_children():
            weights = list(child.parameters())
            if weights and not any(value.requires_grad for value in weights):
                yield prefix + name
            elif weights:
                yield from below(child, f"{prefix}{name}.")

    return below(model, "")
