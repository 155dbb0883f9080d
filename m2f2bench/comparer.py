"""Which of several detectors is better, and is it more than noise: paired tests on the same frames, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from .cards import DatasetCard, ProtocolCard
from .errors import ScoreError, near
from .evidence import Evidence, load_evidence
from .results import read_stored
from .scorer import resampling
from .scoring.detection import all_metrics
from .scoring.paired import Difference, Judged, differences, holm
from .signature import DETECTOR, differing, measure_signature, short

FIELDS = {
    "data": "dataset",
    "split": "split",
    "hash": "data (frames, labels or pixels)",
    "n": "number of frames",
    "level": "level",
    "frames": "frames picked of a video",
    "faces": "faces of one picture",
    "agg": "aggregation",
    "thr": "threshold",
    "missing": "what a missing frame does",
    "ci": "bootstrap",
    "limit": "limit",
    "v": "version of m2f2bench",
}
"""The signature's fields in words."""


@dataclass(frozen=True)
class Pair:
    """Two detectors by name, and their differences."""

    first: str
    second: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Comparison:
    """Detectors on the same frames under the same protocol, in pairs. `signature` is what they share."""

    dataset: str
    split: str
    protocol: str
    signature: str
    detectors: dict[str, str]
    """Name → the detector's part of the signature."""
    metrics: tuple[str, ...]
    level: float
    oracle: bool
    clusters: dict[str, Any]
    pairs: tuple[Pair, ...]

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready dictionary; differences are flat, each with its pair's names."""
        flat = [
            {"first": pair.first, "second": pair.second} | {"metric": d.metric, "group": d.group or None}
            | {"values": [d.first, d.second], "difference": d.difference, "ci": list(d.ci) if d.ci else None}
            | {"p": d.p, "p_holm": d.holm, "test": d.test or None} | ({"counts": d.counts} if d.counts else {})
            for pair in self.pairs
            for d in pair.differences
        ]  # fmt: skip
        return {k: v for k, v in asdict(self).items() if k != "pairs"} | {"differences": flat}


def compare(
    *places: str | Path,
    protocol: str | ProtocolCard | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    columns: Mapping[str, str] | None = None,
    metrics: Sequence[str] = (),
) -> Comparison:
    """Paired tests between runs (folders that `run` wrote) or files of rows, all on the same frames.

    AUC: DeLong where units are independent, else the cluster bootstrap, as for all other metrics, in the same
    resamples for all detectors. Accuracy: McNemar. With more than two detectors Holm's correction goes over the pairs,
    for each metric apart. Raises ScoreError, naming the first field that differs, where protocol, data or coverage
    are not the same.
    """
    if len(places) < 2:
        raise ScoreError("a comparison takes two runs or files of rows at least")
    evidence = [
        load_evidence(place, protocol=protocol, dataset=dataset, split=split, columns=columns) for place in places
    ]
    return compare_evidence(dict(zip(distinct_names(evidence, places), evidence, strict=True)), metrics)


def compare_evidence(evidence: Mapping[str, Evidence], metrics: Sequence[str] = ()) -> Comparison:
    """The same from evidence by name; see `compare`."""
    for (one, first), (other, second) in combinations(evidence.items(), 2):
        refuse_incomparable(one, first, other, second)
    any_one = next(iter(evidence.values()))
    rules = resampling(any_one.protocol)
    shared = [m for m in any_one.protocol.metrics if all(m in e.protocol.metrics for e in evidence.values())]
    unknown = [m for m in metrics if m not in shared]
    if unknown:
        raise ScoreError(f"metric '{unknown[0]}' is not one of the protocol's{near(unknown[0], shared)}")
    names = all_metrics(list(metrics) or shared, any_one.cut)
    judged = {name: Judged(own.units, own.cut, names, rules) for name, own in evidence.items()}
    found = [Pair(one, other, tuple(differences(judged[one], judged[other]))) for one, other in combinations(judged, 2)]
    units = any_one.units
    return Comparison(
        dataset=str(any_one.measured["data"]),
        split=str(any_one.measured["split"]),
        protocol=any_one.protocol.name,
        signature=measure_signature(any_one.measured),
        detectors={name: short(own.measured, DETECTOR) for name, own in evidence.items()},
        metrics=tuple(names),
        level=rules.level,
        oracle=any_one.cut.oracle,
        clusters={"by": units.clustered_by, "n": units.n_clusters, "independent": units.independent},
        pairs=_corrected(found),
    )


def compare_folder(folder: str | Path, metrics: Sequence[str] = ()) -> list[Comparison]:
    """Every set of comparable runs of two detectors or more in a folder that `run` wrote with --out."""
    root = Path(folder).expanduser()
    runs = [stored.path for stored in read_stored([root]) if stored.rows is not None]
    groups: dict[str, list[Path]] = {}
    found = {run: load_evidence(run) for run in runs}
    for run, evidence in found.items():
        groups.setdefault(measure_signature(evidence.measured), []).append(run)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        raise ScoreError(f"'{root}' holds no two runs on the same frames under the same protocol: nothing to compare")
    return [
        compare_evidence(
            dict(zip(distinct_names([found[r] for r in group], group), (found[r] for r in group), strict=True)), metrics
        )
        for group in several
    ]


def distinct_names(evidence: Sequence[Evidence], places: Sequence[str | Path]) -> list[str]:
    """Each one's detector; where two share a name, their places."""
    names = [own.detector for own in evidence]
    named = [str(place) if names.count(name) > 1 else name for name, place in zip(names, places, strict=True)]
    if len(set(named)) < len(named):
        raise ScoreError(f"'{next(n for n in named if named.count(n) > 1)}' is given twice: name each run once")
    return named


def refuse_incomparable(one: str, first: Evidence, other: str, second: Evidence) -> None:
    """Raise ScoreError unless both judged the same frames by the same rules."""
    fields = differing(first.measured, second.measured)
    if fields:
        told = [f"{FIELDS[k]} ({k}: {first.measured.get(k)} / {second.measured.get(k)})" for k in fields]
        raise ScoreError(
            f"'{one}' and '{other}' cannot be compared, they differ in {', '.join(told)}: "
            f"judge both under one protocol on the same data"
        )
    scored, also = first.rows.status == "ok", second.rows.status == "ok"
    rule = first.protocol.missing
    if (scored == also).all() or "drop" not in (rule.frames, rule.videos):
        return
    only, lacking = int((scored & ~also).sum()), int((also & ~scored).sum())
    frame = first.rows.frame[scored != also][0]
    raise ScoreError(
        f"'{one}' and '{other}' cannot be compared, their coverage differs ({first.units.coverage:.4g} / "
        f"{second.units.coverage:.4g}): '{one}' alone has a score for {only} frames, '{other}' alone for {lacking}, "
        f"first '{frame}'; take a protocol that says what a missing frame counts (missing: half or wrong)"
    )


def _corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """With Holm's correction over the pairs, for each metric and group apart."""
    adjusted: dict[tuple[str, str], list[float | None]] = {}
    for pair in pairs:
        for d in pair.differences:
            adjusted.setdefault((d.group, d.metric), []).append(d.p)
    queues = {key: iter(holm(ps)) for key, ps in adjusted.items()}
    return tuple(
        replace(pair, differences=tuple(replace(d, holm=next(queues[d.group, d.metric])) for d in pair.differences))
        for pair in pairs
    )
