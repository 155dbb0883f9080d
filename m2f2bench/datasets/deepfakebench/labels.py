"""Labels and datasets of DeepfakeBench: which are real, what made the fakes, who is in a video."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...core.records import FAKE, ORIGINAL, REAL
from ..layouts.ffpp_videos import actors
from .df40_methods import canonical

FF = "FaceForensics++"
LEVELS = ("raw", "c23", "c40")
"""Compression levels, a part of the lists of FaceForensics++ and its parts alone."""
FF_METHODS = {
    "FF-DF": "Deepfakes",
    "FF-F2F": "Face2Face",
    "FF-FS": "FaceSwap",
    "FF-NT": "NeuralTextures",
    "FF-FH": "FaceShifter",
    "FF-SH": "FaceShifter",
}
_OTHERS = {
    "DFD": "DeepFakeDetection",
    "CelebDFv1": "Celeb-synthesis",
    "CelebDFv2": "Celeb-synthesis",
    "DFDC": "DFDC",
    "UADFV": "FakeApp",
    "DF": "end_to_end",
}
"""Methods of labels `<name>_fake`."""
_FAKES = {"DFDCP_FakeA": "method_A", "DFDCP_FakeB": "method_B"} | FF_METHODS
_NAMED = re.compile(r"(.+)_(real|fake)", re.IGNORECASE)
_FF_VIDEO = re.compile(r"(\d{3})(?:_(\d{3}))?")
_CELEB_VIDEO = re.compile(r"(id\d+)(?:_(id\d+))?_\d+")
_DEEPER_FAKE = re.compile(r"(\d{3})_([MW]\d{3})")


@dataclass(frozen=True)
class KnownSet:
    """A dataset of DeepfakeBench: its folder (also the name of its LMDB) and the methods of its fakes."""

    folder: str
    methods: tuple[str, ...]


SETS = {
    FF: KnownSet(FF, ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")),
    "FF-DF": KnownSet(FF, ("Deepfakes",)),
    "FF-F2F": KnownSet(FF, ("Face2Face",)),
    "FF-FS": KnownSet(FF, ("FaceSwap",)),
    "FF-NT": KnownSet(FF, ("NeuralTextures",)),
    "FaceShifter": KnownSet(FF, ("FaceShifter",)),
    "DeepFakeDetection": KnownSet(FF, ("DeepFakeDetection",)),
    "Celeb-DF-v1": KnownSet("Celeb-DF-v1", ("Celeb-synthesis",)),
    "Celeb-DF-v2": KnownSet("Celeb-DF-v2", ("Celeb-synthesis",)),
    "DFDC": KnownSet("DFDC", ("DFDC",)),
    "DFDCP": KnownSet("DFDCP", ("method_A", "method_B")),
    "DeeperForensics-1.0": KnownSet("DeeperForensics-1.0", ("end_to_end",)),
    "UADFV": KnownSet("UADFV", ("FakeApp",)),
}
"""The datasets by the name of their list, `dataset_json/<name>.json`."""


def meaning(label: str) -> tuple[int, str] | None:
    """Return what a label of a list says: 0 and `original`, or 1 and the method; None for an unknown label.

    Labels that are not in the tables end with `_Real` or `_Fake`, and what stands before it is the method.
    """
    if label == "FF-real":
        return REAL, ORIGINAL
    if label in _FAKES:
        return FAKE, _FAKES[label]
    named = _NAMED.fullmatch(label)
    if named is None:
        return None
    if named[2].lower() == "real":
        return REAL, ORIGINAL
    return FAKE, _OTHERS.get(named[1], canonical(named[1]))


def of_many_methods(label: str) -> bool:
    """Return whether a group of a list (`FSAll_Fake`) holds the videos of several methods."""
    named = _NAMED.fullmatch(label)
    return named is not None and named[1].endswith("All")


def people_in(video: str, ff: bool) -> tuple[str, ...]:
    """Return the people that a video's name says are in it.

    `000_003` is two people and `000` one if the videos are of FaceForensics++ (`ff`); Celeb-DF has `id0_id1_0002` and
    `id0_0002`, DFD `01__scene` and `01_02__scene__ID`, DeeperForensics `033_M134`: actor M134's face put on person 033
    of FaceForensics++. Otherwise empty.
    """
    if deeper := _DEEPER_FAKE.fullmatch(video):
        return f"{FF}:{deeper[1]}", deeper[2]
    if "__" in video:
        return actors(video)
    found = _CELEB_VIDEO.fullmatch(video) or (_FF_VIDEO.fullmatch(video) if ff else None)
    return tuple(dict.fromkeys(one for one in found.groups() if one)) if found else ()
