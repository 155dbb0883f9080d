"""Findings of a checkpoint's audit: from the values of tensors, from watched passes, scores, gradients and the file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ...core.parsing import Refused, read_json
from ...detectors.base import Detector
from ...detectors.network import NetworkDetector
from ...detectors.published.forms import FORMS
from ...detectors.published.importing import without_effect
from ...detectors.weights.load import listed_names, open_weights, shapes_of, unused
from ...detectors.weights.names import unwrapped
from ..report import plural
from . import drawn
from .report import Fault
from .watching import Part, Watched, first_difference, modules_of, tensors_in

if TYPE_CHECKING:
    from ...core.records import Floats, Image

TOLERANCE = {"fp32": 1e-4}
HALF = 5e-3
"""Largest change of P(fake) by the rest of a batch; HALF for precisions other than fp32."""
REPEATED = 1e-6
"""Largest change of P(fake) in a second call: on a GPU, sums can be in another order."""
SHOWN = 6
"""Parts named in one finding."""


def _named(names: Sequence[str]) -> str:
    """Return `'a', 'b' and 3 more`."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more


def of_values(tensors: Mapping[str, torch.Tensor]) -> tuple[list[Fault], dict[str, int]]:
    """Return the findings by values alone: layers as drawn, BatchNorms that never moved, norms over one element."""
    arrays = {
        name: (value.float() if value.dtype == torch.bfloat16 else value).cpu().numpy()
        for name, value in tensors.items()
        if value.layout == torch.strided and not value.is_quantized
    }
    found: list[Fault] = []
    for name in drawn.of_one_element(arrays):
        text = (
            f"'{name}' is a norm over one element: it gives its bias whatever it is given, so that nothing before it "
        )
        found.append(Fault("constant", name, text + "reaches a score"))
    layers, judged = drawn.as_drawn(arrays)
    still, norms = drawn.never_moved(arrays)
    evidence = {one.name: one.evidence for one in layers if one.name not in still}
    for part, count in drawn.by_part(list(evidence), [name for name in judged if name not in still]):
        first = next(one for one in evidence if not part or one == part or one.startswith(f"{part}."))
        where = f"'{part}'" if part else "the whole network"
        what = f"{where} ({plural(count, 'layer')})" if count > 1 or not part else where
        found.append(
            Fault("drawn", part, f"{what} is still as it was drawn before training: '{first}' is {evidence[first]}")
        )
    if still:
        what = "never moved (mean exactly 0, variance exactly 1)"
        text = f"{len(still)} of {plural(norms, 'BatchNorm')} {what}: {_named(still)}"
        found.append(Fault("batch norm", still[0], text))
    numbers = sum(value.numel() for value in tensors.values())
    return found, {"tensor": len(tensors), "number": numbers, "layer": len(judged), "BatchNorm": norms}


def of_form(tensors: Mapping[str, torch.Tensor], look: str) -> list[Fault]:
    """Return a finding for what no score depends on in a whole published file that `look` names with its form."""
    kind = re.search(r"--as ([\w-]+)\)", look)
    if kind is None or kind[1] not in FORMS:
        return []
    names = without_effect(shapes_of(tensors), kind[1])
    if not names:
        return []
    parts = list(dict.fromkeys(name.partition(".")[0] for name in names))
    text = f"in a file of the form {kind[1]}, no score depends on {plural(len(names), 'tensor')} of {_named(parts)}"
    return [Fault("no effect", parts[0], f"{text}: {FORMS[kind[1]].why}")]


def constant(watched: Watched, scores: Floats, networks: Mapping[str, nn.Module]) -> list[Fault]:
    """Return the parts that give every image the same: those where differences end, and those fed the same."""
    parts = watched.parts
    ends = [one for one in parts.values() if one.collapses]
    inner = [one for one in ends if not any(_inside(other.name, one.name) for other in ends)]
    modules = modules_of(networks)
    found: list[Fault] = []
    behind = [one for one in parts.values() if one.is_fed_the_same]
    by_whole: dict[str, list[Part]] = {}
    for one in sorted(inner, key=lambda part: part.order):
        outer = [other.name for other in ends if _inside(one.name, other.name)]
        by_whole.setdefault(min(outer, key=len, default=one.name), []).append(one)
    for whole, (first, *more) in by_whole.items():
        text = f"'{first.name}' ({_kind(first, modules)}) is given different images and gives all of them the same"
        text += f", and so do {plural(len(more), 'part')} after it" if more else ""
        text += f": so does {_where(whole)}" if whole != first.name else ""
        found.append(Fault("constant", first.name, text))
    if len(found) > SHOWN:
        rest = f"{len(found) - SHOWN:,} more parts like these, the first of them '{found[SHOWN].part}'"
        found = [*found[:SHOWN], Fault("constant", found[SHOWN].part, rest)]
    if not inner:
        outermost = [one for one in behind if not any(_inside(one.name, other.name) for other in behind)]
        for one in sorted(outermost, key=lambda part: part.order)[:SHOWN]:
            text = f"'{one.name}' ({_kind(one, modules)}) is given the same for every image, and gives the same"
            found.append(Fault("constant", one.name, text))
    if len(scores) > 1 and np.isfinite(scores).all() and float(np.ptp(scores)) == 0.0:
        found.append(Fault("constant", "", f"every image has the same score, {scores[0]:.6f}"))
    return found


def _inside(name: str, of: str) -> bool:
    return name != of and (not of or name.startswith(f"{of}."))


def _kind(part: Part, modules: Mapping[str, nn.Module]) -> str:
    module = modules.get(part.name)
    shape = getattr(module, "normalized_shape", None)
    if shape is not None and int(np.prod(shape)) == 1:
        return f"{part.kind} over one element, which gives its bias whatever it is given"
    weight = getattr(module, "weight", None)
    zero = isinstance(weight, torch.Tensor) and weight.numel() > 0 and not bool(weight.detach().any())
    return f"{part.kind} whose weight is 0 everywhere" if zero else part.kind


def unread(state: Mapping[str, torch.Tensor], watched: Watched) -> list[Fault]:
    """Return the parts none of whose tensors was an operation's input."""
    every = [name for name in state if not name.endswith("num_batches_tracked")]
    names = [
        name for name in every if state[name].numel() and state[name].untyped_storage().data_ptr() not in watched.read
    ]
    found = []
    for part, count in drawn.by_part(names, every):
        numbers = sum(state[name].numel() for name in names if name == part or name.startswith(f"{part}.") or not part)
        where = f"'{part}'" if part else "the network"
        text = f"no forward pass reads {where} ({plural(count, 'tensor')}, {plural(numbers, 'number')})"
        found.append(Fault("not read", part, text))
    return found


def built(watched: Watched) -> list[Fault]:
    """Return a finding for each part that builds layers with weights while it runs."""
    found: dict[str, list[str]] = {}
    for kind, where in watched.built:
        found.setdefault(where, []).append(kind)
    return [
        Fault(
            "built anew",
            where,
            f"{_where(where)} builds {', '.join(dict.fromkeys(kinds))} with new weights in each forward pass "
            f"({len(kinds)} in one pass): they are neither trained nor in the file",
        )
        for where, kinds in found.items()
    ]


def _where(name: str) -> str:
    return f"'{name}'" if name else "the network itself"


def random(first: Floats, second: Floats, watched: Watched) -> list[Fault]:
    """Return a finding if the scores of a second call are others than those of the first."""
    change = float(np.nanmax(np.abs(first - second), initial=0.0))
    if change <= REPEATED:
        return []
    why = "; torch's random numbers are drawn while it runs" if watched.drew else ""
    return [Fault("random", "", f"the same images have other scores in a second call, by up to {change:.2g}{why}")]


def of_batch(
    detector: Detector,
    together: Floats,
    alone: Floats,
    batch: Watched,
    single: Watched,
    modules: Mapping[str, nn.Module],
) -> list[Fault]:
    """Return a finding if images judged alone have other scores than in a batch, and the part that makes it so."""
    change = float(np.nanmax(np.abs(together[: len(alone)] - alone), initial=0.0))
    part = first_difference(batch, single)
    limit = TOLERANCE.get(detector.precision, HALF)
    certain = (together < 1e-4) | (together > 1 - 1e-4)
    # A score near 0 or 1 hides what the network does.
    if change <= limit and not (part is not None and certain[: len(alone)].all()):
        return []
    statistics = [
        name
        for name, one in modules.items()
        if isinstance(one, nn.modules.batchnorm._BatchNorm) and (one.running_mean is None or one.training)
    ]
    text = f"an image's score depends on the rest of its batch: it changes by up to {change:.2g}"
    if statistics:
        text += f"; {_named(statistics)} normalise by the batch's own statistics"
    elif part is not None:
        text += f"; the first part that differs is {_where(part.name)} ({part.kind})"
    return [Fault("batch", statistics[0] if statistics else part.name if part else "", text)]


def spare(detector: Detector, networks: Mapping[str, nn.Module]) -> list[Fault]:
    """Return a finding for tensors of the card's file that the network has no place for."""
    path = detector.card.weights_path()
    if path is None or not path.is_file() or not isinstance(detector, NetworkDetector) or len(networks) != 1:
        return []
    file = open_weights(path)
    network = next(iter(networks.values()))
    own = shapes_of(network.state_dict())
    left = unused(unwrapped(file.tensors, own), own, getattr(network, "spare", ())) if not file.metadata else []
    if not left:
        return []
    part = left[0].partition(".")[0]
    return [Fault("not read", part, f"the network has no place for {listed_names(left)} of '{path.name}'")]


def imported(detector: Detector) -> list[Fault]:
    """Return what `import-weights` found in a published file to have no effect, and folded."""
    folder = detector.card.folder if detector.card.path is not None else None
    try:
        record: Any = read_json(folder / "import.json") if folder is not None else {}
    except (Refused, OSError):
        return []
    if not isinstance(record, dict):
        return []
    found = []
    for key, topic, what in (
        ("without_effect", "no effect", "have no effect on a score and were left out"),
        ("folded", "constant", "give the same for every image and were folded into a constant"),
    ):
        names = [str(name) for name in record.get(key) or []]
        if names:
            parts = list(dict.fromkeys(name.partition(".")[0] for name in names))
            text = f"of the published file, {plural(len(names), 'tensor')} {what}: those of {_named(parts)}"
            found.append(Fault(topic, parts[0], text))
    return found


def without_slope(
    detector: NetworkDetector, images: Sequence[Image], state: Mapping[str, torch.Tensor], known: Sequence[Fault]
) -> list[Fault]:
    """Return the parts whose gradient of the logits is exactly 0 for all images: no score depends on them."""
    batch = np.stack([detector.prepare(image) for image in images])
    parameters = {name: value for name, value in state.items() if isinstance(value, nn.Parameter)}
    before = {name: value.requires_grad for name, value in parameters.items()}
    try:
        with torch.inference_mode(False), torch.enable_grad():
            for value in parameters.values():
                if value.is_floating_point():
                    value.requires_grad_(True)
            pixels = detector.normalise(torch.from_numpy(batch).to(detector.device)).clone()
            logits = next(tensors_in([detector.model(pixels)]))
            wanted = [value for value in parameters.values() if value.requires_grad]
            slopes = torch.autograd.grad(logits.sum(), wanted, allow_unused=True) if logits.requires_grad else []
    except Exception:  # a network that cannot be differentiated; what it reads was found already
        return []
    finally:
        for name, value in parameters.items():
            value.requires_grad_(before[name])
    judged = [name for name, value in parameters.items() if value.is_floating_point()]
    dead = [name for name, slope in zip(judged, slopes, strict=False) if slope is not None and not bool(slope.any())]
    unread = [one.part for one in known if one.topic == "not read"]
    dead = [name for name in dead if not any(name == part or name.startswith(f"{part}.") for part in unread)]
    parts = [part for part, _ in drawn.by_part(dead, judged)]
    if not parts:
        return []
    where = _named(parts) if parts[0] else "the network"
    text = f"no score depends on {where} ({plural(len(dead), 'tensor')}): the gradient is exactly 0 for every image"
    return [Fault("no effect", parts[0], text)]
