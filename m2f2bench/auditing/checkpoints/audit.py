"""Audit of a checkpoint: a detector's weights by their values, and its network by watched forward passes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ...cards.models import DatasetCard, DetectorCard
from ...core.arguments import checked
from ...core.errors import DataError, DetectorError, FrameError, first_line
from ...core.files import user_path
from ...core.guests import guest
from ...datasets.base import Adapter
from ...datasets.calls import close_adapter
from ...datasets.dataset import spread
from ...detectors.base import Detector
from ...detectors.network import NetworkDetector
from ...detectors.weights.given import is_given, is_program, look_at
from ...detectors.weights.load import open_weights
from ...loading import detector_from, load_dataset, load_detector
from ...results.signature import versions
from . import faults
from .report import TOPICS, CheckpointAudit, Fault
from .watching import COUNT, modules_of, state_of, watching

if TYPE_CHECKING:
    from ...core.records import Floats, Image

ALONE = 4
"""Images that are also judged alone."""


@checked
def audit_checkpoint(
    detector: str | Path | DetectorCard | Any,
    *,
    kind: str | Path | DetectorCard | None = None,
    fake_class: int | None = None,
    trust: bool = False,
    dataset: str | DatasetCard | Adapter = "synthetic",
    split: str = "test",
    device: str = "auto",
) -> CheckpointAudit:
    """Look for parts of a detector that have no part in its scores, or should not have.

    `detector` is any reference that `load_detector` takes, or a file of weights, for which `kind`, `fake_class` and
    `trust` are as in `detector_from`; a file of weights without `kind` is audited by its tensors' values alone. The
    network judges COUNT images of the dataset's `split`, together and alone; only torch networks are watched inside.
    Findings are those of `TOPICS`. Raises M2F2BenchError.
    """
    given = user_path(detector) if isinstance(detector, (str, Path)) else None
    file = given is not None and is_given(given) and given.is_file()
    if file and kind is None and given is not None and given.suffix.lower() != ".onnx" and not is_program(given):
        return _of_file(given)
    if file or kind is not None or fake_class is not None or trust:
        detector = detector_from(str(detector), kind, fake_class, trust)
    loaded = load_detector(str(detector) if isinstance(detector, Path) else detector, device)
    images = _images(dataset, split)
    name = dataset if isinstance(dataset, str) else getattr(dataset, "name", type(dataset).__name__)
    return _of_detector(loaded, images, {"images": len(images), "dataset": name, "split": split})


def _images(dataset: Any, split: str) -> list[Image]:
    """Return COUNT readable images, evenly spread over a split. Raises DataError if there are fewer."""
    place = load_dataset(dataset)
    place.check_split(split)
    images: list[Image] = []
    try:
        for frame in spread(place.frames(split), 4 * COUNT):
            try:
                images.append(place.read(frame))
            except FrameError:
                continue
    finally:
        close_adapter(place.adapter)
    if len(images) < COUNT:
        raise DataError(f"'{place.name}' has {len(images)} readable frames in split '{split}': {COUNT} are needed")
    return spread(images, COUNT)


def _of_file(path: Path) -> CheckpointAudit:
    """Audit the tensors in a file, without a network."""
    look = look_at(path)
    tensors = {name: tensor.read() for name, tensor in open_weights(path).tensors.items()}
    findings, counts = faults.of_values(tensors)
    findings += faults.of_form(tensors, look)
    why = "the network is unknown: give --as DETECTOR"
    looked = {topic: "" if topic in ("constant", "drawn", "batch norm") else why for topic in TOPICS}
    settings = {"looks like": look or None}
    return CheckpointAudit(path.name, _ordered(findings), looked, settings, counts, versions())


def _of_detector(detector: Detector, images: Sequence[Image], settings: dict[str, Any]) -> CheckpointAudit:
    networks = networks_of(detector)
    script = any(isinstance(one, torch.jit.ScriptModule) for one in networks.values())
    looked = dict.fromkeys(TOPICS, "")
    findings: list[Fault] = []
    counts: dict[str, int] = {}
    inside = ("constant", "no effect", "not read", "built anew", "drawn", "batch norm")
    if not networks:
        looked |= dict.fromkeys(inside, "no torch network was found in the detector")
    elif script:
        looked |= dict.fromkeys(
            ("constant", "not read", "built anew"), "a TorchScript program cannot be watched inside"
        )
    state = state_of(networks)
    with guest(f"detector '{detector.card.name}'"):
        _scores(detector, images[:2])  # what is built at the first call is no fault
        together, again = _scores(detector, images), _scores(detector, images)
        alone = np.array([_scores(detector, [image], i)[0] for i, image in enumerate(images[:ALONE])])
        with watching(networks, COUNT) as watched:
            _scores(detector, images)
        with watching(networks, 1) as single:
            _scores(detector, images[:1])
    values, counts = faults.of_values({name: value.detach() for name, value in state.items()})
    ends = faults.constant(watched, together, networks)
    findings += [one for one in values if (one.topic, one.part) not in [(end.topic, end.part) for end in ends]]
    findings += ends
    if networks and not script:
        findings += faults.unread(state, watched)
        findings += faults.built(watched)
    findings += faults.random(together, again, watched)
    if not any(one.topic in ("random", "built anew") for one in findings):
        findings += faults.of_batch(detector, together, alone, watched, single, modules_of(networks))
    findings += faults.spare(detector, networks)
    findings += faults.imported(detector)
    if isinstance(detector, NetworkDetector):
        findings += faults.without_slope(detector, images, state, findings)
    elif networks:
        looked["no effect"] = "gradients are taken of a NetworkDetector alone"
    return CheckpointAudit(detector.card.name, _ordered(findings), looked, settings, counts, versions())


def networks_of(detector: Detector) -> dict[str, nn.Module]:
    """Return the torch networks that a detector holds, by the attribute's name, those in its objects too."""
    found: dict[str, nn.Module] = {}

    def search(owner: Any, prefix: str, depth: int) -> None:
        for name, value in list(getattr(owner, "__dict__", {}).items()):
            where = f"{prefix}{name}"
            if isinstance(value, nn.Module):
                if all(value is not one for one in found.values()):
                    found[where] = value
            elif isinstance(value, (list, tuple)):
                for i, one in enumerate(value):
                    if isinstance(one, nn.Module):
                        found[f"{where}.{i}"] = one
            elif depth and type(value).__module__ != "builtins" and hasattr(value, "__dict__"):
                search(value, f"{where}.", depth - 1)

    own = detector.unwrapped()
    if isinstance(own, nn.Module):
        return {"": own}
    search(own, "", 2)
    inner = {id(module) for one in found.values() for module in one.modules() if module is not one}
    return {name: one for name, one in found.items() if id(one) not in inner}


def _scores(detector: Detector, images: Sequence[Image], first: int = 0) -> Floats:
    """Return P(fake), float64 [B]; an image has the same name alone as in a batch, where it is number `first`."""
    names = [str(first + i) for i in range(len(images))]
    try:
        return np.asarray(detector.predict(list(images), names), dtype=np.float64)
    except DetectorError:
        raise
    except Exception as error:
        raise DetectorError(f"detector '{detector.card.name}' failed on an image: {first_line(error)}") from error


def _ordered(findings: Sequence[Fault]) -> tuple[Fault, ...]:
    order = list(TOPICS)
    return tuple(sorted(findings, key=lambda one: order.index(one.topic)))
