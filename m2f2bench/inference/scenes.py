"""Whole pictures and videos: faces are found in them first, and each is judged."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import DataError, FrameError
from ..core.progress import progress_bar
from ..core.records import REAL, Locator, Prediction
from ..datasets.read_ahead import load_frame
from ..faces.choose import Choice
from ..faces.crops import CropCard, load_crop
from ..faces.find import DEFAULT, FaceFinder, load_finder
from .held import Clip, Held, frame_of, key
from .jobs import Job, judge_clip, judge_images
from .people import CROP, FoundFace, Looked, doubts, each, find_people, look_at_video, training_crop
from .pictures import Picture
from .verdicts import Judged, JudgedFace, deciding

if TYPE_CHECKING:
    from ..cards.models import DetectorCard

log = logging.getLogger("m2f2bench")
AT_ONCE = 32
"""Pictures whose crops are held in memory together."""
NO_FACE = "no face was found; for a picture that is the crop of a face: --no-faces (faces=False)"


class Scenes:
    """Finds the faces of whole pictures and videos and has them judged."""

    def __init__(self, crop: str | CropCard = "", finder: str | FaceFinder = "") -> None:
        """Load the finder. Raises DataError if its extra is not installed, CardError and RegistryError for names."""
        try:
            self.finder = load_finder(DEFAULT if isinstance(finder, str) and not finder else finder)
        except DataError as error:
            raise DataError(f"{error}, or judge crops of faces as they are: --no-faces (faces=False)") from None
        self.crop = None if isinstance(crop, str) and not crop else load_crop(crop)
        self.doubts: list[str] = []

    def begin(self, card: DetectorCard) -> None:
        """Take the crop of the detector's training, if none was given."""
        if self.crop is None:
            self.crop = load_crop(training_crop(card) or CROP)

    def note(self, card: DetectorCard) -> None:
        """Say how faces were found and cut, what the detector was trained on, and what speaks against its verdicts."""
        assert self.crop is not None
        trained = ", ".join(card.training_datasets) or "nothing that its card names"
        log.info("faces by %s, crop %s; %s was trained on %s", self.finder.name, self.crop.name, card.name, trained)
        for text in dict.fromkeys(self.doubts):
            log.warning("%s", text)

    def images(self, files: Sequence[Path | Picture], job: Job) -> dict[str, Judged]:
        """Judge the faces of images, AT_ONCE images at a time."""
        by_file: dict[str, Judged] = {}
        with progress_bar("faces", len(files)) as advance:
            for start in range(0, len(files), AT_ONCE):
                batch = files[start : start + AT_ONCE]
                found = dict(zip(map(key, batch), each(lambda file: self._seen(file, job), batch), strict=True))
                self._judge(found, by_file, job)
                if job.overlays:
                    for file in batch:
                        job.overlays.faces(file, job.pictures, by_file)
                advance(len(batch))
        return by_file

    def video(self, file: Path, job: Job) -> Judged:
        """Judge the people of a video."""
        assert self.crop is not None
        try:
            looked = look_at_video(file, job.selection.count or 1, self.finder, self.crop)
        except FrameError as error:
            return self._empty(key(file), error.status, error.reason)
        if looked.video.remark:
            log.warning("'%s': %s", file, looked.video.remark)
        judged = self._of_people(file, looked, job)
        judged.video, judged.without_face = looked.video, looked.without_face
        if job.overlays:
            job.overlays.people(file, judged, {key(file): judged})
        return judged

    def _seen(self, file: Path | Picture, job: Job) -> list[FoundFace] | tuple[str, str]:
        """Return the faces of an image, or the status and the reason why it has none."""
        assert self.crop is not None
        loaded = load_frame(job.pictures, frame_of(key(file), Locator(str(file))))
        if loaded.image is None:
            return loaded.status, loaded.reason
        return find_people(loaded.image, self.finder, self.crop, Choice(rule="all")) or ("no_face", NO_FACE)

    def _judge(self, found: dict[str, list[FoundFace] | tuple[str, str]], by_file: dict[str, Judged], job: Job) -> None:
        """Judge all faces of some images together."""
        named: dict[str, FoundFace] = {}
        places: dict[str, list[str]] = {}
        for name, faces in found.items():
            if isinstance(faces, list):
                places[name] = [name if len(faces) == 1 else f"{name}#{k}" for k in range(1, len(faces) + 1)]
                named |= dict(zip(places[name], faces, strict=True))
        held = Held({place: face.crop.image for place, face in named.items()})
        judged = judge_images([frame_of(place) for place in named], job, held)
        for name, faces in found.items():
            if isinstance(faces, tuple):
                by_file[name] = self._empty(name, *faces)
                continue
            parts = [judged[place] for place in places[name]]
            rows = zip(faces, parts, strict=True)
            by_file[name] = self._file([JudgedFace(k, [a], b.rows, b.answers) for k, (a, b) in enumerate(rows, 1)], job)

    def _of_people(self, file: Path, looked: Looked, job: Job) -> Judged:
        """Judge each person of a video on the frames that show a face of theirs."""
        if not looked.people:
            return self._empty(key(file), "no_face", f"no face was found in {len(looked.video)} frames")
        faces = []
        for person in looked.people:
            clip = Clip([one.crop.image.copy() for one in person.found])
            name = key(file) if len(looked.people) == 1 else f"{key(file)}#{person.number}"
            frames = [frame_of(f"{name}#{i}", Locator(str(file), index=i)) for i in range(len(person.found))]
            judged = judge_clip(clip, frames, job)
            face = JudgedFace(person.number, person.found, judged.rows, judged.answers, person)
            if judged.answers is not None:
                face.asked_frame = person.numbers[person.middle]
            faces.append(face)
        return self._file(faces, job)

    def _file(self, faces: list[JudgedFace], job: Job) -> Judged:
        """Return a file's verdict: that of the face that decides."""
        assert self.crop is not None
        best, card = deciding(faces), job.detector.card
        said = doubts(card, "" if all(one.middle.whole for one in faces) else self.crop)
        self.doubts += said
        judged = Judged(best.rows, answers=best.answers, asked_frame=best.asked_frame, faces=faces)
        judged.warnings, judged.trained_on = said, card.training_datasets
        return judged

    def _empty(self, name: str, status: str, reason: str) -> Judged:
        row = Prediction(name, name, "", "", REAL, status, None, message=reason)
        return Judged([row], faces=[])
