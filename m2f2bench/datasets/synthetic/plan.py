"""Options and plan of a synthetic dataset: videos and frames are listed from the options alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from ...core.errors import near
from ...core.records import ORIGINAL
from ..base import AdapterOptions
from .faces import skin_tone
from .manipulations import METHODS, TWO_PEOPLE

PREFIX = {"train": "a", "val": "v", "test": "t"}
"""First letter of the identities of a split, so that no identity is in two splits."""
DEFAULT_METHODS = ("swap", "lowres", "expression", "resynthesis", "relight")


class SyntheticOptions(AdapterOptions):
    """Options that decide the pixels of a synthetic dataset; `cache` and `workers` decide only place and speed."""

    incidental: ClassVar[frozenset[str]] = frozenset({"cache", "workers"})

    seed: int = Field(default=0, ge=0)
    train: int = Field(default=24, ge=2)
    """Identities of the split; a swap needs two."""
    val: int = Field(default=6, ge=2)
    test: int = Field(default=12, ge=2)
    videos_per_identity: int = Field(default=2, ge=1)
    frames_per_video: int = Field(default=3, ge=1)
    size: int = Field(default=160, ge=64, le=512, multiple_of=2)
    """Side of the square frames, pixels."""
    compression: Literal["raw", "c23", "c40"] = "c23"
    methods: tuple[str, ...] = Field(default=DEFAULT_METHODS, min_length=1)
    cache: str | None = None
    """Folder for the drawn frames; None for `M2F2BENCH_CACHE` or the user's cache folder."""
    workers: int | None = Field(default=None, ge=1)
    """Processes that draw; None for two (one on a single core)."""

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for method in value:
            if method not in METHODS:
                raise ValueError(f"no manipulation '{method}'{near(method, METHODS)}")
        if len(set(value)) != len(value):
            raise ValueError("a manipulation is named twice")
        return value


@dataclass(frozen=True)
class Video:
    """One video of the plan: `clip` is the real video that it is or was made from, `row` its first frame's row."""

    method: str
    clip: str
    number: int
    target: str
    source: str
    row: int

    @property
    def name(self) -> str:
        """`<method>/<clip>`, unique in the dataset."""
        return f"{self.method}/{self.clip}"

    @property
    def identities(self) -> tuple[str, ...]:
        """The people whose faces are in it: two if faces are exchanged."""
        return (self.target, self.source) if self.method in TWO_PEOPLE else (self.target,)


def identity_names(options: SyntheticOptions, split: str) -> list[str]:
    """Return the identities of a split, such as `t003`."""
    return [f"{PREFIX[split]}{number:03d}" for number in range(getattr(options, split))]


def plan(options: SyntheticOptions, split: str) -> list[Video]:
    """Return all videos of a split in order: by identity, each real clip followed by its forgeries.

    The source of a swap is one of the three other people of the split with the most similar skin.
    """
    names = identity_names(options, split)
    videos: list[Video] = []
    tones = {name: skin_tone(options.seed, name) for name in names}
    for index, target in enumerate(names):
        near_skin = {name: abs(tones[name] - tones[target]) for name in names[index + 1 :] + names[:index]}
        others = sorted(near_skin, key=near_skin.__getitem__)
        for number in range(options.videos_per_identity):
            source = others[number % min(3, len(others))]
            for method in (ORIGINAL, *options.methods):
                row = len(videos) * options.frames_per_video
                videos.append(Video(method, f"{target}_{number}", number, target, source, row))
    return videos
