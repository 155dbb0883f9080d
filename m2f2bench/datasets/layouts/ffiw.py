"""FFIW-10K as downloaded: scenes with several faces, of which some are swapped, and videos of masks."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from ...core.errors import DataError
from ...core.records import FAKE, REAL, SPLITS, Frame, Locator
from ..base import AdapterOptions
from ..files.video import VIDEO_SUFFIXES
from .media_trees import media_under
from .trees import Listing, TreeAdapter, count_of, method_of

FAKE_METHOD = "FFIW"
"""The method of the fakes, which the dataset does not tell apart."""
_LABELS = {"source": REAL, "target": FAKE}


class FFIWAdapter(TreeAdapter[AdapterOptions]):
    """Videos in `{source,target}/{train,val,test}`, there or in `videos`; `source` is real, `target` fake.

    A mask has the name of its fake, in `target_mask`. A real and a fake video of one name in one split count as the
    same people.
    """

    layout: ClassVar[str] = "FFIW-10K"
    needs: ClassVar[str] = "source and target with train, val, test in them (and target_mask)"
    inside: ClassVar[tuple[str, ...]] = ("FFIW10K-v1-release", "FFIW10K-v1-release-test", "FFIW10K-v1", "FFIW")

    def _is_top(self, folder: Path) -> bool:
        return all((folder / name).is_dir() for name in _LABELS) and any(
            (folder / name / split).is_dir() for name in _LABELS for split in SPLITS
        )

    def found(self, top: Path, split: str) -> Listing:
        """Return the real and then the fake videos of a split. Raises `DataError` for a split that is not there."""
        clips, remarks = [], []
        there = [name for name in _LABELS if (top / name / split).is_dir()]
        if not there:
            has = ", ".join(one for one in SPLITS if any((top / name / one).is_dir() for name in _LABELS))
            raise DataError(f"'{top}' has neither source/{split} nor target/{split}; it has {has}")
        for name in there:
            media = media_under(top / name / split)
            videos = [one for one in media if not one.items]
            if len(videos) < len(media):
                remarks.append(
                    f"{name}/{split}: {count_of(len(media) - len(videos), 'folder', 'folders')} of pictures left out"
                )
            for one in videos:
                key = f"{split}/{one.name.removeprefix('videos/')}"
                clips.append(one.clip(key, _LABELS[name], method_of(_LABELS[name], FAKE_METHOD), split, [key]))
        for name, label in _LABELS.items():
            if not any(clip.label == label for clip in clips):
                kind = "real" if label == REAL else "fake"
                remarks.append(f"there is no {kind} video: '{top / name / split}' has none")
        return clips, remarks

    def mask_place(self, frame: Frame) -> Locator | None:
        """Return where a fake frame's mask lies: in the video of masks of its video's name, the frame of its number."""
        top = self._top()
        path = Path(frame.locator.path)
        if top is None or frame.label != FAKE or not path.is_relative_to(top / "target"):
            return None
        place = top / "target_mask" / path.relative_to(top / "target")
        for suffix in dict.fromkeys([path.suffix, *sorted(VIDEO_SUFFIXES)]):
            for one in (place.with_suffix(suffix), top / "target_mask" / frame.split / f"{path.stem}{suffix}"):
                if one.is_file():
                    return Locator(str(one), None, frame.locator.index)
        return None
