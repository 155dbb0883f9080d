"""Import of published weights: from the authors' file to a folder that `run` and `predict` accept as a detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import torch
import yaml
from torch import nn
from torch.nn import functional as F

from ....cards.settings import CLIP_MEAN, CLIP_STD
from ....core.arguments import checked
from ....core.arithmetic import exact_fp32
from ....core.errors import DetectorError, first_line, near
from ....core.files import sha256, write_json, write_text
from ....core.locks import holding_vacant
from ....core.parsing import Refused, read_json
from ....core.sources import installed_versions
from ....core.tensors import write_tensors
from ....core.written import Written
from ....version import __version__
from ...llm.prompt import PromptSettings
from ...llm.sampling import GenerationSettings
from ...llm.source import LanguageSource, language_fingerprint
from ...weights.load import check_shapes, shapes_of
from ..clip import TextTower
from ..options import KEY, ExplainerOptions
from ..projectors import PREFIX
from .files import CONFIG, Tensors, Tower
from .llm import FOLDER, PublishedLanguage
from .names import BRIDGE, CNN, FIRST_OF_CNN, TEXT, VISION, Reader, expected_shapes, sort_names
from .network import ReleasedOptions, ReleasedProjectors, Variant, empty

KINDS: dict[str, Variant] = {f"m2f2det-{variant}": variant for variant in get_args(Variant)}
CARD, RECORD, WEIGHTS = "card.yaml", "import.json", "model.safetensors"
EXPLAINS = "M2F2-Det as published: its 7B explainer, detector (CLIP ViT and DenseNet-121) and LLM"
MAX_NEW_TOKENS = 512
"""Of an answer, as in the published scripts."""
DESCRIPTIONS: dict[Variant, str] = {
    "released-detector": "M2F2-Det as published: the detector of its first stage (CLIP ViT and EfficientNet-B4)",
    "released-explainer": "M2F2-Det as published: the detector inside its 7B explainer (CLIP ViT and DenseNet-121)",
}
REFERENCE = "Guo et al., Rethinking Vision-Language Model in Face Forensics, CVPR 2025, arXiv 2503.20188"
LICENCE = "that of the published weights: see where they were fetched"


class Published:
    """The tensors of a published file by this package's names, all of them checked."""

    def __init__(self, path: Path, kind: str, vision_tower: str | Path | None, detector_only: bool = False) -> None:
        """Open `path`, optionally with CLIP's image tower from elsewhere, and with the LLM if there is one.

        With `detector_only`, the LLM is not opened. Raises DetectorError.
        """
        self.path, self.variant = path, KINDS[kind]
        main = Tensors(path)
        self.sources = [main]
        self.names = sort_names(main.names(), path)
        self._check_variant(kind)
        self.places = {name: (main, own) for name, own in self.names.own.items()}
        self.replaced: list[str] = []
        tower = None if vision_tower is None else Tower(vision_tower)
        if tower is not None:
            self.sources.append(tower.source)
            self.replaced = [name for name in self.places if name.startswith(VISION)]
            self.places = {name: place for name, place in self.places.items() if not name.startswith(VISION)}
            self.places |= {name: (tower.source, own) for name, own in tower.names.items()}
        elif not any(name.startswith(VISION) for name in self.places):
            raise self._no_tower()
        shapes = {name: source.shape(own) for name, (source, own) in self.places.items()}
        reader = Reader(shapes, path)
        self.vision, self.text = reader.vision(), reader.text()
        try:
            self.expected = expected_shapes(self.variant, reader, self.vision, self.text)
        except RuntimeError as error:  # sizes whose product torch cannot count
            raise DetectorError(
                f"weights '{path}' do not fit {kind}: {first_line(error)}; is this the file of another model?"
            ) from None
        check_shapes(self.expected, shapes, path, kind)
        if tower is not None:
            self.vision = tower.settings(self.vision)
        self.language = None if detector_only or not self.names.explaining else self._language(main)

    def _language(self, main: Tensors) -> PublishedLanguage:
        """Return the LLM; the projectors are added to the tensors."""
        folder = self.path if self.path.is_dir() else self.path.parent
        language = PublishedLanguage(folder, main, self.names.language)
        found = {name: main.shape(own) for name, own in self.names.projectors.items()}
        with torch.device("meta"):
            projectors = ReleasedProjectors(self.vision.hidden_size, language.width)
        check_shapes(shapes_of(projectors.state_dict()), found, self.path, "the LLM's width")
        self.places |= {PREFIX + name: (main, own) for name, own in self.names.projectors.items()}
        return language

    def _no_tower(self) -> DetectorError:
        """Return the error for a file without CLIP's image tower; it names the one in the folder's configuration."""
        try:
            config = read_json(self.path / CONFIG)
        except Refused:
            config = None
        named = config.get("mm_vision_tower") if isinstance(config, dict) else None
        which = "such as `openai/clip-vit-large-patch14-336`"
        if named and isinstance(named, str):
            which = f"`{named}`, which its config.json names"
        return DetectorError(
            f"weights '{self.path}' lack CLIP's image tower: give it with --vision-tower, a file "
            f"(vision_tower.pth), the folder of a CLIP, or a name on the hub, {which}"
        )

    def _check_variant(self, kind: str) -> None:
        found = next((variant for variant, first in FIRST_OF_CNN.items() if first in self.names.own), None)
        if found is not None and found != self.variant:
            other = f"m2f2det-{found}"
            raise DetectorError(f"weights '{self.path}' are those of {other}, not of {kind}: give `--as {other}`")
        if found is None:
            raise DetectorError(f"weights '{self.path}' are not those of {kind}: they have no CNN of either variant")

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return a tensor, in fp32 unless it is a counter. Raises DetectorError for values that are not finite."""
        source, own = self.places[name]
        if name.endswith("num_batches_tracked"):
            return source.read(own).long()
        return source.finite(own, self.path).float()

    def under(self, *prefixes: str) -> list[str]:
        """Return the names of the expected tensors that start with one of the prefixes."""
        return [name for name in self.expected if name.startswith(prefixes)]

    def options(self) -> ReleasedOptions:
        """Return the options of the card to be written."""
        detector = self.variant == "released-detector"
        width = self.expected["vision_proj.0.bias"][0]
        return ReleasedOptions(
            variant=self.variant,
            vision=self.vision,
            width=width,
            cnn_width=self.expected["deepfake_proj.0.bias"][0],
            constant=self.expected[f"{BRIDGE}reduction.0.bias"][0] if detector else width,
        )


@checked
def import_weights(
    file: str | Path, kind: str, out: str | Path, vision_tower: str | Path | None = None, detector_only: bool = False
) -> Written:
    """Write published weights as a detector's folder: `model.safetensors`, `card.yaml`, `import.json`, and `llm/`.

    `file` is a checkpoint (.pth, .pt, .bin), a .safetensors, or the folder of the 7B model; nothing in it is executed.
    `kind` is one of `KINDS`. `vision_tower` (a file, a CLIP's folder, a name on the hub) replaces CLIP's image tower.
    If `file` has an LLM, it is written as a plain Llama folder and the detector answers questions; with
    `detector_only`, the LLM is not read. What is the same for every image is folded into a constant; `import.json`
    lists what was folded, what had no effect and what was left out. The card is written last. Returns its path. Raises
    M2F2BenchError for a file that lacks a tensor, has one too many or one of another shape, for another variant's file,
    for an LLM without its configuration or tokenizer, and for an `out` that is not empty.
    """
    file, out = Path(file).expanduser(), Path(out).expanduser()
    if kind not in KINDS:
        raise DetectorError(f"unknown kind of weights '{kind}'{near(kind, KINDS)}")
    with holding_vacant(out):
        published = Published(file, kind, vision_tower, detector_only)
        card = _card(kind, published.options())
        record = _write_network(published, kind, out)
        if published.language is not None:
            published.language.write(out / FOLDER)
            card = _explaining(card, out)
        write_json(out / RECORD, record)
        write_text(out / CARD, yaml.safe_dump(card, sort_keys=False, allow_unicode=True))
    return Written(out / CARD)


def _write_network(published: Published, kind: str, out: Path) -> dict[str, Any]:
    """Write detector and projectors; return the content of `import.json`."""
    network = empty(published.options())
    with exact_fp32(), torch.no_grad():
        tensors, used = _tensors(published, network)
        check_shapes(shapes_of(network.state_dict()), shapes_of(tensors), published.path, kind)
        tensors |= {name: published[name] for name in published.places if name.startswith(PREFIX)}
        write_tensors(out / WEIGHTS, tensors, {"architecture": kind})
    return _record(published, kind, used)


def _tensors(published: Published, network: nn.Module) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Return the network's tensors, with constants folded, and the names of the file's tensors used unchanged."""
    renamed = {"vision_alpha": "clip_vision_alpha", "text_alpha": "clip_text_alpha"}
    tensors: dict[str, torch.Tensor] = {}
    used: list[str] = []
    for name in network.state_dict():
        if name == "bridge":
            tensors[name] = fold_bridge(published)
        elif name == "text":
            tensors[name] = fold_text(published)
        else:
            level, _, rest = name.partition(".")
            source = {"vision": VISION, "cnn": CNN}.get(level, f"{level}.") + rest if rest else renamed[name]
            tensors[name] = published[source]
            used.append(source)
    return tensors, used


def fold_bridge(published: Published) -> torch.Tensor:
    """Return the 128 values that the first stage's bridge gives for any image.

    Its first half ends in a LayerNorm over one element, which always returns its bias; so its second half gets that
    number for every token. Computed in fp64, returned in fp32.
    """
    tokens = published.expected[f"{BRIDGE}reduction.0.weight"][1]
    values = _projected(published, f"{BRIDGE}reduction", published[f"{BRIDGE}proj.2.bias"].double().expand(tokens))
    return (values * published["clip_text_alpha"].double()).float()


def _projected(published: Published, name: str, x: torch.Tensor) -> torch.Tensor:
    """Return what the file's linear layer and LayerNorm `name` give for [..., inputs], in its precision."""
    weight, bias = (published[f"{name}.0.{part}"].to(x.dtype) for part in ("weight", "bias"))
    scale, shift = (published[f"{name}.1.{part}"].to(x.dtype) for part in ("weight", "bias"))
    return F.layer_norm(F.linear(x, weight, bias), bias.shape, scale, shift)


def fold_text(published: Published) -> torch.Tensor:
    """Return the text feature of the 7B model's detector: its learned prompt through CLIP's text tower and `text_proj`.

    The prompt has the positions from 0 on, without begin or end; the output of the last token is taken.
    """
    settings = published.text
    # No word is looked up, so the table of words is left out.
    with torch.device("meta"):
        tower = TextTower(settings.model_copy(update={"vocab_size": 1}))
    tower = tower.to_empty(device="cpu").eval()
    words = "embeddings.token_embedding.weight"
    own = {name: published[TEXT + name] for name in tower.state_dict() if name != words}
    tower.load_state_dict({**own, words: torch.zeros(1, settings.hidden_size)})
    return _projected(published, "text_proj", tower(published["clip_text_encoder.prompt_tokens"]))[0]


def _record(published: Published, kind: str, used: list[str]) -> dict[str, Any]:
    """Return the content of `import.json`."""
    folded = published.under(f"{BRIDGE}proj.2.bias", f"{BRIDGE}reduction", "clip_text_alpha")
    if published.variant == "released-explainer":
        words = f"{TEXT}embeddings.token_embedding"
        folded = [name for name in published.under("clip_text_encoder.", "text_proj.") if not name.startswith(words)]
    unused = [name for name in published.expected if name not in {*used, *folded}]
    stubbed = sorted({name for source in published.sources for name in source.stubbed})
    language = published.language
    left_out = sorted({_part(name) for name in published.names.explaining}) if language is None else []
    notes = [f"{len(folded)} tensors folded into a constant; {len(unused)} have no effect on a score and were left out"]
    if stubbed:
        notes.append(f"named in the file and not built, since a file of weights is data: {', '.join(stubbed)}")
    if left_out:
        notes.append(f"left out, of use to explanations only: {', '.join(left_out)}")
    if published.replaced:
        notes.append(f"{len(published.replaced)} tensors of CLIP's image tower replaced by those of --vision-tower")
    if language is not None:
        files = ", ".join(file.name for file in language.tokenizer)
        notes.append(f"LLM of {len(language.names)} tensors, {language.width} wide, with tokenizer ({files})")
        notes.append(
            f"not taken from its config.json, since no Llama reads it: {', '.join(language.dropped) or 'nothing'}"
        )
    return {
        "kind": kind,
        "files": {path.name: sha256(path) for source in published.sources for path in source.files},
        "folded": folded,
        "without_effect": unused,
        "replaced": published.replaced,
        "left_out": left_out,
        "language": {} if language is None else {"config": language.config, "config_left_out": language.dropped},
        "position_buffers": published.names.buffers,
        "stubbed": stubbed,
        "notes": notes,
        "versions": {"m2f2bench": __version__, **installed_versions(("torch", "torchvision"))},
    }


def _part(name: str) -> str:
    """Return a tensor's part of the LLM: `model.layers.3.mlp...` is `model.layers`."""
    parts = name.split(".")
    return ".".join(parts[: 2 if parts[0] == "model" else 1])


def _card(kind: str, options: ReleasedOptions) -> dict[str, Any]:
    """Return the content of the detector's card. The training data is unknown: it is not in the file."""
    size = options.vision.image_size
    inputs = {"size": size, "fit": "centre", "interpolation": "bicubic", "mean": [*CLIP_MEAN], "std": [*CLIP_STD]}
    return {
        "name": kind,
        "description": DESCRIPTIONS[options.variant],
        "backend": "m2f2det",
        "weights": WEIGHTS,
        "input": inputs,
        "options": options.model_dump(mode="json"),
        "licence": LICENCE,
        "reference": REFERENCE,
    }


def _explaining(card: dict[str, Any], out: Path) -> dict[str, Any]:
    """Return the card of a detector that answers; its LLM is already in `out`."""
    source = LanguageSource(name=FOLDER)
    explainer = ExplainerOptions(
        llm=source,
        prompt=PromptSettings(style="released"),
        generation=GenerationSettings(max_new_tokens=MAX_NEW_TOKENS),
        stage="merged",
        learned_with=language_fingerprint(source, out),
    )
    options = {**card["options"], KEY: explainer.model_dump(mode="json", exclude_unset=True)}
    return {**card, "description": EXPLAINS, "backend": "m2f2det-explainer", "options": options}
