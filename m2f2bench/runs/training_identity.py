"""Identity of a training: a hash of everything that decides its weights."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ..cards.models import DetectorCard
from ..cards.settings import TrainingSettings
from ..core.records import Frame
from ..datasets.dataset import Dataset, frame_digests, spread
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
    return [language.settings.model_dump(mode="json"), digest.hexdigest(), file_fingerprint(weights)]


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


def training_identity(
    card: DetectorCard, settings: TrainingSettings, dataset: Dataset, stage: str, fingerprint: str, *more: Any
) -> str:
    """Return a hash of everything that decides the weights."""
    content = card.model_dump(mode="json", exclude={"description", "licence", "reference", "training", "stages"})
    parts = [content, settings.content(), dataset.name, stage, fingerprint, __version__, *more]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
