"""Rows of all processes as one batch, of which each process differentiates its own."""

from __future__ import annotations

import torch
import torch.distributed

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
