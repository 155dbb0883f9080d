"""Videos of people as they are downloaded, in miniature: drawn faces that a finder finds, in the layouts of
`field_videos`."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import field_videos
import numpy as np
import numpy.typing as npt
import pytest
from face_scenes import background, drawn_face, pasted

HEIGHT, WIDTH, SIDE = 176, 224, 136
"""Of a picture, and of the pasted crop of a face, in pixels."""
GONE = "nobody"
"""Start of the name of a person who is in no picture."""


@lru_cache(maxsize=64)
def _person(name: str) -> npt.NDArray[np.uint8]:
    number = int(hashlib.sha256(name.encode()).hexdigest()[:6], 16) % 50
    return drawn_face(number, SIDE)[0]


@lru_cache(maxsize=64)
def _room(name: str) -> npt.NDArray[np.uint8]:
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    return background(np.random.default_rng(seed), HEIGHT, WIDTH, "gradient")


def scene(body: str, face: str = "", number: int = 0) -> npt.NDArray[np.uint8]:
    """Return a frame of the person `body` in a room; a fake has the face of `face`, which is bluish."""
    room = _room(body)
    if body.startswith(GONE):
        return room
    shown = _person(face or body)
    if face:
        shown = (shown + np.array([-25, -10, 35])).clip(0, 255).astype(np.uint8)
    return pasted(room, shown, (WIDTH / 2 - 8 + 4 * (number % 5), HEIGHT / 2), SIDE)[0]


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Films of `field_videos` show people."""
    monkeypatch.setattr(field_videos, "scene", scene)
