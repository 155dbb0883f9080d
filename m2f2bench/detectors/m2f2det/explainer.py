"""Backend `m2f2det-explainer`: M2F2-Det with its LLM, which answers questions."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import nn

from ...cards.models import DetectorCard
from ...core.arithmetic import TF32
from ...core.errors import DetectorError
from ...core.records import Reply
from ...training.device import send
from ...training.job import FitReport, TrainingJob
from ..base import Explainer, file_fingerprint, text_fingerprint, trained_weights
from ..llm.generate import Generator, Request
from ..llm.prompt import DEEPFAKE, IMAGE, OWN, Elements, Prompter
from ..llm.sampling import answer_seed
from ..llm.source import Language, language_fingerprint, open_language
from ..llm.verdict import BEGINNINGS, verdict_of, without_verdict
from ..llm.vllm import VLLMWriter, open_words, place_of
from ..llm.writer import Slots, Writer
from ..weights.pretrained import resolved
from .detector import M2F2Detector, open_parts
from .folds import FOLDS, evidence_digest, learn_folds
from .lora import adapters_hash, merge_adapters, with_adapters
from .options import KEY, ExplainerOptions, absolute, check_language, explainer_options, without_explainer
from .projectors import Encoded, detector_tokens
from .starting import visual_key, visual_place

if TYPE_CHECKING:
    from ...core.records import Floats, Image

ENCODED_TOGETHER = 16
"""Images that the detector encodes at once."""


class M2F2Explainer(M2F2Detector, Explainer):
    """M2F2-Det with projectors and an LLM: P(fake), a heat map, and answers (arXiv 2503.20188, section 3.4).

    The LLM is loaded with the first question, so that a run only for P(fake) does not need it.
    """

    stages: ClassVar[tuple[str, ...]] = ("detector", "align", "tune")
    scores_with_answers = True
    explainer: ExplainerOptions
    projectors: nn.Module
    place: Path
    """The card's folder, to which the LLM's and the adapters' folders are relative."""
    _lock: threading.Lock
    _generator: tuple[Writer, Prompter] | None

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> M2F2Explainer:
        """Load detector and projectors; after stage `detector`, there is P(fake) but no answers.

        Raises DetectorError for a card without weights and weights that do not fit.
        """
        options, path = explainer_options(card), trained_weights(card)
        if options.stage == "":
            detector_only = super().from_card(without_explainer(card), device)
            assert isinstance(detector_only, M2F2Explainer)
            detector_only.explainer, detector_only.place = options, card.folder
            if options.platt is not None:
                detector_only._fingerprint = text_fingerprint(detector_only._fingerprint, repr(options.platt))
            return detector_only
        network, projectors, identity = open_parts(card, options, path)
        learned = language_fingerprint(options.llm, card.folder)
        check_language(options, learned, card)
        adapters = [adapters_hash(card.folder / options.adapter)] if options.adapter else []
        fingerprint = file_fingerprint(path, identity, str(card.input), options.identity(), learned, *adapters)
        explainer = cls(network, card.input, device, fingerprint)
        explainer.explainer, explainer.place, explainer.verdict_by = options, card.folder, options.verdict_by
        explainer.projectors = projectors.eval().requires_grad_(False).to(explainer.device)
        clip = "clip-bf16+" if card.options.get("clip_precision") == "bf16" else ""
        engine = "-vllm" if options.generation.engine == "vllm" else "-compiled" if options.generation.compile else ""
        explainer.parts = f"{clip}llm-{options.llm.quantise or explainer.llm_precision}{engine}"
        explainer.precision = explainer.parts
        explainer.seed = options.generation.seed if options.generation.temperature else None
        explainer._lock, explainer._generator = threading.Lock(), None
        return explainer

    @classmethod
    def fit(cls, job: TrainingJob) -> FitReport:
        """Train stage `detector` as the detector does, `align` and `tune` on questions and answers."""
        if job.stage == "detector":
            options = explainer_options(job.card)
            # The trained detector's card is in another folder.
            placed = options.model_copy(update={"llm": absolute(options.llm, job.card.folder)})
            plain = replace(job, card=without_explainer(job.card))
            if options.folds and not job.resume and (job.out / FOLDS).exists():
                raise DetectorError(
                    f"'{job.out}' holds a training that was cut off: add --resume, or give another --out"
                )
            report = super().fit(plain)
            if options.folds:
                folded = learn_folds(plain, super().fit, M2F2Detector, options.folds)
                placed = placed.model_copy(update={"platt": folded.platt})
                notes = [*report.notes, folded.note]
                report = replace(report, notes=notes, seconds=report.seconds + folded.seconds)
            return replace(report, options={**report.options, KEY: placed.model_dump(mode="json", exclude_unset=True)})
        from .stages import fit_stage

        return fit_stage(job)

    @classmethod
    def stage_card(cls, card: DetectorCard, stage: str) -> DetectorCard:
        """Return, for stage `detector`, the card of the detector alone, with the number of folds."""
        if stage != "detector":
            return card
        plain, folds = without_explainer(card), explainer_options(card).folds
        return plain.model_copy(update={"options": {**plain.options, KEY: {"folds": folds}}})

    @classmethod
    def identity(cls, card: DetectorCard, stage: str) -> str:
        """Return the LLM's fingerprint, for stages that use it, and for `align` that of a visual projector."""
        if stage == "detector":
            return ""
        options = explainer_options(card)
        found = language_fingerprint(options.llm, card.folder)
        if stage == "align" and options.visual_init is not None:
            found += visual_key(visual_place(card, options))
        return found

    @classmethod
    def folds(cls, card: DetectorCard, stage: str) -> int:
        """Return the card's number of folds, for stage `detector`."""
        return explainer_options(card).folds if stage == "detector" else 0

    @classmethod
    def start_identity(cls, start: DetectorCard) -> str:
        """Return a hash of the detector's evidence."""
        return evidence_digest(start)

    @classmethod
    def merge(cls, card: DetectorCard, out: Path, dtype: Literal["fp32", "bf16", "fp16"]) -> Path:
        """Merge adapters into the LLM; see `lora.merge_adapters`."""
        return merge_adapters(card, out, dtype)

    def probabilities(self, logits: Floats) -> Floats:
        """Return P(fake), float64 [B], of logits, scaled if the options say how."""
        if self.explainer.platt is None:
            return super().probabilities(logits)
        factor, shift = self.explainer.platt
        return super().probabilities(factor * logits + shift)

    @property
    def questions_at_once(self) -> int:  # type: ignore[override]
        """Enough questions to decode answers of similar length together."""
        return 4 * self.explainer.generation.batch_size

    def explain(self, images: Sequence[Image], questions: Sequence[str]) -> list[Reply]:
        """Return a reply for each pair; each image is encoded once.

        Raises DetectorError for an LLM that cannot be used, and if only stage `detector` is trained.
        """
        if self.explainer.stage == "":
            raise DetectorError(
                f"detector '{self.card.name}' cannot answer yet, only stage `detector` is trained: run `m2f2bench "
                f"train {self.place} --stage align --dataset S --out DIR`"
            )
        generator, _ = self.generator()
        requests, slots, scores = self.prompts(images, questions)
        shown = without_verdict if self.explainer.verdict_first and self.verdict_by == "llm" else str
        return [
            Reply(
                text=shown(one.text),
                message=one.message if one.text or one.tokens_out else "",
                score=scores[request.image],
                tokens_in=one.tokens_in,
                tokens_out=one.tokens_out,
                error=one.message if not one.text and one.tokens_out == 0 else "",
            )
            for request, one in zip(requests, generator.answer(requests, slots), strict=True)
        ]

    def prompts(self, images: Sequence[Image], questions: Sequence[str]) -> tuple[list[Request], Slots, list[float]]:
        """Return the prompts about pairs, what gives the images' tokens, and P(fake) of each distinct image.

        A prompt's `image` is the number of a distinct image, in the order of `images`.
        """
        writer, prompter = self.generator()
        settings = self.explainer.generation
        distinct = {id(image): image for image in images}
        numbers = {key: number for number, key in enumerate(distinct)}
        words = writer.language.model.get_input_embeddings().weight
        encoded = self.encode(list(distinct.values()), words.dtype)
        scores: list[float] = encoded.scores.tolist()
        requests = [
            Request(number, self._prompt(prompter, text, scores[number]), answer_seed(settings.seed, image, text))
            for number, image, text in zip([numbers[id(image)] for image in images], images, questions, strict=True)
        ]

        def slots(wanted: Sequence[int]) -> Mapping[int, torch.Tensor]:
            rows = list(wanted)
            shared = encoded.forgery.shape[1] - len(self.explainer.own_slots)
            found = {IMAGE: encoded.visual[rows], DEEPFAKE: encoded.forgery[rows, :shared]}
            own = range(len(self.explainer.own_slots))
            return found | {OWN - number: encoded.forgery[rows, shared + number, None] for number in own}

        return requests, slots, scores

    def _prompt(self, prompter: Prompter, question: str, fake: float) -> Elements:
        """Return the prompt for a question about an image with this P(fake)."""
        said = self.explainer.before(question, fake)
        return prompter.question(question, said, BEGINNINGS[verdict_of(fake)] if self.verdict_by == "detector" else "")

    def compute_in(self, precision: str) -> None:
        """See `Detector.compute_in`; an LLM that is not quantised computes so, too."""
        llm = self.explainer.llm
        if self.explainer.stage and precision != TF32 and not llm.quantise:
            self.explainer = self.explainer.model_copy(update={"llm": llm.model_copy(update={"dtype": precision})})
            self.parts = re.sub(r"llm-\w+", f"llm-{precision}", self.parts)
            with self._lock:
                self._generator = None  # the LLM is loaded anew
        super().compute_in(precision)

    def encode(self, images: Sequence[Image], dtype: torch.dtype = torch.float32) -> Encoded:
        """Return scores and the LLM's image tokens for RGB uint8 images [H, W, 3], on the device.

        `dtype` is the tokens', such as that of the LLM's words: of hundreds of images they are gigabytes.
        """
        parts = []
        with self.computing(), torch.inference_mode():
            for start in range(0, len(images), ENCODED_TOGETHER):
                batch = [self.prepare(image) for image in images[start : start + ENCODED_TOGETHER]]
                pixels = self.normalise(send(batch, self.device))
                tokens = detector_tokens(self.model, pixels, self.explainer)
                shown = (part.to(dtype) for part in self.projectors(*tokens))
                parts.append((tokens.probabilities[:, 1], *shown))
        return Encoded(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def generator(self) -> tuple[Writer, Prompter]:
        """Return what generates answers; loads the LLM the first time."""
        with self._lock:
            if self._generator is None:
                language, llm = self.language(), self.explainer.llm
                own = self.explainer.own_slots
                prompter = Prompter(language.tokenizer, self.explainer.prompt, f"LLM '{language.name}'", own)
                given = language, self.explainer.generation, prompter.ends, prompter.stops
                vllm = self.explainer.generation.engine == "vllm"
                place = place_of(llm, self.place) if vllm else ""
                self._generator = VLLMWriter(*given, place, self.llm_precision) if vllm else Generator(*given), prompter
            return self._generator

    @property
    def llm_precision(self) -> str:
        """What the LLM computes in: fp32, bf16 or fp16."""
        return resolved(self.explainer.llm.dtype, self.device)

    def language(self) -> Language:
        """Return the LLM, with its adapters if they are not merged. Raises DetectorError.

        Of an LLM that vLLM computes there are only the words' embeddings.
        """
        llm, adapter = self.explainer.llm, self.explainer.adapter
        if self.explainer.generation.engine == "vllm":
            if adapter:
                raise DetectorError(
                    f"detector '{self.card.name}': the engine vllm reads merged weights: run `m2f2bench merge "
                    f"{self.place} --out DIR`, and name that folder"
                )
            language = open_words(llm, self.place, self.llm_precision)
        else:
            language = open_language(llm, self.place, self.device)
        width = getattr(self.projectors, "width", language.width)
        if width != language.width:
            raise DetectorError(
                f"detector '{self.card.name}': its projectors are for an LLM of width {width}, but "
                f"'{language.name}' has {language.width}"
            )
        if adapter:
            language.model = with_adapters(language.model, self.place / adapter)
        return language
