"""Forms in which prepared frames are written, by name: which file a frame has, and the files beside the pictures."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from ..cards.models import DatasetCard
from ..core.errors import CardError, DataError, near
from ..core.files import replacing, write_json, write_text
from ..core.records import REAL, Frame
from ..core.text import in_utf8
from ..datasets.deepfakebench.labels import FF, FF_METHODS, SETS
from ..datasets.files.images import read_image
from ..datasets.layouts.prepared import COLUMNS, MANIFEST, MASK

if TYPE_CHECKING:
    from .prepared_records import Rows

FRAMES, MASKS = "frames", "masks"
SPLIT_LISTS = "FFPP_split"
FF_ADAPTERS = ("ffpp-videos", "dfd")
FF_LABELS = {"FaceShifter": "FF-FH"} | {m: label for label, m in FF_METHODS.items() if m != "FaceShifter"}
"""DeepfakeBench's label of each manipulation of FaceForensics++."""
CARD = "card.yaml"
PLAIN = re.compile(r"[A-Za-z0-9_#@=+-][A-Za-z0-9_.#@=+ -]{0,118}[A-Za-z0-9_#@=+-]|[A-Za-z0-9_#@=+-]")
OTHER = re.compile(r"[^A-Za-z0-9_#@=+-]")


@dataclass(frozen=True)
class Form:
    """A form of prepared frames of the dataset with the card `of`; this one is pictures by split and id.

    Each form also has the manifest, with every frame, and a card, by which the folder is a dataset.
    """

    of: DatasetCard

    def path(self, frame: Frame) -> str:
        """Return the file of a frame's picture, relative to the root."""
        return f"{FRAMES}/{frame.split}/{file_name(frame.id)}.png"

    def mask_path(self, frame: Frame) -> str:
        """Return the file of a frame's mask, relative to the root."""
        return f"{MASKS}/{self.path(frame).partition('/')[2]}"

    def folders(self) -> tuple[str, ...]:
        """Return the folders of pictures and masks, relative to the root; nothing else may be in them."""
        return FRAMES, MASKS

    def finish(self, root: Path, rows: Rows, card: DatasetCard) -> None:
        """Write the list of all frames, and the card."""
        self.write_lists(root, rows)
        write_manifest(root / MANIFEST, rows)
        write_text(root / CARD, card_text(card))

    def write_lists(self, root: Path, rows: Rows) -> None:
        """Write what the form has beside, of the frames with a face; nothing here."""

    @property
    def level(self) -> str:
        """The compression level of FaceForensics++ and its parts; empty for other datasets."""
        level = self.of.options.get("compression", "c23") if self.of.adapter in FF_ADAPTERS else ""
        return str(level)


@dataclass(frozen=True)
class DeepfakeBenchForm(Form):
    """DeepfakeBench's folders of frames and masks, and `dataset_json/<dataset>.json`."""

    def path(self, frame: Frame) -> str:
        """Return the file of a frame's picture, in the folder of its video."""
        return self._place(frame, FRAMES)

    def mask_path(self, frame: Frame) -> str:
        """Return the file of its mask, where DeepfakeBench looks for it: in `masks` beside `frames`."""
        return self._place(frame, MASKS)

    def _place(self, frame: Frame, kind: str) -> str:
        folder, key = f"{self.folder}/{file_name(frame.method)}", file_name(own_name(frame.method, frame.video))
        if self.level:
            part = "original_sequences/youtube" if frame.label == REAL else f"manipulated_sequences/{frame.method}"
            folder = f"{self.folder}/{part}/{self.level}"
        face = frame.id.removeprefix(frame.picture) if frame.picture else ""
        index = frame.locator.index
        name = PurePosixPath(frame.picture or frame.id).name if index is None else f"{index:03d}"
        return f"{folder}/{kind}/{key}/{file_name(name + face)}.png"

    def folders(self) -> tuple[str, ...]:
        """See `Form.folders`."""
        return (self.folder,)

    @property
    def name(self) -> str:
        """The name of the list, as DeepfakeBench has it for the datasets that it knows."""
        if self.of.adapter == "ffpp-videos":
            return FF
        known = {name.lower().replace("-", ""): name for name in SETS}
        return known.get(self.of.name.partition("@")[0].lower().replace("-", ""), self.of.name.replace("@", "-"))

    @property
    def folder(self) -> str:
        """The folder of all its pictures."""
        return SETS[self.name].folder if self.name in SETS else file_name(self.name)

    def write_lists(self, root: Path, rows: Rows) -> None:
        """Write the list: label, split, (compression level,) video, and the paths of its frames."""
        groups: dict[str, dict[str, Any]] = {}
        for row in rows.found():
            label = self._label(row)
            part = groups.setdefault(label, {}).setdefault(row["split"], {})
            part = part.setdefault(self.level, {}) if self.level else part
            video = part.setdefault(own_name(row["method"], row["video"]), {"label": label, "frames": []})
            video["frames"].append(row["path"])
        write_json(root / "dataset_json" / f"{self.name}.json", {self.name: groups})

    def _label(self, row: dict[str, Any]) -> str:
        if row["label"] == REAL:
            return "FF-real" if self.name == FF else f"{self.name.replace('-', '')}_Real"
        if self.name == FF and row["method"] in FF_LABELS:
            return FF_LABELS[row["method"]]
        return f"{row['method']}_Fake"


@dataclass(frozen=True)
class HDF5Form(Form):
    """M2F2-Det's `FF++_<method>_<compression>.h5` with a dataset for each video, and the split lists, beside pictures.

    A frame without a face is in the manifest alone.
    """

    def write_lists(self, root: Path, rows: Rows) -> None:
        """Write a file for each method, and `FFPP_split/<split>.json`."""
        files: dict[str, dict[str, list[str]]] = {}
        for row in rows.found():
            videos = files.setdefault(row["method"], {})
            videos.setdefault(own_name(row["method"], row["video"]), []).append(row["path"])
        for split, pairs in _pairs(rows).items():
            write_json(root / SPLIT_LISTS / f"{split}.json", pairs)
        for method, videos in files.items():
            _write_hdf5(root / f"FF++_{method}_{self.level}.h5", root, videos)


def _pairs(rows: Rows) -> dict[str, list[list[str]]]:
    """Return the pairs of people of each split, by its fakes. Raises DataError for reals that are in no fake."""
    pairs: dict[str, dict[str, list[str]]] = {}
    reals: dict[str, set[str]] = {}
    for row in rows.found():
        people = list(row["identities"])
        if row["label"] == REAL:
            reals.setdefault(row["split"], set()).update(people)
        elif len(people) == 2:
            pairs.setdefault(row["split"], {}).setdefault("+".join(sorted(people)), people)
    for split, held in reals.items():
        alone = sorted(held - {one for pair in pairs.get(split, {}).values() for one in pair})
        if alone:
            raise DataError(
                f"form hdf5: video {alone[0]} of split {split} is in no pair of its split list, because no fake of it "
                f"has a face: prepare it with a manipulation, or as --form folder"
            )
    return {split: list(found.values()) for split, found in pairs.items()}


def _write_hdf5(path: Path, root: Path, videos: dict[str, list[str]]) -> None:
    """Write the pictures of each video, whose files are named relative to `root`."""
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for key, pictures in videos.items():
            shape = read_image(root / pictures[0], key).shape
            frames = file.create_dataset(key, (len(pictures), *shape), "uint8", track_times=False)
            for number, picture in enumerate(pictures):
                frames[number] = read_image(root / picture, key)


def own_name(method: str, video: str) -> str:
    """Return a video's name without its method, in one part."""
    return video.removeprefix(f"{method}/").replace("/", "_")


def card_text(card: DatasetCard) -> str:
    """Return the text of a card's file."""
    values = card.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump({**values, "shows": "crops"}, sort_keys=False, width=110, allow_unicode=True)


def file_name(name: str) -> str:
    """Return a path for a frame's id: parts that any file system takes stay, others get a hash."""
    return "/".join(part if PLAIN.fullmatch(part) else _safe(part) for part in name.split("/"))


def _safe(part: str) -> str:
    digest = hashlib.blake2b(part.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{OTHER.sub('_', part)[:80]}-{digest}"


def write_manifest(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write the manifest, a line for each frame."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, MASK))
        for row in rows:
            index = "" if row["index"] is None else str(row["index"])
            values = {**row, "identity": "+".join(row["identities"]), "index": index}
            writer.writerow([in_utf8(str(values[name])) for name in (*COLUMNS, MASK)])


FORMS: dict[str, type[Form]] = {"folder": Form, "deepfakebench": DeepfakeBenchForm, "hdf5": HDF5Form}


def form_of(name: str, card: DatasetCard) -> Form:
    """Return a form for a dataset. Raises CardError for an unknown name, DataError if it cannot hold the dataset."""
    if name not in FORMS:
        raise CardError(f"unknown form '{name}': give one of {', '.join(FORMS)}{near(name, FORMS)}")
    if name == "hdf5" and card.adapter != "ffpp-videos":
        raise DataError(f"form hdf5 is that of FaceForensics++ alone, and '{card.name}' is another dataset: use folder")
    return FORMS[name](card)
