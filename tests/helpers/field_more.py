"""Small copies of datasets as downloaded, each with the traps of its layout: real H.264 videos, real tars, real tables.

Each function fills a folder and returns it. What is in it is said in its docstring, so that tests can hold the counts
against their own.
"""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from toy_videos import picture_of, write_video

FRAMES = 3
"""Frames of each video and pictures of each sequence, unless said otherwise."""


def png(number: int, tint: int = 0) -> bytes:
    """Return a picture's file, PNG."""
    out = io.BytesIO()
    Image.fromarray(picture_of(number, tint=tint)).save(out, "PNG")
    return out.getvalue()


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a tar, compressed by gzip if its name ends on `gz`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.name.lower().endswith("gz") else "w") as tar:
        for name, data in files.items():
            one = tarfile.TarInfo(name)
            one.size = len(data)
            tar.addfile(one, io.BytesIO(data))
    return path


def make_ffiw(root: Path, within: str = "") -> Path:
    """Make FFIW-10K: 2 real and 2 fake videos of one name each in train, 1 + 2 in val, 1 + 1 in test; masks of fakes.

    `within` is a folder in each split's, such as `videos`. A mask is lighter than half of white where the bars of its
    fake's frame are bright, and there alone.
    """
    for split, reals, fakes in (("train", 2, 2), ("val", 1, 2), ("test", 1, 1)):
        for number in range(reals):
            write_video(root / "source" / split / within / f"{split}_{number:04d}.mp4", FRAMES)
        for number in range(fakes):
            for folder, tint in (("target", 40), ("target_mask", 0)):
                write_video(root / folder / split / within / f"{split}_{number:04d}.mp4", FRAMES, tint=tint)
    return root


def sequences(kind: str, split: str) -> dict[str, dict[str, dict[str, bytes]]]:
    """Return the sequences of a small WildDeepfake by archive and folder: names and files of pictures."""
    archives = {"real_train": 1, "fake_train": 2, "real_test": 1, "fake_test": 2}[f"{kind}_{split}"]
    return {
        str(archive): {
            str(10 * archive + sequence): {f"{8 + i}.png": png(10 * sequence + i, tint=archive) for i in range(FRAMES)}
            for sequence in range(2)
        }
        for archive in range(archives)
    }


def make_wilddeepfake(root: Path, packed: str = ".tar.gz") -> Path:
    """Make WildDeepfake: archives 0 (and, of fakes, 1) in each split, 2 sequences of 3 pictures each: 2 real, 4 fake.

    Pictures are named 8, 9, 10. `packed` is the ending of the tars; empty: unpacked. A tar holds
    `<archive>/<label>/<sequence>/<picture>`.
    """
    for kind in ("real", "fake"):
        for split in ("train", "test"):
            folder = root / f"{kind}_{split}"
            for archive, found in sequences(kind, split).items():
                files = {f"{archive}/{kind}/{one}/{name}": data for one in found for name, data in found[one].items()}
                if packed:
                    write_tar(folder / f"{archive}{packed}", files)
                for name, data in {} if packed else files.items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(data)
    return root


def make_uadfv(root: Path) -> Path:
    """Make UADFV: 3 real and 2 fake videos, of which one real has no fake."""
    for number in range(3):
        write_video(root / "real" / f"{number:04d}.mp4", FRAMES)
    for number in range(2):
        write_video(root / "fake" / f"{number:04d}_fake.mp4", FRAMES, tint=30)
    return root


DF_LISTS = {
    "train": ("000_M004", "003_M004", "010_W101", "011_M005"),
    "val": ("100_W009",),
    "test": ("200_M101", "201_W011"),
}
"""The fakes of a small DeeperForensics by split; actor M005 has two videos of its own, the others have one."""


def make_deeperforensics(
    root: Path, lists: Mapping[str, Sequence[str]] = DF_LISTS, variants: Sequence[str] = ("end_to_end",)
) -> Path:
    """Make DeeperForensics-1.0: a fake for each name of the lists, and a source video of each actor, two of M005."""
    actors = sorted({name.split("_")[1] for names in lists.values() for name in names})
    for split, names in lists.items():
        path = root / "lists" / "splits" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}.mp4\n" for name in names))
        for variant in variants:
            for name in names:
                write_video(root / "manipulated_videos" / variant / f"{name}.mp4", FRAMES, tint=20)
    for actor in actors:
        for camera in ("front", "left")[: 2 if actor == "M005" else 1]:
            folder = root / "source_videos" / actor / "light_uniform" / "happy" / f"camera_{camera}"
            write_video(folder / f"{actor}_light_uniform_happy_camera_{camera}.mp4", FRAMES)
    return root


AV_HEADER = ("source", "target1", "target2", "method", "category", "type", "race", "gender", "path", "")
AV_ROWS = (
    ("id00076", "-", "-", "real", "A", "RealVideo-RealAudio", "African", "men", "00109.mp4"),
    ("id00166", "-", "-", "real", "A", "RealVideo-RealAudio", "Asian (South)", "women", "00010.mp4"),
    ("id00076", "-", "-", "rtvc", "B", "RealVideo-FakeAudio", "African", "men", "00109_fake.mp4"),
    ("id00076", "-", "-", "wav2lip", "C", "FakeVideo-RealAudio", "African", "men", "00109_w.mp4"),
    ("id00076", "id00701", "-", "faceswap", "C", "FakeVideo-RealAudio", "African", "men", "00109_f.mp4"),
    ("id00166", "id00076", "id00701", "fsgan-wav2lip", "D", "FakeVideo-FakeAudio", "Asian (South)", "women", "1_2.mp4"),
    (
        "id00166",
        "id00076",
        "id00701",
        "faceswap-wav2lip",
        "D",
        "FakeVideo-FakeAudio",
        "Asian (South)",
        "women",
        "1_2.mp4",
    ),
)
"""Rows of a small FakeAVCeleb without the last column: 7 rows, 6 videos, of which A and B (3) are real to the eye."""


def make_fakeavceleb(root: Path, rows: Sequence[Sequence[str]] = AV_ROWS, videos: bool = True) -> Path:
    """Make FakeAVCeleb: `meta_data.csv` with its last column without a name, and a video for each path."""
    root.mkdir(parents=True, exist_ok=True)
    full = [(*row, f"FakeAVCeleb/{row[5]}/{row[6]}/{row[7]}/{row[0]}") for row in rows]
    write_table(root / "meta_data.csv", AV_HEADER, full)
    for row in full if videos else []:
        write_video(root / row[9].removeprefix("FakeAVCeleb/") / row[8], FRAMES)
    return root


def make_kodf(root: Path) -> Path:
    """Make KoDF: 2 real videos (2 people), 1 with added noise, and 1 fake of each of two models."""
    for name in ("real/P01/a", "real/P02/a", "real-adv/P01/a", "fake-dfl/P01/b", "fake-audio-driven/P02/c"):
        write_video(root / f"{name}.mp4", FRAMES)
    return root


EVAL_HEADER = ("Filename", "Link Removed", "Ground Truth", "Finetuning Set")
EVAL_ROWS = {
    "video": (
        ("a.mp4", "", "Real", "Train"),
        ("b.mp4", "", "Fake", "Train"),
        ("c.mp4", "", "Unknown", "Train"),
        ("d.mp4", "", "Real", "Test"),
        ("#NAME?", "", "Fake", "Test"),
        ("e.MOV", "", "Fake", "Test"),
        ("f.mp4", "", "Unknown", "Test"),
        ("g.mp4", "", "Unknown", "Test"),
        ("#NAME?", "", "Real", "Test"),
    ),
    "image": (
        ("a.png", "", "Real", "Train"),
        ("b.webp", "", "Fake", "Test"),
        ("c.jpg!d", "", "Fake", "Test"),
        ("d", "", "Real", "Test"),
        ("#NAME?", "", "Fake", "Test"),
        ("e.png", "", "Unknown", "Test"),
    ),
}
"""Rows of a small Deepfake-Eval-2024. Test: videos 2 real, 2 fake, 2 unknown; images 1 real, 3 fake, 1 unknown."""


def make_deepfake_eval(
    root: Path, media: Sequence[str] = ("video", "image"), table: str = "-metadata-publish.csv"
) -> Path:
    """Make Deepfake-Eval-2024: tables and files; rows whose name Excel has destroyed, and odd endings of names."""
    for kind in media:
        folder = root / f"{kind}-data"
        folder.mkdir(parents=True, exist_ok=True)
        write_table(root / f"{kind}{table}", EVAL_HEADER, EVAL_ROWS[kind])
        for number, (name, *_) in enumerate(EVAL_ROWS[kind]):
            if name == "#NAME?":
                continue
            if kind == "video":
                made = write_video(folder / f"made{number}.mp4", FRAMES)
                made.rename(folder / name)  # mov and mp4 are one container
            else:
                form = "WEBP" if name.endswith("webp") else "PNG"
                Image.fromarray(picture_of(number)).save(folder / name, form, lossless=True)
    return root


MAKERS = {
    "ffiw": make_ffiw,
    "wilddeepfake": make_wilddeepfake,
    "uadfv": make_uadfv,
    "deeperforensics": make_deeperforensics,
    "fakeavceleb": make_fakeavceleb,
    "kodf": make_kodf,
    "deepfake-eval-2024": make_deepfake_eval,
}
"""The makers by the name of the adapter."""


def clips_of(adapter: Any, split: str) -> dict[str, tuple[int, str, tuple[str, ...], int]]:
    """Return label, method, people and number of frames of each video that an adapter lists."""
    found: dict[str, list[Any]] = {}
    for frame in adapter.frames(split):
        assert frame.split == split
        found.setdefault(frame.video, []).append(frame)
    return {
        video: (frames[0].label, frames[0].method, frames[0].identities, len(frames)) for video, frames in found.items()
    }
