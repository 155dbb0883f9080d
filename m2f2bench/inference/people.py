"""People in anybody's pictures and videos: faces found, cut out as a detector knows them, and judged.

**When a picture is taken as it is.** A picture with exactly one face that is nearly square (`SQUARE`), and of which
the crop around that face would show at least `FILLED`, is a crop of this face already: cutting it once more would add a
black border or take hair and chin away. Then `FoundFace.whole` is true and `FoundFace.crop.image` is the picture, to
the last pixel. Measured on 144 real crops of DD-VQA: the share is .71 at least; on 108 drawn faces: .60 at least.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..cards.models import named_dataset
from ..cards.protocols import FrameSelection
from ..core.errors import DataError
from ..datasets.dataset import pick
from ..datasets.files.video import Video, open_video, pictures_of, read_video
from ..datasets.read_ahead import thread_count
from ..faces.align import moved
from ..faces.choose import Choice, choose, choose_tracks
from ..faces.crops import Crop, CropCard, cut, load_crop
from ..faces.face import Box, Face
from ..faces.find import DEFAULT, FaceFinder, load_finder
from ..faces.follow import Track, follow
from ..faces.videos import PATIENCE

if TYPE_CHECKING:
    from ..cards.models import DetectorCard
    from ..core.arrays import Image

T = TypeVar("T")
log = logging.getLogger("m2f2bench")
SMALL = 64
"""A face whose box has a shorter side below this, in pixels, is too small for a sure verdict."""
UNSURE = 0.6
"""Below this score of the finder's, a face is perhaps none."""
TOUCHES = 0.03
"""A face may be cut off if its box is nearer to the picture's edge than this share of its side, or beyond it."""
SQUARE = 1.1
"""The longer edge of a crop over its shorter one, at most."""
FILLED = 0.55
"""A picture is a crop already if the crop around its only face would show at least this share of it."""
SELDOM = 0.1
"""A person who is seen in less than this share of a video's frames does not decide the video's verdict."""
CROP = "m2f2det"
"""The crop for a detector of which it is not known what it was trained on."""
GRID = 64
CROPS = {
    "ddvqa": "m2f2det",
    "hdf5": "m2f2det",
    "deepfakebench": "deepfakebench",
    "df40": "deepfakebench",
    "synthetic": "synthetic",
}
"""The crop of the frames that a dataset has, by its adapter's name, where it is known."""


@dataclass(frozen=True, eq=False)
class FoundFace:
    """One face of a picture, cut out.

    `crop.image` (RGB uint8 [S, S, 3]) is what is judged; `whole`: it is the picture as it is. `card` names the crop.
    `warnings` are plain sentences on why its verdict may mean little.
    """

    face: Face
    crop: Crop
    card: str
    whole: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def box(self) -> Box:
        """The face's box in the picture, in pixels: left, top, right, bottom."""
        return self.face.box


@dataclass(eq=False)
class Person:
    """One person of a video: `found` faces, the `numbers` of their frames in the video, and `times` in seconds.

    Times are by the video's average frame rate. `warnings` are those of the person as a whole.
    """

    number: int
    found: list[FoundFace] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    seldom: bool = False
    """Seen in less than SELDOM of the frames that were looked at."""

    @property
    def crops(self) -> list[Crop]:
        """The crops, in order of time."""
        return [one.crop for one in self.found]

    @property
    def boxes(self) -> list[Box]:
        """The face's boxes in pixels, in order of time."""
        return [one.box for one in self.found]

    @property
    def middle(self) -> int:
        """The place of the middle one of the faces."""
        return len(self.found) // 2


@dataclass(eq=False)
class Looked:
    """A video that was looked at: its picked frames, the people in it (the largest first), and frames without any."""

    video: Video
    people: list[Person]
    without_face: int
    rate: float
    """Frames a second."""


def find_people(
    image: Image,
    finder: str | FaceFinder = DEFAULT,
    crop: str | CropCard = CROP,
    choice: Choice | None = None,
) -> list[FoundFace]:
    """Return the faces of a picture, RGB uint8 [H, W, 3], the largest first, each cut out; empty if there are none.

    `choice` is by default all faces. Raises DataError if the finder's extra is not installed, or if the crop needs
    points and the finder gives none; RegistryError and CardError for unknown names.
    """
    card, wanted = load_crop(crop), choice or Choice(rule="all")
    faces = load_finder(finder).find(image)
    return _cut_all(image, choose(faces, wanted), card, len(wanted.worthy(faces)) == 1)


def look_at_video(
    path: str | Path,
    frames: int = 32,
    finder: str | FaceFinder = DEFAULT,
    crop: str | CropCard = CROP,
    choice: Choice | None = None,
) -> Looked:
    """Return the people of a video, each with the faces in the frames where it was seen, and the frames themselves.

    `frames` frames, evenly spread, are looked at. Raises FrameError for a file that is no video, and as `find_people`.
    """
    card, eye, wanted = load_crop(crop), load_finder(finder), choice or Choice(rule="all")
    selection = FrameSelection(which="uniform", count=frames)
    video = read_video(Path(path), lambda n: pick(selection, n))
    seen = [wanted.worthy(faces) for faces in each(eye.find, video.images)]
    step = max((b - a for a, b in pairwise(video.numbers)), default=1)
    tracks = follow(zip(video.numbers, seen, strict=True), PATIENCE * step)
    rate = _rate(Path(path))
    alone = len(tracks) == 1
    people = [
        _person(number, track, video, card, alone, rate)
        for number, track in enumerate(choose_tracks(tracks, wanted), 1)
    ]
    return Looked(video, [one for one in people if one.found], sum(not faces for faces in seen), rate)


def training_crop(card: DetectorCard) -> str:
    """Return the name of the crop that a detector was trained on, by its datasets; empty if that is not known."""
    known = [_crop_of(name) for name in card.training_datasets]
    return next((name for name in reversed(known) if name), "")


def doubts(card: DetectorCard, crop: str | CropCard = "") -> list[str]:
    """Return plain sentences on why a detector's verdict on a photo, cut by this `crop`, may mean little."""
    found = []
    names = card.training_datasets
    if names and all(_is_drawn(name) for name in names):
        found.append(
            f"{card.name} was trained on drawn faces ({', '.join(names)}): of a photo its verdict means little"
        )
    own, used = training_crop(card), crop.name if isinstance(crop, CropCard) else crop.partition(":")[0]
    if own and used and own != used:
        found.append(f"{card.name} was trained on crops of the kind {own}, and these are {used}")
    return found


def each(what: Callable[[Any], T], images: Iterable[Any]) -> list[T]:
    """Return what each picture gives, in order; threads share the work."""
    held = list(images)
    if len(held) < 2:
        return [what(one) for one in held]
    with ThreadPoolExecutor(min(len(held), thread_count()), thread_name_prefix="m2f2bench-people") as pool:
        futures = [pool.submit(what, one) for one in held]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def _cut_all(image: Image, faces: Sequence[Face], card: CropCard, alone: bool) -> list[FoundFace]:
    return [one for one in (_found(image, face, card, alone) for face in faces) if one is not None]


def _found(image: Image, face: Face, card: CropCard, alone: bool, whole: bool | None = None) -> FoundFace | None:
    """Cut a face out; `alone`: it is the picture's only face. None, with a warning, if there is nothing to cut.

    `whole` says whether the picture is a crop already; None: see for yourself.
    """
    if card.by == "points" and face.points is None:
        card.transform(face, image.shape)  # says what is wrong
    try:
        crop = cut(image, face, card)
    except DataError as error:
        log.warning("a face at %s cannot be cut out: %s", [round(edge) for edge in face.box], error)
        return None
    if whole is None:
        whole = alone and fills(crop)
    said = warnings_of(face, image.shape, whole)
    return FoundFace(face, as_it_is(image, face) if whole else crop, card.name, whole, said)


def fills(crop: Crop) -> bool:
    """Return whether the crop shows so much of its picture that the picture is a crop of this face already."""
    height, width = crop.shape
    return max(height, width) <= SQUARE * min(height, width) and shown_share(crop) >= FILLED


def shown_share(crop: Crop) -> float:
    """Return the share of the picture that the crop shows, in [0, 1]."""
    height, width = crop.shape
    across, down = ((np.arange(GRID) + 0.5) / GRID * length for length in (width, height))
    places = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    there = moved(crop.transform, places)
    return float(np.mean(np.all((there >= 0) & (there <= crop.image.shape[0]), axis=1)))


def as_it_is(image: Image, face: Face) -> Crop:
    """Return the whole picture as the crop of a face in it; its pixels are not changed."""
    height, width = image.shape[:2]
    # `put_back` takes a crop for a square as high as its picture.
    return Crop(image, np.array([[height / width, 0.0, 0.0], [0.0, 1.0, 0.0]]), face, (height, width))


def warnings_of(face: Face, shape: Sequence[int], whole: bool = False) -> tuple[str, ...]:
    """Return plain sentences on a face that is too small, cut off, or perhaps none."""
    found = []
    if face.side < SMALL:
        found.append(f"the face is {face.side:.0f} pixels wide, under {SMALL}: too small for a sure verdict")
    x0, y0, x1, y1 = face.box
    if not whole and min(x0, y0, shape[1] - x1, shape[0] - y1) < TOUCHES * face.side:
        found.append("the face touches the picture's edge: it may be cut off")
    if face.score < UNSURE:
        found.append(f"perhaps no face: the finder's score is {face.score:.2f}")
    return tuple(found)


def _person(number: int, track: Track, video: Video, card: CropCard, alone: bool, rate: float) -> Person:
    """Cut one person out of all frames; whether the pictures are crops already is the same for all of them."""
    places = {number: place for place, number in enumerate(video.numbers)}
    faces = [(int(time), face, video.images[places[int(time)]]) for time, face in track.faces.items()]
    first = [one for one in (_found(image, face, card, alone) for _, face, image in faces) if one is not None]
    whole = sum(one.whole for one in first) * 2 > len(first)
    person = Person(number)
    for at, face, image in faces:
        found = _found(image, face, card, alone, whole)
        if found is not None:
            person.found.append(found)
            person.numbers.append(at)
            person.times.append(round(at / rate, 3) if rate else float(at))
    person.warnings = tuple(_of_all(person.found))
    person.seldom = len(person.found) < SELDOM * len(video.images)
    if person.seldom:
        seen = f"seen in {len(person.found)} of {len(video.images)} frames: not counted in the file's verdict"
        person.warnings += (seen,)
    return person


def _of_all(found: Sequence[FoundFace]) -> list[str]:
    """Return the warnings of a person's faces, the first of each kind, with how many faces it concerns."""
    kinds: dict[str, list[str]] = {}
    for text in (text for one in found for text in one.warnings):
        kinds.setdefault(re.sub(r"[0-9.]+", "", text), []).append(text)
    share = f" of {len(found)} frames" if len(found) > 1 else ""
    return [texts[0] + (f" ({len(texts)}{share})" if share else "") for texts in kinds.values()]


def _rate(path: Path) -> float:
    """Return a video's frames a second, 0 if its container does not say."""
    with open_video(path) as container:
        return float(pictures_of(container, path).average_rate or 0)


def _crop_of(dataset: str) -> str:
    card = named_dataset(dataset.partition("@")[0])
    return CROPS.get(card.adapter, "") if card is not None and card.shows == "crops" else ""


def _is_drawn(dataset: str) -> bool:
    return dataset.startswith("synthetic")
