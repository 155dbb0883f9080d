"""Options on the cards of `m2f2det` detectors of the variant `paper`, and of `m2f2det-explainer`s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ...cards.models import DetectorCard, validate
from ...cards.settings import Settings
from ...core.errors import DetectorError
from ..llm.prompt import PromptSettings
from ..llm.sampling import GenerationSettings
from ..llm.source import LanguageSource
from ..llm.verdict import in_words
from ..timm import TimmSource
from .clip import ClipSettings, VisionSettings
from .regions import REGIONS, regions_of

KEY = "explainer"
"""Key of the explainer's options in a card's."""
Platt = tuple[float, float]
"""(a, b) of P(fake) = sigmoid(a · logit + b)."""
CHOICES = ("region_tokens", "verdict_words", "verdict_first")
"""Options of what the LLM reads and how it answers that `align` and `tune` must share, besides those of 0.5.0."""


class ClipSource(Settings):
    """Which CLIP, and where its weights come from."""

    name: str | None = None
    """A name on the Hugging Face hub, or a local folder: weights and tokenizer of a CLIPModel."""
    config: ClipSettings | None = None
    """Widths and depths. Together with `name`, it is filled in by training, so that a trained detector needs no hub;
    alone, it means random weights."""
    words: tuple[int, ...] = Field(default=(), max_length=32)
    """Token ids of the prompt: BOS, the words "forged face", EOS. Empty: from the tokenizer of `name`."""

    @model_validator(mode="after")
    def _whole(self) -> ClipSource:
        if self.name is None and self.config is None:
            raise ValueError("give `name` (hub or folder) or `config` (random weights)")
        if self.config is not None:
            vocabulary = self.config.text_config.vocab_size
            if len(self.words) < 3:
                raise ValueError("`config` needs `words`: the token ids of BOS, the prompt's words and EOS")
            if not all(0 <= word < vocabulary for word in self.words):
                raise ValueError(f"`words` {self.words} must be token ids below vocab_size {vocabulary}")
        return self


class CnnSettings(TimmSource):
    """Which timm network, its initial weights, and which of its layers the bridge reads."""

    depths: tuple[str, ...] = Field(default=(), max_length=8)
    """Names of submodules with maps, such as `blocks.3`, from shallow to deep. Empty: the last three of timm's own
    feature layers."""


class ImageTowerSettings(CnnSettings):
    """A frozen timm network, a ViT or a CNN, that reads images in the place of CLIP's image tower."""

    patches: tuple[str, ...] = Field(default=(), max_length=4)
    """Names of submodules whose outputs, tokens or maps, are the patches: for a CNN those of two strides, joined on the
    finer one's grid. Empty: the network's last features."""


class PaperOptions(Settings):
    """The architecture as the paper describes it.

    The ablations of its table are: a number of tokens set to 0, `bridge` or `map_weighting` set to false.
    """

    variant: Literal["paper"] = "paper"
    """The architecture; the other options are for it."""
    clip: ClipSource
    cnn: CnnSettings
    image_tower: ImageTowerSettings | None = None
    """What reads images in the place of CLIP's image tower, of which only the text side is used then. Its features go
    into the joint space by a projection that is learned."""
    train_vision: bool = False
    """Whether CLIP's image tower and its projection are trained: only for a CLIP without pretrained weights."""
    clip_precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of a frozen image tower, in training and scoring alike."""
    clip_depths: tuple[int, ...] = ()
    """CLIP layers that the bridge reads, counted from 1. Empty: 1/4, 5/12 and 7/12 of all (6, 10, 14 of 24)."""
    general_tokens: int = Field(default=8, ge=0, le=64)
    specific_tokens: int = Field(default=4, ge=0, le=64)
    layer_tokens: int = Field(default=4, ge=0, le=64)
    """Layer-wise forgery tokens before each layer of the text tower."""
    bridge: bool = True
    """Whether the bridge adapter between CLIP and CNN is there."""
    map_weighting: bool = True
    """If false, the CNN's and the bridge's features are averaged evenly: there is no prompt then, and no heat map."""
    bridge_width: int = Field(default=64, ge=4)
    bridge_heads: int = Field(default=4, ge=1)
    head_width: int = Field(default=128, ge=1)
    """Width of each of the head's three inputs."""
    gated: bool = False
    """Whether the head is the CNN's own linear layer, to which CLIP and the map-weighted features add behind gates that
    start at zero: it then begins as the CNN alone. The paper's head reads all three together."""
    temperature: float = Field(default=5.0, gt=0.0)
    """Initial value of the forgery map's learned temperature."""
    cache_features: float = Field(default=0.0, ge=0.0)
    """Gigabytes of disk for a frozen image tower's features in training; 0: no cache."""

    @model_validator(mode="after")
    def _fits(self) -> PaperOptions:
        config, text = self.clip.config, 1 + self.general_tokens + self.specific_tokens
        if self.image_tower is not None:
            own = ("train_vision", "clip_precision", "clip_depths")
            for name in own:
                if name not in _at_default(self, own):
                    raise ValueError(f"{name} is for CLIP's image tower, which image_tower replaces: remove one")
        elif config is not None and config.vision_config is None:
            raise ValueError("clip.config has no vision_config: give one, or an image_tower")
        if self.bridge_width % self.bridge_heads:
            raise ValueError(f"bridge_width {self.bridge_width} must be a multiple of bridge_heads {self.bridge_heads}")
        if self.train_vision and self.cache_features:
            raise ValueError("cache_features is for a frozen image tower: set train_vision to false")
        if self.train_vision and self.clip_precision != "fp32":
            raise ValueError("clip_precision is for a frozen image tower: set the training's `precision` instead")
        if config is not None:
            longest = config.text_config.max_position_embeddings
            if text + max(3, len(self.clip.words)) - 1 > longest:
                raise ValueError(f"the prompt has more tokens than the text tower's {longest} positions")
            vision = config.vision_config
            if vision is not None and any(not 1 <= depth <= vision.num_hidden_layers for depth in self.clip_depths):
                raise ValueError(f"clip_depths {self.clip_depths} must be layers from 1 on of the image tower")
        return self

    def identity(self) -> str:
        """Return the options that decide a trained network's scores; later ones only if they are not at their default.

        So weights keep their fingerprint, and rows of theirs stay valid.
        """
        later = _at_default(self, ("gated", "image_tower"))
        starts = {"cnn": {"pretrained"}, "image_tower": {"pretrained"}}
        return self.model_dump_json(exclude={"cache_features": True, **starts, **later})

    def depths(self, layers: int) -> tuple[int, ...]:
        """Return the CLIP layers that the bridge reads, of an image tower of `layers`; distinct ones if possible."""
        if self.clip_depths:
            return self.clip_depths
        first = max(1, int(layers * 3 / 12 + 0.5))
        second = max(first + 1, int(layers * 5 / 12 + 0.5))
        third = max(second + 1, int(layers * 7 / 12 + 0.5))
        return tuple(min(layers, depth) for depth in (first, second, third))


class ExplainerOptions(Settings):
    """The LLM, its image tokens, its prompt, and the state of training."""

    llm: LanguageSource
    prompt: PromptSettings = PromptSettings()
    forgery_grid: int = Field(default=4, ge=0, le=64)
    """F^0 ⊙ M_b is averaged over this many cells a side: k = forgery_grid² tokens, and one for the verdict. 0: no
    forgery tokens (the paper's ablation)."""
    region_tokens: bool = False
    """Whether eyebrows, eyes, nose, mouth and skin have tokens of their own, made of E_D's finest maps and of M_b in
    the region as a mean face has it. Those of the regions that a question names stand before it; all of them before
    one that names none."""
    visual_pool: int = Field(default=1, ge=1, le=32)
    """CLIP's patches are averaged over squares of this many a side before they become visual tokens; 1: all of them."""
    visual_init: str | None = None
    """Where stage `align` takes the visual projector from, which it then leaves as it is: the folder of a LLaVA (its
    authors' form or that of transformers), or an `mm_projector.bin`, relative to the card. None: it is drawn anew."""
    visual_norm: bool | None = None
    """Whether patches are normalised before the visual projector; None: unless it is taken over. Training fills
    it in."""
    verdict_words: bool = False
    """Whether the prompt also says the detector's verdict in words, with its probability, before the question."""
    verdict_first: bool = False
    """Whether an answer begins with a verdict, `Real.` or `Fake.`, which training teaches by the label. It is no part
    of the answer that is returned."""
    verdict_by: Literal["llm", "detector"] = "llm"
    """Who sets that verdict when judging: the LLM writes it, or it is the detector's (P(fake) at 0.5) and the LLM goes
    on from there."""
    folds: int = Field(default=0, ge=0, le=20)
    """Stage `detector` also trains this many networks, each without some people of the training split. What they say of
    these people is the P(fake) that `align` and `tune` learn with, and it is scaled to be a probability (Platt 1999).
    0: the detector's own P(fake) of images that it has learned."""
    generation: GenerationSettings = GenerationSettings()
    platt: Platt | None = None
    """(a, b): P(fake) is sigmoid(a · logit + b); set by a training with `folds`."""
    stage: Literal["", "align", "tune", "merged"] = ""
    """The last stage that was trained; set by training and merging."""
    adapter: str | None = None
    """Folder of LoRA adapters, relative to the card; for stage `tune`, until they are merged."""
    learned_with: str = ""
    """Fingerprint of the LLM that projectors and adapters were trained with."""

    @model_validator(mode="after")
    def _begins(self) -> ExplainerOptions:
        if self.region_tokens and not self.forgery_grid:
            raise ValueError("region_tokens are forgery tokens, and forgery_grid 0 means that there are none")
        if self.folds == 1:
            raise ValueError("folds 1 would leave no person to learn from: give 2 or more, or 0 for none")
        if self.verdict_by == "detector" and not self.verdict_first:
            raise ValueError("verdict_by `detector` sets the verdict that an answer begins with: set verdict_first")
        return self

    def identity(self) -> str:
        """Return the options that decide a trained explainer's answers, besides LLM and weights; see `PaperOptions`."""
        later = _at_default(self, ("visual_init", "visual_norm", "verdict_by", "folds", "platt", *CHOICES))
        generation = {"batch_size": True, **self.generation.undecided()}
        return self.model_dump_json(exclude={"llm": {"name"}, "generation": generation, **later})

    @property
    def own_slots(self) -> tuple[str, ...]:
        """The slots of one token each that a prompt may have."""
        return REGIONS if self.region_tokens else ()

    def before(self, question: str, fake: float) -> str:
        """Return what the prompt says before a question about an image with this P(fake)."""
        regions = "".join(f"<{name}>" for name in regions_of(question)) if self.region_tokens else ""
        return "\n".join(filter(None, (in_words(fake) if self.verdict_words else "", regions)))

    @property
    def normalises(self) -> bool:
        """Whether patches are normalised before the visual projector."""
        return self.visual_init is None if self.visual_norm is None else self.visual_norm


def _at_default(settings: Settings, names: Sequence[str]) -> dict[str, bool]:
    """Return those of `names` that have their defaults, each with True, as pydantic's `exclude` takes them."""
    fields = type(settings).model_fields
    return {name: True for name in names if getattr(settings, name) == fields[name].default}


def explainer_options(card: DetectorCard) -> ExplainerOptions:
    """Return the card's explainer options, checked. Raises DetectorError for a card without them."""
    if KEY not in card.options:
        raise DetectorError(
            f"detector '{card.name}' has no options.{KEY}: name the LLM there, such as "
            f"`{KEY}: {{llm: {{name: lmsys/vicuna-7b-v1.5}}}}`"
        )
    return validate(ExplainerOptions, card.options[KEY], f"options.{KEY} of detector '{card.name}'")


def without_explainer(card: DetectorCard) -> DetectorCard:
    """Return the card with only the options of its detector."""
    return card.model_copy(update={"options": {key: value for key, value in card.options.items() if key != KEY}})


def absolute(source: LanguageSource, folder: Path) -> LanguageSource:
    """Return the source with a local folder as an absolute path, so that a card elsewhere can name it."""
    local = folder / Path(source.name).expanduser()
    return source.model_copy(update={"name": str(local.resolve())}) if local.exists() else source


def check_input(card: DetectorCard, settings: VisionSettings | None) -> None:
    """Raise DetectorError unless the card's images have the size of CLIP's position embeddings, where it reads them."""
    if settings is not None and card.input.size != settings.image_size:
        raise DetectorError(
            f"detector '{card.name}': its input has {card.input.size} pixels but its CLIP needs "
            f"{settings.image_size}: set input.size"
        )


def check_language(options: ExplainerOptions, found: str, card: DetectorCard) -> None:
    """Raise DetectorError if projectors or adapters were trained with another LLM than the card's."""
    if options.learned_with and options.learned_with != found:
        what = "its adapter is" if options.adapter else "its projectors are"
        raise DetectorError(
            f"detector '{card.name}': {what} for an LLM with fingerprint {options.learned_with}, but "
            f"'{options.llm.name}' has {found}: name the LLM of the training"
        )
