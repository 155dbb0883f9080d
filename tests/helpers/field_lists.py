"""Miniatures of datasets that are lists, tars, Hugging Face datasets, trees of images, and conversations.

Each maker writes below a folder and returns it. Pictures are small; the first pixel's red value is `shade_of(name)`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

FORMATS = {".png": "PNG", ".webp": "WEBP"}
GENIMAGE = ("Midjourney", "stable_diffusion_v_1_4/imagenet_ai_0419_sdv4", "BigGAN")


def shade_of(name: str) -> int:
    """Return a grey value from 16 to 239 that follows from a name."""
    return 16 + int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big") % 224


def encoded(name: str, size: int = 12) -> bytes:
    """Return the file of a grey picture; its format is that of the name's ending, JPEG unless .png or .webp."""
    held = io.BytesIO()
    picture = Pillow.new("RGB", (size, size), (shade_of(name),) * 3)
    form = FORMATS.get(Path(name).suffix.lower(), "JPEG")
    picture.save(held, form, **({"lossless": True} if form == "WEBP" else {}))
    return held.getvalue()


def write_pictures(root: Path, names: Iterable[str]) -> Path:
    """Write a picture for each path below `root`, and return `root`."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(name))
    return root


def write_mask(path: Path, light: tuple[int, int, int, int] = (0, 0, 6, 6), size: int = 12) -> Path:
    """Write a mask that is light in rows and columns `light` (top, left, bottom, right)."""
    mask = np.zeros((size, size), np.uint8)
    top, left, bottom, right = light
    mask[top:bottom, left:right] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(mask).save(path)
    return path


def gend(root: Path, frames: int = 3) -> Path:
    """Write GenD's lists and their pictures: FF (2 reals, 2 fakes of 4 methods), a list a source, a folder a split.

    The same video `000_003` is under every manipulation; the list of reals is repeated in the list of `FS`.
    """
    sources = {"real": ("000", "003"), **dict.fromkeys(("DF", "F2F", "FS", "NT"), ("000_003", "003_000"))}
    for source, videos in sources.items():
        names = [f"datasets/FF/{source}/{video}/{i * 12:03d}.png" for video in videos for i in range(frames)]
        write_pictures(root, names)
        lines = [*names, *(f"datasets/FF/real/000/{i * 12:03d}.png" for i in range(frames) if source == "FS")]
        path = root / "config/datasets/FF/test" / f"{source}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    train = [f"datasets/FF/{source}/{video}/000.png" for source, video in (("real", "500"), ("DF", "500_501"))]
    write_pictures(root, train)
    (root / "config/datasets/FF/train").mkdir()
    (root / "config/datasets/FF/train/all.txt").write_bytes("\r\n".join(train).encode())
    return root


def forensichub(root: Path) -> Path:
    """Write three JSON lists as ForensicHub and IMDL have them: labels, pairs with masks, labels with masks."""
    write_pictures(root, ["Au/1.jpg", "Au/2.jpg", "Tp/6.jpg", "Tp/7.jpg", "Tp/8.jpg"])
    for number in (6, 7):
        write_mask(root / f"Gt/{number}.png")
    labelled = [{"path": "Au/1.jpg", "label": 0}, {"path": "Au/2.jpg", "label": 0}]
    labelled += [{"path": f"Tp/{n}.jpg", "label": 1} for n in (6, 7, 8)]
    pairs = [["./Tp/6.jpg", "./Gt/6.png"], ["./Tp/7.jpg", "./Gt/7.png"], ["./Au/1.jpg", "Negative"]]
    both = [{"path": "Tp/6.jpg", "mask": "Gt/6.png", "label": 1}, {"path": "Au/2.jpg", "mask": None, "label": 0}]
    for name, data in (("labels", labelled), ("pairs", pairs), ("both", both)):
        (root / f"{name}.json").write_text(json.dumps(data))
    return root


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write a tar with the members in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def webdataset(root: Path) -> Path:
    """Write five shards: `train-0000`, `train-0001` and `test-0000` with .cls, `val/0000` with .json, `extra/0000`.

    Training: 6 pictures, 3 real. Test: 4, of which the second is real ("real" in words). Val: 2 videos of 2 frames, a
    real and a fake one of the method DF.
    """
    for shard in (0, 1):
        members = {}
        for i in range(3):
            key = f"{shard * 3 + i:06d}"
            members |= {f"{key}.jpg": encoded(f"train{key}.jpg"), f"{key}.cls": str((shard + i) % 2).encode()}
        write_tar(root / f"train-{shard:04d}.tar", members)
    test = {}
    for i, label in enumerate((b"fake", b"real", b"1\n", b"1")):
        suffix = ("png", "webp", "jpg", "JPG")[i]
        test |= {f"./{i:04d}.cls": label, f"./{i:04d}.{suffix}": encoded(f"test{i}.{suffix}")}
    write_tar(root / "test-0000.tar", {**test, "./0000.txt": b"a caption"})
    val: dict[str, bytes] = {}
    for video, label in (("000", 0), ("000_003", 1)):
        for number in (2, 10):  # not the order of texts
            key = f"{video}.d/{number}"
            said: dict[str, Any] = {"label": label, "video": video, "identity": video.split("_")}
            said |= {"method": "DF"} if label else {}
            val |= {f"{key}.png": encoded(f"{key}.png"), f"{key}.json": json.dumps(said).encode()}
    write_tar(root / "val/0000.tar", val)
    return root


def genimage(root: Path, count: int = 2) -> Path:
    """Write GenImage with three generators: `ai` is PNG and `nature` JPEG; one generator is an unpacked archive."""
    for generator in GENIMAGE:
        for split, number in (("train", count + 1), ("val", count)):
            names = [f"{generator}/{split}/ai/{i}_{generator[:4]}.png" for i in range(number)]
            names += [f"{generator}/{split}/nature/ILSVRC2012_val_{i:08d}.JPEG" for i in range(number)]
            for name in names:
                write_pictures(root, [name])
    return root


def cnnspot(root: Path) -> Path:
    """Write CNNSpot's test sets: `progan` has classes, `crn` and `deepfake` have none; a fake is `1_fake`."""
    names = [f"progan/{kind}/{label}/{i}.png" for kind in ("cat", "horse") for label in LABELS for i in (2, 10)]
    names += [f"{name}/{label}/{i}.png" for name in ("crn", "deepfake") for label in LABELS for i in range(3)]
    return write_pictures(root, names)


LABELS = ("0_real", "1_fake")


def sid_set(root: Path) -> Path:
    """Write SID-Set: three classes, of which two are fake, and masks of the tampered ones."""
    for split, count in (("train", 3), ("validation", 2)):
        for kind in ("real", "full_synthetic", "tampered"):
            write_pictures(root, [f"{split}/{kind}/{kind}_{i}.jpg" for i in range(count)])
        for i in range(count):
            write_mask(root / f"{split}/masks/tampered_{i}.png", (0, 0, 6, 12))
    return root


def faces_140k(root: Path) -> Path:
    """Write 140k Real and Fake Faces in the folders of its archive, with its `valid`."""
    top = "real_vs_fake/real-vs-fake"
    counts = {"train": 3, "valid": 1, "test": 2}
    names = [f"{top}/{split}/{label}/{i:05d}.jpg" for split, n in counts.items() for label in KINDS for i in range(n)]
    write_pictures(root, names)
    (root / "train.csv").write_text(",original_path,id,label,label_str,path\n")
    return root


KINDS = ("real", "fake")


def fakeclue(root: Path, doubled: bool = False) -> Path:
    """Write FakeClue: label 1 is real. Test: 2 real and 3 fake pictures, of 3 categories; one has two turns.

    `doubled` puts the pictures into `test/test`, as an archive unpacked in its own folder does.
    """
    asked = "<image>\nDoes the image looks real/fake?"
    rows = [
        ("ff++/real/youtube/c23/frames/033/010.png", 1, "deepfake"),
        ("ff++/fake/Deepfakes/c23/frames/071_054/160.png", 0, "deepfake"),
        ("ff++/fake/Deepfakes/c23/frames/071_054/20.png", 0, "deepfake"),
        ("satellite/real/1.jpg", 1, "satellite"),
        ("doc/fake/a.png", 0, "doc"),
    ]
    test = [_conversation(path, label, cate, [(asked, _says(label))]) for path, label, cate in rows]
    test[-1]["conversations"] += [
        {"from": "human", "value": "The image is fake. Why?"},
        {"from": "gpt", "value": "The letters are bent."},
    ]
    train = [_conversation(f"chameleon/{k}/{i}.png", 1 - n, "chameleon", [(asked, _says(1 - n))])
             for n, k in enumerate(KINDS) for i in range(2)]  # fmt: skip
    for split, data in (("test", test), ("train", train)):
        images = root / split / (split if doubled else "")
        write_pictures(images, [row["image"] for row in data])
        path = root / "data_json" / f"{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=1))
    return root


def _says(label: int) -> str:
    return "This is a real image." if label else "This is a fake image. The edges are blurred."


def _conversation(path: str, label: int, cate: str, turns: list[tuple[str, str]]) -> dict[str, Any]:
    said = [{"from": who, "value": text} for turn in turns for who, text in zip(("human", "gpt"), turn, strict=True)]
    return {"image": path, "label": label, "cate": cate, "width": 12, "height": 12, "conversations": said}


def huggingface_rows(count: int = 4) -> dict[str, list[Any]]:
    """Return columns of a dataset: pictures (PNG) as bytes, labels 0, 1, 0, 1 …, generators and videos."""
    return {
        "image": [{"bytes": encoded(f"hf{i}.png"), "path": f"hf{i}.png"} for i in range(count)],
        "label": [i % 2 for i in range(count)],
        "generator": ["sd" if i % 2 else None for i in range(count)],
        "clip": [f"v{i // 2}" for i in range(count)],
    }
