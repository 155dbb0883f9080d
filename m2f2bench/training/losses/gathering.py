"""Rows of all processes as one batch, of which each process differentiates its own."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed

from ..sharing import SharedStatistics
from .base import Rows


def gather_rows(rows: Rows) -> tuple[Rows, int]:
    """Return the rows of all processes, in the order of their ranks, and the number of this process's first row.

    `rows` are tensors [R, ...] by name, with the same names and widths in every process and R ≥ 0 of its own. A
    function of the result has, in each process, the gradient of its own rows alone; the gradients of weights, summed
    over processes as the training loop does, are then those of one process with all rows. With one process the rows are
    returned as they are.
    """
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return rows, 0
    world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    if world == 1:
        return rows, 0
    shapes = {name: value.shape[1:] for name, value in rows.items()}
    flat = torch.cat([value.reshape(len(value), shapes[name].numel()) for name, value in rows.items()], dim=1)
    size = torch.tensor([len(flat)], device=flat.device)
    sizes = [torch.empty_like(size) for _ in range(world)]
    torch.distributed.all_gather(sizes, size)
    counts = [int(one) for one in torch.cat(sizes).tolist()]
    padded = flat.new_zeros(max(counts), flat.shape[1])
    padded[: len(flat)] = flat.detach()
    found = [torch.empty_like(padded) for _ in range(world)]
    torch.distributed.all_gather(found, padded)
    parts = [
        flat if number == rank else one[:count] for number, (one, count) in enumerate(zip(found, counts, strict=True))
    ]
    columns = torch.split(torch.cat(parts), [shape.numel() for shape in shapes.values()], dim=1)
    joined = {name: part.reshape(len(part), *shapes[name]) for name, part in zip(shapes, columns, strict=True)}
    return joined, sum(counts[:rank])


def exchange_rows(rows: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Return the rows of all processes, in the order of their ranks, and the number of this process's first row.

    For networks that mix the images of a batch. `rows` [R, ...] have one width in all processes, and a gradient: that
    of a row is the sum over all processes that use it. Inside `SharedStatistics` every process must call it, and run
    backward; one whose images do not count has none of the rows, and 0 for a first one. Outside of it there is one
    process.
    """
    statistics = SharedStatistics.active
    if statistics is None:
        return rows, 0
    wide = rows if rows.dtype == torch.float64 else rows.float()
    size = torch.tensor([len(rows) if statistics.counted else 0], device=rows.device)
    sizes = [torch.empty_like(size) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(sizes, size)
    counts = [int(one) for one in torch.cat(sizes).tolist()]
    found: torch.Tensor = _Exchanged.apply(wide.contiguous(), counts)
    return found, sum(counts[: torch.distributed.get_rank()]) if statistics.counted else 0


def shared_generator(device: torch.device) -> torch.Generator:
    """Return a generator that draws the same in all processes: its seed is drawn in the first of them.

    `device` is where the processes exchange tensors; the generator is the CPU's. Inside `SharedStatistics` every
    process must call it.
    """
    seed = torch.randint(1 << 62, (1,))
    if SharedStatistics.active is not None:
        seed = seed.to(device)
        torch.distributed.broadcast(seed, 0)
    return torch.Generator().manual_seed(int(seed))


class _Exchanged(torch.autograd.Function):
    """Rows of all processes, of which process i has `counts[i]`; each gets back its own rows' gradients, summed."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, counts: list[int]) -> torch.Tensor:
        """Return [N, ...] for this process's `rows` [R, ...], of which those beyond its count are left out."""
        rank = torch.distributed.get_rank()
        ctx.first, ctx.count, ctx.rows = sum(counts[:rank]), counts[rank], len(rows)
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: ctx.count] = rows[: ctx.count]
        found = [torch.empty_like(padded) for _ in counts]
        torch.distributed.all_gather(found, padded)
        return torch.cat([one[:count] for one, count in zip(found, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        """Return the gradient of this process's rows."""
        total = grad.contiguous().clone()
        torch.distributed.all_reduce(total)
        own = total.new_zeros(ctx.rows, *total.shape[1:])
        own[: ctx.count] = total[ctx.first : ctx.first + ctx.count]
        return own, None
