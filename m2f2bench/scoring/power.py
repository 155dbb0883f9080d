"""Power: which difference in AUC a dataset can show, and how many people and frames a wanted one needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ..cards.models import DatasetCard
from ..core.arguments import checked
from ..core.arrays import Codes, Floats
from ..core.connected import factorize
from ..core.errors import ScoreError
from ..core.frame_lists import column
from ..core.records import FAKE, REAL, Frame
from ..core.rows import Rows, Units
from ..datasets.dataset import check_unique
from ..loading import load_dataset
from ..results.columns import ColumnNames, require_files
from ..results.signature import rows_hash
from ..results.units import CROSSED, clusters, people_of
from ..stats.delong import placements
from ..stats.power import (
    Components,
    Measured,
    Model,
    Structure,
    Variances,
    effective_groups,
    freedom,
    from_placements,
    smallest_from,
    times_needed,
    variance,
)
from .compare_rows import refuse_incomparable
from .comparison import distinct_names
from .detection import ScoredRows, load_rows
from .given import Data, expand
from .power_report import AtFrames, Needed, Power
from .scored import Source

FRAMES = (1, 2, 4, 8, 16, 32)
DIFFERENCES = (0.01, 0.02, 0.05)
AUC, ALIKE, PERSON, VIDEO = 0.9, 0.6, 0.4, 0.3
"""What is assumed where it is neither given nor measured: the better detector's AUC, the correlation of two detectors'
scores, and the shares of a score's variance that are a person's, and a video's beyond that."""


@checked
def power(
    *rows: Data | Mapping[str, Data],
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    differences: Sequence[float] = DIFFERENCES,
    auc: float | None = None,
    alike: float | None = None,
    person: float = PERSON,
    video: float = VIDEO,
    columns: ColumnNames | None = None,
) -> Power:
    """Return which difference in AUC paired tests find on a dataset, and what wanted `differences` need.

    People, videos and frames are those of a `split` of the dataset, else of the `rows`. What detectors' scores have in
    common is measured on `rows` (each one detector's, as `score` takes them; all on the same frames), which may be of
    another dataset: of two or more their differences; of one its AUC, with `alike`, in [0, 1), the correlation with the
    other detector. Without rows scores are taken as normal, and `person` and `video` are the shares of their variance.
    `auc`, above .5 and below 1, is that of the better detector (default: the mean of the rows', else .9).

    A difference is found if a test at 5% finds it in 80% of cases: 2.8 standard errors with many groups of people, more
    with few. All is at frame level. Raises ScoreError or DataError in one line.
    """
    given = expand(rows, (), columns, False)
    require_files(columns, [str(one.place) for one in given])
    if not given and dataset is None:
        raise ScoreError("power needs a dataset, or the rows of detectors: give --dataset, --rows, or both")
    if len(given) > 1 and alike is not None:
        raise ScoreError("alike is measured on the rows of two detectors: leave it out")
    loaded = _loaded([(one, one.source(Source(protocol="frame", columns=columns))) for one in given])
    measured = _measured(loaded, _in_range("alike", ALIKE if alike is None else alike, 0.0, 1.0, ends=True))
    found = float(np.mean([auc_of(one.units) for one in loaded.values()])) if auc is None and loaded else auc
    best = _in_range("auc", AUC if found is None else found, 0.5, 1.0)
    wanted = tuple(_in_range("difference", one, 0.0, best - 0.5) for one in differences)
    if not wanted:
        raise ScoreError("differences is empty: give the differences in AUC that are wanted, such as 0.02")
    shares = [_in_range(name, one, 0.0, 1.0, ends=True) for name, one in (("person", person), ("video", video))]
    if sum(shares) >= 1.0:
        raise ScoreError(f"person {person:g} and video {video:g} are shares of one variance: their sum must be below 1")
    planned, place = _rows_of(dataset, split, loaded)
    structure, by, methods = structure_of(planned)
    crossed = structure.people is not None
    model: Variances = measured or Model(ALIKE if alike is None else alike, shares[0], shares[1], crossed)
    _refuse_thin(structure, place)
    at = [_at(structure, most, best, wanted, model) for most in _frames(structure, loaded)]
    of_methods = {
        name: _smallest(structure.only((structure.label == REAL) | (methods == name)), best, model)
        for name in sorted(set(methods[structure.label == FAKE].tolist()))
    }
    degrees = freedom(structure, model.components((best, best - min(wanted))))
    return Power(
        dataset=place,
        split=split if dataset is not None else "none",
        auc=best,
        by=by,
        groups=structure.groups,
        effective=(effective_groups(structure, REAL), effective_groups(structure, FAKE)),
        videos=len(structure.label),
        n_real=structure.counts(REAL),
        n_fake=structure.counts(FAKE),
        freedom=degrees,
        frames=tuple(at),
        methods=of_methods if len(of_methods) > 1 else {},
        measured=tuple(loaded),
        assumed=_assumed(len(loaded), alike, shares),
        notes=tuple(_notes(loaded, by)),
    )


def _in_range(name: str, value: Any, low: float, high: float, ends: bool = False) -> float:
    number = float(value) if isinstance(value, (int, float, np.number)) and value is not True else math.nan
    if low < number < high or (ends and number == low):
        return number
    least = "at least" if ends else "above"
    raise ScoreError(f"{name} is {value!r:.40}: a number {least} {low:g} and below {high:g} is wanted")


def _loaded(given: Sequence[tuple[Any, Source]]) -> dict[str, ScoredRows]:
    """Return the rows by the detector's name. Raises ScoreError unless all are of the same frames, and differ."""
    found = [load_rows(one.place, source) for one, source in given]
    names = [one.name or str(rows.detector) for (one, _), rows in zip(given, found, strict=True)]
    named = dict(zip(distinct_names(names, [one.origin for one, _ in given]), found, strict=True))
    for (one, first), (other, second) in combinations(named.items(), 2):
        refuse_incomparable(one, first, other, second, ["auc"])
        if rows_hash(first.rows) == rows_hash(second.rows):
            raise ScoreError(f"'{one}' and '{other}' have the same scores: give the rows of different detectors")
    for name, rows in named.items():
        missing = {REAL, FAKE} - set(rows.units.label.tolist())
        if missing:
            raise ScoreError(f"'{name}' has no {'real' if REAL in missing else 'fake'} frame with a score: no AUC")
    return named


def auc_of(units: Units) -> float:
    """Return the AUC of units."""
    return float(placements(units.score[units.label == REAL], units.score[units.label == FAKE]).fake.mean())


def _measured(loaded: Mapping[str, ScoredRows], alike: float) -> Measured | None:
    """Return what was measured on rows: the mean over the pairs of detectors; None without rows."""
    if not loaded:
        return None
    scaled = [_scaled_placements(rows.units) for rows in loaded.values()]
    first = next(iter(loaded.values())).units
    if len(scaled) == 1:
        return Measured(_components(scaled[0], first).times(2.0 * (1.0 - alike)))
    pairs = [_components((a[0] - b[0], a[1] - b[1]), first) for a, b in combinations(scaled, 2)]
    return Measured(Components.mean(pairs))


def _scaled_placements(units: Units) -> tuple[Floats, Floats]:
    """Return the placements of fakes and of reals, times the slope of asin √AUC: the scale of the test."""
    places = placements(units.score[units.label == REAL], units.score[units.label == FAKE])
    value = float(places.fake.mean())
    if not 0.0 < value < 1.0:
        raise ScoreError(f"the rows have an AUC of {value:g}: from scores without any error nothing can be planned")
    slope = 0.5 / math.sqrt(value * (1.0 - value))
    return places.fake * slope, places.real * slope


def _components(places: tuple[Floats, Floats], units: Units) -> Components:
    video, _ = factorize(list(zip(units.video.tolist(), units.method.tolist(), strict=True)))
    fake, real = units.label == FAKE, units.label == REAL
    fakes, reals = ((video[kept], units.cluster[kept]) for kept in (fake, real))
    return from_placements(*places, fakes, reals, units.n_clusters, units.people)


def _rows_of(dataset: str | DatasetCard | None, split: str, loaded: Mapping[str, ScoredRows]) -> tuple[Rows, str]:
    """Return the frames that are planned for, as rows, and the name of their dataset."""
    if dataset is None:
        first = next(iter(loaded.values()))
        return first.rows, str(first.measured["data"])
    found = load_dataset(dataset)
    found.check_split(split)
    frames = found.frames(split)
    check_unique(frames)
    if not frames:
        raise ScoreError(f"split '{split}' of '{found.name}' has no frames: nothing to plan for")
    return _as_rows(frames), found.name


def _as_rows(frames: Sequence[Frame]) -> Rows:
    def strings(values: list[str]) -> Any:
        return np.array(values, dtype=object)

    ids = strings(column(frames, "id"))
    return Rows(
        frame=ids,
        video=strings(column(frames, "video")),
        method=strings(column(frames, "method")),
        identity=strings(["+".join(people) for people in column(frames, "identities")]),
        status=np.full(len(frames), "ok", dtype=object),
        label=np.array(column(frames, "label"), dtype=np.int64),
        score=np.zeros(len(frames)),
        digest=np.full(len(frames), "", dtype=object),
        picture=ids,
    )


def structure_of(rows: Rows) -> tuple[Structure, str, Any]:
    """Return the structure of frames, what is resampled there (see `units.clusters`), and each video's method [V]."""
    codes, by = clusters(rows, "identity", crossed=True)
    video, names = factorize(list(zip(rows.video.tolist(), rows.method.tolist(), strict=True)))
    first = np.full(len(names), -1, dtype=np.int64)
    order = np.arange(len(video))[::-1]
    first[video[order]] = order  # the last assignment is that of the first row
    people = people_of(rows, codes) if by == CROSSED else None
    units: Codes = np.bincount(video, minlength=len(names)).astype(np.int64)
    found = Structure(codes[first], rows.label[first], units, int(codes.max()) + 1, people)
    return found, by, rows.method[first]


def _refuse_thin(structure: Structure, place: str) -> None:
    """Raise ScoreError for frames on which no test of two detectors is possible."""
    for label, word in ((REAL, "real"), (FAKE, "fake")):
        held = structure.per_cluster(label) > 0
        if not held.any():
            raise ScoreError(f"'{place}' has no {word} frame: an AUC needs both classes")
        if held.sum() < 2:
            raise ScoreError(
                f"all {word} frames of '{place}' are in one group of people or one video: no test is possible"
            )


def _frames(structure: Structure, loaded: Mapping[str, ScoredRows]) -> list[int | None]:
    """Return the numbers of frames of a video to plan for; None stands for all."""
    most = int(structure.units.max())
    if loaded and not _has_videos(next(iter(loaded.values())).units):
        return [None]
    return [*(n for n in FRAMES if n < most), None]


def _has_videos(units: Units) -> bool:
    return len(set(zip(units.video.tolist(), units.method.tolist(), strict=True))) < len(units.video)


def _at(structure: Structure, most: int | None, auc: float, wanted: Sequence[float], model: Variances) -> AtFrames:
    of = structure if most is None else structure.with_frames(most)
    needed = []
    for difference in wanted:
        components = model.components((auc, auc - difference))
        apart = math.asin(math.sqrt(auc)) - math.asin(math.sqrt(auc - difference))
        times = 0.0 if variance(of, components) == 0.0 else times_needed(of, components, apart)
        needed.append(Needed(difference, times, max(math.ceil(times * structure.groups - 1e-9), 2)))
    n = int(of.units.sum())
    return AtFrames(most, n, _smallest(of, auc, model), tuple(needed))


def _smallest(of: Structure, auc: float, model: Variances) -> float | None:
    """Return the smallest difference that is found; None if none down to chance is, or no test is possible."""
    for label in (REAL, FAKE):
        if (of.per_cluster(label) > 0).sum() < 2:
            return None
    found, _ = smallest_from(of, auc, model)
    return found if math.isfinite(found) else None


def _assumed(detectors: int, alike: float | None, shares: Sequence[float]) -> dict[str, float]:
    found: dict[str, float] = {}
    if detectors < 2:
        found["alike"] = ALIKE if alike is None else alike
    if not detectors:
        found |= {"person": shares[0], "video": shares[1]}
    return found


def _notes(loaded: Mapping[str, ScoredRows], by: str) -> list[str]:
    """Return what the rows cannot tell."""
    notes: list[str] = []
    if not loaded:
        return notes
    units = next(iter(loaded.values())).units
    if not _has_videos(units):
        notes.append(
            "the rows have one frame of each video: what further frames bring is not known, and those of a video are "
            "taken to be alike"
        )
    if by in ("identity", CROSSED) and units.clustered_by not in ("identity", CROSSED):
        notes.append("the people of the rows are not known: videos of one person are taken to have nothing in common")
    return notes
