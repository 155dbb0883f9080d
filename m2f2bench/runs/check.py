"""Regression checks: whether a detector has become worse than a stored result by more than noise."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..cards.folders import EXPLANATION, HEATMAPS
from ..cards.models import HeatMapCard, ProtocolCard
from ..cards.registry import is_file_reference
from ..core.arguments import checked
from ..core.errors import CardError, DataError, ScoreError, near
from ..core.files import user_path
from ..core.records import Score
from ..core.text import quoted
from ..faces.crops import CropCard
from ..faces.find import DEFAULT as FINDER
from ..faces.find import FaceFinder
from ..faces.wanted import LARGEST, Wanted, of_signature
from ..loading import load_metrics, measured_dataset, registered
from ..metrics.detection.clusters import few_clusters
from ..metrics.detection.margins import wanted_margin
from ..metrics.detection.paired import Difference, Judged, Paired, corrected, p_text
from ..metrics.detection.tails import differences
from ..metrics.names import AT_HALF, OVERALL
from ..metrics.registry import metric_of
from ..results.result import Result
from ..results.signature import DETECTOR, MAP, differing, share
from ..results.stored import ResampledResult, Stored, read_stored, stored_card
from ..scoring.compare_answers import DrawnPair
from ..scoring.compare_rows import refuse_incomparable
from ..scoring.comparison import FIELDS
from ..scoring.detection import ScoredRows, described_clusters, load_rows, score_rows
from ..scoring.heatmaps import load_maps, resampled_maps
from .check_report import Checked, CheckReport, Checks
from .run import run

ALPHA = 0.05


@checked
def check(
    baseline: str | Path,
    *,
    detector: Any = None,
    run_folder: str | Path | None = None,
    dataset: Any = None,
    out: str | Path | None = None,
    metrics: Sequence[str] = (),
    chance: float = ALPHA,
    tolerance: float = 0.0,
    margin: float | None = None,
    device: str = "auto",
    crop: str | Path | CropCard | None = None,
    finder: str | FaceFinder = FINDER,
    faces: str = LARGEST,
) -> Checks:
    """Judge again what a stored result judged, and test each metric for a fall by more than noise.

    `baseline` is a result file, a run's folder, or a folder of either (a report for each). The detector (default: the
    one that the result names) is run under the baseline's protocol, dataset, split and limit, or `run_folder` is used
    as that run. If the baseline's rows are next to it, a metric fails if a paired test finds that it fell: a detector
    that is unchanged fails in at most `chance` of all checks (all metrics together, Holm). Without rows a metric fails
    below the baseline's interval. A fall of at most `tolerance` never fails.

    With a `margin`, above 0 and below 1, the burden of proof is turned round: the check passes only if a one-sided test
    at `chance` rules out, for every metric (default: the protocol's primary one alone), that it fell by the margin or
    more. A detector that is worse by the margin passes in at most `chance` of all checks. It needs the baseline's rows.

    Lower coverage, of units or of frames,
    fails, and so does a check in which no metric can be tested. If data or protocol differ, nothing can be compared,
    which is reported as a problem. `crop`, `finder` and `faces` are as in `run`, by default the baseline's. Raises
    M2F2BenchError.
    """
    stored = read_stored([user_path(baseline)])
    if len(stored) > 1 and (run_folder is not None or detector is not None):
        raise DataError(f"'{baseline}' holds {len(stored)} results: give only one to check a detector or a run against")
    if not 0.0 < chance < 1.0 or tolerance < 0.0:
        raise ScoreError(f"chance {chance} must be between 0 and 1, and tolerance {tolerance} must not be negative")
    limit = wanted_margin(margin)
    if limit is not None and tolerance:
        raise ScoreError("margin and tolerance are two ways to say what a fall may be: give one of them")
    given = None if run_folder is None else Path(run_folder)
    cropped = Wanted.of(crop, finder, faces)
    reports = Checks()
    for one in stored:
        with tempfile.TemporaryDirectory(prefix="m2f2bench-check-") as scratch:
            folder = given or _run_again(one, detector, dataset, out or scratch, device, cropped)
            maps = one.result.task == HEATMAPS
            now = resampled_maps(load_maps(folder)) if maps else load_rows(folder)
            reports.append(_compare(one, now, metrics, chance, tolerance, limit))
    return reports


def _run_again(stored: Stored, detector: Any, dataset: Any, out: str | Path, device: str, cropped: Wanted) -> Path:
    result = stored.result
    if result.task == EXPLANATION:
        raise ScoreError(f"'{stored.path}' holds answers to questions: check works on P(fake) of frames and heat maps")
    name, cam, layer = result.detector, "", ""
    protocol: ProtocolCard | HeatMapCard
    if result.task == HEATMAPS:
        protocol = stored_card(HeatMapCard, result.protocol_card, stored.path)
        cam = str(result.measured.get(MAP, "")).partition("-")[2].partition("-")[0]
        name, _, layer = name.partition(f"+{cam}") if cam else (name, "", "")
    else:
        protocol = stored_card(ProtocolCard, result.protocol_card, stored.path)
        if protocol.threshold.dataset is not None:
            registered("datasets", protocol.threshold.dataset, stored.path)
    if cropped.crop is None:
        try:
            cropped = of_signature(str(result.measured.get("crop", "")))
        except CardError as error:
            raise CardError(f"'{stored.path}': {error}") from None
    results = run(
        detectors=[detector if detector is not None else registered("detectors", name, stored.path, _class(result))],
        datasets=[dataset if dataset is not None else measured_dataset(result.dataset, stored.path)],
        protocols=[protocol],
        split=result.split,
        limit=result.limit,
        out=out,
        device=device,
        cam=cam,
        cam_layer=layer.removeprefix("-"),
        crop=cropped.crop,
        finder=cropped.finder,
        faces=cropped.rule,
    )
    return results.folders[0]


def _class(result: Result) -> str:
    """Return the `file.py:Class` of a result's detector as it was given; empty for other detectors."""
    backend = str(result.detector_card.get("backend", ""))
    return quoted(backend).strip("'") if is_file_reference(backend) else ""


def _compare(
    stored: Stored,
    now: ScoredRows | ResampledResult,
    metrics: Sequence[str],
    chance: float,
    tolerance: float,
    margin: float | None = None,
) -> CheckReport:
    then, measured = stored.result, now.measured
    main = [name for name in then.metrics if not name.endswith(AT_HALF) and then.about(name).headline]
    if margin is not None:
        main = [then.rules.main_metric]
    wanted = load_metrics(metrics) or main or list(then.metrics)
    unknown = [m for m in wanted if m not in then.metrics]
    if unknown:
        raise ScoreError(f"'{stored.path}' has no metric '{unknown[0]}'{near(unknown[0], then.metrics)}")
    notes = [
        f"{key} was {then.measured.get(key)}, is {measured.get(key)}"
        for key in (*DETECTOR, MAP, "v")
        if then.measured.get(key) != measured.get(key) and (key != "cov" or key in then.measured)
    ]
    # This version scores the old rows too, so that a new version's arithmetic makes no difference.
    about = {name: then.about(name) for name in wanted}
    changed = [key for key in differing(then.measured, measured, about) if key != "v"]
    if isinstance(now, ScoredRows):
        notes += few_clusters(described_clusters(now.units))
    checked: list[Checked] = []
    problems = [
        f"the signature has changed, so the numbers cannot be compared: {FIELDS[key]} ({key}) was "
        f"{then.measured.get(key)}, is {measured.get(key)}"
        for key in changed
    ] or _lost(then, now)
    if not problems:
        if stored.rows is not None:
            try:
                if isinstance(now, ResampledResult):
                    found = _resampled(resampled_maps(load_maps(stored.path)), now, wanted, chance, margin)
                else:
                    found = _paired(*_aligned(load_rows(stored.path), now, wanted, notes), wanted, chance, margin)
                checked = decided(found, chance, tolerance, notes) if margin is None else shown(found, chance)
            except ScoreError as error:  # the rows do not match the signature
                problems.append(str(error))
        elif margin is not None:
            problems.append(f"a margin needs the baseline's rows, and there are none next to '{stored.path}'")
        else:
            notes.append(f"no rows next to '{stored.path}': compared with its intervals, which is less sensitive")
            scores = (now.result if isinstance(now, ResampledResult) else score_rows(now)).metrics
            checked = [_against_interval(m, then.metrics[m], scores[m], tolerance) for m in wanted]
    problems += [_failure(one, margin) for one in checked if one.failed]
    if checked and not any(one.tested or one.failed for one in checked):
        problems.append(f"none of {', '.join(wanted)} can be tested: {checked[0].how}")
    compared = (str(measured["det"]), str(stored.path), then.dataset, then.protocol)
    if margin is not None:
        notes.append(
            f"passes only where a fall of {margin:g} or more is ruled out at {chance:g}; intervals at "
            f"{100 * (1.0 - 2.0 * chance):g}%"
        )
    return CheckReport(*compared, tuple(checked), tuple(problems), tuple(notes), margin)


def _lost(then: Result, now: ScoredRows | ResampledResult) -> list[str]:
    """Return a line if the coverage of units or frames fell. Older results have the latter only in statuses."""
    before = then.frame_coverage
    if before is None:
        before = then.statuses.get("ok", 0) / max(sum(then.statuses.values()), 1)
    if isinstance(now, ResampledResult):
        shares = {"coverage": (then.coverage, now.result.coverage)}
        shares["coverage of frames with a map"] = (before, now.result.frame_coverage or 0.0)
        statuses = now.result.statuses
    else:
        level, faces = now.protocol.level, now.protocol.faces
        unit = "videos" if level == "video" else "frames" if faces == "apart" else "pictures"
        shares = {f"coverage of {unit}": (then.coverage, now.units.coverage)}
        shares["coverage of frames"] = (before, now.units.frame_coverage)
        statuses = now.rows.statuses()
    fell = [f"{k} fell from {share(a)} to {share(b)}" for k, (a, b) in shares.items() if b < a]
    holes = ", ".join(f"{n} {status}" for status, n in statuses.items() if status != "ok")
    return [f"{', '.join(fell)}: {holes}"] if fell else []


def _failure(one: Checked, margin: float | None) -> str:
    then, now = ("null" if value is None else f"{value:.4f}" for value in (one.then, one.now))
    if margin is not None:
        p = "" if one.p is None else f", p {p_text(one.p)}"
        return (
            f"{one.metric} from {then} to {now}: that it is not worse by {margin:g} or more is not shown ({one.how}{p})"
        )
    word = "rose" if metric_of(one.metric).lower_is_better else "fell"
    return f"{one.metric} {word} from {then} to {now}, by more than noise ({one.how})"


def _aligned(
    then: ScoredRows, now: ScoredRows, metrics: Sequence[str], notes: list[str]
) -> tuple[ScoredRows, ScoredRows]:
    """Restrict both to frames with a score in both, if others are dropped. Raises ScoreError if units differ."""
    rule = now.protocol.missing
    before, after = (one.rows.status == "ok" for one in (then, now))
    if (before != after).any() and "drop" in (rule.frames, rule.videos):
        lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
        notes.append(
            f"compared on the {int((before & after).sum())} frames with a score then and now: {lost} have one only "
            f"then, {gained} only now"
        )
        then, now = (replace(one, rows=one.rows.without(~(before & after))) for one in (then, now))
    refuse_incomparable("then", then, "now", now, metrics)
    return then, now


def _paired(
    then: ScoredRows, now: ScoredRows, metrics: Sequence[str], chance: float, margin: float | None
) -> Sequence[Difference]:
    new, old = (Judged(one.units, one.cut, metrics, now.protocol.bootstrap) for one in (now, then))
    (found,) = differences(
        [Paired(new, old, margin, chance)], [(OVERALL, metric) for metric in metrics], len(metrics), chance
    )
    return found


def _resampled(
    then: ResampledResult, now: ResampledResult, metrics: Sequence[str], chance: float, margin: float | None
) -> Sequence[Difference]:
    level = HeatMapCard.model_validate(now.result.protocol_card).bootstrap.level
    pair = DrawnPair(now, then, ("now", "then"))
    return [pair.difference(metric, level=level, margin=margin, alpha=chance) for metric in metrics]


def shown(found: Sequence[Difference], chance: float) -> list[Checked]:
    """Return for each metric, from its difference now - then, whether a fall by the margin is ruled out."""
    out = []
    for d in found:
        tests = d.margin
        if tests is None:
            how = d.reason or ("no resamples" if d.difference is not None else "not defined")
            out.append(Checked(d.metric, d.second, d.first, d.ci, None, True, how, tested=False))
            continue
        how = f"{d.test or 'resamples'}; of an equal detector {tests.smallest:.3g} would be ruled out in 80% of checks"
        failed = tests.first >= chance
        out.append(Checked(d.metric, d.second, d.first, tests.ci, tests.first, failed, how))
    return out


def decided(found: Sequence[Difference], chance: float, tolerance: float, notes: list[str]) -> list[Checked]:
    """Return for each metric, from its difference now - then, whether it fell by more than noise."""
    out = []
    for d in corrected([_one_sided(d) for d in found]):
        fall = (d.difference or 0.0) * metric_of(d.metric).worse
        lost = d.second is not None and d.first is None
        failed = lost or (d.holm is not None and d.holm < chance and fall > tolerance)
        if d.corrected_bound and not failed and fall > tolerance:
            notes.append(f"{d.metric}: {d.draws} resamples are too few to tell whether p is below {chance:g}")
        how = d.test or d.reason or ("no resamples" if d.difference is not None else "not defined")
        out.append(Checked(d.metric, d.second, d.first, d.ci, d.holm, failed, how, d.corrected_bound, d.p is not None))
    return out


def _one_sided(d: Difference) -> Difference:
    """Return the difference now - then with its one-sided p (null: no worse); 1 for a bound on an improvement."""
    if d.p is None:
        return d
    if d.difference is not None and d.difference * metric_of(d.metric).worse > 0:
        return replace(d, p=d.p / 2.0)
    return replace(d, p=1.0 if d.bound else 1.0 - d.p / 2.0, bound=False)


def _against_interval(metric: str, then: Score, now: Score, tolerance: float) -> Checked:
    if then.value is None:
        return Checked(metric, None, now.value, None, None, False, "not defined then", tested=False)
    if now.value is None:
        return Checked(metric, then.value, None, then.ci, None, True, f"not defined now: {now.reason}")
    if then.ci is None and then.reason:
        return Checked(metric, then.value, now.value, None, None, False, then.reason, tested=False)
    sign = metric_of(metric).worse
    fall = (now.value - then.value) * sign
    end = then.value if then.ci is None else then.ci[1] if sign > 0 else then.ci[0]
    beyond = (now.value - end) * sign > 0 and fall > max(tolerance, 1e-12)
    how = "beyond the old interval" if beyond else "within the old interval"
    return Checked(metric, then.value, now.value, then.ci, None, beyond, how if then.ci else "no old interval")
