"""Datasets of pictures with conversations in the form of LLaVA: FakeClue and others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...core.clips import Clip
from ...core.errors import DataError, near
from ...core.parsing import Refused, parse_json, read_text
from ...core.records import FAKE, ORIGINAL, REAL, Locator, Question
from ...core.text import quoted
from ..base import AdapterOptions, ClipAdapter, check_split, judge_questions
from ..files.folders import in_order, natural
from ..files.images import FileAdapter
from ..lists.entries import LABELS, NO_METHOD
from ..lists.listed_paths import Placed, placed, written
from .ddvqa import KINDS, region

MOST = 1 << 28
"""Bytes of a file of conversations."""
Split = Literal["train", "val", "test"]

_TOKENS = re.compile(r"<(?:image|deepfake)>")
_VIDEO = re.compile(r"(.*/frames/([^/]+))/[^/]+")
_PAIR = re.compile(r"(\d{3})(?:_(\d{3}))?", re.ASCII)
_REAL_WORDS = re.compile(r"\b(?:real(?![- ](?:world|life|time))|authentic|genuine|unaltered)\b", re.IGNORECASE)
_FAKE_WORDS = re.compile(
    r"\b(?:fake|faked|forged|manipulated|tampered|synthetic|synthesized|generated|deepfake|altered)\b", re.IGNORECASE
)
_ASKS = re.compile(
    r"^\W*(?:is|are|was|were|does|do|did|has|have|can|could|would|should|will)\b|\b(?:whether|if)\b", re.IGNORECASE
)
_WHY = re.compile(r"\b(?:why|how do you know|what makes|reasons? (?:that|for))\b", re.IGNORECASE)


class ConversationsOptions(AdapterOptions):
    """Options: the `files` of conversations, the keys of a record, and what a label means."""

    files: dict[Split, str] = Field(default_factory=dict)
    """The file of each split, below the root (.json)."""
    images: tuple[str, ...] = ("",)
    """Folders below the root that the pictures' paths may start from; `{split}` is the split's name."""
    image: str = "image"
    """The key of a picture's path."""
    label: str | None = "label"
    """The key of the label; null: the folder `real` or `fake` in the picture's path is the label."""
    real_is: Literal[0, 1] = 0
    """The number that means real; in FakeClue it is 1."""
    method: str | None = None
    """The key of what a fake's method is called; null: all fakes have one method."""


@dataclass
class _Picture:
    """One picture of a file, with its turns: pairs of question and answer."""

    path: str
    label: int
    method: str
    turns: list[tuple[str, str]] = field(default_factory=list)


class ConversationsAdapter(ClipAdapter[ConversationsOptions], FileAdapter[ConversationsOptions]):
    """A JSON list of `{image, label, conversations: [{from: human, value}, {from: gpt, value}, …]}` and its pictures.

    A frame's id is its picture's path as listed. A picture in `…/frames/<video>/` is a frame of that video (named by
    its whole path); every other picture is a video of its own. A label that contradicts a folder `real` or `fake` in
    the path raises `DataError`: most often `real_is` is wrong. A picture that does not exist stays, and fails when it
    is read.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")

    def clips(self, split: str) -> Sequence[Clip]:
        """Return the pictures of a split by name. Raises `DataError` for a file that is not clear."""
        pictures = self._pictures(split)
        places = self._placed(split, pictures)
        videos: dict[str, list[_Picture]] = {}
        for picture in pictures.values():
            match = _VIDEO.fullmatch(picture.path)
            videos.setdefault(match[1] if match else picture.path, []).append(picture)
        found = []
        for name in sorted(videos, key=natural):
            first = videos[name][0]
            if name in pictures:
                found.append(Clip(name, first.label, first.method, split, (), Locator(places.path(name))))
                continue
            items = in_order(one.path.rpartition("/")[2] for one in videos[name])
            where = Locator(places.folders[name])
            found.append(Clip(name, first.label, first.method, split, _people(name), where, tuple(items)))
        return found

    def holds(self, split: str) -> bool:
        """Return whether the options name a file for a split."""
        return split in self.options.files

    def fits(self) -> bool:
        """Return whether all files that the options name, and a folder of pictures, are in the root."""
        try:
            root = self.root
            files = [root is not None and (root / name).is_file() for name in self.options.files.values()]
            return (
                bool(files)
                and any(files)
                and any(base.is_dir() for base in self._bases(next(iter(self.options.files))))
            )
        except (OSError, ValueError):
            return False

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        """Return the questions people asked about the pictures, with the answers as references, by frame.

        `released` are those that state whether the picture is real, `blind` the others, by their wording; `judge`:
        "real or fake?", one a picture. Equal questions of a picture are one with all their answers; ids are
        `<frame>_<n>`. Raises `DataError` for an unknown kind or a malformed file.
        """
        if kind not in KINDS:
            raise DataError(f"conversations have no '{kind}' questions{near(kind, KINDS)}")
        if kind == "judge":
            return judge_questions(self.frames(split))
        return [question for question, _ in self._asked(split, kind)]

    def answer_rows(self, split: str, kind: str = "blind") -> dict[str, tuple[str, ...]]:
        """Return the answers as often as the file has them, by question id; empty for kind `judge`."""
        return {} if kind == "judge" else {question.id: answers for question, answers in self._asked(split, kind)}

    def _asked(self, split: str, kind: str) -> Iterator[tuple[Question, tuple[str, ...]]]:
        """Yield the questions of a kind, `blind` or `released`, each with the answers of all its turns."""
        for path in sorted(pictures := self._pictures(split), key=natural):
            asked: dict[str, list[str]] = {}
            for text, answer in pictures[path].turns:
                asked.setdefault(text, []).append(answer)
            for number, (text, answers) in enumerate(asked.items()):
                if states_label(text) == (kind == "released"):
                    name, references = f"{path}_{number}", tuple(dict.fromkeys(answers))
                    label = pictures[path].label
                    yield Question(name, path, text, references, region(text), label, kind), tuple(answers)

    def remarks(self, split: str) -> list[str]:
        """Return how many questions state the label, if any do."""
        count = len(self.questions(split, "released"))
        return [f"{count} {split} questions state the label; they are `released`, the others `blind`"] if count else []

    def _placed(self, split: str, pictures: dict[str, _Picture]) -> Placed:
        source = f"'{self._file(split)}'"
        places = placed(list(pictures), self._bases(split), source)
        if not places.there:
            first = places.path(next(iter(pictures)))
            raise DataError(
                f"{source}: none of its {len(pictures)} pictures exists; looked for '{first}'; unpack them there, or "
                f"set options.images"
            )
        return places

    def _bases(self, split: str) -> list[Path]:
        root = self.root or Path()
        return [root / images.replace("{split}", split) for images in self.options.images]

    def _file(self, split: str) -> Path:
        check_split("a dataset of conversations", split, self.splits)
        name = self.options.files.get(split)  # type: ignore[call-overload]
        if self.root is None or not self.root.is_dir():
            raise DataError(f"conversations need a root, a folder that holds {', '.join(self.options.files.values())}")
        if name is None:
            there = ", ".join(self.options.files)
            raise DataError(f"'{self.root}' has no {split} split: options.files names {there or 'none'}")
        return self.root / str(name)

    def _pictures(self, split: str) -> dict[str, _Picture]:
        """Return the pictures of a split's file by path, in the file's order."""
        path = self._file(split)
        try:
            rows = parse_json(read_text(path, MOST))
        except Refused as error:
            why = "does not exist; see options.files" if not path.exists() else f"cannot be read: {error}"
            raise DataError(f"'{path}' {why}") from None
        if not isinstance(rows, list) or not rows:
            raise DataError(f"'{path}' should be a list of conversations, not {quoted(rows) if rows else 'empty'}")
        found: dict[str, _Picture] = {}
        for number, row in enumerate(rows):
            picture = self._picture(row, f"'{path}' row {number}")
            held = found.setdefault(picture.path, picture)
            if held is not picture:
                if (held.label, held.method) != (picture.label, picture.method):
                    raise DataError(f"'{path}' row {number}: '{held.path}' has another label or method than before")
                held.turns += picture.turns
        return found

    def _picture(self, row: Any, where: str) -> _Picture:
        options = self.options
        values = row if isinstance(row, dict) else {}
        image, turns = values.get(options.image), values.get("conversations")
        if not isinstance(image, str) or not image.strip() or not isinstance(turns, list):
            raise DataError(f"{where}: it needs a text '{options.image}' and a list 'conversations'")
        path = written(image.strip())
        folder = _by_folder(path)
        if options.label is None:
            label = folder
            if label is None:
                raise DataError(f"{where}: no folder real or fake in {quoted(path, 80)}; set options.label to a key")
        else:
            label = self._label(values.get(options.label), where)
            if folder is not None and folder != label:
                raise DataError(
                    f"{where}: label {quoted(values.get(options.label))} means {'fake' if label else 'real'}, but "
                    f"{quoted(path, 80)} lies in a folder {'fake' if folder else 'real'}; is options.real_is wrong?"
                )
        method = ORIGINAL
        if label == FAKE:
            given = values.get(options.method) if options.method else NO_METHOD
            if not isinstance(given, str) or not given.strip() or given.strip() == ORIGINAL:
                raise DataError(f"{where}: '{options.method}' is {quoted(given)}, not the name of a fake's method")
            method = given.strip()
        return _Picture(path, label, method, list(_turns(turns, where)))

    def _label(self, value: Any, where: str) -> int:
        if isinstance(value, str) and value.strip().lower() in LABELS:
            return LABELS[value.strip().lower()]
        if not isinstance(value, bool) and str(value).strip() in ("0", "1"):
            return REAL if int(value) == self.options.real_is else FAKE
        raise DataError(f"{where}: '{self.options.label}' is {quoted(value)}, neither 0 nor 1, real nor fake")


def states_label(question: str) -> bool:
    """Return whether a question says that its picture is real, or that it is fake, by a list of English words.

    One that names both ("real or fake?"), or asks for one of them ("Is it fake?"), does not.
    """
    for sentence in re.split(r"(?<=[.?!])\s+|\n", question):
        real, fake = bool(_REAL_WORDS.search(sentence)), bool(_FAKE_WORDS.search(sentence))
        if real != fake and (_WHY.search(sentence) or not _ASKS.search(sentence)):
            return True
    return False


def _by_folder(path: str) -> int | None:
    """Return the label of the folder `real` or `fake` (in any case) in a path, None if there is none or both."""
    kinds = {LABELS[part.lower()] for part in path.split("/")[:-1] if part.lower() in LABELS}
    return kinds.pop() if len(kinds) == 1 else None


def _people(video: str) -> tuple[str, ...]:
    """Return the people of a video of FaceForensics++, whose numbers name it; none for another video."""
    match = _PAIR.fullmatch(video.rpartition("/")[2]) if "ff++" in video.lower() else None
    return tuple(f"FaceForensics++:{one}" for one in match.groups() if one) if match else ()


def _turns(turns: list[Any], where: str) -> Iterator[tuple[str, str]]:
    """Yield question and answer of each pair of turns, without image tokens. Raises DataError."""
    said = [(turn.get("from"), turn.get("value")) if isinstance(turn, dict) else (None, None) for turn in turns]
    for (asker, text), (answerer, answer) in zip(said[::2], [*said[1::2], (None, None)], strict=False):
        if (asker, answerer) != ("human", "gpt") or not isinstance(text, str) or not isinstance(answer, str):
            raise DataError(f"{where}: its turns must alternate between human and gpt, each with a text 'value'")
        yield _TOKENS.sub("", text).strip(), answer.strip()
