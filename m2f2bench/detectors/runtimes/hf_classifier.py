"""Folders of Hugging Face image classifiers as detectors: the folder's own processor, its labels give the class order.

Nothing is fetched, no code in the folder is run, and weights are read from safetensors alone or as plain tensors.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...cards.models import DetectorCard, validate
from ...cards.settings import Settings
from ...core.arithmetic import exact_fp32
from ...core.errors import DetectorError, M2F2BenchError, first_line
from ...core.parsing import Refused, read_json
from ...training.device import fetch, pick_device, send
from ..base import Detector, file_fingerprint, text_fingerprint
from ..network import Normalise, resize
from ..weights.pretrained import check_report, quiet
from .base import own_file

if TYPE_CHECKING:
    from ...core.records import Floats, Image

log = logging.getLogger("m2f2bench")
REAL = frozenset(
    (
        "real",
        "realism",
        "authentic",
        "genuine",
        "original",
        "originals",
        "pristine",
        "bonafide",
        "live",
        "human",
        "natural",
        "nature",
        "true",
        "realvideo",
        "untouched",
        "unaltered",
        "camera",
        "photo",
        "photograph",
        "legitimate",
    )
)
FAKE = frozenset(
    (
        "fake",
        "fakes",
        "deepfake",
        "deepfakes",
        "forged",
        "forgery",
        "manipulated",
        "manipulation",
        "synthetic",
        "synthesized",
        "synthesised",
        "generated",
        "ai",
        "artificial",
        "spoof",
        "spoofed",
        "altered",
        "tampered",
        "swapped",
        "faceswap",
        "false",
        "gan",
        "diffusion",
        "aigenerated",
        "edited",
        "attack",
    )
)
"""Words in the names of labels; a name with words of both, or of neither, decides nothing."""
NEGATIONS = frozenset(("not", "non", "no", "un"))
PROCESSOR = ("preprocessor_config.json", "processor_config.json")


class HuggingFaceOptions(Settings):
    """Options of the backend `hf-classifier`."""


def meaning(label: str) -> int | None:
    """Return 0 for a label's name that says real, 1 for fake, None for one that says neither or both."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label).lower().replace("deep fake", "deepfake"))
    words = " ".join(words).replace("bona fide", "bonafide").replace("face swap", "faceswap").split()
    found = {0 for word in words if word in REAL} | {1 for word in words if word in FAKE}
    if len(found) != 1:
        return None
    value = found.pop()
    return 1 - value if NEGATIONS & set(words) else value


def fake_outputs(labels: Mapping[int, str], fake: int | None, where: str) -> list[int]:
    """Return the numbers of the outputs that are fake. Raises DetectorError where neither names nor `fake` say it."""
    known = {number: meaning(name) for number, name in labels.items()}
    names = ", ".join(f"{number} {name}" for number, name in sorted(labels.items()))
    if len(labels) <= 2 and fake is not None:
        if len(labels) == 2 and set(known.values()) == {0, 1} and known[fake] != 1:
            raise DetectorError(
                f"{where}: its labels ({names}) say that {1 - fake} is fake, and --fake-class says {fake}"
            )
        return [fake]
    if None in known.values() or (len(labels) > 1 and len(set(known.values())) < 2):
        ask = "give --fake-class 1, or 0 if the first one is" if len(labels) <= 2 else "name them real or fake there"
        raise DetectorError(
            f"{where}: the names of its labels ({names}) do not say which is fake: {ask} (in its config.json: id2label)"
        )
    return [number for number, value in known.items() if value == 1]


class HuggingFaceClassifier(Detector):
    """An image classifier of transformers in a folder; P(fake) is the softmax's sum over the labels that are fake."""

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> HuggingFaceClassifier:
        """Load the folder on the card. Raises DetectorError for one without labels, processor or fitting weights."""
        validate(HuggingFaceOptions, card.options, f"options of detector '{card.name}'")
        return cls(card, own_file(card, "a folder with config.json"), device)

    def __init__(self, card: DetectorCard, folder: Path, device: str = "auto") -> None:
        """Load `folder`; its processor is used, or the card's `input` where it has none."""
        self.name, self.folder, self.device = card.name, folder, pick_device(device)
        config = _config(folder)
        labels = {int(number): str(name) for number, name in config["id2label"].items()}
        self.count = len(labels)
        self.fake = fake_outputs(labels, card.fake_class, f"'{folder}'")
        self.processor = _processor(folder)
        if self.processor is None and not card.input.model_fields_set & {"mean", "std"}:
            raise DetectorError(
                f"'{folder}' has no {PROCESSOR[0]}, so size and statistics of its input are unknown: put the file "
                f"there, or give --as DETECTOR, whose input is then taken"
            )
        self.settings = card.input
        self.normalise = Normalise(card.input)
        self.preprocessing = str(card.input) if self.processor is None else described(self.processor)
        self.model = _model(folder).eval().requires_grad_(False).to(self.device)

    def prepare(self, image: Image) -> Any:
        """Return the processor's pixels, float32 [3, h, w]."""
        if self.processor is None:
            return self.normalise(torch.from_numpy(resize(image, self.settings))[None])[0].contiguous()
        try:
            return self.processor(images=[image], return_tensors="pt")["pixel_values"][0]
        except Exception as error:
            raise DetectorError(f"'{self.folder}': its processor failed: {first_line(error)}") from error

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Return P(fake), float64 [B], from the logits' softmax (of one label: its sigmoid)."""
        return self.begin_forward(batch, ids)()

    @property
    def in_background(self) -> bool:  # type: ignore[override]
        """See `Detector.in_background`: true on a CUDA device."""
        return self.device.type == "cuda"

    @exact_fp32()
    def begin_forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Callable[[], Floats]:
        """See `Detector.begin_forward`."""
        if not batch:
            return lambda: np.zeros(0)
        with torch.inference_mode():
            pixels = send([one.numpy() for one in batch], self.device)
            wait = fetch(self.model(pixel_values=pixels).logits)
        return lambda: self._probabilities(wait().double())  # on the CPU: Apple's GPUs have no float64

    def _probabilities(self, logits: torch.Tensor) -> Floats:
        if self.count == 1:
            one: Floats = torch.sigmoid(logits[:, 0]).numpy()
            return one if self.fake == [0] else 1.0 - one
        scores: Floats = logits.softmax(1)[:, self.fake].sum(1).numpy()
        return scores

    def fingerprint(self) -> str:
        """Return a hash of the folder's weights, configuration and processor."""
        files = sorted(one for one in self.folder.iterdir() if one.suffix in (".json", ".safetensors", ".bin"))
        return text_fingerprint(*(file_fingerprint(one, one.name) for one in files), self.preprocessing, str(self.fake))


def _config(folder: Path) -> dict[str, Any]:
    """Return a classifier's configuration. Raises DetectorError for a folder of another kind."""
    try:
        config: Any = read_json(folder / "config.json")
    except Refused as error:
        raise DetectorError(f"'{folder}': its config.json cannot be read: {error}") from None
    if not isinstance(config, dict) or not config.get("model_type"):
        raise DetectorError(f"'{folder}': its config.json is not that of a Hugging Face model (it has no model_type)")
    kinds = [str(one) for one in config.get("architectures") or []]
    if kinds and not any(one.endswith("ForImageClassification") for one in kinds):
        raise DetectorError(f"'{folder}' holds {', '.join(kinds)}, not a model for image classification")
    if not isinstance(config.get("id2label"), dict) or not config["id2label"]:
        # transformers leaves the table out where labels are LABEL_0 and LABEL_1.
        config["id2label"] = {str(i): f"LABEL_{i}" for i in range(int(config.get("num_labels") or 2))}
    return config


def _processor(folder: Path) -> Any:
    if not any((folder / name).is_file() for name in PROCESSOR):
        return None
    from transformers import AutoImageProcessor

    try:
        with quiet():
            return AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise DetectorError(f"'{folder}': its processor cannot be loaded: {first_line(error)}") from None


def _model(folder: Path) -> torch.nn.Module:
    """Return the network. Raises DetectorError for weights that do not fit its configuration."""
    from transformers import AutoConfig, AutoModelForImageClassification

    from ..weights.given import look_at

    for file in sorted(folder.glob("*.bin")):
        look_at(file)
    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            if getattr(config, "auto_map", None):
                raise DetectorError(f"'{folder}' needs code of its own (auto_map), which is not run")
            model, report = AutoModelForImageClassification.from_pretrained(
                folder, config=config, local_files_only=True, output_loading_info=True, dtype=torch.float32
            )
    except M2F2BenchError:
        raise
    except Exception as error:
        raise DetectorError(f"'{folder}' cannot be loaded: {first_line(error)}") from None
    check_report(report, f"'{folder}'")
    return model  # type: ignore[no-any-return]


def described(processor: Any) -> str:
    """Return a processor's size and statistics for the signature."""
    values = processor.to_dict()
    shown = ("size", "do_resize", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor")
    kept = {
        key: values[key] for key in (*shown, "do_normalize", "image_mean", "image_std") if values.get(key) is not None
    }
    text = json.dumps(kept, sort_keys=True, default=str)
    numbers = ",".join(f"{value:g}" for value in kept.get("image_mean", [])) if kept.get("do_normalize", True) else "0"
    sides = re.sub(r"[^0-9x]+", "x", str(kept.get("size", ""))).strip("x")
    name = re.sub(r"(Fast|Pil)$", "", type(processor).__name__)
    return f"hf-{name}-{sides}px-mean{numbers}-{text_fingerprint(text)[:6]}"
