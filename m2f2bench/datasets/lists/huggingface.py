"""Datasets of Hugging Face's `datasets`: saved on disk, a folder of Parquet files or images, or by name on the hub."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...core.clips import ALONE, Clip
from ...core.errors import DataError, FrameError, M2F2BenchError, first_line, near, refuse_machine_fault
from ...core.memo import cache_folder, file_stamp
from ...core.records import FAKE, ORIGINAL, REAL, SPLITS, Frame, Locator
from ...core.text import quoted
from ..base import AdapterOptions, check_split
from ..files.encoded import EncodedAdapter
from ..files.folders import LOOKED_AT, folders_in, listing, natural
from ..files.images import read_bytes
from .entries import NO_METHOD, people
from .split_names import SPLIT_NAMES, no_split, split_in

REAL_NAMES = frozenset({"real", "0_real", "nature", "natural", "authentic", "genuine", "original", "human", "bonafide"})
FAKE_NAMES = frozenset(
    {"fake", "1_fake", "ai", "ai_generated", "generated", "synthetic", "full_synthetic", "forged", "manipulated"}
    | {"deepfake", "tampered"}
)
"""Names of labels, in lower case, whose meaning is clear."""
LABEL_COLUMNS = ("label", "labels", "is_fake", "target", "class")
"""Columns that are taken for the label, the first that is there."""
IMAGE_COLUMN = "image"
PARQUET = ".parquet"
SAVED = ("dataset_dict.json", "state.json")
"""Files by which a dataset that was saved on disk is known."""
Split = Literal["train", "val", "test"]


class HuggingFaceOptions(AdapterOptions):
    """Options: the dataset's `name` on the hub, unless the card has a root; its columns; what its labels mean."""

    name: str | None = None
    """A name on the hub, `org/name`; without it the card's root is read."""
    config: str | None = None
    """The configuration, of a dataset that has several."""
    revision: str | None = None
    """A commit or a tag on the hub: without it the data may change from day to day."""
    image: str | None = None
    """The column of pictures; without it the one that holds images."""
    label: str | None = None
    """The column of labels; without it `label`, or one named like that."""
    labels: dict[str, Literal[0, 1]] = Field(default_factory=dict)
    """What the names of labels mean: 0 for real, 1 for fake."""
    real_is: Literal[0, 1] | None = None
    """The number that means real, of labels that have no names."""
    method: str | None = None
    """The column that names a fake's method."""
    video: str | None = None
    """The column that names a picture's video; without it each picture is a video."""
    identity: str | None = None
    """The column of the people in a picture, joined by `+`."""
    splits: dict[str, Split] = Field(default_factory=dict)
    """What the names of the dataset's splits mean; the usual ones are known."""


class HuggingFaceAdapter(EncodedAdapter[HuggingFaceOptions]):
    """Rows of a dataset with a picture and a label; needs the package `datasets` (`m2f2bench[hf]`).

    A root is a dataset that was saved with `save_to_disk`, a folder of Parquet files (a split in their names or
    folders), or one that `load_dataset` reads, such as its image folders. A frame's id is `<split>/<row>`, with the
    dataset's own name of the split; with a column of videos it is `<method>/<video>/<row>`. Pictures are decoded from
    their files' bytes, as everywhere here. Names of labels decide what is real ("fake" may be number 0); bare numbers
    need `real_is`. Rows without a label (null, or -1 as on the hub's hidden tests) are left out and counted.
    """

    def clips(self, split: str) -> Sequence[Clip]:
        """Return the rows of a split in order, those of one video together. Raises `DataError`."""
        check_split("a Hugging Face dataset", split, self.splits)
        found = [clip for name in self._named(split) for clip in self._rows(name, split)]
        if not found:
            raise DataError(f"{self._where()}: no row of its {split} split has a label")
        return found

    def holds(self, split: str) -> bool:
        """Return whether the dataset has a split. Raises `DataError` if it cannot be opened."""
        return split in self._splits().values()

    def fits(self) -> bool:
        """Return whether the root is a saved dataset, or has Parquet files with the names of parts."""
        try:
            if self.options.name is not None or self.root is None:
                return False
            if any((self.root / name).is_file() for name in SAVED):
                return True
            names = [name for name in folders_in(self.root, LOOKED_AT) if name == "data" or split_in(name)]
            places = [self.root, *(self.root / name for name in names)]
            return any("-of-" in path.name for place in places for path in place.glob(f"*{PARQUET}"))
        except (DataError, OSError, ValueError):
            return False

    def remarks(self, split: str) -> list[str]:
        """Return how many rows of a split have no label, and that a name without a revision is not fixed."""
        found = []
        for name in self._named(split):
            values = self._column(name, self._label_column(name))
            missing = sum(value is None or value == -1 for value in values)
            if missing:
                found.append(f"{missing} of {len(values)} rows of '{name}' have no label and are left out")
        if self.options.name is not None and self.options.revision is None:
            found.append("options.revision is not set: the data on the hub may change")
        return found

    def data(self, frame: Frame) -> bytes:
        """Return the bytes of a row's picture, from the dataset or from the file that it names."""
        held = self._open()[str(frame.locator.key)]
        column = self._image_column(str(frame.locator.key))
        try:
            value = held["pictures"][int(frame.locator.index or 0)][column]
        except Exception as error:
            refuse_machine_fault(error, f"frame '{frame.id}'")
            raise FrameError(frame.id, f"row {frame.locator.index} cannot be read: {first_line(error)}") from None
        if isinstance(value, dict):
            if value.get("bytes") is None and value.get("path"):
                return read_bytes(Path(value["path"]), frame.id)
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise FrameError(frame.id, "the row has no picture" if value is None else "the picture is no encoded image")
        return value

    def stamp(self, frame: Frame) -> str:
        """Return a hash of the files of the dataset and the row; empty if rows name files of pictures."""
        held = self._open()[str(frame.locator.key)]
        if not held["stamp"]:
            return ""
        text = f"{held['stamp']}\0{frame.locator.key}\0{frame.locator.index}"
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def close(self) -> None:
        """Forget the opened dataset."""
        self.__dict__.pop("_opened", None)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened dataset out: another process opens its own."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_opened", "_read_last", "_lock")}

    def _rows(self, name: str, split: str) -> Iterator[Clip]:
        """Yield the rows of one of the dataset's splits: single pictures, or the frames of each video."""
        options = self.options
        labels = self._labels(name)
        names = (options.method, options.video, options.identity)
        columns = [self._column(name, one) if one else None for one in names]
        place = Locator(self._place(), name)
        videos: dict[str, tuple[int, str, tuple[str, ...], list[int]]] = {}
        for row, label in enumerate(labels):
            if label is None:
                continue
            given, video, identity = (
                "" if one is None or one[row] is None else str(one[row]).strip() for one in columns
            )
            method = ORIGINAL if label == REAL else given or NO_METHOD
            if label == FAKE and method == ORIGINAL:
                raise DataError(f"{self._where()}, row {row} of '{name}': a fake of the method '{ORIGINAL}'; rename it")
            if not video:
                yield Clip(
                    f"{name}/{row:07d}", label, method, split, people(identity), Locator(place.path, name, row), ALONE
                )
                continue
            video = video if video.startswith(f"{method}/") else f"{method}/{video}"
            videos.setdefault(video, (label, method, people(identity), []))[3].append(row)
        for video in sorted(videos, key=natural):
            label, method, identities, rows = videos[video]
            yield Clip(video, label, method, split, identities, place, tuple(rows))

    def _labels(self, name: str) -> list[int | None]:
        """Return the labels of a split's rows: 0 real, 1 fake, None without a label. Raises DataError."""
        column = self._label_column(name)
        values = self._column(name, column)
        feature = self._open()[name]["features"][column]
        classes = getattr(feature, "names", None)
        meanings: dict[Any, int] = {}
        for value in dict.fromkeys(values):
            if value is not None and value != -1:
                named = classes[value] if classes and isinstance(value, int) and value < len(classes) else value
                meanings[value] = self._meaning(named, column, classes or sorted({str(one) for one in values}))
        return [None if value is None or value == -1 else meanings[value] for value in values]

    def _meaning(self, value: Any, column: str, names: Sequence[str]) -> int:
        text = str(value).strip().lower()
        said = {key.lower(): label for key, label in self.options.labels.items()}
        if text in said:
            return said[text]
        if text in REAL_NAMES or text in FAKE_NAMES:
            return REAL if text in REAL_NAMES else FAKE
        text = {"true": "1", "false": "0"}.get(text, text)
        real_is = 0 if column == "is_fake" and self.options.real_is is None else self.options.real_is
        if text in ("0", "1"):
            if real_is is None:
                raise DataError(
                    f"{self._where()}: the labels in column '{column}' are bare numbers, and datasets differ in what "
                    f"they mean; set options.real_is to 0 or 1"
                )
            return REAL if int(text) == real_is else FAKE
        raise DataError(
            f"{self._where()}: label {quoted(value)} in column '{column}' is neither real nor fake; the labels are "
            f"{', '.join(map(quoted, names[:6]))}: say what they mean in options.labels, {{NAME: 0 or 1}}"
        )

    def _column(self, name: str, column: str) -> list[Any]:
        held = self._open()[name]
        if column not in held["features"]:
            raise DataError(f"{self._where()}: there is no column '{column}'{near(column, list(held['features']))}")
        return list(held["rows"].select_columns([column])[:][column])

    def _label_column(self, name: str) -> str:
        features = self._open()[name]["features"]
        if self.options.label is not None:
            return self.options.label
        found = next((one for one in LABEL_COLUMNS if one in features), None)
        found = found or next((one for one, feature in features.items() if hasattr(feature, "names")), None)
        if found is None:
            raise DataError(f"{self._where()}: no column is a label; set options.label to one of {', '.join(features)}")
        return found

    def _image_column(self, name: str) -> str:
        return str(self._open()[name]["image"])

    def _named(self, split: str) -> list[str]:
        """Return the dataset's own names of a split."""
        splits = self._splits()
        found = [name for name, ours in splits.items() if ours == split]
        if not found:
            counts = Counter(splits.values())
            raise no_split(self._where(), split, {one: counts[one] for one in SPLITS})
        return found

    def _splits(self) -> dict[str, str]:
        """Return our names of the dataset's splits."""
        found: dict[str, str] = {}
        for name in self._open():
            ours = self.options.splits.get(name) or SPLIT_NAMES.get(name.lower()) or split_in(name)
            if ours is None:
                raise DataError(
                    f"{self._where()}: the split '{name}' is neither train, val nor test; say what it is in "
                    f"options.splits, {{{name}: test}}"
                )
            found[name] = ours
        return found

    def _where(self) -> str:
        return f"Hugging Face dataset '{self.options.name or self.root}'"

    def _place(self) -> str:
        return f"hf://datasets/{self.options.name}" if self.options.name is not None else str(self.root)

    def _open(self) -> dict[str, dict[str, Any]]:
        """Return the dataset's splits by its own names, opened once in a process."""
        with self.__dict__.setdefault("_lock", threading.Lock()):
            if "_opened" not in self.__dict__:
                opened = {name: self._held(rows) for name, rows in self._load().items()}
                self.__dict__["_opened"] = opened
        held: dict[str, dict[str, Any]] = self.__dict__["_opened"]
        return held

    def _held(self, rows: Any) -> dict[str, Any]:
        """Return a split with its columns, and apart its pictures, which are not decoded."""
        datasets = self._package()
        features = dict(rows.features)
        column = self.options.image
        if column is None:
            images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
            column = images[0] if len(images) == 1 else IMAGE_COLUMN
        if column not in features:
            raise DataError(
                f"{self._where()}: it has no column '{column}' of pictures; set options.image to one of "
                f"{', '.join(features)}"
            )
        pictures = rows.select_columns([column])
        if isinstance(features[column], datasets.Image):
            pictures = pictures.cast_column(column, datasets.Image(decode=False))
        first = pictures[0][column] if len(pictures) else None
        files = sorted(one["filename"] for one in rows.cache_files)
        stamp = " ".join(f"{file} {file_stamp(file)}" for file in files)
        if isinstance(first, dict) and first.get("bytes") is None:
            stamp = ""
        return {"rows": rows, "features": features, "image": column, "pictures": pictures, "stamp": stamp}

    def _load(self) -> dict[str, Any]:
        """Return the dataset's splits. Raises DataError in one line, whatever the package says."""
        options = self.options
        if options.name is None and (self.root is None or not self.root.is_dir()):
            raise DataError(f"a Hugging Face dataset needs options.name, or a root that is a folder, not '{self.root}'")
        datasets = self._package()
        try:
            with _quiet(datasets):
                found = self._from_hub(datasets) if options.name is not None else self._from_root(datasets)
        except M2F2BenchError:
            raise
        except Exception as error:
            refuse_machine_fault(error, self._where())
            mend = "is it a dataset that `datasets.load_dataset` reads?"
            if options.name is not None:
                mend = (
                    "it is fetched from huggingface.co: check the name and the network (`hf auth login` for one behind "
                    "a form), or fetch it elsewhere (`hf download --repo-type dataset`) and give its folder as root"
                )
            raise DataError(f"{self._where()} cannot be opened: {first_line(error)}; {mend}") from None
        if isinstance(found, datasets.DatasetDict):
            return {str(name): rows for name, rows in found.items()}
        return {str(found.split or "test"): found}

    def _package(self) -> Any:
        """Return the package `datasets`; a checkout's folder of cards has the same name, and is none."""
        with contextlib.suppress(ImportError):
            found = importlib.import_module("datasets")
            if hasattr(found, "load_dataset"):
                return found
        raise M2F2BenchError(f"{self._where()} needs the package datasets: run `pip install 'm2f2bench[hf]'`")

    def _from_hub(self, datasets: Any) -> Any:
        return datasets.load_dataset(self.options.name, self.options.config, revision=self.options.revision)

    def _from_root(self, datasets: Any) -> Any:
        root = self.root
        assert root is not None  # `_load` has looked
        if any((root / name).is_file() for name in SAVED):
            return datasets.load_from_disk(str(root))
        cache = str(cache_folder() / "huggingface")
        files = _parquet(root)
        if files:
            groups: dict[str, list[str]] = {}
            for path in files:
                names = [path.stem, *reversed(path.relative_to(root).parts[:-1])]
                split = next((one for name in names if (one := split_in(name))), "test")
                groups.setdefault(split, []).append(str(path))
            return datasets.load_dataset("parquet", data_files=groups, cache_dir=cache)
        found = datasets.load_dataset(str(root), self.options.config, cache_dir=cache)
        folders, names = listing(root)
        if list(found) == ["train"] and not any(split_in(name) for name in [*folders, *names]):
            return datasets.DatasetDict({"test": found["train"]})  # the package calls a dataset without splits train
        return found


def _parquet(root: Path) -> list[Path]:
    """Return the Parquet files in a folder and its folders, two levels deep, in natural order."""
    found: list[Path] = []
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop(0)
        folders, files = listing(folder)
        found += [folder / name for name in files if name.lower().endswith(PARQUET)]
        if depth < 2:
            waiting += [(folder / name, depth + 1) for name in folders]
    return sorted(found, key=lambda path: natural(str(path)))


@contextlib.contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Show no progress bars of the package in the block."""
    off = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not off:
            datasets.enable_progress_bars()
