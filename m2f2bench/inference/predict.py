"""P(fake) of single images and videos without a dataset, with heat maps and answers if the detector gives them.

Faces are found first, one verdict a face; or each picture is taken as it is, as the crop of one face.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cards.protocols import FrameSelection
from ..core.errors import DataError
from ..datasets.scenes import scene_note
from ..loading import load_detector
from .given import files_of
from .held import Files, key
from .jobs import Job, judge_crop_video, judge_crops, judge_files
from .overlays import Overlays
from .pictures import Picture
from .verdicts import refuse_nothing, summary

if TYPE_CHECKING:
    from ..detectors.base import Detector
    from ..faces.crops import CropCard
    from ..faces.find import FaceFinder
    from .scenes import Scenes

log = logging.getLogger("m2f2bench")


def predict_paths(
    paths: Sequence[str | Path | Picture],
    detector: Any,
    *,
    frames: int = 32,
    device: str = "auto",
    batch_size: int = 32,
    heatmaps: str | Path | None = None,
    heatmap_scale: str = "fixed",
    explain: bool = False,
    questions: Sequence[str] = (),
    faces: bool = False,
    crop: str | CropCard = "",
    finder: str | FaceFinder = "",
    precision: str | None = None,
) -> list[dict[str, Any]]:
    """Judge images (files or `Picture`), videos and folders of them; without `faces` each is used as it is, as a crop.

    Returns for each file `path`, `score` (P(fake), for a video the mean of `frames` frames evenly spread over it; None
    if it cannot be judged), `verdict` (`fake` from 0.5 on, `real`, None), `status`, `frames` (how many were judged),
    `frames_readable` and `frames_promised` (of a video: how many can be decoded, and how many its container declares;
    if some are missing, `message` and a warning say so), `message`, and `heatmap`. Raises DataError if a path does not
    exist or has nothing to judge, NothingJudged if none of the files can be judged.

    With `heatmaps` an overlay is drawn for each judged file into that folder (see `OverlayFolder`; for a video of DRAWN
    judged frames), and `heatmap` is its path, or None. `heatmap_scale` is `fixed` (colours from 0 to 1) or `image`
    (stretched to the file's own values). Raises DetectorError if the detector makes no heat maps, and StoreError if the
    folder holds another detector's, before anything is judged.

    With `explain`, or with `questions` (default: `questions.QUESTIONS`), the detector is asked about each image, for a
    video about the middle one of the judged frames. `answers` are then its answers, see `QuestionSet.as_json`, empty
    for a video that cannot be read, and `asked_frame` is that frame's number in the video, None for an image. Raises
    DetectorError if the detector answers no questions, before anything is judged.

    With `faces`, they are found by `finder` (default: CenterFace) and cut out by `crop` (default: that of the
    detector's training, where it is known, else `m2f2det`); see `people` for when a picture is taken as it is. Each
    file then has `faces`, see `verdicts.JudgedFace.as_json`, and `score`, `verdict`, `frames` and `answers` are those
    of the face with the highest P(fake): a file is called fake if any face is. In a video people are followed. A file
    without a face has the status `no_face`. `frames_without_face` counts a video's, `trained_on` names the detector's
    training data, and `warnings` say why the verdict may mean little. Raises DataError if the extra is not installed.

    Torch networks compute in `precision` (fp32, tf32, bf16, fp16), None: that of the detector's card. Raises
    DetectorError where the device does not.
    """
    if not faces and not all(isinstance(one, str) and not one for one in (crop, finder)):
        raise DataError("a crop and a finder are for faces that are searched for: leave out --no-faces (faces=False)")
    files = files_of(paths)
    asks = explain or bool(questions)
    if asks:
        from .questions import QuestionSet, require_explainer_early

        require_explainer_early(detector)
    scenes = _finding(crop, finder) if faces else None
    loaded = load_detector(detector, device, precision)
    question_set = QuestionSet(loaded, questions) if asks else None
    overlays = Overlays(loaded, Path(heatmaps).expanduser(), heatmap_scale) if heatmaps is not None else None
    job = Job(loaded, FrameSelection(which="uniform", count=frames), batch_size, overlays, question_set)
    job.pictures = Files(file for file in files if isinstance(file, Picture))
    if scenes is not None:
        scenes.begin(loaded.card)
    how = (judge_crops, judge_crop_video) if scenes is None else (scenes.images, scenes.video)
    try:
        by_file = judge_files(files, job, *how)
    finally:
        if overlays:
            overlays.folder.close()
    refuse_nothing(loaded.card.name, by_file)
    if scenes is None:
        _note_crops(loaded, files, job)
    else:
        scenes.note(loaded.card)
    return [summary(str(file), by_file[key(file)], question_set) for file in files]


def _finding(crop: str | CropCard, finder: str | FaceFinder) -> Scenes:
    from .scenes import Scenes

    return Scenes(crop, finder)


def _note_crops(detector: Detector, files: Sequence[Path | Picture], job: Job) -> None:
    """Say that faces were not searched for, and which files are probably no crops."""
    sizes = {str(file): job.pictures.sizes[str(file)] for file in files if str(file) in job.pictures.sizes}
    trained = ", ".join(detector.card.training_datasets)
    where = f" as in {trained}" if trained else ""
    log.info("no face was searched for: a score is meaningless unless the image is the crop of one face%s", where)
    if scenes := scene_note(sizes):
        log.warning("%s", scenes)
