"""Miniatures of DeepfakeBench's preprocessed form and of DF40, with the traps of the published lists.

Images are 32x32 PNG files that can be learned: a fake has a red tint and a pattern of blocks, a real has neither.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = 32
PAIRS = {"train": ("001", "870"), "val": ("720", "672"), "test": ("000", "003")}
"""A pair of people a split: two reals, and two fakes for each manipulation."""
FF_LABELS = {"FF-DF": "Deepfakes", "FF-F2F": "Face2Face", "FF-FS": "FaceSwap", "FF-NT": "NeuralTextures"}
CELEB = {
    "Celeb-real": ("id0_0000", "id1_0002"),
    "YouTube-real": ("00170",),
    "Celeb-synthesis": ("id0_id1_0000", "id1_id0_0003"),
}


def picture(fake: bool, seed: int) -> bytes:
    """Return a PNG file: smooth noise; a fake has a tint, and the pattern of blocks of `field_videos`."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 160, (4, 4, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BILINEAR)).astype(int)
    if fake:
        pixels[..., 0] += 50
        rows, columns = np.mgrid[:SIZE, :SIZE]
        pixels += np.where((rows // 2 + columns // 2) % 2, 50, -50)[..., None]
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


class Writer:
    """Files under a root, or keys of LMDB files: `<dataset>\\<path>`; and the paths that a list gives them."""

    def __init__(self, root: Path, lmdb: bool = False, head: str = "", separator: str = "/") -> None:
        self.root, self.lmdb, self.head, self.separator = root, lmdb, head, separator
        self.values: dict[str, dict[str, bytes]] = {}
        self.count = 0

    def put(self, path: str, data: bytes) -> None:
        dataset, _, inside = path.partition("/")
        if self.lmdb:
            self.values.setdefault(dataset, {})[f"{dataset}\\{inside}".replace("/", self.separator)] = data
        else:
            place = self.root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

    def video(self, folder: str, fake: bool, frames: int, names: Sequence[str] = ()) -> list[str]:
        """Write a video's frames, and return their paths as the list has them."""
        listed = []
        for name in names or [f"{i * 10:03d}.png" for i in range(frames)]:
            self.count += 1
            self.put(f"{folder}/{name}", picture(fake, self.count))
            listed.append(self.written(f"{folder}/{name}"))
        return listed

    def written(self, path: str) -> str:
        return f"{self.head}{path}".replace("/", self.separator)

    def close(self) -> None:
        if not self.lmdb:
            return
        import lmdb

        for dataset, values in self.values.items():
            with (
                lmdb.open(str(self.root / f"{dataset}_lmdb"), map_size=1 << 24) as opened,
                opened.begin(write=True) as t,
            ):
                for key, value in values.items():
                    t.put(key.encode(), value)


def write_list(root: Path, name: str, data: dict[str, Any]) -> Path:
    """Write `dataset_json/<name>.json`."""
    path = root / "dataset_json" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def make_dfb(
    root: Path,
    frames: int = 3,
    levels: Sequence[str] = ("c23", "c40"),
    lmdb: bool = False,
    head: str = "./datasets/rgb/",
    separator: str = "/",
) -> Path:
    """Write FaceForensics++, Celeb-DF-v2, DFDC, DFDCP and UADFV in DeepfakeBench's form under `root`; return it.

    A split of FaceForensics++ has 2 reals and 2 fakes for each of 4 manipulations at each level, with masks. Celeb-DF's
    test has 2 reals (one of YouTube) and 1 fake, and its train has all 3 reals and 2 fakes: the test videos too.
    """
    root.mkdir(parents=True, exist_ok=True)
    writer = Writer(root, lmdb, head, separator)
    write_list(root, "FaceForensics++", {"FaceForensics++": _faceforensics(writer, frames, levels)})
    write_list(root, "Celeb-DF-v2", {"Celeb-DF-v2": _celeb(writer, frames)})
    for name, labels in (
        ("DFDC", {"DFDC_Real": "test/frames/aareal", "DFDC_Fake": "test/frames/bbfake"}),
        ("DFDCP", {f"DFDCP_{k}": f"{v}/frames/v{k}" for k, v in _DFDCP.items()}),
        ("UADFV", {"UADFV_Real": "real/frames/0000", "UADFV_Fake": "fake/frames/0000_fake"}),
    ):
        groups: dict[str, Any] = {}
        for label, folder in labels.items():
            paths = writer.video(f"{name}/{folder}", "real" not in label.lower(), frames)
            video = {folder.rpartition("/")[2]: {"label": label, "frames": paths}}
            groups[label] = {"train": {}, "val": video if name != "DFDC" else {}, "test": video}
        write_list(root, name, {name: groups})
    writer.close()
    return root


_DFDCP = {"Real": "original_videos", "FakeA": "method_A", "FakeB": "method_B"}


def _faceforensics(writer: Writer, frames: int, levels: Sequence[str]) -> dict[str, Any]:
    groups: dict[str, Any] = {}
    for label, method in {"FF-real": "", **FF_LABELS}.items():
        for split, (a, b) in PAIRS.items():
            for level in levels:
                base = f"FaceForensics++/manipulated_sequences/{method}/{level}"
                base = base if method else f"FaceForensics++/original_sequences/youtube/{level}"
                there: dict[str, Any] = {}
                for name in (f"{a}_{b}", f"{b}_{a}") if method else (a, b):
                    paths = writer.video(f"{base}/frames/{name}", bool(method), frames)
                    there[name] = {"label": label, "frames": paths[::-1]}  # the order of the folder, not of time
                    if method and level == "c23":
                        there[name]["masks"] = _masks(writer, f"{base}/masks/{name}", frames)
                groups.setdefault(label, {}).setdefault(split, {})[level] = there
    return groups


def _masks(writer: Writer, folder: str, frames: int) -> list[str]:
    """Write masks whose left half is manipulated."""
    grey = np.zeros((SIZE, SIZE), dtype=np.uint8)
    grey[:, : SIZE // 2] = 255
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    listed = []
    for i in range(frames):
        writer.put(f"{folder}/{i * 10:03d}.png", file.getvalue())
        listed.append(writer.written(f"{folder}/{i * 10:03d}.png"))
    return listed


def _celeb(writer: Writer, frames: int) -> dict[str, Any]:
    real: dict[str, Any] = {"train": {}, "val": {}, "test": {}}
    fake: dict[str, Any] = {"train": {}, "val": {}, "test": {}}
    for folder, names in CELEB.items():
        group, label = (fake, "CelebDFv2_fake") if "synthesis" in folder else (real, "CelebDFv2_real")
        for i, name in enumerate(names):
            video = {
                "label": label,
                "frames": writer.video(f"Celeb-DF-v2/{folder}/frames/{name}", group is fake, frames),
            }
            group["train"][name] = video
            if i == 0:
                group["val"][name] = group["test"][name] = video
    return {"CelebDFv2_real": real, "CelebDFv2_fake": fake}


def make_df40(root: Path, frames: int = 3, lists: bool = True, methods: Sequence[str] = ("simswap", "danet")) -> Path:
    """Write a part of DF40 under `root`, beside `make_dfb`'s datasets, which are its reals; return `root`.

    `<method>/ff` has the two fakes of FaceForensics++'s test pair, `<method>/cdf` those of Celeb-DF, `StyleGAN3/ff` two
    images at once, `heygen/{fake,real}` a video each. Folders have other names than lists: `DaGAN` for danet, `heygan`.
    A list names `frames` + 1 frames for the first fake: the last does not exist. Reals are repeated in every list.
    """
    writer = Writer(root)
    head = "deepfakes_detection_datasets/"
    reals = {
        "ff": {n: [f"{head}FaceForensics++/original_sequences/youtube/c23/frames/{n}"] for n in PAIRS["test"]},
        "cdf": {
            n: [f"{head}Celeb-DF-v2/{f}/frames/{n}"] for f, names in CELEB.items() for n in names[:1] if "syn" not in f
        },
    }
    fakes = {"ff": ("000_003", "003_000"), "cdf": ("id0_id1_0000", "id1_id0_0003")}
    for method in methods:
        there = "DaGAN" if method == "danet" else method
        for domain in ("ff", "cdf"):
            group: dict[str, Any] = {}
            for i, name in enumerate(fakes[domain]):
                writer.video(f"DF40/{there}/{domain}/frames/{name}", True, frames)
                paths = [
                    f"{head}DF40/{method}/{domain}/frames/{name}/{k * 10:03d}.png" for k in range(frames + (i == 0))
                ]
                group[name] = {"label": f"{method}_Fake", "frames": paths}
            real = {
                name: {"label": f"{method}_Real", "frames": [f"{folder}/{k * 10:03d}.png" for k in range(frames)]}
                for name, (folder,) in reals[domain].items()
            }
            if lists:
                labels = {f"{method}_Real": {"train": {}, "val": {}, "test": real}}
                labels[f"{method}_Fake"] = {"train": {}, "val": {}, "test": group}
                write_list(root, f"{method}_{domain}", {f"{method}_{domain}": labels})
    writer.video("DF40/StyleGAN3/ff", True, 2, ("seed0001.png", "seed0002.png"))
    for label in ("fake", "real"):
        writer.video(f"DF40/heygan/{label}/frames/talk", label == "fake", frames)
    return root
