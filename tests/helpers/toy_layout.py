"""Datasets in a layout of their own: an adapter in a file, cards, and folders that are whole or not."""

from __future__ import annotations

from pathlib import Path

from toy_videos import write_video

ADAPTER = '''
from pathlib import Path

import m2f2bench
from m2f2bench.core.clips import Clip
from m2f2bench.core.errors import DataError
from m2f2bench.datasets.files.media import MediaAdapter


class ToyOptions(m2f2bench.AdapterOptions):
    top: str = "videos"
    lists: str = "lists"


class Toy(MediaAdapter[ToyOptions]):
    """Videos in TOP/METHOD/NAME.mp4 that lists/SPLIT.txt names."""

    splits = ("train", "test")

    def fits(self):
        return self.root is not None and (self.root / self.options.top).is_dir()

    def remarks(self, split):
        return ["1 line with the label Unknown is left out"] if split == "train" else []

    def listed(self, split):
        folder = self.root / self.options.lists
        if not folder.is_dir():
            raise DataError(f"there is no folder '{folder}'; fetch it")
        path = folder / f"{split}.txt"
        if not path.is_file():
            raise DataError(f"there is no split list '{path}'; fetch it")
        clips = []
        for name in path.read_text().split():
            method = name.partition("/")[0]
            place = m2f2bench.Locator(str(self.root / self.options.top / f"{name}.mp4"))
            clips.append(Clip(name, int(method != "original"), method, split, (name,), place, ()))
        return clips


class Broken(Toy):
    def fits(self):
        raise RuntimeError("not today")
'''
CARD = """name: {name}
adapter: toy.py:{adapter}
root: {root}
options: {{top: {top}}}
shows: {shows}
counts: {{train: {{original: 2, swap: 2}}, test: {{original: 3, swap: 4}}}}
obtain: ask its authors
unchecked: the counts of test
"""
NAMES = {
    "train": ["original/t0", "original/t1", "swap/t0", "swap/t1"],
    "test": [*(f"original/{i}" for i in range(3)), *(f"swap/{i}" for i in range(4))],
}
"""The listed videos by split: as many as `counts` on the cards."""


def write_cards(folder: Path) -> Path:
    """Write the cards toy-c23, toy-c40 (one layout, two folders in it), other and broken; return the cards' folder."""
    (folder / "datasets").mkdir(parents=True)
    (folder / "datasets" / "toy.py").write_text(ADAPTER)
    facts = {
        "toy-c23": ("Toy", "toy", "c23", "scenes"),
        "toy-c40": ("Toy", "toy", "c40", "scenes"),
        "other": ("Toy", "others", "films", "crops"),
        "broken": ("Broken", "broken", "c23", "crops"),
    }
    for name, (adapter, root, top, shows) in facts.items():
        card = CARD.format(name=name, adapter=adapter, root=root, top=top, shows=shows)
        (folder / "datasets" / f"{name}.yaml").write_text(card)
    (folder / "datasets" / "lacking.yaml").write_text("name: lacking\nadapter: nobody-has-it\nroot: lacking\n")
    return folder


def write_root(root: Path, tops: tuple[str, ...] = ("c23",), count: int = 6, width: int = 96) -> Path:
    """Write a whole root: split lists, and under each of `tops` the same small videos."""
    (root / "lists").mkdir(parents=True)
    for split, names in NAMES.items():
        (root / "lists" / f"{split}.txt").write_text("\n".join(names))
    small = write_video(root / "made.mp4", count=count, width=width)
    data = small.read_bytes()
    small.unlink()
    for top in tops:
        for name in (name for names in NAMES.values() for name in names):
            path = root / top / f"{name}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return root
