"""Making a network whose weights are loaded right after: initial weights, which nothing uses, are not drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

_DRAWN = frozenset(
    {
        "uniform_",
        "normal_",
        "trunc_normal_",
        "xavier_uniform_",
        "xavier_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
    }
)
"""Methods of tensors and functions of `torch.nn.init` that fill a tensor with random numbers; torch lets no mode see
`orthogonal_` and `sparse_`."""


class Undrawn(TorchFunctionMode):
    """A block in which parameters are zero that would be filled with random numbers.

    For networks that `load_weights` or `load_strictly` then fills, which refuse a file without all parameters. To draw
    those of a ViT-L takes seconds. Buffers are drawn as always: a file need not have them.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch; of those that draw, put zeros into a parameter instead."""
        given = kwargs or {}
        target = args[0] if args else given.get("tensor")
        if isinstance(target, nn.Parameter) and getattr(func, "__name__", "") in _DRAWN:
            return target.detach().zero_()
        return func(*args, **given)
