"""Drawing of the planned videos: each identity's clips and their forgeries, with noise and compression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.records import ORIGINAL
from .faces import draw_face, stream
from .manipulations import Case, draw_strength, forge
from .plan import SyntheticOptions, Video, identity_names, plan
from .regions import coverage
from .render import Rendering, render
from .scene import Scene, draw_scene
from .video import compress

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...core.records import Image
    from .faces import Array


@dataclass(frozen=True)
class Drawn:
    """A finished video: frames [T, H, W, 3] uint8, masks [T, H, W] bool, and notes for the index."""

    video: Video
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
        forge(video.method, Case(d, face, source, scene, pose, strength, options.seed, video.clip, number))
        for number, (d, pose) in enumerate(zip(drawn, scene.poses, strict=True))
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
            yield Drawn(video, np.stack(compress(noisy, options.compression)), masks, notes)
