"""Mean face: 68 landmarks from generic proportions, laid over five points of a face."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...faces.align import moved, similarity

Points = npt.NDArray[np.float64]

USUAL: Points = np.array([[0.35, 0.42], [0.65, 0.42], [0.5, 0.58], [0.38, 0.73], [0.62, 0.73]])
"""The eyes, the nose's tip and the mouth's corners in an aligned crop, as shares of its width and height (x, y)."""


def mean_face() -> Points:
    """Return 68 landmarks in the usual order (jaw 17, brows 10, nose 9, eyes 12, mouth 20), [68, 2], about [0, 1].

    The shape is drawn from proportions: the eyes above mid height, the nose and the mouth below, the jaw half an
    ellipse. It is not any data set's average; the hull of it is what a blend needs.
    """
    turn = np.linspace(np.pi, 0.0, 17)
    jaw = np.stack([0.5 + 0.38 * np.cos(turn), 0.42 + 0.5 * np.sin(turn)], axis=1)
    rise = np.sin(np.linspace(0.2, np.pi - 0.2, 5))
    brows = [np.stack([np.linspace(x, x + 0.2, 5), 0.34 - 0.04 * rise], axis=1) for x in (0.22, 0.58)]
    bridge = np.stack([np.full(4, 0.5), np.linspace(0.42, 0.58, 4)], axis=1)
    nostrils = np.stack([np.linspace(0.43, 0.57, 5), 0.61 + 0.01 * np.sin(np.linspace(0, np.pi, 5))], axis=1)
    eyes = [_ring(x, 0.42, 0.055, 0.02, 6) for x in (0.35, 0.65)]
    mouth = [_ring(0.5, 0.73, 0.12, 0.045, 12), _ring(0.5, 0.73, 0.09, 0.015, 8)]
    return np.concatenate([jaw, *brows, bridge, nostrils, *eyes, *mouth])


def fitted(five: npt.ArrayLike) -> Points:
    """Return the mean face moved by the similarity that brings its five points nearest to `five` (pixels), [68, 2]."""
    return np.asarray(moved(similarity(USUAL, five), mean_face()), dtype=np.float64)


def usual_points(height: int, width: int) -> Points:
    """Return five points where an aligned crop of this size has them, in pixels, [5, 2]."""
    return USUAL * np.array([width, height], dtype=np.float64)


def _ring(x: float, y: float, across: float, down: float, count: int) -> Points:
    turn = np.pi + np.arange(count) * 2 * np.pi / count
    return np.stack([x + across * np.cos(turn), y + down * np.sin(turn)], axis=1)
