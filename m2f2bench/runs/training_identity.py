"""Identity of a training: a hash of everything that decides its weights; and the numbers of its frames."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ..cards.models import DetectorCard
from ..cards.settings import TrainingSettings
from ..core.errors import FrameError
from ..core.records import FAKE, Frame
from ..datasets.dataset import Dataset, frame_digests, spread
from ..datasets.read_ahead import about_frame
from ..detectors.base import file_fingerprint, trained_weights
from ..training.job import LanguageData
from ..version import __version__

FINGERPRINT_FRAMES = 20_000


def stage_identity(language: LanguageData | None, start: DetectorCard | None) -> list[Any]:
    """Return what decides the weights of a later stage: settings, examples, and the weights that it starts from."""
    if language is None or start is None:
        return []
    digest = hashlib.sha256()
    for one in (*language.train, *language.val):
        digest.update("\0".join((one.frame.id, one.question, one.answer)).encode("utf-8", "surrogatepass"))
    weights = trained_weights(start)
    return [language.settings.content(), digest.hexdigest(), file_fingerprint(weights)]


def data_fingerprint(dataset: Dataset, training: list[Frame], validation: list[Frame]) -> str:
    """Return a hash, 16 hex digits, of the list of all frames and the digests of their pixels.

    Of more than FINGERPRINT_FRAMES frames, that many are digested, spread evenly. An unreadable frame has no digest.
    """
    digest = hashlib.sha256()
    frames = [*training, *validation]
    for frame in frames:
        digest.update(json.dumps([frame.id, frame.video, frame.label, frame.method, frame.identities]).encode())
    chosen = spread(frames, FINGERPRINT_FRAMES)
    for split in dict.fromkeys(frame.split for frame in chosen):  # two splits may use the same ids
        found = frame_digests(dataset, [frame for frame in chosen if frame.split == split])
        digest.update("\0".join([split, *found.values()]).encode())
    return digest.hexdigest()[:16]


def needs_masks(settings: TrainingSettings) -> bool:
    """Return whether a training reads the dataset's masks. Imports torch, but for cross-entropy."""
    if settings.loss.name == "cross-entropy" or settings.source is not None:
        return False
    from ..training.losses.make import make_loss

    return make_loss(settings.loss).masks


def masks_digest(dataset: Dataset, frames: list[Frame]) -> str:
    """Return a hash, 16 hex digits, of the masks of the fakes among frames; of many as in `data_fingerprint`."""
    digest = hashlib.sha256()
    for frame in spread([one for one in frames if one.label == FAKE], FINGERPRINT_FRAMES):
        try:
            mask: Any = about_frame(lambda frame=frame: dataset.adapter.mask(frame), frame)  # type: ignore[misc]
            found = b"none" if mask is None else f"{mask.shape} {mask.dtype}".encode() + mask.tobytes()
        except FrameError:
            found = b"unreadable"
        digest.update(f"{frame.split}\0{frame.id}\0".encode("utf-8", "surrogatepass") + found)
    return digest.hexdigest()[:16]


def training_identity(
    card: DetectorCard, settings: TrainingSettings, dataset: Dataset, stage: str, fingerprint: str, *more: Any
) -> str:
    """Return a hash of everything that decides the weights."""
    content = card.model_dump(mode="json", exclude={"description", "licence", "reference", "training", "stages"})
    parts = [content, settings.content(), dataset.name, stage, fingerprint, __version__, *more]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def frame_counts(frames: list[Frame]) -> dict[str, int]:
    """Return what a record says of frames: how many there are, of which label, and of how many videos and people."""
    return {
        "frames": len(frames),
        "real": sum(frame.label == 0 for frame in frames),
        "fake": sum(frame.label == 1 for frame in frames),
        "videos": len({frame.clip for frame in frames}),
        "identities": len({person for frame in frames for person in frame.identities}),
    }
