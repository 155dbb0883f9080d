"""Preparation: a dataset of videos or pictures of scenes becomes a folder of crops of faces.

It may be stopped at any moment: repeated, it goes on, and ends with the same bytes.
"""

from __future__ import annotations

import logging
import os
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ..cards.models import LONGEST_NAME, DatasetCard
from ..cards.protocols import FrameSelection
from ..core.arguments import checked
from ..core.cluster import Cluster, cluster_of
from ..core.cores import usable_cores
from ..core.errors import DataError, NothingJudged
from ..core.files import make_folder, user_path, write_json
from ..core.locks import LOCK, holding
from ..core.notebook import heading, lines, page, table
from ..core.parsing import Refused, read_json
from ..core.progress import progress_bar
from ..core.records import STATUSES
from ..core.sources import installed_versions
from ..datasets.base import Adapter
from ..datasets.calls import close_adapter
from ..datasets.dataset import DECODERS, Dataset, list_frames
from ..datasets.scenes import announce
from ..datasets.sheet import contact_sheet
from ..faces.adapter import FaceAdapter
from ..faces.crops import DEFAULT as CROP
from ..faces.crops import CropCard
from ..faces.find import DEFAULT as FINDER
from ..faces.find import FaceFinder
from ..faces.wanted import LARGEST, Wanted, shows_crops
from ..loading import load_dataset
from ..version import __version__
from .prepared_forms import Form, form_of
from .prepared_parts import make_parts
from .prepared_records import RECORDS, Part, Rows, is_finished, parts_of
from .prepared_texts import write_texts

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("m2f2bench")
SETTINGS, REPORT, SHEET = "prepare.json", "report.json", "sheet.png"
FRAMES = 32
MOST_PROCESSES = 8
WORTH = 64
"""Frames for which a process is started."""
FAILURE = ("id", "split", "status", "message")
LISTED = 50
"""Failed frames that a report names."""


@dataclass(frozen=True)
class Prepared:
    """What a preparation wrote below `root`. `report` has the numbers of frames, faces and failures, ready for JSON."""

    root: Path
    report: dict[str, Any]

    def text(self) -> str:
        """Return the report as plain text."""
        found, counts = self.report, self.report["statuses"]
        what = f"{found['dataset']}: {counts.get('ok', 0):,} faces in {found['frames']:,} frames of "
        said = [f"{what}{found['videos']:,} videos, cut out as {found['crop']}"]
        if found["faces"]:
            side, score = found["faces"]["side"], found["faces"]["score"]
            said.append(f"  shorter side of a face: {side[0]:g} to {side[2]:g} pixels, median {side[1]:g}")
            said.append(f"  score of a face: {score[0]:.2f} to {score[2]:.2f}, median {score[1]:.2f}")
        for status, number in counts.items():
            if status != "ok":
                first = next(one for one in found["failures"] if one["status"] == status)
                said.append(f"  {status}: {number:,} frames, first '{first['id']}' ({first['message']})")
        if found["masks"] or found["masks_unreadable"]:
            lacking = found["masks_unreadable"]
            said.append(f"  masks: {found['masks']:,}" + (f", and {lacking:,} cannot be read" if lacking else ""))
        if found["questions"] or found["questions_left_out"]:
            left = found["questions_left_out"]
            rest = f", and {left:,} about frames that were not taken are left out" if left else ""
            said.append(f"  questions: {found['questions']:,}{rest}")
        if found["videos_without_a_face"]:
            said.append(f"  videos without any face: {found['videos_without_a_face']:,}")
        return "\n".join(said)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each split and manipulation: split, method, frames, faces."""
        import pandas as pd

        groups = self.report["groups"]
        rows = [{"split": split, "method": name, **n} for split in groups for name, n in groups[split].items()]
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        """Return the report, and a table of splits and manipulations."""
        rows = [list(map(str, row)) for row in self.to_pandas().itertuples(index=False)]
        first, *others = self.text().splitlines()
        return page(heading(first), lines(others), table([["split", "manipulation", "frames", "faces"], *rows]))


@checked
def prepare(
    dataset: str | DatasetCard | Adapter,
    *,
    out: str | Path,
    crop: str | Path | CropCard = CROP,
    finder: str | FaceFinder = FINDER,
    faces: str = LARGEST,
    form: str = "folder",
    frames: int | None = FRAMES,
    splits: Sequence[str] = (),
    workers: int = 0,
    engine: str = "local",
    address: str | None = None,
) -> Prepared:
    """Find faces in a dataset of scenes, and write their crops below `out`, which is then a dataset.

    Masks (in the folder `masks`), questions and manipulated regions are written along, where the dataset has them.
    `crop`, `finder` and `faces` are as in `run`; the crops are those that `run` makes of the same frames. `frames` is
    how many are taken of a video, evenly spread; None for all. `splits` are by default all that the dataset has.
    `form` is one of `prepared_forms.FORMS`. `workers` processes share the videos (0: one per core, at most 8, and one
    for each 64 frames); with `engine="ray"` they are those of the Ray cluster at `address` (see `run`; 0: one per
    core), to which the data and `out` must be the same folders. A preparation that was stopped goes on; one with other
    settings is refused. Raises M2F2BenchError; NothingJudged if no frame has a face.
    """
    if frames is not None and frames < 1:
        raise DataError(f"{frames} frames of a video leave nothing to prepare: give 1 or more, or all")
    if workers < 0:
        raise DataError(f"{workers} processes cannot prepare anything: give 1 or more, or 0 for one per core")
    cluster = cluster_of(engine, workers, 0.0 if engine == "ray" else None, address, threads=True)
    wanted = Wanted.of(crop, finder, faces)
    scenes = load_dataset(dataset)
    layout = form_of(form, scenes.card)
    if shows_crops(scenes):
        raise DataError(f"dataset '{scenes.name}' shows crops of faces already, by its card: nothing to prepare")
    cropped = wanted.on(scenes)
    assert isinstance(cropped.adapter, FaceAdapter)
    root, adapter = user_path(out), cropped.adapter
    parts = _planned(scenes, splits, frames)
    settings: dict[str, Any] = {
        **{"dataset": scenes.name, "crop": cropped.crop, "frames": frames, "form": form},
        **{"splits": list(dict.fromkeys(part.split for part in parts))},
        "versions": {"m2f2bench": __version__, **installed_versions(DECODERS)},
    }
    make_folder(root)
    with holding(root):
        _begin(root, settings)
        rows = _carried_out(adapter, layout, root, parts, workers or _processes(parts), cluster)
        close_adapter(adapter)  # the memory of faces and of files is not needed any more
        _refuse_nothing(scenes.name, rows)
        _tidy(root, layout, rows)
        report = _report(settings, rows) | write_texts(adapter, rows, settings["splits"], root)
        layout.finish(root, rows, _card(scenes, cropped, settings))
        write_json(root / REPORT, report)
        _draw(root, settings["splits"], bool(report["masks"]))
    close_adapter(adapter)
    return Prepared(root, report)


def _planned(scenes: Dataset, splits: Sequence[str], frames: int | None) -> list[Part]:
    """Return the parts of all wanted splits. Raises DataError for a split that is not there."""
    for split in splits:
        scenes.check_split(split)
    selection = FrameSelection(which="all") if frames is None else FrameSelection(which="uniform", count=frames)
    parts: list[Part] = []
    refused: DataError | None = None
    for split in splits or scenes.splits:
        try:
            listed = list_frames(scenes.adapter, split, selection)
        except DataError as error:
            if splits:
                raise
            refused = refused or error  # a folder need not have all splits
            continue
        announce(scenes, split, scenes=False)
        parts += parts_of(split, listed)
    if not parts:
        raise refused or DataError(f"dataset '{scenes.name}' has no frames: nothing to prepare")
    return parts


def _begin(root: Path, settings: dict[str, Any]) -> None:
    """Write the settings, or compare them with those that are there. Raises DataError for another folder."""
    path = root / SETTINGS
    if not path.exists():
        if any(one.name != LOCK and not one.name.startswith(f".{SETTINGS}.") for one in root.iterdir()):
            raise DataError(f"'{root}' is not empty, and no preparation: give another --out")
        write_json(path, settings)
        return
    try:
        held = read_json(path)
    except Refused as error:
        raise DataError(f"'{path}' cannot be read: {error}; give another --out, or remove the folder") from None
    differing = [key for key in settings if not isinstance(held, dict) or held.get(key) != settings[key]]
    if differing:
        was = held.get(differing[0]) if isinstance(held, dict) else None
        raise DataError(
            f"'{root}' holds another preparation: {differing[0]} was {was}, is {settings[differing[0]]}; give another "
            f"--out, or remove the folder"
        )


def _carried_out(
    adapter: FaceAdapter, form: Form, root: Path, parts: Sequence[Part], processes: int, cluster: Cluster | None
) -> Rows:
    """Make all parts that are not finished; return the rows of all."""
    keys = ((part, part.key(adapter)) for part in parts)
    left = [(part, key) for part, key in keys if not is_finished(part, root, key)]
    total = sum(len(part.frames) for part in parts)
    done = total - sum(len(part.frames) for part, _ in left)
    if 0 < done < total:
        log.info("%s: %d of %d frames were prepared before", root.name, done, total)
    with progress_bar(f"preparing {root.name}", total, done) as advance:
        for frames in make_parts(adapter, form, root, left, processes, cluster):
            advance(frames)
    return Rows(root, parts)


def _processes(parts: Sequence[Part]) -> int:
    """Return the number of processes: one per core, but none for less than WORTH frames, as starting takes seconds."""
    frames = sum(len(part.frames) for part in parts)
    return max(1, min(MOST_PROCESSES, usable_cores(), frames // WORTH))


def _refuse_nothing(name: str, rows: Rows) -> None:
    if next(rows.found(), None) is None:
        first, count = next(iter(rows)), sum(1 for _ in rows)
        named = (first["id"], first["status"], first["message"])
        raise NothingJudged(
            f"{name}: no face was found in any of {count:,} frames, first '{named[0]}' ({named[1]}: {named[2]})"
        )


def _tidy(root: Path, form: Form, rows: Rows) -> None:
    """Remove what a kill left half written, and pictures and records that are not listed any more."""
    kept = {name for row in rows for name in row.get("files", ())}
    kept |= {part.record(root).relative_to(root).as_posix() for part in rows.parts}
    for top in (*form.folders(), RECORDS):
        for folder, _, files in os.walk(root / top, topdown=False):
            here = Path(folder)
            place = here.relative_to(root).as_posix()
            for name in files:
                if f"{place}/{name}" not in kept:
                    (here / name).unlink(missing_ok=True)
            if here != root / top and not any(here.iterdir()):
                here.rmdir()
    for path in root.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _report(settings: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """Return the report: counts, sizes and scores of faces (least, median, largest), and the first failures."""
    statuses, videos, seen = Counter[str](), set(), set()
    groups: dict[str, dict[str, dict[str, int]]] = {}
    sides, scores, masks, unreadable = array("d"), array("d"), 0, 0
    failures: dict[str, list[dict[str, Any]]] = {status: [] for status in STATUSES}
    for row in rows:
        status, video = row["status"], (row["split"], row["method"], row["video"])
        statuses[status] += 1
        videos.add(video)
        group = groups.setdefault(row["split"], {}).setdefault(row["method"], {"frames": 0, "faces": 0})
        group["frames"] += 1
        if status != "ok":
            if len(failures[status]) < LISTED:
                failures[status].append({key: row[key] for key in FAILURE})
            continue
        group["faces"] += 1
        seen.add(video)
        x0, y0, x1, y1 = row["face"]["box"]
        sides.append(min(x1 - x0, y1 - y0))
        scores.append(row["face"]["score"])
        masks += bool(row["mask"])
        unreadable += bool(row["message"])
    return {
        **settings,
        "frames": statuses.total(),
        "frames_of_a_video": settings["frames"],
        "videos": len(videos),
        "videos_without_a_face": len(videos - seen),
        "statuses": {status: statuses[status] for status in STATUSES if statuses[status]},
        "groups": groups,
        "faces": {"side": _spread(sides, 1), "score": _spread(scores, 4)} if sides else None,
        "masks": masks,
        "masks_unreadable": unreadable,
        "failures": [one for named in failures.values() for one in named],
    }


def _spread(values: Sequence[float], digits: int) -> list[float]:
    return [round(one, digits) for one in (min(values), median(values), max(values))] if values else []


def _card(scenes: Dataset, cropped: Dataset, settings: dict[str, Any]) -> DatasetCard:
    """Return the card of the prepared folder: people and corpus are those of the scenes."""
    of = scenes.card
    count = "all frames" if settings["frames"] is None else f"{settings['frames']} frames"
    crop = cropped.crop.partition("-")[0]
    values: dict[str, Any] = {
        "name": f"{of.name}-{crop}"[:LONGEST_NAME],
        "description": f"Crops of faces ({crop}) of {of.name}, {count} of each video.",
        "adapter": "prepared",
        "root": ".",
        "options": {"crop": cropped.crop},
        "splits": tuple(settings["splits"]),
        "source": of.corpus,
        "people": of.people,
        "licence": of.licence,
        "reference": of.reference,
    }
    return DatasetCard.model_validate(values)


def _draw(root: Path, splits: Sequence[str], masks: bool) -> None:
    """Draw a contact sheet of the first split that has a face, `test` before the others; with masks, if there are."""
    prepared = load_dataset(str(root))
    for split in sorted(splits, key=lambda name: name != "test"):
        try:
            contact_sheet(prepared.adapter, split, root / SHEET, masks=masks)
            return
        except (NothingJudged, DataError):
            continue
