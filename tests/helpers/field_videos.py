"""Datasets of whole videos in miniature, as they are downloaded: FaceForensics++, DFD, Celeb-DF, DFDC and DFDCP.

All are real H.264 files. A person has one look in all datasets that it is in; a fake has a pattern of blocks on its
face, the same in all datasets and strong enough to be seen at c40, so that a small detector learns it in seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from toy_videos import write_pictures

FRAMES = 4
"""Frames of each video."""
WIDTH, HEIGHT = 80, 64
CRF = {"raw": 6, "c23": 23, "c40": 40}
"""H.264's constant rate factor of each compression level."""
PAIRS: dict[str, list[tuple[str, str]]] = {
    "train": [("071", "054"), ("087", "081"), ("110", "126"), ("183", "214")],
    "val": [("720", "672")],
    "test": [("953", "974"), ("012", "026")],
}
"""Pairs of people of the miniature FaceForensics++, by split."""
FFPP_METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
CELEB_PEOPLE = ("id0", "id1", "id2", "id3")
PP_METHODS = {"FaceSwap": ("Celeb-DF", "BlendFace"), "FaceReenact": ("LIA",), "TalkingFace": ("SadTalker",)}
"""The methods of the miniature Celeb-DF++, by group."""


def colours_of(person: str) -> tuple[list[int], list[int]]:
    """Return the colours of a person's surroundings and face, RGB."""
    digest = hashlib.sha256(person.encode()).digest()
    return [60 + byte % 100 for byte in digest[:3]], [110 + byte % 80 for byte in digest[3:6]]


def face_area(number: int) -> tuple[slice, slice]:
    """Return rows and columns of the face in a frame; it moves to the right with time."""
    left = 20 + number % 8
    return slice(14, 46), slice(left, left + 32)


def scene(body: str, face: str = "", number: int = 0) -> npt.NDArray[np.uint8]:
    """Return a frame of the person `body`, RGB uint8 [H, W, 3]; with the forged face of `face` if that is given."""
    image = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[:] = colours_of(body)[0]
    area = face_area(number)
    image[area] = colours_of(face or body)[1]
    if face:
        rows, columns = np.mgrid[area]
        image[area] = image[area] + np.where((rows // 4 + columns // 4) % 2, 50, -50)[..., None]
    return image


def film(path: Path, body: str, face: str = "", comp: str = "c23", frames: int = FRAMES) -> Path:
    """Write a video of a person, or a fake of it with another's face, and return its path."""
    return write_pictures(path, [scene(body, face, number) for number in range(frames)], crf=CRF[comp])


def film_mask(path: Path, frames: int = FRAMES) -> Path:
    """Write the video of a fake's masks, white where the face is, and return its path."""
    pictures = [np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(frames)]
    for number, picture in enumerate(pictures):
        picture[face_area(number)] = 255
    return write_pictures(path, pictures)


def make_ffpp(
    root: Path,
    comps: Sequence[str] = ("c23",),
    pairs: Mapping[str, Sequence[tuple[str, str]]] = PAIRS,
    methods: Sequence[str] = FFPP_METHODS,
    masks: bool = False,
    splits: str = "splits",
    frames: int = FRAMES,
) -> Path:
    """Make FaceForensics++ as downloaded, with its split lists; return its root. FaceShifter has no masks."""
    for split, listed in pairs.items():
        write_text(root / splits / f"{split}.json", json.dumps([list(pair) for pair in listed]))
    for a, b in (pair for listed in pairs.values() for pair in listed):
        for comp in comps:
            for person in (a, b):
                film(root / f"original_sequences/youtube/{comp}/videos/{person}.mp4", person, "", comp, frames)
            for method in methods:
                folder = root / f"manipulated_sequences/{method}/{comp}/videos"
                for body, face in ((a, b), (b, a)):
                    film(folder / f"{body}_{face}.mp4", body, face, comp, frames)
        for method in methods if masks else ():
            if method != "FaceShifter":
                folder = root / f"manipulated_sequences/{method}/masks/videos"
                for body, face in ((a, b), (b, a)):
                    film_mask(folder / f"{body}_{face}.mp4", frames)
    return root


def make_dfd(
    root: Path, comps: Sequence[str] = ("c23",), actors: int = 4, masks: bool = False, frames: int = FRAMES
) -> Path:
    """Make DFD in the folders of FaceForensics++; return its root. Each actor has the face of the next one once."""
    for number in range(1, actors + 1):
        a, b = f"{number:02d}", f"{number % actors + 1:02d}"
        fake = f"{a}_{b}__kitchen_pan__{_code(a + b)}.mp4"
        for comp in comps:
            real = root / f"original_sequences/actors/{comp}/videos/{a}__kitchen_pan.mp4"
            film(real, f"actor-{a}", "", comp, frames)
            folder = root / f"manipulated_sequences/DeepFakeDetection/{comp}/videos"
            film(folder / fake, f"actor-{a}", f"actor-{b}", comp, frames)
        if masks:
            film_mask(root / "manipulated_sequences/DeepFakeDetection/masks/videos" / fake, frames)
    return root


def make_celebdf(
    root: Path,
    version: str = "v2",
    people: Sequence[str] = CELEB_PEOPLE,
    youtube: str = "YouTube-real",
    inner: str = "",
    frames: int = FRAMES,
) -> Path:
    """Make Celeb-DF `v1`, `v2` or `pp`, with its list of test videos (1 means real); return its root.

    The first half of the people is the test set, with the first half of four videos from elsewhere. `youtube` is the
    spelling of the folder's name on disk, not in the list; with `inner` (`videos`) the videos lie in a folder of that
    name.
    """
    tested = people[: len(people) // 2]
    lines: list[str] = []
    for person in people:
        name = f"{person}_0000.mp4"
        film(root / "Celeb-real" / inner / name, person, frames=frames)
        lines += [f"1 Celeb-real/{name}"] if person in tested else []
    for number in range(4):
        name = f"{number:05d}.mp4"
        film(root / youtube / inner / name, f"youtube-{number:05d}", frames=frames)
        lines += [f"1 YouTube-real/{name}"] if number < 2 else []
    folders = [""] if version != "pp" else [f"{group}/{one}/" for group, all_ in PP_METHODS.items() for one in all_]
    for folder in folders:
        for group in (tested, people[len(tested) :]):
            for body, face in zip(group, [*group[1:], group[0]], strict=True):
                name = f"{folder}{body}_{face}_0000.mp4"
                film(root / "Celeb-synthesis" / folder / inner / Path(name).name, body, face, frames=frames)
                lines += [f"0 Celeb-synthesis/{name}"] if group is tested else []
    write_text(root / "List_of_testing_videos.txt", "\n".join(lines) + "\n")
    return root


def make_dfdc(root: Path, test: int = 6, parts: int = 2, each: int = 2, frames: int = FRAMES) -> Path:
    """Make DFDC: `test` videos, half of them fake, and parts of `each` real videos with a fake of each.

    Returns its root.
    """
    rows = ["filename,label"]
    for number in range(test):
        name = f"{_code(f'test {number}')}.mp4"
        film(root / "test" / name, f"dfdc-test-{number}", "dfdc-other" if number % 2 else "", frames=frames)
        rows.append(f"{name},{number % 2}")
    write_text(root / "test/labels.csv", "\n".join(rows) + "\n")
    for part in range(parts):
        folder = root / f"train/dfdc_train_part_{part}"
        listed: dict[str, dict[str, str]] = {}
        for number in range(each):
            body = f"dfdc-{part}-{number}"
            real, fake = f"{_code(body)}.mp4", f"{_code(body + ' fake')}.mp4"
            film(folder / real, body, frames=frames)
            film(folder / fake, body, "dfdc-other", frames=frames)
            listed[fake] = {"label": "FAKE", "split": "train", "original": real}
            listed[real] = {"label": "REAL", "split": "train"}
        write_text(folder / "metadata.json", json.dumps(listed))
    return root


def make_dfdcp(
    root: Path, train: Iterable[str] = ("1001", "1002"), test: Iterable[str] = ("2001", "2002"), frames: int = FRAMES
) -> Path:
    """Make the DFDC preview: of each person a real video, and fakes by two methods with the next one's face."""
    listed: dict[str, dict[str, object]] = {}
    for split, people in (("train", list(train)), ("test", list(test))):
        for body, face in zip(people, [*people[1:], people[0]], strict=True):
            name = f"original_videos/{body}/{body}_A_001.mp4"
            film(root / name, f"dfdcp-{body}", frames=frames)
            listed[name] = {"label": "real", "set": split, "augmentations": [], "target_id": None, "swapped_id": None}
            for method in ("method_A", "method_B"):
                name = f"{method}/{body}/{face}_A/{body}_{face}_A_001.mp4"
                film(root / name, f"dfdcp-{body}", f"dfdcp-{face}", frames=frames)
                people_in = {"target_id": body, "swapped_id": face}
                listed[name] = {"label": "fake", "set": split, "augmentations": [], **people_in}
    write_text(root / "dataset.json", json.dumps(listed))
    return root


def write_text(path: Path, text: str) -> Path:
    """Write a text file and return its path; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _code(text: str) -> str:
    """Return ten letters that stand for a text, as DFDC names its videos."""
    return "".join(chr(ord("a") + byte % 26) for byte in hashlib.sha256(text.encode()).digest()[:10])
