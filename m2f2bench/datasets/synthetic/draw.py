"""Options, plan and drawing of a synthetic dataset: each identity's clips and their forgeries, compressed by H.264.

Videos and frames are listed from the options alone.

Run as a program, the module draws a share of a split into existing arrays and reports each video in one line. It is a
program and not a child of a pool: a pool would import the caller's main module again, which fails in a notebook, a pipe
or a script without a guard. It ends by itself when the reader of its lines is gone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from ...core.errors import near
from ...core.records import ORIGINAL
from ..base import AdapterOptions
from .faces import Array, Scene, draw_face, draw_scene, skin_tone, stream
from .h264 import decode, encode
from .manipulations import METHODS, TWO_PEOPLE, Case, draw_strength, forge
from .render import Rendering, coverage, render

if TYPE_CHECKING:
    from ...core.records import Image

FRAMES, MASKS = "frames.npy", "masks.npy"
CRF = {"c23": 23, "c40": 40}
"""FaceForensics++'s two compression levels as x264's constant rate factor."""
PREFIX = {"train": "a", "val": "v", "test": "t"}
"""First letter of the identities of a split, so that no identity is in two splits."""
DEFAULT_METHODS = ("swap", "lowres", "expression", "resynthesis", "relight")


class SyntheticOptions(AdapterOptions):
    """Options that decide the pixels of a synthetic dataset; `cache`, `workers` and `hashes` decide none of them."""

    incidental: ClassVar[frozenset[str]] = frozenset({"cache", "workers", "hashes"})

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
    """H.264 at this constant rate factor, or none."""
    methods: tuple[str, ...] = Field(default=DEFAULT_METHODS, min_length=1)
    """Manipulations that are drawn."""
    cache: str | None = None
    """Folder for the drawn frames; None for `M2F2BENCH_CACHE` or the user's cache folder."""
    workers: int | None = Field(default=None, ge=1)
    """Processes that draw; None for two (one on a single core)."""
    hashes: dict[Literal["train", "val", "test"], str] = Field(default={})
    """The hash of each split's frames, masks and notes (16 hex digits). Others are reported when a split is opened."""

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
                videos.append(Video(method, f"{target}_{number}", target, source, row))
    return videos


@dataclass(frozen=True)
class Drawn:
    """A finished video: frames [T, H, W, 3] uint8, masks [T, H, W] bool, and notes for the index.

    `stream` is the H.264 that the frames were decoded from; empty under the compression `raw`.
    """

    video: Video
    stream: bytes
    frames: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    notes: dict[str, Any]


def develop(image: Array, scene: Scene, seed: int, clip: str, frame: int) -> Image:
    """Add sensor noise and round to 8 bits. The noise depends on clip and frame only: a fake has that of its real."""
    rng = stream(seed, clip, "noise", frame)
    grain = rng.standard_normal(image.shape, np.float32)
    shot = np.sqrt(0.35 + 0.65 * np.clip(1 - image, 0, 1))
    noisy = image + np.float32(scene.noise) * shot * (0.55 * grain + 0.6 * grain[..., 1:2])
    return np.asarray(np.clip(np.rint(noisy * 255), 0, 255), np.uint8)


def clean_frames(
    options: SyntheticOptions, video: Video, drawn: list[Rendering], scene: Scene
) -> tuple[list[Array], npt.NDArray[np.bool_], dict[str, Any]]:
    """Return a video's frames before noise (float32 [H, W, 3]), its masks [T, H, W], and its notes."""
    face = draw_face(options.seed, video.target)
    if video.method == ORIGINAL:
        masks = np.zeros((len(drawn), options.size, options.size), np.bool_)
        return [d.image for d in drawn], masks, {}
    strength = draw_strength(options.seed, video.clip, video.method)
    source = draw_face(options.seed, video.source)
    made = [
        forge(video.method, Case(d, face, source, scene, pose, strength, options.seed, video.clip))
        for d, pose in zip(drawn, scene.poses, strict=True)
    ]
    masks = np.stack([mask for _, mask in made])
    middle = len(made) // 2
    shares = {k: round(s, 4) for k, s in coverage(face, drawn[middle], masks[middle]).items()}
    return [image for image, _ in made], masks, {"strength": round(strength, 4), "regions": shares}


def draw_identities(options: SyntheticOptions, split: str, share: int = 0, of: int = 1) -> Iterator[Drawn]:
    """Yield the videos of every `of`-th identity of a split, starting with number `share`."""
    names = identity_names(options, split)[share::of]
    for clip, group in groupby(plan(options, split), key=lambda video: video.clip):
        videos = list(group)
        if videos[0].target not in names:
            continue
        scene = draw_scene(options.seed, clip, options.size, options.frames_per_video)
        face = draw_face(options.seed, videos[0].target)
        drawn = [render(face, scene, pose) for pose in scene.poses]
        for video in videos:
            clean, masks, notes = clean_frames(options, video, drawn, scene)
            noisy = [develop(image, scene, options.seed, clip, number) for number, image in enumerate(clean)]
            compressed, frames = compress(noisy, options.compression)
            yield Drawn(video, compressed, np.stack(frames), masks, notes)


def compress(frames: Sequence[Image], compression: str) -> tuple[bytes, list[Image]]:
    """Return a video's H.264 stream and the frames decoded from it; under `raw` no stream and the frames as they are.

    `compression` is `raw`, `c23` or `c40`.
    """
    if compression == "raw":
        return b"", list(frames)
    stream = encode(frames, CRF[compression])
    decoded = decode(stream)
    if len(decoded) != len(frames):
        raise RuntimeError(f"{len(frames)} frames were encoded and {len(decoded)} decoded")
    return stream, decoded


def work(folder: Path, options: SyntheticOptions, split: str, share: int, of: int) -> Iterator[dict[str, Any]]:
    """Draw every `of`-th identity into the arrays in `folder`; yield `{"video": name, "notes": {...}}` per video."""
    frames = np.load(folder / FRAMES, mmap_mode="r+")
    masks = np.load(folder / MASKS, mmap_mode="r+")
    for drawn in draw_identities(options, split, share, of):
        rows = slice(drawn.video.row, drawn.video.row + len(drawn.frames))
        frames[rows] = drawn.frames
        masks[rows] = np.packbits(drawn.masks.reshape(len(drawn.masks), -1), axis=1)
        yield {"video": drawn.video.name, "notes": drawn.notes}
    frames.flush()
    masks.flush()


def main(arguments: list[str]) -> int:
    """Run `python -m ...draw FOLDER OPTIONS_JSON SPLIT SHARE OF`."""
    folder, options, split, share, of = arguments
    try:
        for line in work(Path(folder), SyntheticOptions.model_validate_json(options), split, int(share), int(of)):
            print(json.dumps(line), flush=True)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
