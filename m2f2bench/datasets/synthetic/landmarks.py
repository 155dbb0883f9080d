"""Landmarks of drawn faces, known from the parameters that the renderer paints them with.

The 81 points have the usual order: jaw 17, brows 10, nose 9, eyes 12, mouth 20, forehead 13.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .canvas import FIELD, lip_edges
from .faces import Face, Pose

Points = npt.NDArray[np.float64]
FOREHEAD = 1.05
"""Height of the forehead's points above the face's centre, half face widths, unless the hair begins lower."""


def landmarks(face: Face, pose: Pose, size: int) -> Points:
    """Return 81 landmarks (x, y) of a frame of `size` pixels a side, float64 [81, 2].

    (0, 0) is the upper left corner of the first pixel. The face turns (yaw, pitch) inside its outline,
    which stays.
    """
    jaw, forehead = _outline(face, pose, np.linspace(np.pi, 0, 17)), _outline(face, pose, np.linspace(np.pi, 0, 15))
    forehead[:, 1] *= -min(FOREHEAD, -face.hairline, face.top) / (face.chin + 0.45 * pose.open)
    inner = np.concatenate([_brows(face, pose), _nose(face), _eyes(face, pose), _mouth(face, pose)])
    return _in_pixels(np.concatenate([jaw, _turned(inner, face, pose), forehead[1:-1]]), pose, size)


def _outline(face: Face, pose: Pose, turn: Points) -> Points:
    """Return points of the outline of the head's lower half, on the canvas, by their angle (π: left, 0: right)."""
    down = np.clip(np.sin(turn), 0, 1) ** (2 / face.square)
    across = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / face.square)
    return np.stack([across * (1 - face.jaw * down**2), down * (face.chin + 0.45 * pose.open)], axis=1)


def _brows(face: Face, pose: Pose) -> Points:
    found = []
    for sign, along in ((-1, np.linspace(1, -1, 5)), (1, np.linspace(-1, 1, 5))):
        arch = face.brow_tilt * 0.3 * along + face.brow_arch * (1 - (along - 0.25) ** 2)
        rows = face.eye_y - face.brow_y - pose.raise_brow - arch
        found.append(np.stack([sign * (face.eye_x + 0.02 + 0.31 * along), rows], axis=1))
    return np.concatenate(found)


def _nose(face: Face) -> Points:
    bridge = np.stack([np.zeros(4), np.linspace(face.eye_y, face.nose_tip, 4)], axis=1)
    across = np.linspace(-1, 1, 5)
    base = np.stack([face.nose_w * across, face.nose_tip + 0.09 - 0.03 * np.abs(across)], axis=1)
    return np.concatenate([bridge, base])


def _eyes(face: Face, pose: Pose) -> Points:
    """Return the corners and four points of the lids of each eye, from the left corner on, the upper lid first."""
    found = []
    for sign in (-1, 1):
        along = sign * np.array([-1.0, -0.4, 0.4, 1.0, 0.4, -0.4])  # from the nose outwards
        arc = np.clip(1 - along**2, 0, 1)
        lid = -face.eye_open * (1.25 - 1.35 * pose.blink) * arc**0.75 * (1 - 0.12 * along)
        heights = np.where(np.arange(6) < 4, lid, face.eye_open * 0.78 * arc)
        rows = heights + face.eye_y - face.eye_tilt * face.eye_w * along
        found.append(np.stack([sign * (face.eye_x + face.eye_w * along), rows], axis=1))
    return np.concatenate(found)


def _mouth(face: Face, pose: Pose) -> Points:
    half = face.mouth_w * (1 + 1.2 * pose.smile)
    outer, inner = np.linspace(-half, half, 7), np.linspace(-0.8 * half, 0.8 * half, 5)
    edges = [lip_edges(face, pose, u) for u in (outer, inner)]
    rings = [
        *(outer, edges[0][1]),
        *(outer[5:0:-1], edges[0][4][5:0:-1]),
        *(inner, edges[1][2]),
        *(inner[3:0:-1], edges[1][3][3:0:-1]),
    ]
    return np.stack([np.concatenate(rings[::2]), np.concatenate(rings[1::2])], axis=1).astype(np.float64)


def _turned(points: Points, face: Face, pose: Pose) -> Points:
    """Return where points of the face lie on the canvas: moved by yaw and pitch times the head's depth there."""
    found = points
    for _ in range(50):  # the depth is that of the place where they come to lie
        u, v = found[:, 0], found[:, 1]
        height = np.where(v < 0, -v / face.top, v / (face.chin + 0.45 * pose.open))
        wide = np.abs(u) / np.maximum(1 - face.jaw * np.where(v > 0, height, 0) ** 2, 0.3)
        radius = (wide**face.square + height**face.square) ** (1 / face.square)
        depth = np.sqrt(np.clip(1 - radius**2, 0, 1))
        found = points + depth[:, None] * np.array([pose.yaw, pose.pitch])
    return found


def _in_pixels(points: Points, pose: Pose, size: int) -> Points:
    """Return points of the canvas in pixels of the frame."""
    cos, sin = np.cos(pose.roll) * pose.scale, np.sin(pose.roll) * pose.scale
    x = cos * points[:, 0] - sin * points[:, 1] + pose.x
    y = sin * points[:, 0] + cos * points[:, 1] + pose.y - 0.12
    return (np.stack([x, y], axis=1) / FIELD + 1) * (size / 2)
