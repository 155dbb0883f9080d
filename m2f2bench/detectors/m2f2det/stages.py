"""Language stages of M2F2-Det: `align` trains the projectors, `tune` the projectors and LoRA on the LLM."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...cards.models import DetectorCard, validate
from ...core.errors import DetectorError, FrameError
from ...core.places import without_folders
from ...core.records import Example, Frame
from ...core.tensors import write_tensors
from ...datasets.read_ahead import read_pixels
from ...training.device import make_accelerator, own_draws, send
from ...training.job import FitReport, TrainingJob, finished_report
from ...training.language import LanguageNetwork, fit_language
from ...training.processes import together
from ..base import trained_weights
from ..llm.cache import study
from ..llm.loss import answer_loss, beginnings
from ..llm.prompt import DEEPFAKE, IMAGE, OWN, Prompter, TokenizedExample, fitted, pad_right, splice
from ..llm.source import Language, language_fingerprint, open_language
from ..llm.verdict import with_verdict
from ..network import Normalise, resize
from . import lora
from .detector import open_paper, open_parts, variant_of
from .folds import EVIDENCE, Evidence, evidence_of
from .options import (
    CHOICES,
    KEY,
    ExplainerOptions,
    PaperOptions,
    absolute,
    check_language,
    explainer_options,
    without_explainer,
)
from .paper import PaperNetwork
from .projectors import PREFIX, DetectorTokens, Projectors, detector_tokens, new_projectors
from .regions import REGIONS
from .starting import draw, take_over, visual_place, word_means, word_size

STARTS = {"align": "", "tune": "align"}
"""Stage that each stage starts from; "" is `detector`."""
LENGTHS = 16
"""Batches are padded to a multiple of this, or to the longest allowed example: matrix libraries keep memory for every
length that occurs."""
EVIDENCE_BYTES = 2 << 30
"""Memory for the detector's tokens; those that do not fit are computed each time they are needed."""


class ExplainerModule(nn.Module):
    """Projectors and LLM as one network with a loss; the frozen detector's tokens are its input."""

    def __init__(
        self, llm: Any, projectors: Projectors, token_dropout: float = 0.0, visual_dropout: float = 0.0
    ) -> None:
        """`llm` is a causal LM of transformers, with or without LoRA.

        `token_dropout`: share of the cells' tokens that is set to zero in training, anew in each step;
        `visual_dropout`: of images all of whose visual tokens are.
        """
        super().__init__()
        self.llm, self.projectors = llm, projectors
        self.token_dropout, self.visual_dropout = token_dropout, visual_dropout

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        """Return the sum of the answers' losses and the number of their tokens, fp32 [2].

        `batch` has the tensors of `pad_right` and of `DetectorTokens`.
        """
        visual, forgery = self.projectors(*(batch[name] for name in DetectorTokens._fields))
        if self.token_dropout and self.projectors.training:
            kept = torch.rand(forgery.shape[:2], device=forgery.device) >= self.token_dropout
            kept[:, batch["cells"].shape[1] :] = True
            forgery = forgery * kept[..., None]
        if self.visual_dropout and self.projectors.training:
            visual = visual * (torch.rand((len(visual), 1, 1), device=visual.device) >= self.visual_dropout)
        words = self.llm.get_input_embeddings()(batch["ids"])
        inputs = splice(words, torch.cat([visual, forgery], dim=1), batch["places"])
        return answer_loss(self.llm, inputs, batch)

    def train_mode(self) -> None:
        """Put projectors and LoRA in train mode and the frozen LLM in eval mode: its dropout is never on."""
        self.eval()
        self.projectors.train()
        for name, module in self.llm.named_modules():
            if "lora_" in name:
                module.train()
            elif getattr(module, "gradient_checkpointing", False):
                module.training = True  # transformers checkpoints only then; the layers inside stay in eval mode


class FrozenDetector:
    """Frozen detector whose tokens of a training's images are computed once, if they fit into memory."""

    def __init__(
        self,
        network: nn.Module,
        card: DetectorCard,
        options: ExplainerOptions,
        device: torch.device,
        evidence: Evidence | None = None,
    ) -> None:
        """Put `network` on `device`, frozen and in eval mode.

        P(fake) is that of the `evidence`, where it knows a frame.
        """
        self.evidence = evidence
        self.network = network.eval().requires_grad_(False).to(device)
        self.settings, self.options, self.device = card.input, options, device
        self.normalise = Normalise(card.input)
        self._known: dict[str, DetectorTokens] = {}
        self._used = 0

    def __call__(self, frame: Frame, read: Callable[[Frame], Any]) -> DetectorTokens:
        """Return the tokens of one image, [1, ...] on the CPU. Raises FrameError.

        Images go through the detector one by one, so that the batch cannot change the result. On a GPU this costs
        little: the LLM takes far longer.
        """
        known = self._known.get(frame.id)
        if known is not None:
            return known
        image = resize(read_pixels(read, frame), self.settings)
        with torch.no_grad():
            pixels = self.normalise(send([image], self.device))
            seen = detector_tokens(self.network, pixels, self.options)
        found = DetectorTokens(*(part.cpu() for part in seen))
        fake = None if self.evidence is None else self.evidence.probability(frame)
        if fake is not None:
            found = found._replace(probabilities=torch.tensor([[1 - fake, fake]]))
        size = sum(part.nbytes for part in found)
        if self._used + size <= EVIDENCE_BYTES:
            self._used += size
            self._known[frame.id] = found
        return found


class Collator:
    """Makes batches for `ExplainerModule` from examples; notes what cannot be learned from and leaves it out."""

    def __init__(
        self,
        detector: FrozenDetector,
        prompter: Prompter,
        read: Callable[[Frame], Any],
        counts: tuple[int, int],
        longest: int,
        begins: bool = False,
    ) -> None:
        """`counts` are the tokens of `<image>` and `<deepfake>`, `longest` the most positions of an example.

        With `begins` a batch says which of its prompts begin alike.
        """
        self.detector, self.prompter, self.read, self.options = detector, prompter, read, detector.options
        self.counts, self.longest, self.begins = counts, longest, begins
        own = {OWN - number: 1 for number in range(len(self.options.own_slots))}
        self.slots = {IMAGE: counts[0], DEEPFAKE: counts[1], **own}
        self.left_out: dict[str, str] = {}
        """What was left out or has a shortened answer: `<frame>: <question>`, or the frame's id, to the reason."""

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Return the batch; it is empty if no example can be learned from.

        Equal examples are one row; `times`, int64 [B], says how many they are.
        """
        texts, found, images, often = [], [], [], []
        for example, times in Counter(examples).items():
            try:
                tokens = self.detector(example.frame, self.read)
            except FrameError as error:
                self.left_out[example.frame.id] = error.reason
                continue
            text = self._tokenized(example, float(tokens.probabilities[0, 1]))
            if text is not None:
                texts.append(text)
                found.append(tokens)
                images.append(example.frame.id)
                often.append(times)
        if not texts:
            return {}
        batch = DetectorTokens(*(torch.cat(part) for part in zip(*found, strict=True)))
        padded = pad_right(texts, *self.counts, multiple=LENGTHS, longest=self.longest)
        shared = beginnings(texts, images, self.slots) if self.begins else {}
        return {**padded, **shared, "times": torch.tensor(often), **batch._asdict()}

    def _tokenized(self, example: Example, fake: float) -> TokenizedExample | None:
        answer = with_verdict(example.answer, example.frame.label) if self.options.verdict_first else example.answer
        said = self.options.before(example.question, fake)
        whole = TokenizedExample(*self.prompter.example(example.question, answer, said))
        found = fitted(whole, self.slots, self.longest)
        if found is None or len(found.answer) < len(whole.answer):
            what = "left out: no answer fits" if found is None else "answer cut to fit"
            self.left_out[f"{example.frame.id}: {example.question}"] = f"{what} into {self.longest} positions"
        return found


def fit_stage(job: TrainingJob) -> FitReport:
    """Train stage `align` or `tune` of a job and write the weights, and for `tune` the LoRA weights, into its folder.

    Raises DetectorError if the detector that it starts from does not fit.
    """
    done = finished_report(job)
    if done is not None:
        return done
    assert job.language is not None
    accelerator = make_accelerator(job, job.language.settings.precision)  # knows this process's GPU
    with together():
        network = _network(job, accelerator)
    return fit_language(job, network, accelerator)


def _network(job: TrainingJob, accelerator: Any) -> LanguageNetwork:
    """Return the network to train and its data, on the process's device. Raises DetectorError."""
    assert job.language is not None
    device: torch.device = accelerator.device
    start, options = checked_start(job)
    settings = job.language.settings
    with own_draws():
        torch.manual_seed(settings.seed)
        source = options.llm.model_copy(update={"dtype": settings.precision})
        language = open_language(source, job.card.folder, device)
        network, projectors = _parts(job, start, options, language)
        if job.stage == "tune":
            language.model = lora.new_adapters(language.model, settings.lora, f"LLM '{language.name}'")
    if settings.gradient_checkpointing:
        language.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        language.model.enable_input_require_grads()
    projectors.requires_grad_(True)
    if job.stage == "align" and options.visual_init is not None:
        projectors.visual.requires_grad_(False)
    module = ExplainerModule(language.model, projectors, settings.token_dropout, settings.visual_dropout)
    examined = list({(one.frame.split, one.frame.id): one.frame for one in job.language.train}.values())
    evidence = evidence_of(start, options, examined)
    detector = FrozenDetector(network, job.card, options, device, evidence)
    prompter = Prompter(language.tokenizer, options.prompt, f"LLM '{language.name}'", options.own_slots)
    counts = token_counts(network, options)
    longest = min(settings.max_length or language.context, language.context)
    plain = not settings.gradient_checkpointing and str(accelerator.distributed_type.value) != "FSDP"
    begins = settings.group_by_image and plain and study(language.model, f"LLM '{language.name}'").joins
    collator = Collator(detector, prompter, job.read, counts, longest, begins)
    frozen = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    left = ((name, value) for name, value in projectors.named_parameters() if not value.requires_grad)
    frozen |= {PREFIX + name: value.detach().cpu().clone() for name, value in left}

    def write(out: Path, tensors: dict[str, torch.Tensor]) -> None:
        if evidence is not None:
            shutil.copyfile(start.folder / EVIDENCE, out / EVIDENCE)  # the next stage reads it, too
        if job.stage == "tune":
            lora.save(module.llm, {name.removeprefix("llm."): value for name, value in tensors.items()}, out)
        own = {name: value for name, value in tensors.items() if name.startswith(PREFIX)}
        write_tensors(out / "model.safetensors", {**frozen, **own}, {"stage": job.stage, "llm": language.fingerprint})

    return LanguageNetwork(
        module=module,
        collate=collator,
        train_mode=module.train_mode,
        left_out=collator.left_out,
        write=write,
        projectors=PREFIX,
        options={**without_explainer(start).options, KEY: trained_options(job, options, language)},
        notes=[
            f"{counts[0]} visual and {counts[1]} forgery tokens an image"
            + (", and one for each region that a question names" if options.region_tokens else "")
            + f"; LLM {without_folders(language.name)}"
        ],
    )


def trained_options(job: TrainingJob, options: ExplainerOptions, language: Language) -> dict[str, Any]:
    """Return the explainer's options for the card of the trained detector."""
    update = {
        "stage": job.stage,
        "llm": absolute(options.llm, job.card.folder),
        "learned_with": language.fingerprint,
        "visual_init": None,
        "visual_norm": None if options.normalises else False,
        "adapter": lora.ADAPTER if job.stage == "tune" else None,
    }
    return options.model_copy(update=update).model_dump(mode="json", exclude_defaults=True)


def checked_start(job: TrainingJob) -> tuple[DetectorCard, ExplainerOptions]:
    """Return the card that the stage starts from, and its own options, with the scaling of that card's P(fake).

    Raises DetectorError if they do not fit.
    """
    start, name = job.start, job.card.name
    assert start is not None
    if variant_of(without_explainer(start)) != "paper":
        raise DetectorError(
            f"detector '{start.name}': only the variant `paper` can be trained in stages, not published weights"
        )
    options = explainer_options(job.card)
    held = explainer_options(start) if KEY in start.options else None
    stage = held.stage if held is not None else ""
    if stage != STARTS[job.stage]:
        wanted = STARTS[job.stage] or "detector"
        raise DetectorError(
            f"'{start.folder}' holds stage `{stage or 'detector'}`, but stage `{job.stage}` starts from `{wanted}`: "
            "pass its folder with --from"
        )
    if start.input != job.card.input:
        raise DetectorError(f"'{start.folder}' was trained with input {start.input}, but '{name}' has {job.card.input}")
    _same_network(start, job.card)
    if job.stage == "tune" and held is not None:
        for key in ("prompt", "forgery_grid", "visual_pool", "normalises", *CHOICES):
            if getattr(held, key) != getattr(options, key):
                raise DetectorError(
                    f"'{start.folder}' was aligned with {key} {getattr(held, key)}, but '{name}' has "
                    f"{getattr(options, key)}: use the same value, or train stage `align` again"
                )
        found = language_fingerprint(options.llm, job.card.folder)
        check_language(held.model_copy(update={"llm": options.llm}), found, start)
    return start, options.model_copy(update={"platt": None if held is None else held.platt})


def _same_network(start: DetectorCard, card: DetectorCard) -> None:
    """Raise DetectorError if the card describes another detector than the trained one."""
    where = f"options of detector '{card.name}'"
    own = validate(PaperOptions, without_explainer(card).options, where)
    held = validate(PaperOptions, without_explainer(start).options, f"options in '{start.folder}'")
    for key in type(own).model_fields:
        mine, other = getattr(own, key), getattr(held, key)
        if key == "clip" and own.clip.name:  # training fills in its configuration
            mine, other = own.clip.name, held.clip.name
        if key != "cache_features" and mine != other:
            raise DetectorError(f"'{start.folder}' was trained with {key} {other}, but '{card.name}' has {mine}")


def _parts(
    job: TrainingJob, start: DetectorCard, options: ExplainerOptions, language: Language
) -> tuple[nn.Module, Projectors]:
    """Return the trained detector, and the projectors that the stage starts with. Raises DetectorError."""
    path = trained_weights(start)
    if job.stage == "align":
        assert job.language is not None
        network, _ = open_paper(without_explainer(start), path)
        projectors = new_projectors(network, options, language.width)
        std = job.language.settings.projector_std
        if std is None:
            # A question about a region and its token say the same word.
            names = word_means(language, REGIONS) if options.region_tokens else None
            draw(projectors, word_size(language.model), job.language.settings.seed, names)
        else:
            projectors.initialise(std)
        if options.visual_init is not None:
            take_over(projectors, visual_place(job.card, options), job.card.name)
        return network, projectors
    found, learned, _ = open_parts(start, options, path)
    assert isinstance(learned, Projectors)
    if learned.width != language.width:
        raise DetectorError(f"'{start.folder}': its projectors have width {learned.width}, the LLM {language.width}")
    return found, learned


def token_counts(network: nn.Module, options: ExplainerOptions) -> tuple[int, int]:
    """Return the numbers of tokens for `<image>` and for `<deepfake>`."""
    assert isinstance(network, PaperNetwork)
    pooled = -(-network.images.grid // options.visual_pool)
    return pooled * pooled, options.forgery_grid**2 + 1 if options.forgery_grid else 0
