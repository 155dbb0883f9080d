"""Adapter of the faces in another adapter's scenes: each frame becomes the crop of one face in it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import DataError, FrameError
from ..core.memo import Memo, cache_folder
from ..core.progress import progress_bar
from ..core.records import Frame, Question
from ..core.sources import class_name, installed_versions
from ..datasets.base import Adapter, AdapterOptions, Sampler
from ..datasets.calls import frames_of, has_masks, mask_stamp_of, sampled_frames_of, stamp_of
from ..datasets.dataset import DECODERS, Dataset
from ..datasets.read_ahead import about_frame, checked_mask, read_pixels, thread_count
from ..version import __version__
from .align import moved
from .choose import Choice, marked_share, weight
from .crop_cache import CropCache, limit_bytes
from .crops import Crop, CropCard, cut, load_crop
from .face import Face, rounded
from .find import DEFAULT, FaceFinder, load_finder
from .videos import Listing, Look, Stories, Story, absence, looked_at, one_file

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..core.arrays import Image
    from .follow import Track

CACHED = "faces"
LOOKS = 32
"""Frames of a video that are looked at by default: those that a protocol of 32 evenly spread frames judges."""
CUT = 2
"""Faces of a frame that is looked at, the largest, which are cut out at once: they are asked for most likely."""
VERSION = 1
"""Counted up when this room finds, follows, chooses or cuts differently."""


class FaceOptions(AdapterOptions):
    """What decides the faces and their crops, as an adapter's options: keys of results have them."""

    crop: str
    finder: str
    choice: str
    looks: int | None
    version: int
    scenes: str
    """The wrapped adapter: its class."""
    options: dict[str, Any]
    """The wrapped adapter's options."""


class FaceAdapter(Adapter[FaceOptions]):
    """Crops of the faces in the scenes of another adapter, whose frames keep their ids.

    Of each video (or single picture) one person's face is taken, see `Choice`. It is chosen over `looks` frames that
    are evenly spread over all of the video, not over those that are judged: the same frame is the same crop under every
    protocol. A frame without that face raises FrameError with the status `no_face`.

    With the rule `all`, every person is taken: the id of the k-th, the largest first, ends in `#k`, and `picture` is
    the scene's id. Listing then looks for faces. A frame without any face stays as it was, and has the status
    `no_face`.

    Faces that were found, and crops, are kept in the cache folder while the files' stamps do not change; of crops those
    that were used last, see `CropCache`.
    """

    Options = FaceOptions
    name = "faces"
    """The dataset's name where the adapter is given alone; `with_faces` sets it."""

    def __init__(
        self,
        scenes: Adapter,
        crop: str | CropCard = "m2f2det",
        finder: str | FaceFinder = DEFAULT,
        choice: Choice | None = None,
        looks: int | None = LOOKS,
    ) -> None:
        """Wrap `scenes`. `looks` is None for all frames.

        Raises DataError if the finder's extra is not installed, CardError or RegistryError for an unknown name. The
        cache's limit is that of `crop_cache.limit_bytes`.
        """
        self.scenes, self.crop, self.finder = scenes, load_crop(crop), load_finder(finder)
        self.choice, self.looks = choice or Choice(), looks
        self.splits = scenes.splits  # type: ignore[misc]
        options = FaceOptions(
            crop=self.crop.signature(),
            finder=self.finder.signature(),
            choice=self.choice.signature(),
            looks=looks,
            version=VERSION,
            scenes=class_name(type(scenes)),
            options=scenes.options.content(),
        )
        super().__init__(scenes.root, options)
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._listings: dict[str, Listing] = {}
        self._memo: Memo | None = None
        self._kept: CropCache | None = None
        limit_bytes()  # a bad value is said now
        self.use_threads(thread_count())

    def use_threads(self, count: int) -> None:
        """Look for faces with this many threads; what was found in this process is forgotten."""
        self._stories = Stories(self._look, self.choice, self.looks, count)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make the adapter in another process."""
        return type(self), (self.scenes, self.crop, self.finder, self.choice, self.looks)

    def signature(self) -> str:
        """Return the parts of a signature that say which faces are judged, such as `crop:…|finder:…|faces:…`."""
        looks = "all" if self.looks is None else self.looks
        crop, finder, choice = self.options.crop, self.options.finder, self.options.choice
        return f"crop:{crop}|finder:{finder}|faces:{choice}-looks{looks}"

    def cropped(self) -> str:
        """Return the same as the value of the signature's field `crop`: `<crop>/<finder>/<faces>`."""
        looks = "all" if self.looks is None else self.looks
        return "/".join([self.options.crop, self.options.finder, f"{self.options.choice}-looks{looks}"])

    def key(self) -> str:
        """Return 16 hex digits over all that decides the faces that are found: the name of their files in the cache."""
        decided = [self.options.model_dump(mode="json"), str(self.root), installed_versions(DECODERS), __version__]
        return hashlib.sha256(json.dumps(decided, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def holds(self, split: str) -> bool:
        """Return whether there is such a split."""
        return self.scenes.holds(split)

    def frames(self, split: str) -> Sequence[Frame]:
        """Return all frames of a split; with the rule `all` each face of each frame, see the class."""
        return self.expanded(frames_of(self.scenes, split))

    def sample(self, split: str, sampler: Sampler) -> Sequence[Frame]:
        """Return the frames that `sampler` picks from each video, with the rule `all` each face of each frame."""
        return self.expanded(sampled_frames_of(self.scenes, split, sampler))

    def read(self, frame: Frame) -> Image:
        """Return the crop of the chosen face, RGB uint8 [size, size, 3].

        Raises FrameError with the status `no_face` if the face is not in the frame, and as the scenes' `read`.
        """
        path = self._crop_path(frame)
        kept = None if path is None else self._crops().get(path, frame.id)
        if kept is not None:
            return kept
        image = self.cut(frame).image
        if path is not None:
            self._crops().put(path, image)
        return image

    def cut(self, frame: Frame) -> Crop:
        """Return the crop with its face and its transform, so that a heat map can be put back. Raises as `read`."""
        scene, story, track = self._place(frame)
        pictures: list[Image] = []
        try:
            found = story.face_at(scene.id, track, lambda: self._look(scene, pictures))
        except FrameError as error:
            raise FrameError(frame.id, error.reason, error.status) from None
        if found is None:
            raise FrameError(frame.id, absence(story, scene, track), "no_face")
        face, crop = found
        if crop is not None:
            return crop
        image = pictures[0] if pictures else read_pixels(self.scenes.read, scene)
        try:
            return cut(image, face, self.crop)
        except DataError as error:
            raise FrameError(frame.id, str(error), "no_face") from None

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_] | None:
        """Return the crop's part of the scene's mask, bool [size, size]; None if the scene has none."""
        return self.mask_of(frame)

    def mask_of(self, frame: Frame, crop: Crop | None = None) -> npt.NDArray[np.bool_] | None:
        """Return what `mask` does; `crop` is the frame's, if it was cut already.

        Raises FrameError for a mask that cannot be read, DataError for one of another size than its scene.
        """
        scene = _scene(frame)
        mask = about_frame(lambda: self.scenes.mask(scene), scene)
        if mask is None:
            return None
        cropped = crop or self.cut(frame)
        return cropped.mask(checked_mask(mask, scene, cropped.shape))

    def has_masks(self) -> bool:
        """Return whether the scenes may have masks."""
        return has_masks(self.scenes)

    def landmarks(self, frame: Frame) -> npt.NDArray[np.float64] | None:
        """Return landmarks of the crop's face, else its five points, [K, 2]; None for a box alone. Raises as `read`."""
        crop = self.cut(frame)  # those of the scene may be of another face
        points = crop.face.points if crop.face.landmarks is None else crop.face.landmarks
        return None if points is None else moved(crop.transform, points)

    def digest(self, frame: Frame, image: Image) -> str:
        """Return a hash of the crop's pixels and of how it was made."""
        return hashlib.blake2b(self.signature().encode() + image.tobytes(), digest_size=8).hexdigest()

    def stamp(self, frame: Frame) -> str:
        """Return a hash of the stamps of the frame, and of all frames and masks by which its face is chosen.

        Empty if one of them is unknown.
        """
        scene = _scene(frame)
        stamps = [stamp_of(self.scenes, scene)]
        video = self._video(scene)
        if not one_file(video):  # its frames change together
            stamps += [stamp_of(self.scenes, video[number]) for number in looked_at(len(video), self.looks)]
        if not all(stamps):
            return ""
        if self.choice.rule == "mask":  # the masks of the frames that are looked at choose the face
            masks = [mask_stamp_of(self.scenes, video[number]) for number in looked_at(len(video), self.looks)]
            if None in masks:
                return ""
            stamps += [str(mask) for mask in masks]
        text = "\0".join([self.options.model_dump_json(), *stamps])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def fits(self) -> bool:
        """Return whether the root looks like the scenes'."""
        return self.scenes.fits()

    def remarks(self, split: str) -> list[str]:
        """Return the scenes' remarks."""
        return self.scenes.remarks(split)

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        """Return the scenes' questions; with the rule `all` each is asked of each face, and its id ends in `#k`."""
        questions = self.scenes.questions(split, kind)
        if self.choice.rule != "all":
            return questions
        faces: dict[str, list[Frame]] = {}
        for one in self.frames(split):
            faces.setdefault(one.picture or one.id, []).append(one)
        return [
            replace(question, id=question.id + one.id.removeprefix(question.frame), frame=one.id)
            for question in questions
            for one in faces.get(question.frame, [])
        ]

    def altered_regions(self, split: str) -> dict[str, frozenset[str]]:
        """Return the scenes' manipulated regions by frame id; with the rule `all` nothing: they are not of one face."""
        return {} if self.choice.rule == "all" else self.scenes.altered_regions(split)

    def close(self) -> None:
        """Close the scenes' files and the caches."""
        self._stories.close()
        with self._lock:
            memo, self._memo = self._memo, None
        if memo is not None:
            memo.close()
        self.scenes.close()

    def _video(self, scene: Frame) -> Sequence[Frame]:
        with self._lock:
            listing = self._listings.get(scene.split)
            if listing is None:
                listing = self._listings[scene.split] = Listing(frames_of(self.scenes, scene.split))
        return listing.video(scene.clip) or [scene]

    def _story(self, scene: Frame) -> Story:
        return self._stories.of(f"{scene.split}\0{scene.clip}", lambda: self._video(scene))

    def _place(self, frame: Frame) -> tuple[Frame, Story, Track | None]:
        """Return the scene of a frame, its video's story, and the track of the frame's face, None if it has none."""
        scene = _scene(frame)
        story = self._story(scene)
        if scene.id not in story.numbers:
            raise DataError(f"frame '{frame.id}' is not in the list of its dataset's split '{frame.split}'")
        number = 0 if scene is frame else int(frame.id.rpartition("#")[2]) - 1
        if self.choice.rule == "all" and scene is frame:
            return scene, story, None
        return scene, story, story.chosen[number] if number < len(story.chosen) else None

    def _look(self, scene: Frame, pictures: list[Image] | None = None) -> Look:
        """Find the faces of a scene, and cut them out where they may be asked for soon; none if it cannot be read.

        Its pixels, if they had to be read, are added to `pictures`; an unreadable frame is an error then.
        """
        try:
            faces, image = self._found(scene)
            worthy = self.choice.worthy(faces)
            if pictures is not None:
                if image is not None:
                    pictures.append(image)
                return Look(worthy)
            marked = []
            if self.choice.rule == "mask" and worthy:
                mask = self.scenes.mask(scene)
                marked = [0.0 if mask is None else marked_share(face, mask) for face in worthy]
        except FrameError as error:
            if pictures is not None:
                raise
            return Look([], failed=error)
        likely = sorted(worthy, key=lambda face: -weight([face]))[:CUT]
        crops = [] if image is None else [self._try(image, face) if face in likely else None for face in worthy]
        return Look(worthy, marked, crops)

    def _found(self, scene: Frame) -> tuple[list[Face], Image | None]:
        """Return all faces of a scene, from the cache if its stamp is known, and its pixels if they were read."""
        key, stamp = f"{scene.split} {scene.id}", stamp_of(self.scenes, scene)
        memo = self._opened()
        known = memo.get(key, stamp) if stamp else None
        if isinstance(known, list):
            return [Face.from_json(one) for one in known], None
        image = read_pixels(self.scenes.read, scene)
        faces = [rounded(face) for face in self.finder.find(image)]
        stamp = stamp or stamp_of(self.scenes, scene)
        if stamp:
            memo.put(key, stamp, [face.to_json() for face in faces])
        return faces, image

    def _opened(self) -> Memo:
        with self._lock:
            if self._memo is None:
                self._memo = Memo(cache_folder() / CACHED / f"{self.key()}.jsonl")
            return self._memo

    def _crops(self) -> CropCache:
        with self._lock:
            if self._kept is None:
                self._kept = CropCache(cache_folder() / CACHED)
            return self._kept

    def _try(self, image: Image, face: Face) -> Crop | None:
        try:
            return cut(image, face, self.crop)
        except DataError:
            return None

    def _crop_path(self, frame: Frame) -> Path | None:
        """Return the file of a frame's crop in the cache; None if nothing tells whether it is up to date."""
        stamp = self.stamp(frame)
        if not stamp:
            return None
        text = f"{frame.split}\0{frame.id}\0{stamp}"
        name = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        return cache_folder() / CACHED / self.key() / name[:2] / f"{name[2:]}.png"

    def expanded(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Return the frames of the faces in scenes: the same ones, but with the rule `all` one for each face.

        A scene without a face stays. Faces are looked for then.
        """
        if self.choice.rule != "all":
            return frames
        found: list[Frame] = []
        with progress_bar("faces", len(frames)) as advance:
            for frame in frames:
                story = self._story(frame)
                number = story.numbers[frame.id]
                spans = [k for k, track in enumerate(story.chosen, 1) if story.spans(track, number)]
                found += [replace(frame, id=f"{frame.id}#{k}", picture=frame.id) for k in spans] or [frame]
                advance(1)
        return found


def _scene(frame: Frame) -> Frame:
    """Return the scene of a frame: itself, or for a face `…#k` the picture that it is from."""
    if frame.picture and frame.id.startswith(f"{frame.picture}#"):
        return replace(frame, id=frame.picture, picture="")
    return frame


def with_faces(
    dataset: Dataset,
    crop: str | CropCard = "m2f2det",
    finder: str | FaceFinder = DEFAULT,
    choice: Choice | None = None,
    looks: int | None = LOOKS,
) -> Dataset:
    """Return a dataset of the faces in the scenes of another. Raises as `FaceAdapter`."""
    adapter = FaceAdapter(dataset.adapter, crop, finder, choice, looks)
    adapter.name = dataset.name
    return Dataset(dataset.card.model_copy(update={"shows": "crops"}), adapter, adapter.cropped())
