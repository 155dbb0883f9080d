"""Which of several detectors is better, and is it more than noise: paired tests on the same frames, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from ..cards.models import DatasetCard, ExplanationCard, ProtocolCard
from ..core.errors import ScoreError, near
from ..loading import any_protocol, load_metrics
from ..metrics.detection.paired import Judged, Paired, unlike
from ..metrics.detection.tails import differences
from ..metrics.detection.values import all_metrics
from ..results.signature import DETECTOR, measure_signature, share, short
from ..results.stored import read_stored
from ..stats.bootstrap import resampling
from .answers import holds_answers
from .compare_answers import compare_drawn, load_drawn
from .comparison import Comparison, Pair, corrected, distinct_names, pairs_of, refuse_differing
from .detection import Evidence, load_evidence


def compare(
    *places: str | Path,
    protocol: str | ProtocolCard | ExplanationCard | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    columns: Mapping[str, str] | None = None,
    metrics: Sequence[str] = (),
    against: str = "",
) -> Comparison:
    """Paired tests between runs (folders that `run` wrote) or files of rows, all on the same frames (or questions).

    AUC: DeLong where units are independent, else the cluster bootstrap, as for all other metrics, in the same
    resamples for all detectors. Accuracy: McNemar. With more than two detectors Holm's correction goes over the pairs,
    for each metric apart. Raises ScoreError, naming the first field that differs, where protocol, data or coverage
    are not the same.
    """
    if len(places) < 2:
        raise ScoreError("a comparison takes two runs or files of rows at least")
    rules = protocol if protocol is None else any_protocol(protocol)
    metrics = load_metrics(metrics)
    if isinstance(rules, ExplanationCard) or (rules is None and holds_answers(places[0])):
        drawn = [load_drawn(p, protocol=rules, dataset=dataset, split=split, columns=columns) for p in places]
        names = distinct_names([one.result.detector for one in drawn], places)
        return compare_drawn(dict(zip(names, drawn, strict=True)), metrics, against)
    evidence = [load_evidence(p, protocol=rules, dataset=dataset, split=split, columns=columns) for p in places]
    names = distinct_names([own.detector for own in evidence], places)
    return compare_evidence(dict(zip(names, evidence, strict=True)), metrics, against)


def compare_evidence(evidence: Mapping[str, Evidence], metrics: Sequence[str] = (), against: str = "") -> Comparison:
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
    chosen = pairs_of(list(judged), against)
    tested = differences([Paired(judged[a], judged[b]) for a, b in chosen])
    found = [Pair(a, b, tuple(own)) for (a, b), own in zip(chosen, tested, strict=True)]
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
        pairs=corrected(found),
    )


def compare_folder(folder: str | Path, metrics: Sequence[str] = (), against: str = "") -> list[Comparison]:
    """Every set of comparable runs of two detectors or more in a folder that `run` wrote with --out."""
    root, metrics = Path(folder).expanduser(), load_metrics(metrics)
    groups: dict[str, list[Path]] = {}
    for stored in read_stored([root]):
        if stored.rows is not None or "task" in stored.result.protocol_card:
            key = measure_signature(stored.result.measured)
            groups.setdefault(key, []).append(stored.path)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        raise ScoreError(f"'{root}' holds no two runs on the same frames under the same protocol: nothing to compare")
    return [compare(*group, metrics=metrics, against=against) for group in several]


def refuse_incomparable(one: str, first: Evidence, other: str, second: Evidence) -> None:
    """Raise ScoreError unless both judged the same frames by the same rules, and these come to the same units."""
    try:
        refuse_differing(one, first.measured, other, second.measured)
    except ScoreError as error:
        raise ScoreError(f"{error}{_column(first, second)}") from None
    scored, also = first.rows.status == "ok", second.rows.status == "ok"
    rule = first.protocol.missing
    if not (scored == also).all() and "drop" in (rule.frames, rule.videos):
        only, lacking = int((scored & ~also).sum()), int((also & ~scored).sum())
        frame = first.rows.frame[scored != also][0]
        raise ScoreError(
            f"'{one}' and '{other}' cannot be compared, their coverage differs ({share(first.units.frame_coverage)} / "
            f"{share(second.units.frame_coverage)}): '{one}' alone has a score for {only} frames, '{other}' alone for "
            f"{lacking}, first '{frame}'; take a protocol that says what a missing frame counts (missing: half or "
            f"wrong)"
        )
    if told := unlike(first.units, second.units):
        raise ScoreError(f"'{one}' and '{other}' cannot be compared, they differ in {told}{_column(first, second)}")


def _column(first: Evidence, second: Evidence) -> str:
    """Which column of the same frames' rows is another one, and what mends it; empty where none is."""
    if not np.array_equal(first.rows.frame, second.rows.frame):
        return ""
    for name in ("identity", "picture"):
        mine, theirs = getattr(first.rows, name), getattr(second.rows, name)
        if len(differ := np.flatnonzero(mine != theirs)):
            at = differ[0]
            return (
                f"; column {name} is not the same in {len(differ)} of {len(mine)} frames, first "
                f"'{first.rows.frame[at]}' ({str(mine[at])!r} / {str(theirs[at])!r}); give the same {name} in both"
                f", or in neither"
            )
    return ""
