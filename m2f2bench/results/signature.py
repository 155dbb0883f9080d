"""The line that says how a number was measured.

The fields of `MEASURE` say what was measured on what; those of `DETECTOR` say by what. Two numbers are comparable
only when they agree on all of `MEASURE`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..cards.models import ExplanationCard, ProtocolCard
from ..cards.protocols import Bootstrap
from ..core.answers import Answers
from ..core.installed import installed_versions
from ..core.rows import Rows
from ..core.text import in_utf8
from ..version import ANSWERS, DETECTION, __version__

MEASURE = (
    *("data", "split", "hash", "n", "level", "frames", "faces", "agg", "thr"),
    # Of answers to questions, instead of the five before:
    *("ask", "refs", "tok", "cider", "bert", "verdict", "altered"),
    "own",  # where a protocol has metrics of the user's
    *("missing", "ci", "limit", "v"),
)
DETECTOR = ("det", "weights", "prep", "prec", "seed", "env", "cov")


def measure_fields(
    dataset: str,
    split: str,
    data_hash: str,
    n: int,
    protocol: ProtocolCard,
    limit: int | None,
    validation: str = "",
    drawn: str = "",
    pictures: str = "",
) -> dict[str, Any]:
    """The fields that must agree between comparable numbers.

    `n` counts the planned frames, `validation` is the hash of the data whose scores the threshold was picked on,
    `drawn` what the bootstrap really draws as one and `pictures` the hash of which faces share one; see `group_hash`.
    """
    threshold = str(protocol.threshold)
    return {
        "data": dataset,
        "split": split,
        "hash": data_hash,
        "n": n,
        "level": protocol.level,
        "frames": str(protocol.frames),
        "faces": f"{protocol.faces}@{pictures}" if pictures else protocol.faces,
        "agg": str(protocol.aggregation) if protocol.level == "video" else "none",
        "thr": f"{threshold}-{validation}" if validation else threshold,
        "missing": str(protocol.missing) if protocol.level == "video" else protocol.missing.frames,
        "ci": bootstrap_field(protocol.bootstrap, drawn),
        "limit": limit if limit is not None else "none",
        "v": DETECTION,
    } | _own_metrics(protocol)


def answer_fields(
    dataset: str,
    split: str,
    data_hash: str,
    n: int,
    protocol: ExplanationCard,
    limit: int | None,
    bert: str = "none",
    drawn: str = "",
    altered: str = "none",
) -> dict[str, Any]:
    """The same of answers to `n` questions. `bert` identifies BERTScore's network and `altered` the regions that are
    manipulated, where the protocol asks for them."""
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
        "altered": altered,
        "missing": protocol.missing,
        "ci": bootstrap_field(protocol.bootstrap, drawn),
        "limit": limit if limit is not None else "none",
        "v": ANSWERS,
    } | _own_metrics(protocol)


def _own_metrics(protocol: ProtocolCard | ExplanationCard) -> dict[str, str]:
    """The field `own`: each metric of the user's with its code's identity; nothing where there is none."""
    told = [f"{name}@{note.code}" for name, note in sorted(protocol.described.items())]
    return {"own": "+".join(told)} if told else {}


def bootstrap_field(bootstrap: Bootstrap, drawn: str = "") -> str:
    """The bootstrap as the signature has it: with `drawn`, what is really drawn as one instead of what is wanted."""
    if bootstrap.resamples == 0 or not drawn:
        return str(bootstrap)
    return f"{100 * bootstrap.level:g}%-{drawn}-{bootstrap.resamples}-seed{bootstrap.seed}"


def drawn_field(by: str, cluster: Iterable[int]) -> str:
    """What the bootstrap draws as one: `identity@<hash of who belongs together>`, `video@…`, or `frame`.

    `cluster` has a code for each row, in the order of the rows' ids.
    """
    return by if by == "frame" else f"{by}@{group_hash(cluster)}"


def group_hash(codes: Iterable[int]) -> str:
    """6 hex digits over a partition: which of the rows (in the order of their ids) belong together."""
    first: dict[int, int] = {}
    named = [first.setdefault(code, len(first)) for code in codes]
    return hashlib.sha256(np.array(named, dtype="<i8").tobytes()).hexdigest()[:6]


def detector_fields(
    name: str,
    weights: str,
    preprocessing: str = "none",
    precision: str = "fp32",
    seed: int | None = None,
    environment: str = "none",
) -> dict[str, Any]:
    """The fields that say by what a number was reached. `environment` is of device and versions, see `keys`."""
    return {
        "det": in_utf8(name),
        "weights": weights,
        "prep": preprocessing,
        "prec": precision,
        "seed": seed if seed is not None else "none",
        "env": environment,
    }


def coverage_text(frames: float, units: float) -> str:
    """The field `cov`: the shares of planned frames and of planned units that have a score, as `0.125/1`."""
    return "/".join(share(one) for one in (frames, units))


def share(value: float) -> str:
    """A share in [0, 1] to four digits; one below 1 is never rounded up to it."""
    text = f"{value:.4g}"
    return "0.9999" if text == "1" and value < 1.0 else text


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


def question_hash(answers: Answers, pixels: Mapping[str, str]) -> str:
    """12 hex digits over what was asked: each question's id, frame, method, label, kind, region, text, references, and
    the frame's pixel digest, `pixels` by frame id."""
    digest = hashlib.sha256()
    for i in np.argsort(answers.question, kind="stable"):
        parts = [getattr(answers, name)[i] for name in ("question", "frame", "method", "kind", "region", "asked")]
        parts += [str(answers.label[i]), pixels.get(answers.frame[i], ""), *answers.references[i]]
        digest.update("\x1f".join(parts).encode("utf-8", "surrogatepass") + b"\x1e")
    return digest.hexdigest()[:12]


def altered_hash(altered: Mapping[str, Iterable[str]], frames: Iterable[str]) -> str:
    """12 hex digits over which regions of these frames are known to be manipulated."""
    known = {frame: sorted(altered[frame]) for frame in frames if frame in altered}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]


def answers_hash(answers: Answers) -> str:
    """64 hex digits over the answers themselves, in the order of their questions' ids: ids, statuses, texts, scores."""
    digest = hashlib.sha256()
    for i in np.argsort(answers.question, kind="stable"):
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
    """Versions of what computes, for the result file; what is not installed is left out."""
    import platform

    names = ("numpy", "scikit-learn", "scipy", "pandas", "pillow", "h5py", "av", "torch", "torchvision", "timm")
    texts = ("pycocoevalcap", "bert-score", "nltk", "transformers", "peft")
    return {"python": platform.python_version(), "m2f2bench": __version__} | installed_versions((*names, *texts))
