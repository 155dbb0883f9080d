"""UADFV as downloaded: videos in `real` and `fake`, a fake named after its real."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from ...core.records import FAKE, REAL
from ..base import AdapterOptions
from ..files.folders import scan
from ..files.images import IMAGE_SUFFIXES
from ..files.video import VIDEO_SUFFIXES
from .media_trees import media_under
from .trees import Listing, TreeAdapter, count_of, method_of

FAKE_METHOD = "FakeApp"
_NAMES = {"real": re.compile(r"\d{4}\.mp4"), "fake": re.compile(r"\d{4}_fake\.mp4")}
_MEDIA = VIDEO_SUFFIXES | IMAGE_SUFFIXES
_MOST = 200
"""Names that are looked at to recognise the dataset, which has fewer."""


class UADFVAdapter(TreeAdapter[AdapterOptions]):
    """Videos `real/NNNN.mp4` and `fake/NNNN_fake.mp4`; a pair shows the same people. There is no split: all is test."""

    layout: ClassVar[str] = "UADFV"
    needs: ClassVar[str] = "real/NNNN.mp4 and fake/NNNN_fake.mp4"
    inside: ClassVar[tuple[str, ...]] = ("UADFV",)
    splits: ClassVar[tuple[str, ...]] = ("test",)

    def _is_top(self, folder: Path) -> bool:
        """Return whether all videos of `real` and `fake` are named as in UADFV; other folders have these names too."""
        for label, pattern in _NAMES.items():
            names = [name for name, _ in scan(folder / label, _MOST) if Path(name).suffix.lower() in _MEDIA]
            if not 0 < len(names) < _MOST or not all(pattern.fullmatch(name) for name in names):
                return False
        return True

    def found(self, top: Path, split: str) -> Listing:
        """Return the real and then the fake videos."""
        clips = [
            one.clip(one.name, label, method_of(label, FAKE_METHOD), split, [one.name.removesuffix("_fake")])
            for folder, label in (("real", REAL), ("fake", FAKE))
            for one in media_under(top / folder)
            if not one.items
        ]
        reals = {person for clip in clips if clip.label == REAL for person in clip.identities}
        alone = [clip.video for clip in clips if clip.label == FAKE and not reals.intersection(clip.identities)]
        return clips, [
            f"{count_of(len(alone), 'fake has', 'fakes have')} no real video, first {alone[0]}"
        ] if alone else []
