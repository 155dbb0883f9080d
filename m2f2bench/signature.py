"""The line that says how a number was measured.

The fields of `MEASURE` say what was measured on what; those of `DETECTOR` say by what. Two numbers are comparable
only when they agree on all of `MEASURE`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from .cards import DatasetCard, ExplanationCard, ProtocolCard
from .scoring.answers import Answers
from .scoring.rows import Rows
from .version import __version__

if TYPE_CHECKING:
    from .backends.base import Detector

MEASURE = (
    *("data", "split", "hash", "n", "level", "frames", "faces", "agg", "thr"),
    *("ask", "refs", "tok", "cider", "bert", "verdict"),  # of answers to questions, instead of the five before
    *("missing", "ci", "limit", "v"),
)
DETECTOR = ("det", "weights", "prep", "prec", "seed", "cov")


def measure_fields(
    dataset: str, split: str, data_hash: str, n: int, protocol: ProtocolCard, limit: int | None, validation: str = ""
) -> dict[str, Any]:
    """The fields that must agree between comparable numbers.

    `n` counts the planned frames, `validation` is the hash of the data whose scores the threshold was picked on.
    """
    threshold = str(protocol.threshold)
    return {
        "data": dataset,
        "split": split,
        "hash": data_hash,
        "n": n,
        "level": protocol.level,
        "frames": str(protocol.frames),
        "faces": protocol.faces,
        "agg": str(protocol.aggregation) if protocol.level == "video" else "none",
        "thr": f"{threshold}-{validation}" if validation else threshold,
        "missing": str(protocol.missing) if protocol.level == "video" else protocol.missing.frames,
        "ci": str(protocol.bootstrap),
        "limit": limit if limit is not None else "none",
        "v": __version__,
    }


def answer_fields(
    dataset: str, split: str, data_hash: str, n: int, protocol: ExplanationCard, limit: int | None, bert: str = "none"
) -> dict[str, Any]:
    """The same of answers to `n` questions. `bert` identifies BERTScore's network, where the protocol asks for it."""
    return {
        "data": dataset,
        "split": split,
        "hash": data_hash,
        "n": n,
        "ask": "+".join(protocol.questions),
        "refs": protocol.references,
        "tok": protocol.tokenizer,
        "cider": f"{protocol.cider_df}-df",
        "bert": bert,
        "verdict": protocol.verdict,
        "missing": protocol.missing,
        "ci": str(protocol.bootstrap),
        "limit": limit if limit is not None else "none",
        "v": __version__,
    }


def detector_fields(
    name: str, weights: str, preprocessing: str = "none", precision: str = "fp32", seed: int | None = None
) -> dict[str, Any]:
    """The fields that say by what a number was reached."""
    return {
        "det": name,
        "weights": weights,
        "prep": preprocessing,
        "prec": precision,
        "seed": seed if seed is not None else "none",
    }


def coverage_text(frames: float, units: float) -> str:
    """The field `cov`: the shares of planned frames and of planned units that have a score, as `0.125/1`."""
    return "/".join(share(one) for one in (frames, units))


def share(value: float) -> str:
    """A share in [0, 1] to four digits; one below 1 is never rounded up to it."""
    text = f"{value:.4g}"
    return "0.9999" if text == "1" and value < 1.0 else text


def detector_signature(detector: Detector) -> dict[str, Any]:
    """The same of a detector that is loaded."""
    card, seed = detector.card, detector.seed
    if seed is None and card.weights is not None and card.training is not None:
        seed = card.training.seed
    return detector_fields(card.name, detector.fingerprint(), detector.preprocessing, detector.precision, seed)


def run_key(detector: Detector, dataset: DatasetCard) -> str:
    """What decides a frame's score: two runs of one key may share rows."""
    place = dataset.model_dump(mode="json", include={"name", "adapter", "options"})
    parts = [detector.card.name, detector.fingerprint(), detector.preprocessing, detector.precision, place]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def short(fields: Mapping[str, Any], keys: Iterable[str] = (*MEASURE, *DETECTOR)) -> str:
    """`key:value|key:value…` in the fixed order, for the keys that are there."""
    return "|".join(f"{key}:{fields[key]}" for key in keys if key in fields)


def measure_signature(fields: Mapping[str, Any]) -> str:
    """The short form without the detector: equal for numbers that may stand in one column."""
    return short(fields, MEASURE)


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """The keys of `MEASURE` on which two results differ; empty where they are comparable."""
    return [key for key in MEASURE if first.get(key) != second.get(key)]


def place_of(dataset: str, split: str) -> str:
    """A dataset's name as it is printed, with its split where that is not the test split."""
    return dataset if split in ("test", "none") else f"{dataset}@{split}"


def data_hash(rows: Rows) -> str:
    """12 hex digits over what was judged: each frame's id, video, method, label and pixel digest, in id order.

    A frame that could not be decoded has no digest; its id is in the hash all the same.
    """
    rows = rows.ordered()
    digest = hashlib.sha256(rows.label.astype("<i8").tobytes())
    for column in (rows.frame, rows.video, rows.method, rows.digest):
        digest.update("\x1f".join(column.tolist()).encode() + b"\x1e")
    return digest.hexdigest()[:12]


def question_hash(answers: Answers) -> str:
    """12 hex digits over what was asked: each question's id, frame, method, label, kind, region, text, references."""
    digest = hashlib.sha256()
    for i in np.argsort(answers.question.astype(str), kind="stable"):
        parts = [getattr(answers, name)[i] for name in ("question", "frame", "method", "kind", "region", "asked")]
        parts += [str(answers.label[i]), *answers.references[i]]
        digest.update("\x1f".join(parts).encode("utf-8", "surrogatepass") + b"\x1e")
    return digest.hexdigest()[:12]


def answers_hash(answers: Answers) -> str:
    """64 hex digits over the answers themselves, in the order of their questions' ids: ids, statuses, texts, scores."""
    digest = hashlib.sha256()
    for i in np.argsort(answers.question.astype(str), kind="stable"):
        parts = [answers.question[i], answers.status[i], answers.text[i], repr(float(answers.score[i]))]
        digest.update("\x1f".join(parts).encode("utf-8", "surrogatepass") + b"\x1e")
    return digest.hexdigest()


def rows_hash(rows: Rows) -> str:
    """64 hex digits over the predictions themselves, in id order: ids, labels, statuses, scores and groups."""
    rows = rows.ordered()
    digest = hashlib.sha256(rows.label.astype("<i8").tobytes())
    digest.update(np.where(rows.status == "ok", rows.score, -1.0).astype("<f8").tobytes())
    for column in (rows.frame, rows.video, rows.method, rows.identity, rows.status, rows.digest):
        digest.update("\x1f".join(column.tolist()).encode() + b"\x1e")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what decodes, predicts and computes, for the result file; what is not installed is left out."""
    import platform

    names = ("numpy", "scikit-learn", "scipy", "pandas", "pillow", "h5py", "av", "torch", "timm")
    texts = ("pycocoevalcap", "bert-score", "nltk", "transformers", "peft")
    found = {"python": platform.python_version(), "m2f2bench": __version__}
    for name in (*names, *texts):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
