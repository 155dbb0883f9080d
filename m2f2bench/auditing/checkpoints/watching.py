"""Watching a network's forward pass: which tensors it reads, which parts give every image the same, what it builds.

Parts are modules. What a part gives for one image is a row of its output; a batch of `COUNT` images is told apart from
other dimensions by that number, which is a prime.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

COUNT = 13
"""Images of a watched pass."""
SAME = 1e-6
"""Rows that differ by less than this share of their largest value are the same."""
OTHER = 1e-3
"""A row that changes by more than this share of its length depends on the rest of the batch."""


@dataclass
class Part:
    """What a part was given and gave in all its calls of a pass."""

    name: str
    kind: str
    order: int
    """Its number by the end of its first call."""
    varied_in: bool = False
    varied_out: bool = False
    batched_in: bool = False
    batched_out: bool = False
    rows: list[tuple[float, float]] = field(default_factory=list)
    """For the first image, of each call: the length of the output's row, and a fixed projection of it."""
    training: bool = False

    @property
    def collapses(self) -> bool:
        """Whether the part is given different images and gives all of them the same."""
        return self.batched_out and not self.varied_out and self.varied_in

    @property
    def is_fed_the_same(self) -> bool:
        """Whether the part is given the same for every image."""
        return self.batched_out and not self.varied_out and self.batched_in and not self.varied_in


@dataclass
class Watched:
    """A forward pass, watched."""

    parts: dict[str, Part] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)
    """Addresses of the storages that an operation had as input."""
    built: list[tuple[str, str]] = field(default_factory=list)
    """Layers with weights that were built meanwhile: their class, and the part that was running."""
    drew: bool = False
    """Whether torch's random numbers were used."""


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Record the storages of all tensors that operations are given."""

    def __init__(self, watched: Watched) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.watched, self.paused = watched, False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.paused:
            for tensor in tensors_in((args, kwargs)):
                with_address = tensor.layout == torch.strided and tensor.device.type != "meta"
                if with_address:
                    self.watched.read.add(tensor.untyped_storage().data_ptr())
        return func(*args, **(kwargs or {}))


def tensors_in(value: Any, depth: int = 6) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested lists, tuples and mappings."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth and isinstance(value, Mapping):
        for one in value.values():
            yield from tensors_in(one, depth - 1)
    elif depth and isinstance(value, (list, tuple)):
        for one in value:
            yield from tensors_in(one, depth - 1)


def by_image(tensor: torch.Tensor, count: int) -> torch.Tensor | None:
    """Return a tensor as float rows, one for each image, [count, m]; None if it has none."""
    if tensor.ndim == 0 or tensor.numel() == 0 or not tensor.is_floating_point():
        return None
    if tensor.shape[0] != count and tensor.ndim > 1 and tensor.shape[1] == count:
        tensor = tensor.movedim(1, 0)
    if tensor.shape[0] % count:
        return None
    return tensor.detach().reshape(count, -1).float()


def varies(rows: torch.Tensor) -> bool:
    """Return whether the rows of images differ."""
    largest = float(rows.abs().max())
    return float((rows - rows[:1]).abs().max()) > SAME * largest


def _projected(row: torch.Tensor) -> tuple[float, float]:
    """Return a row's length and its projection on a fixed direction, both float64."""
    row = row.double().cpu()
    direction = torch.cos(torch.arange(row.numel(), dtype=torch.float64) * 12.9898 + 1.0)
    return float(row.norm()), float(row @ direction)


@contextmanager
def watching(networks: Mapping[str, nn.Module], count: int) -> Iterator[Watched]:
    """Watch all passes of these networks in the block, each of `count` images."""
    watched, running = Watched(), [""]
    reads, made, hooks = _Reads(watched), [], []
    first = nn.Module.__init__

    def build(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        made.append((self, running[-1]))
        first(self, *args, **kwargs)

    def before(name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            running.append(name)

        return hook

    def after(name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            running.pop()
            reads.paused = True
            try:
                _note(watched, name, module, (args, kwargs), output, count)
            finally:
                reads.paused = False

        return hook

    state = torch.get_rng_state()
    try:
        for name, module in modules_of(networks).items():
            if isinstance(module, torch.jit.ScriptModule):
                continue
            hooks.append(module.register_forward_pre_hook(before(name), with_kwargs=True))
            hooks.append(module.register_forward_hook(after(name), with_kwargs=True))
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(nn.Module, "__init__", build))
            stack.enter_context(reads)
            yield watched
    finally:
        for one in hooks:
            one.remove()
    watched.drew = not torch.equal(state, torch.get_rng_state())
    watched.built = [(type(one).__name__, where) for one, where in made if _weighs(one)]


def _weighs(module: nn.Module) -> bool:
    """Return whether a module that was built has weights of its own."""
    return any(True for _ in module.__dict__.get("_parameters", {}).values())


def _note(watched: Watched, name: str, module: nn.Module, given: Any, output: Any, count: int) -> None:
    part = watched.parts.setdefault(name, Part(name, type(module).__name__, len(watched.parts)))
    part.training |= module.training
    for tensor in tensors_in(given):
        rows = by_image(tensor, count)
        if rows is not None:
            part.batched_in = True
            part.varied_in |= varies(rows)
    for tensor in tensors_in(output):
        rows = by_image(tensor, count)
        if rows is not None:
            part.batched_out = True
            part.varied_out |= varies(rows)
            part.rows.append(_projected(rows[0]))


def modules_of(networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Return all modules of networks by name, each once; a single network's names have no prefix."""
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    for own, network in networks.items():
        prefix = "" if len(networks) == 1 else own
        for name, module in network.named_modules():
            if id(module) not in seen:
                seen.add(id(module))
                found[".".join(filter(None, (prefix, name)))] = module
    return found


def state_of(networks: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """Return all parameters and saved buffers of networks by name, as in their state dicts."""
    prefixes = {own: f"{own}." if len(networks) > 1 else "" for own in networks}
    return {
        prefixes[own] + name: value
        for own, network in networks.items()
        for name, value in network.state_dict(keep_vars=True).items()
        if isinstance(value, torch.Tensor)
    }


def first_difference(batch: Watched, alone: Watched) -> Part | None:
    """Return the first part that gives the first image something else in a batch than alone."""
    for part in sorted(batch.parts.values(), key=lambda one: one.order):
        other = alone.parts.get(part.name)
        for (length, place), (own, there) in zip(part.rows, other.rows if other else [], strict=False):
            if abs(place - there) > OTHER * max(length, own):
                return part
    return None
