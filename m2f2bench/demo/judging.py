"""Judgement of the faces in one picture, by several detectors, without any page.

A panel holds the detectors; whoever uses it takes its lock, because all of them share one device.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow

from ..core.errors import DataError, DetectorError, FrameError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.guests import guest
from ..datasets.files.images import read_image
from ..faces.base import FaceFinder
from ..faces.choose import Choice, choose
from ..faces.crops import CropCard, load_crop
from ..faces.find import load_finder
from ..heatmaps.mapping import HeatMapper
from ..inference.people import CROP, FoundFace, find_people, training_crop
from ..inference.verdicts import THRESHOLD
from ..loading import load_detector
from ..runs.ask import ExplainerClient

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Image
    from ..detectors.base import Detector
    from ..faces.face import Face

log = logging.getLogger("m2f2bench")
MOST_PIXELS = 30_000_000
"""Width times height of a picture: a phone's photo is judged, a scan is not."""
MOST_FACES = 8
"""The largest faces of a picture, which are judged."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What one detector says of one face: P(fake), or None with a `message`; `heat` is its map of the crop, [h, w].

    `seen` is the part of the crop that the map covers: top, left, bottom, right as shares.
    """

    score: float | None
    message: str = ""
    heat: npt.NDArray[np.float32] | None = None
    seen: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    @property
    def word(self) -> str:
        """`fake`, `real`, or `no verdict`."""
        return "no verdict" if self.score is None else "fake" if self.score >= THRESHOLD else "real"


@dataclass(frozen=True, eq=False)
class Person:
    """One face of a picture: how it was cut out for each detector, and the verdicts, by the detectors' names."""

    face: Face
    found: dict[str, FoundFace]
    verdicts: dict[str, Verdict]

    @property
    def warnings(self) -> list[str]:
        """Plain sentences on why its verdicts may mean little."""
        return list(dict.fromkeys(text for one in self.found.values() for text in one.warnings))

    def to_json(self) -> dict[str, Any]:
        """Return the face's box, its finder's score, warnings, and what each detector says."""
        said = {
            name: {"score": one.score, "verdict": None if one.score is None else one.word, "message": one.message}
            for name, one in self.verdicts.items()
        }
        face = self.face.to_json()
        return {"box": face["box"], "face_score": face["score"], "warnings": self.warnings, "detectors": said}


class _Seen(FaceFinder):
    """A finder of one picture's faces, which are known already: it is cut several times, found once."""

    name = "seen"

    def __init__(self, faces: Sequence[Face]) -> None:
        self.faces = list(faces)

    def find(self, image: Image) -> list[Face]:
        return self.faces

    def signature(self) -> str:
        return self.name


@dataclass(eq=False)
class Judge:
    """One detector, the crop that it gets, and what it can do: `mapper` makes its maps, `client` its answers."""

    detector: Detector
    crop: CropCard
    mapper: HeatMapper | None = None
    client: ExplainerClient | None = None

    @property
    def name(self) -> str:
        """Name on the detector's card."""
        return self.detector.card.name

    @classmethod
    def of(cls, reference: Any, device: str = "auto", crop: str = "", precision: str | None = None) -> Judge:
        """Load a detector by name, card, folder or `file.py:Class`. Raises DetectorError and CardError.

        `crop` is by default the one that it was trained on, where that is known. A torch network that makes no maps
        gets Grad-CAM's where the package is installed.
        """
        detector = load_detector(reference, device, precision)
        client = ExplainerClient(detector) if detector.as_explainer() is not None else None
        card = load_crop(crop or training_crop(detector.card) or CROP)
        return cls(detector, card, _mapper(detector), client)

    def verdicts(self, crops: Sequence[Image], maps: bool = True) -> list[Verdict]:
        """Return the verdict on each crop, RGB uint8 [S, S, 3]; its failure is one line for all of them."""
        names = [f"face {number}" for number in range(1, len(crops) + 1)]
        try:
            with guest(f"detector '{self.name}'"):
                scores = [float(one) for one in self.detector.predict(list(crops), names)]
        except Exception as error:
            refuse_machine_fault(error, f"detector '{self.name}'")
            return [Verdict(None, first_line(error))] * len(crops)
        if len(scores) != len(crops):
            return [Verdict(None, f"it gave {len(scores)} scores for {len(crops)} faces")] * len(crops)
        found = self.mapper.maps(crops, names) if maps and self.mapper is not None else [""] * len(crops)
        return [self._verdict(*three) for three in zip(crops, scores, found, strict=True)]

    def _verdict(self, crop: Image, score: float, heat: npt.NDArray[np.float32] | str) -> Verdict:
        if not (math.isfinite(score) and 0.0 <= score <= 1.0):
            return Verdict(None, "it gave no score between 0 and 1 for this face")
        if isinstance(heat, str) or self.mapper is None:
            return Verdict(score, heat if isinstance(heat, str) else "")
        return Verdict(score, "", heat, self.mapper.seen(crop))


def _mapper(detector: Detector) -> HeatMapper | None:
    """Return what makes a detector's maps, None where nothing does."""
    try:
        if detector.as_localizer() is not None:
            return HeatMapper(detector)
        from ..detectors.network import NetworkDetector

        if isinstance(detector, NetworkDetector):
            from ..detectors.cam import CamDetector

            return HeatMapper(CamDetector(detector))
    except M2F2BenchError as error:
        log.info("%s: no heat maps: %s", detector.card.name, error)
    return None


@dataclass(eq=False)
class Panel:
    """The detectors of a demo, and what finds faces for them. `lock` is held by whoever uses them."""

    judges: list[Judge]
    finder: FaceFinder
    most_pixels: int = MOST_PIXELS
    lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def of(
        cls,
        detectors: Sequence[Any],
        *,
        finder: str = "centerface",
        crop: str = "",
        device: str = "auto",
        precision: str | None = None,
    ) -> Panel:
        """Load detectors and a finder; see `Judge.of` for the crop. Raises M2F2BenchError, also for two of one name."""
        judges = [Judge.of(one, device, crop, precision) for one in detectors]
        names = [judge.name for judge in judges]
        if not judges:
            raise DataError("the demo has no detector: give one with --detector")
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise DataError(f"two detectors are named '{twice}': give each a card with a name of its own")
        return cls(judges, load_finder(finder))

    def warm(self) -> None:
        """Judge a grey picture once, so that the first visitor does not wait for what is loaded on first use."""
        grey = np.full((256, 256, 3), 128, np.uint8)
        with self.lock:
            self.finder.find(grey)
            for judge in self.judges:
                judge.verdicts([np.full((judge.crop.size, judge.crop.size, 3), 128, np.uint8)])

    def chosen(self, names: Sequence[str] | None = None) -> list[Judge]:
        """Return the judges of these names, all without any. Raises DetectorError for an unknown name."""
        known = {judge.name: judge for judge in self.judges}
        if unknown := [name for name in names or () if name not in known]:
            raise DetectorError(f"the demo has no detector '{unknown[0]}': it has {', '.join(known)}")
        return [known[name] for name in names] if names else self.judges

    def explainer(self, name: str = "") -> Judge:
        """Return the judge of this name that answers questions, the first without a name. Raises DetectorError."""
        able = [judge for judge in self.chosen([name] if name else None) if judge.client is not None]
        if not able:
            who = f"detector '{name}' answers" if name else "none of the demo's detectors answers"
            raise DetectorError(f"{who} no questions: start the demo with an explainer")
        return able[0]

    def read(self, path: Path) -> Image:
        """Return a picture file, RGB uint8 [H, W, 3], upright. Raises DataError in one line for any that is refused."""
        try:
            with Pillow.open(path) as opened:
                width, height = opened.size
        except Exception:
            width = height = 0  # read_image says what is wrong
        if width * height > self.most_pixels:
            raise DataError(
                f"the picture has {width * height / 1e6:.1f} megapixels, and this demo takes at most "
                f"{self.most_pixels / 1e6:g}: make it smaller"
            )
        try:
            return read_image(path, path.name)
        except FrameError as error:
            raise DataError(f"the file is no picture that can be judged: {error.reason}") from None

    def faces(self, image: Image, judges: Sequence[Judge] | None = None) -> list[Person]:
        """Return the faces of a picture without verdicts, from left to right, cut out for each judge.

        Raises DataError if there is none.
        """
        seen = choose(self.finder.find(image), Choice(rule="all"))
        cut = {judge.name: find_people(image, _Seen(seen), judge.crop) for judge in judges or self.judges}
        of_face: dict[int, dict[str, FoundFace]] = {}
        for name, found in cut.items():
            for one in found:
                of_face.setdefault(id(one.face), {})[name] = one
        people = [Person(face, of_face[id(face)], {}) for face in seen if len(of_face.get(id(face), {})) == len(cut)]
        if not people:
            raise DataError(f"no face was found in this picture ({image.shape[1]}×{image.shape[0]}): nothing is judged")
        return sorted(people[:MOST_FACES], key=lambda one: one.face.centre)

    def judge(self, image: Image, names: Sequence[str] | None = None, maps: bool = True) -> list[Person]:
        """Return the people in a picture, RGB uint8 [H, W, 3], from left to right.

        Raises DataError if there is no face, DetectorError for an unknown name.
        """
        judges = self.chosen(names)
        with self.lock:
            people = self.faces(image, judges)
            for judge in judges:
                said = judge.verdicts([one.found[judge.name].crop.image for one in people], maps)
                for person, verdict in zip(people, said, strict=True):
                    person.verdicts[judge.name] = verdict
        return people
