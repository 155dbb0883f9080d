"""Settings on cards for input, augmentation and training: pydantic models, without torch."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Triple = tuple[float, float, float]

Precision = Literal["fp32", "bf16", "fp16"]
"""Of a training's arithmetic."""

SLOT = "{question}"
"""Placeholder for the dataset's question in a card's text."""


def _with_slot(text: str) -> str:
    if SLOT not in text:
        raise ValueError(f"it must contain {SLOT}, the placeholder for the dataset's question")
    return text


QuestionTemplate = Annotated[str, AfterValidator(_with_slot)]
"""The text that a model is asked: the dataset's question, with an instruction around it."""

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values cannot be changed."""

    # pydantic before 2.10 warns on stderr about every field whose name begins with model_.
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), defer_build=True)


class InputSettings(Settings):
    """How an image becomes the network's input: resized to `size`×`size`, /255, minus mean, over std (RGB).

    A `timm` card takes unset values from the network's own configuration; fit and crop only together with the size.
    """

    size: int = Field(default=224, ge=8, le=4096)
    """The side of the input in pixels."""
    fit: Literal["squash", "centre", "cut"] = "squash"
    """A picture that is not square is squashed (`squash`), or its shorter edge is resized and the centre cut out
    (`centre`, as in CLIP). `cut`: the centre is cut out and nothing is resized; a smaller picture is padded with
    black."""
    crop: float = Field(default=1.0, gt=0.0, le=1.0)
    """Below 1 the picture is resized to `size / crop` and the centre cut out."""
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = "bicubic"
    """How pixels are interpolated when an image is resized."""
    mean: Triple = IMAGENET_MEAN
    """What is subtracted from red, green and blue in [0, 1]; the default is ImageNet's."""
    std: Triple = IMAGENET_STD
    """What they are divided by then; the default is ImageNet's."""

    @model_validator(mode="after")
    def _cut_is_not_resized(self) -> InputSettings:
        if self.fit == "cut" and self.crop != 1.0:
            raise ValueError("crop resizes a picture, and fit `cut` does not: remove one of them")
        return self

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width to which a picture is resized before its centre is cut out; both rounded down."""
        if self.fit == "cut":
            return height, width
        whole = math.floor(self.size / self.crop)
        if self.fit == "squash":
            return whole, whole
        return whole * height // min(height, width), whole * width // min(height, width)

    def __str__(self) -> str:
        def numbers(values: Triple) -> str:
            return ",".join(f"{v:g}" for v in values)

        fit = ("" if self.fit == "squash" else f"-{self.fit}") + ("" if self.crop == 1.0 else f"-crop{self.crop:g}")
        return f"{self.size}px{fit}-{self.interpolation}-mean{numbers(self.mean)}-std{numbers(self.std)}"


class AugmentationSettings(Settings):
    """Training augmentation; all random draws depend on (seed, epoch, frame), so that a resumed run repeats them.

    Each `*_p` is the probability that the step is applied to an image; the ranges are uniform.
    """

    flip_p: Probability = 0.5
    """Mirror image."""
    crop: tuple[float, float] = (1.0, 1.0)
    """Side of a random square crop, as a share of the image's."""
    rescale_p: Probability = 0.0
    """Lower resolution: `rescale_px`."""
    rescale_px: tuple[int, int] = (120, 220)
    """The image is reduced to this many pixels and enlarged again: lost resolution."""
    blur_p: Probability = 0.0
    """Blur: `blur_sigma`."""
    blur_sigma: tuple[float, float] = (0.0, 3.0)
    """Gaussian blur, standard deviation in pixels."""
    colour_p: Probability = 0.0
    """Other colours: `colour`."""
    colour: float = Field(default=0.2, ge=0.0, le=1.0)
    """Brightness, contrast and saturation are each multiplied by 1 ± this."""
    jpeg_p: Probability = 0.0
    """JPEG compression: `jpeg_quality`."""
    jpeg_quality: tuple[int, int] = (30, 100)
    """Range of the JPEG quality."""
    rotate_p: Probability = 0.0
    """Rotation: `rotate`."""
    rotate: float = Field(default=10.0, ge=0.0, le=180.0)
    """The picture is turned about its middle by ± this many degrees; what comes in from outside is its mirror image."""
    shift_p: Probability = 0.0
    """Shifted colours: `shift`."""
    shift: float = Field(default=20.0, ge=0.0, le=255.0)
    """A number of ± this many grey levels is added to each of red, green and blue."""
    hue_p: Probability = 0.0
    """Other hue, saturation and value: `hue`."""
    hue: float = Field(default=0.3, ge=0.0, le=1.0)
    """Saturation and value are each multiplied by 1 ± this, and the hue is turned by ± this × 20 degrees."""
    erase_p: Probability = 0.0
    """A rectangle is made grey: `erase`."""
    erase: tuple[Annotated[float, Field(gt=0.0, le=1.0)], Annotated[float, Field(gt=0.0, le=1.0)]] = (0.02, 0.33)
    """Its share of the area; its height over its width is between 0.3 and 3.3 (Zhong et al., AAAI 2020)."""


LossName = Literal[
    "cross-entropy", "core", "recce", "gend", "am-softmax", "effort", "forada", "forgery-map", "lsda", "ucf"
]


class LossSettings(Settings):
    """What a training minimises: a loss, the form of it, and the weights of its terms."""

    name: LossName = "cross-entropy"
    """Cross-entropy of real and fake, or the loss of a method, which its network must have the outputs for."""
    variant: Literal["paper", "deepfakebench", "own"] = "paper"
    """`paper`: as the paper has it; `deepfakebench`: as DeepfakeBench's code (Effort, ForAda: the authors'); `own`: as
    in no paper."""
    weights: dict[str, Annotated[float, Field(ge=0.0)]] = {}
    """Weights of single terms, by name; the others have the method's own."""
    masks: Literal["required", "optional"] = "required"
    """A loss that needs masks of the manipulated pixels refuses a dataset that has none, or gives way to plain
    cross-entropy there, which the training's report says (`optional`)."""

    def content(self) -> dict[str, Any]:
        """Return the settings as JSON values, without later additions that are at their defaults."""
        return _without(self, {"masks"})


class SourceSettings(Settings):
    """A source that makes training images from the dataset's frames."""

    name: str
    """Which source."""
    options: dict[str, Any] = {}
    """Its options."""
    validate_on: Literal["source", "dataset"] = "source"
    """The epoch is chosen by what the source makes of the validation frames, or by these frames themselves, with the
    dataset's own fakes."""


class TrainingSettings(Settings):
    """How a trainable detector is fitted. A backend that does not use a setting ignores it with a warning."""

    epochs: int = Field(default=8, ge=1)
    """Passes over the training frames."""
    batch_size: int = Field(default=32, ge=2)
    """Images per optimiser step over all processes; see `classes`."""
    classes: Literal["balanced", "natural"] = "balanced"
    """Batches hold as many reals as fakes, or both as often as there are (`natural`)."""
    accumulation: int = Field(default=1, ge=1)
    """A step's batch is processed in this many parts."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Of PyTorch's optimisers."""
    lr: float = Field(default=1e-3, gt=0.0)
    """The highest learning rate."""
    lr_of: dict[str, Annotated[float, Field(gt=0.0)]] = {}
    """Learning rates of single parameters: a pattern of their names (`*scale`) to a rate; all others have `lr`."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """With adam and sgd the factor of an L2 penalty, with adamw of decoupled decay."""
    decay: Literal["matrices", "all"] = "matrices"
    """The decayed weights: matrices and kernels (not biases, norms and scales), or all trained weights."""
    warmup_epochs: float = Field(default=1.0, ge=0.0)
    """Linear warm-up; after it the schedule."""
    schedule: Literal["cosine", "linear", "plateau"] = "cosine"
    """Half a cosine down to zero; constant, and over the last quarter of the training linearly down to zero (`linear`);
    or constant until the validation loss stops falling, then reduced (`plateau`)."""
    plateau_factor: float = Field(default=0.4, gt=0.0, lt=1.0)
    """The plateau schedule multiplies all learning rates by this factor."""
    plateau_patience: int = Field(default=6, ge=0)
    """After more than this many validations in a row without an improvement, the rates are reduced."""
    plateau_cooldown: int = Field(default=0, ge=0)
    """After a reduction this many validations are not counted as being without one."""
    stop_after: int | None = Field(default=None, ge=1)
    """The training ends early after this many validations in a row without an improvement; None for never."""
    validate_steps: int | None = Field(default=None, ge=1)
    """Validate each time after this many steps, and after the last one; None: after each epoch."""
    val_frames: int | None = Field(default=None, ge=2)
    """A sample of this many validation frames is judged, the same one each time and in every training; None: all."""
    ties: Literal["first", "loss"] = "first"
    """Of validations with the same AUC the first is chosen, or that with the lowest loss."""
    clip_grad_norm: float | None = Field(default=None, gt=0.0)
    """Gradients are scaled down to this norm; None: never."""
    precision: Precision = "fp32"
    """fp32, or mixed precision by autocast."""
    deterministic: bool = True
    """On a GPU by algorithms that give the same bits in every training; false: by those that are fastest there."""
    compile: bool = False
    """The network is compiled by `torch.compile`: faster steps after minutes of compiling; results move by rounding."""
    channels_last: bool = True
    """A network of images learns in channels-last memory, as PyTorch advises; else by channels, and results move by
    rounding."""
    val_fraction: float = Field(default=0.15, gt=0.0, lt=1.0)
    """Share of the training identities held out for validation, if the dataset has no `val` split."""
    frames_per_video: int | None = Field(default=None, ge=1)
    """Frames per video for training, sampled uniformly; None for all."""
    sampling: Literal["frame", "video"] = "frame"
    """An epoch is made of all these frames, or of one of every video, which each epoch draws anew (`video`)."""
    epoch_images: int | None = Field(default=None, ge=2)
    """An epoch ends after this many images, of which each epoch draws others; None: about as many as there are."""
    seed: int = 0
    """Of initial weights, order and augmentation."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Processes that read and augment images ahead; `auto`: on a GPU one for each core but one, at most 16; on a CPU
    none. They decide nothing of what is learned."""
    resize: Literal["workers", "device"] = "workers"
    """Pictures are resized to the network's input by the processes that read them, as when judging, or by the device,
    with the same arithmetic."""
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Also write a checkpoint each time after this many steps, not only after each epoch."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """Random changes of the training images."""
    loss: LossSettings = LossSettings()
    """What is minimised."""
    views: int = Field(default=1, ge=1, le=8)
    """Augmented views of each image of a batch, drawn independently (2 for CORE); `batch_size` counts images."""
    train_on: Literal["all", "real"] = "all"
    """`real`: neither training nor validation sees a fake of the dataset; a `source` makes them."""
    source: SourceSettings | None = None
    """What makes samples from frames, such as self-blended images; None: the frames themselves."""
    freeze: tuple[str, ...] = ()
    """Patterns of names of parameters (`backbone.block1.*`) that training leaves as they are."""
    freeze_epochs: dict[str, Annotated[float, Field(gt=0.0)]] = {}
    """Patterns of names of parameters (`encoder.*`) to the number of first epochs in which they do not learn, and
    after which they have the warm-up for themselves; a submodule without other trained parameters is in eval mode as
    long."""
    ema: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Decay of a moving average of the weights, which is judged and written in their place; None: no average."""
    sam: float | None = Field(default=None, gt=0.0)
    """Radius of sharpness-aware minimisation: two passes a step; None: one pass."""

    @model_validator(mode="after")
    def _together(self) -> TrainingSettings:
        if self.train_on == "real" and self.source is None:
            raise ValueError("train_on `real` needs a `source` that makes fakes: name one, or train on all frames")
        if self.classes == "natural" and self.source is not None:
            raise ValueError("classes `natural` is not for a `source`, which makes a fake of each real")
        if self.sam is not None and self.precision == "fp16":
            raise ValueError("sam needs precision fp32 or bf16: with fp16 its two passes would have different scales")
        return self

    def content(self) -> dict[str, Any]:
        """Return the settings as JSON values, without later additions that are at their defaults.

        A hash over it stays the one of a training from before there were these.
        """
        later = {"epoch_images", "loss", "views", "train_on", "source", "freeze", "ema", "sam"}
        later |= {"classes", "plateau_cooldown", "validate_steps", "val_frames", "ties", "sampling", "freeze_epochs"}
        later |= {"deterministic", "compile", "channels_last", "resize"}
        found = _without(self, later) | {"workers": 0}  # which decide nothing
        steps = ("rotate", "shift", "hue", "erase")
        if "loss" in found:
            found["loss"] = self.loss.content()
        found["augmentation"] = _without(self.augmentation, {*steps, *(f"{one}_p" for one in steps)})
        return found


def _without(settings: Settings, later: set[str]) -> dict[str, Any]:
    """Return settings as JSON values, of those in `later` only what is not at its default."""
    kept = settings.model_dump(mode="json", exclude_defaults=True)
    return {
        name: value for name, value in settings.model_dump(mode="json").items() if name not in later or name in kept
    }


class LoraSettings(Settings):
    """Low-rank adapters on an LLM's linear layers (Hu et al. 2021, arXiv 2106.09685), by peft."""

    r: int = Field(default=128, ge=1)
    alpha: float = Field(default=256.0, gt=0.0)
    dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    targets: tuple[str, ...] = ()
    """Names of linear layers (`q_proj`); empty: all but the output layer."""


QuestionKind = Literal["judge", "blind", "released", "stated"]
"""Of a dataset's questions: real or fake?, neutral ones, M2F2-Det's own, those that state the label."""
TaughtAnswers = Literal["all", "first", "rows"]


class StageSettings(Settings):
    """A stage that learns from questions and answers: `align` (projectors only), `tune` (projectors and LoRA).

    The defaults are M2F2-Det's released recipe for `tune`.
    """

    questions: tuple[QuestionKind, ...] = Field(default=("blind",), min_length=1)
    """The kinds of questions: `judge` (real or fake?), `blind` (neutral), `released` (M2F2-Det's own), `stated` (the
    label is in the question: the released ones or, where these ask for a verdict alone, the neutral ones in the words
    of M2F2-Det's test questions, with the answers in theirs; as for DD-VQA)."""
    answers: TaughtAnswers | dict[QuestionKind, TaughtAnswers] = "all"
    """Each reference answer of a question is an example, or only the first; `rows`: as often as in the dataset's own
    training file, as M2F2-Det's 9,252 released judgements, which repeat the questions of an image. By kind of question:
    {released: first}; kinds that are not named have `all`."""
    epochs: float = Field(default=1.0, gt=0.0)
    max_steps: int | None = Field(default=None, ge=1)
    """The training ends after at most this many steps."""
    batch_size: int = Field(default=120, ge=1)
    """Examples per optimiser step over all processes."""
    accumulation: int = Field(default=1, ge=1)
    """A step's batch is processed in this many parts."""
    lr: float = Field(default=2e-5, gt=0.0)
    projector_lr: float | None = Field(default=None, gt=0.0)
    """Learning rate of the projectors; None for `lr`."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    warmup: float = Field(default=0.03, ge=0.0, lt=1.0)
    """Share of the steps with a linear warm-up; after it half a cosine down to zero."""
    clip_grad_norm: float | None = Field(default=1.0, gt=0.0)
    precision: Precision = "bf16"
    """fp32, or mixed precision by autocast."""
    deterministic: bool = True
    """On a GPU by algorithms that give the same bits in every training; false: by those that are fastest there."""
    gradient_checkpointing: bool = False
    """Less memory for more time: activations are computed again."""
    group_by_length: bool = True
    """A batch has examples of similar length, so that less of it is padding (as in LLaVA's recipe)."""
    group_by_image: bool = False
    """The examples about an image follow one another, in place of those of similar length, and what their prompts begin
    with is computed once for all that are in a part of a batch; `token_dropout` and `visual_dropout` then leave out
    the same for all of them. (Where the LLM's cache allows it; not with gradient_checkpointing, nor under FSDP.)"""
    projector_std: float | None = Field(default=None, gt=0.0)
    """Standard deviation of the projectors' first weights, which stage `align` draws from a normal distribution. None:
    that of each layer's inputs, scaled so that the tokens are as large as the LLM's word embeddings."""
    classes: Literal["balanced", "natural"] = "natural"
    """Examples about reals are as many as about fakes (`balanced`: the rarer ones are repeated), or as they are. Equal
    examples of a part of a batch are computed once, and count as often."""
    token_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of an image's cell tokens that is set to zero, drawn in each step; never the verdict's token."""
    visual_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of images whose visual tokens are all set to zero, drawn in each step: their answers rest on forgery tokens
    alone."""
    lora: LoraSettings = LoraSettings()
    """Settings of stage `tune`."""
    max_length: int | None = Field(default=None, ge=16)
    """Longest example in positions of the LLM; None for its context. Longer answers are cut, and counted."""
    val_examples: int = Field(default=256, ge=0)
    """Number of examples for the validation loss, spread evenly; 0 for no validation: people that would have to be held
    out of the training split for it are learned from, too."""
    validate_steps: int | None = Field(default=None, ge=1)
    """Also measure it each time after this many steps, not only before the first and after the last."""
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Write a checkpoint each time after this many steps; None for ten in a training."""
    seed: int = 0
    """Of first weights, order and dropout."""

    @model_validator(mode="after")
    def _answers_to_questions_asked(self) -> StageSettings:
        if not isinstance(self.answers, str) and (more := sorted(set(self.answers) - set(self.questions))):
            raise ValueError(f"answers: {', '.join(more)} is not among the questions, {', '.join(self.questions)}")
        return self

    def answers_to(self, kind: QuestionKind) -> TaughtAnswers:
        """Return which answers to questions of a kind are examples."""
        return self.answers if isinstance(self.answers, str) else self.answers.get(kind, "all")

    def content(self) -> dict[str, Any]:
        """Return the settings as JSON values, without later additions that are at their defaults."""
        return _without(self, {"classes", "token_dropout", "visual_dropout", "group_by_image", "deterministic"})
