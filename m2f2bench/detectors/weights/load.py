"""Weight files: tensors by name, with shapes known before any tensor is read, and loading of them into networks.

No code in a file is run. Every tensor's name and shape must match the network's; the first mismatch is named.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import DetectorError, first_line
from ...core.tensors import METADATA
from .looks import looks_like
from .names import unwrapped
from .pickled import PickledFile, StoredTensor, Stub, open_pickled
from .weight_files import recognise, refuse_incomplete

if TYPE_CHECKING:
    import torch
    from torch import nn

log = logging.getLogger("m2f2bench")
Names = tuple[str, ...]
Shapes = Mapping[str, Sequence[int]]

STATE_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
"""Keys under which checkpoints keep a network's tensors; the first one present is taken."""
DEPTH = 4


@dataclass(frozen=True)
class SafeTensor:
    """A tensor in an open .safetensors file; `read` loads it."""

    file: Any
    path: Path
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self.file.get_slice(self.name).get_shape())

    def read(self) -> torch.Tensor:
        """Return the tensor, on the CPU. Raises DetectorError for a number type that torch does not have."""
        try:
            tensor: torch.Tensor = self.file.get_tensor(self.name)
        except Exception as error:  # safetensors raises several kinds of errors for that
            raise _unreadable(self.path, error) from None
        return tensor


@dataclass(frozen=True)
class WeightFile:
    """A file's tensors by name, and the metadata that m2f2bench wrote; empty for files of others."""

    tensors: Mapping[str, SafeTensor | StoredTensor]
    metadata: dict[str, str] = field(default_factory=dict)
    stubbed: Collection[str] = ()
    """Names in a checkpoint that were not built."""


def open_weights(path: Path) -> WeightFile:
    """Return a file's tensors, whatever its name ends in. Raises DetectorError, which says what the file is."""
    if recognise(path) == "checkpoint":
        checkpoint = open_pickled(path)
        return WeightFile(state_dict(checkpoint), stubbed=checkpoint.stubbed)
    from safetensors import SafetensorError, safe_open

    refuse_incomplete(path)
    try:
        file: Any = safe_open(path, framework="pt")
        metadata = json.loads((file.metadata() or {}).get(METADATA, "{}"))
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise _unreadable(path, error) from None
    tensors = {name: SafeTensor(file, path, name) for name in file.keys()}  # noqa: SIM118 - not a dict
    return WeightFile(tensors, metadata if isinstance(metadata, dict) else {})


def state_dict(file: PickledFile) -> dict[str, StoredTensor]:
    """Return a checkpoint's tensors: at its top level, or under STATE_KEYS (also nested). Raises DetectorError."""
    found: Any = file.data
    for _ in range(DEPTH):
        key = next((key for key in STATE_KEYS if isinstance(found, dict) and isinstance(found.get(key), dict)), None)
        if key is None:
            break
        found = found[key]
    if isinstance(file.data, Stub):
        raise DetectorError(
            f"checkpoint '{file.path}' holds a whole object ({_kind(file.data)}), whose code is not run: save only "
            f"its weights, with torch.save(model.state_dict(), ...)"
        )
    if not isinstance(found, dict) or not any(_is_tensor(value) for value in found.values()):
        code = f"; it names {', '.join(sorted(file.stubbed))}, which was not called" if file.stubbed else ""
        raise DetectorError(
            f"checkpoint '{file.path}' holds no state dict: no tensors by name at its top level or under "
            f"{', '.join(STATE_KEYS)}{code}"
        )
    for name, value in found.items():
        if not isinstance(name, str):
            raise DetectorError(f"checkpoint '{file.path}': the key {name!r:.60} in its state dict is not a text")
        if not isinstance(value, StoredTensor):
            raise DetectorError(
                f"checkpoint '{file.path}': '{name}' in its state dict is of type {_kind(value)}, not a plain tensor "
                f"(dense, not quantised, with its values in the file)"
            )
    return found


def _is_tensor(value: object) -> bool:
    """Return whether a value is a tensor in the file, including kinds that cannot be read."""
    return isinstance(value, StoredTensor) or (isinstance(value, Stub) and "_rebuild" in value.named)


def _kind(value: object) -> str:
    return value.named if isinstance(value, Stub) else type(value).__name__


def _unreadable(path: Path, error: BaseException) -> DetectorError:
    return DetectorError(f"weights '{path}' cannot be read: {first_line(error)}; train or download them again")


def check_shapes(expected: Shapes, found: Shapes, path: Path, model: str) -> None:
    """Raise DetectorError unless `found` has the names and shapes of `expected`.

    The first missing, unexpected or differently shaped tensor is named and the rest are counted.
    """
    shapes = {name: (list(found[name]), list(expected[name])) for name in expected if name in found}
    differing = {name: f"{has}, not {wanted}" for name, (has, wanted) in shapes.items() if has != wanted}
    problem = first_problem(
        {
            "missing": [name for name in expected if name not in found],
            "unexpected": [name for name in found if name not in expected],
            f"of another shape ({next(iter(differing.values()), '')})": list(differing),
        }
    )
    if problem:
        raise DetectorError(
            f"weights '{path}' do not fit {model}: {problem}; is this the file of another model?"
            f"{_look(expected, found) or _prefix(expected, found)}"
        )


def first_problem(problems: Mapping[str, Sequence[str]]) -> str:
    """Return the first problem that some tensors have: `tensor 'x' and 2 more missing`; "" if none has any."""
    for what, names in problems.items():
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"tensor '{names[0]}'{more} {what}"
    return ""


def shapes_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor."""
    return {name: tuple(value.shape) for name, value in tensors.items()}


def _prefix(expected: Shapes, found: Shapes) -> str:
    """Return a remark on a prefix that all names of a file have and no name of the model has; or ""."""
    first = {name.partition(".")[0] for name in found if "." in name}
    if len(first) != 1 or len(found) < 2 or not all("." in name for name in found):
        return ""
    prefix = f"{first.pop()}."
    ours = any(name.startswith(prefix) for name in expected)
    return "" if ours else f" All its names begin with '{prefix}': save only the part below that"


def _look(expected: Shapes, found: Shapes) -> str:
    """Return a remark on the known network that a file looks like, unless the model looks like that too; or ""."""
    theirs = looks_like(found)
    return f" Its names look like {theirs}" if theirs and theirs != looks_like(expected) else ""


def load_strictly(model: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path, head: Names = ()) -> None:
    """Load a state dict whose names and shapes must be the model's, except tensors whose name starts with `head`.

    `path` is where it came from. Raises DetectorError naming the first missing, unexpected or differently shaped tensor
    and counting the rest, and for values that are not numbers or have another type than the model's.
    """
    _load(model, shapes_of(tensors), tensors.__getitem__, path, head)


def load_weights(
    model: nn.Module,
    path: Path,
    head: Names = (),
    outputs: Names | None = (),
    fake: int | None = None,
    spare: bool = False,
) -> dict[str, str]:
    """Load a file's tensors as `load_strictly` does, without a wrapper's prefix; return the file's metadata.

    No tensor is read before all names and shapes match. Tensors whose name starts with one of `outputs` make the
    model's one logit, that of fake; None: the layer that has one output in the model and more in the file. If the file
    has two outputs, `fake` (0 or 1) says which of them is fake, and the other is subtracted (the softmax of two logits
    is the sigmoid of their difference); if it has one, `fake` 0 says that it is the logit of real, and its sign is
    changed. With `spare`, parts of a file that the model has none of are left out with a warning that names them,
    unless this package wrote the file. Raises DetectorError.
    """
    file, own = open_weights(path), shapes_of(model.state_dict())
    stored = {name: file.tensors[there] for name, there in unwrapped(file.tensors, own).items()}
    left = (
        unused(stored, own, getattr(model, "spare", ()))
        if spare and not file.metadata and set(own) <= set(stored)
        else []
    )
    stored = {name: tensor for name, tensor in stored.items() if name not in left}
    shapes = {name: tensor.shape for name, tensor in stored.items()}
    if outputs is None:
        last = last_layer(own, shapes) or (_narrowest(model) if fake is not None else [])
    else:
        last = [name for name in own if outputs and name.startswith(outputs)]
    count = _outputs(own, shapes, last, path)
    if fake == 0 and outputs is None and not last:
        raise DetectorError(
            f"weights '{path}': it is unknown which layer of {type(model).__name__} gives its output, so `fake_class: "
            f"0` cannot be applied: let the network's last layer have one output"
        )
    if count == 2 and fake is None:
        raise DetectorError(
            f"weights '{path}' have two outputs, and it is unknown which is fake: set `fake_class: 1` in the card's "
            f"options, or 0 if the first one is (on the command line: --fake-class 1)"
        )
    for name in last if count == 2 else ():
        shapes[name] = own[name]

    def read(name: str) -> torch.Tensor:
        tensor = stored[name].read()
        if name not in last or fake is None:
            return tensor
        return tensor[fake : fake + 1] - tensor[1 - fake : 2 - fake] if count == 2 else tensor if fake else -tensor

    _load(model, shapes, read, path, head)
    if left:
        log.warning("weights '%s': %s has no use for %s", path, type(model).__name__, listed_names(left))
    return file.metadata


def unused(found: Collection[str], own: Collection[str], known: tuple[str, ...] = ()) -> list[str]:
    """Return the tensors of a file in parts that a network has none of, such as a second backbone.

    A part is the first of a name that the network does not go on with. Tensors beside some that the network has (the
    third block of a stage that has two) are no such part: they belong to another network; nor is a single tensor.
    `known` are beginnings of names in published files that the network has no use for, wherever they are.
    """
    there = {part for name in own for part in _levels(name)}
    left: list[str] = []
    for name in found:
        if name in own or "." not in name:
            continue
        if known and name.startswith(known):
            left.append(name)
            continue
        levels = [level for level in _levels(name) if level not in there]
        if levels and levels[0].count(".") <= _shared_depth(own) and not levels[0].rpartition(".")[2].isdigit():
            left.append(name)
    return left


def _levels(name: str) -> list[str]:
    """Return the modules that a tensor is in, and the tensor: `a`, `a.b`, `a.b.weight`."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _shared_depth(own: Collection[str]) -> int:
    """Return how many first parts all of a network's names have in common."""
    split = [name.split(".")[:-1] for name in own]
    same = 0
    while split and all(len(parts) > same and parts[same] == split[0][same] for parts in split):
        same += 1
    return same


def last_layer(own: Shapes, found: Shapes) -> list[str]:
    """Return the tensors of the one layer that has one output in the network and more in the file; none if several."""
    wide = [
        name
        for name in own
        if name in found
        and list(own[name][:1]) == [1]
        and list(found[name])[1:] == list(own[name])[1:]
        and len(found[name]) == len(own[name]) > 0
        and found[name][0] > 1
    ]
    return wide if len({name.rpartition(".")[0] for name in wide}) == 1 else []


def _narrowest(model: nn.Module) -> list[str]:
    """Return the tensors of the network's last linear layer or convolution, if it has one output."""
    from torch import nn

    layers = [(name, one) for name, one in model.named_modules() if isinstance(one, (nn.Linear, nn.Conv2d))]
    if not layers or layers[-1][1].weight.shape[0] != 1:
        return []
    name, layer = layers[-1]
    return [f"{name}.{tensor}" for tensor, _ in layer.named_parameters()]


def listed_names(names: Sequence[str], most: int = 6) -> str:
    """Return `3 tensors (a, b, c)`; the first `most` of many, and how many more."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{len(names):,} tensor{'s' if len(names) != 1 else ''} ({', '.join(names[:most])}{more})"


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of a file, by the file's own names. Raises DetectorError."""
    return {name: tensor.read() for name, tensor in open_weights(path).tensors.items()}


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

    wanted = bound(shapes_of(own))
    check_shapes(wanted, bound(shapes), path, type(model).__name__)
    model.load_state_dict(
        {name: finite(read(name), own[name], name, path, name in learned) for name in wanted}, strict=False
    )


def finite(tensor: torch.Tensor, own: torch.Tensor, name: str, path: Path, learned: bool) -> torch.Tensor:
    """Return a tensor after checking its type and values against `own`. A buffer (not `learned`) may be infinite.

    `name` and `path` are for messages. Raises DetectorError.
    """
    kind, wanted = (str(value.dtype).removeprefix("torch.") for value in (tensor, own))
    if tensor.is_floating_point() != own.is_floating_point() or tensor.is_complex() != own.is_complex():
        raise DetectorError(
            f"weights '{path}': tensor '{name}' is {kind}, but the network's is {wanted}: are the weights quantised? "
            "Save them as float32"
        )
    wide = tensor.float() if tensor.is_floating_point() and tensor.dtype.itemsize == 1 else tensor
    if not bool(wide.isfinite().all() if learned else not wide.isnan().any()):
        raise DetectorError(
            f"weights '{path}': tensor '{name}' has values that are not finite numbers: did the training fail?"
        )
    return tensor
