"""Loading of weights into networks: every tensor's name and shape must match; the first mismatch is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import DetectorError
from .checkpoints import open_weights, unwrapped

if TYPE_CHECKING:
    import torch
    from torch import nn

Names = tuple[str, ...]
Shapes = Mapping[str, Sequence[int]]


def check_shapes(
    expected: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]], path: Path, model: str
) -> None:
    """Raise DetectorError unless `found` has the names and shapes of `expected`.

    The first missing, unexpected or differently shaped tensor is named and the rest are counted.
    """
    shapes = {name: (tuple(found[name]), tuple(expected[name])) for name in expected if name in found}
    problems = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "of another shape": [name for name, (has, wanted) in shapes.items() if has != wanted],
    }
    for what, names in problems.items():
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            if what == "of another shape":
                has, wanted = shapes[names[0]]
                what = f"{what} ({list(has)}, not {list(wanted)})"
            raise DetectorError(
                f"weights '{path}' do not fit {model}: tensor '{names[0]}'{more} {what}; "
                f"is this the file of another model?{_prefix(expected, found)}"
            )


def _prefix(expected: Shapes, found: Shapes) -> str:
    """Return a remark on a prefix that all names of a file have and no name of the model has; or ""."""
    first = {name.partition(".")[0] for name in found if "." in name}
    if len(first) != 1 or len(found) < 2 or not all("." in name for name in found):
        return ""
    prefix = f"{first.pop()}."
    ours = any(name.startswith(prefix) for name in expected)
    return "" if ours else f" All its names begin with '{prefix}': save only the part below that"


def load_strictly(model: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path, head: Names = ()) -> None:
    """Load a state dict whose names and shapes must be the model's, except tensors whose name starts with `head`.

    `path` is where it came from. Raises DetectorError naming the first missing, unexpected or differently shaped tensor
    and counting the rest, and for values that are not numbers or have another type than the model's.
    """
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    _load(model, shapes, tensors.__getitem__, path, head)


def load_weights(
    model: nn.Module, path: Path, head: Names = (), outputs: Names = (), fake: int | None = None
) -> dict[str, str]:
    """Load a file's tensors as `load_strictly` does, without a wrapper's prefix; return the file's metadata.

    No tensor is read before all names and shapes match. Tensors whose name starts with one of `outputs` make the
    model's one logit, that of fake. If the file has two outputs, `fake` (0 or 1) says which of them is fake, and the
    other is subtracted; if it has one, `fake` 0 says that it is the logit of real, and its sign is changed. Raises
    DetectorError.
    """
    shard = open_weights(path)
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    names = unwrapped(shard.names(), own)
    shapes = {name: shard.shape(there) for name, there in names.items()}
    last = [name for name in own if outputs and name.startswith(outputs)]
    count = _outputs(own, shapes, last, path)
    if count == 2 and fake is None:
        raise DetectorError(
            f"weights '{path}' have two outputs, and it is unknown which is fake: set `fake_class: 1` in the card's "
            f"options, or 0 if the first one is"
        )
    for name in last if count == 2 else ():
        shapes[name] = own[name]

    def read(name: str) -> torch.Tensor:
        tensor = shard.read(names[name])
        if name not in last or fake is None:
            return tensor
        return tensor[fake : fake + 1] - tensor[1 - fake : 2 - fake] if count == 2 else tensor if fake else -tensor

    _load(model, shapes, read, path, head)
    return shard.metadata


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of a file, by the file's own names. Raises DetectorError."""
    shard = open_weights(path)
    return {name: shard.read(name) for name in shard.names()}


def _outputs(own: Shapes, shapes: Shapes, last: Sequence[str], path: Path) -> int:
    """Return the number of outputs in the file where the model has one. Raises DetectorError for more than two."""
    found = {shapes[name][0] for name in last if name in shapes and tuple(shapes[name])[1:] == tuple(own[name])[1:]}
    count = found.pop() if len(found) == 1 else 1
    if count > 2:
        raise DetectorError(
            f"weights '{path}' have {count} outputs, but a detector has one or two: this network was not trained to "
            f"tell real from fake; name the file as `pretrained` in the card's options and train it"
        )
    return count


def _load(model: nn.Module, shapes: Shapes, read: Callable[[str], torch.Tensor], path: Path, head: Names) -> None:
    own = model.state_dict()
    learned = {name for name, _ in model.named_parameters()}

    def bound(names: Shapes) -> dict[str, Sequence[int]]:
        return {name: shape for name, shape in names.items() if not (head and name.startswith(head))}

    wanted = bound({name: value.shape for name, value in own.items()})
    check_shapes(wanted, bound(shapes), path, type(model).__name__)
    model.load_state_dict(
        {name: _checked(read(name), own[name], name, path, name in learned) for name in wanted}, strict=False
    )


def _checked(tensor: torch.Tensor, own: torch.Tensor, name: str, path: Path, learned: bool) -> torch.Tensor:
    """Return a tensor after checking its type and values. A buffer may have infinite values, as masks have."""
    if tensor.is_floating_point() != own.is_floating_point() or tensor.is_complex() != own.is_complex():
        raise DetectorError(
            f"weights '{path}': tensor '{name}' is {_type(tensor)}, but the network's is {_type(own)}: are the "
            f"weights quantised? Save them as float32"
        )
    wide = tensor.float() if tensor.is_floating_point() and tensor.dtype.itemsize == 1 else tensor
    if not bool(wide.isfinite().all() if learned else not wide.isnan().any()):
        raise DetectorError(
            f"weights '{path}': tensor '{name}' has values that are not finite numbers: did the training fail?"
        )
    return tensor


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
