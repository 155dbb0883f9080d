"""DD-VQA: face crops of FaceForensics++ with questions about them, in both published forms.

Images and label-stating questions are those of the M2F2-Det release (arXiv 2503.20188); the neutral questions
with up to four references are the original annotations (Zhang et al., "Common Sense Reasoning for Deepfake
Detection").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, cast, get_args

from pydantic import Field

from ...core.errors import DataError, near
from ...core.parsing import Refused, parse_json, read_text
from ...core.records import FAKE, ORIGINAL, REAL, Frame, Locator, Question
from ..base import AdapterOptions, check_split, judge_questions
from ..files.folders import IGNORED_NAMES
from ..files.images import IMAGE_SUFFIXES, FileAdapter

METHODS = {
    "0": "Deepfakes",
    "1": "Face2Face",
    "2": "FaceShifter",
    "3": "FaceSwap",
    "5": ORIGINAL,
    "6": "NeuralTextures",
}
"""The manipulation by the first digit of a name; 5 is real."""
Fake = Literal["Deepfakes", "Face2Face", "FaceShifter", "FaceSwap", "NeuralTextures"]
FAKES: tuple[Fake, ...] = get_args(Fake)
MOST = 1 << 28
"""Bytes of a file of conversations."""
KINDS = ("blind", "released", "judge")
REGIONS = ("image", "face", "skin", "eyes", "eyebrows", "nose", "mouth")

_NAME = re.compile(r"(\d)_(\d+)(?:_(\d+))?", re.ASCII)
_BLIND = re.compile(r"do(?:es)? the (?:person's )?(\w+) looks? ", re.IGNORECASE)
_STATED = re.compile(r"the (\w+) in the image (?:is|are) ", re.IGNORECASE)
_BASED_ON = re.compile(r"based on ([^.]*)\.", re.IGNORECASE)
_TOKENS = re.compile(r"<(?:image|deepfake)>")


class DDVQAOptions(AdapterOptions):
    """Options: the `compression` of the images; the `forms` of questions to use; the `methods` of fakes to use."""

    later: ClassVar[frozenset[str]] = frozenset({"methods"})
    compression: Literal["c40", "c23"] = "c40"
    """Of the images."""
    forms: tuple[Literal["blind", "released", "judge"], ...] = ("blind", "released", "judge")
    """The questions that are used: neutral ones, those that state the label, the verdict alone."""
    methods: tuple[Fake, ...] = Field(default=FAKES, min_length=1)
    """The manipulations whose images are used, with all real ones; also as `ddvqa-c40@Deepfakes+FaceSwap`."""


class DDVQAAdapter(FileAdapter[DDVQAOptions]):
    """`root` holds `DDVQA_images/<compression>/<split>/<m_video>.jpg` and, for questions, `DQ_FF++`,
    `DDVQA_eval` and `DDVQA_split`.

    A frame's id is its file's stem (`0_111_094`), its video `Deepfakes/111_094`. There is no val split. Hidden files,
    Thumbs.db and desktop.ini are skipped; any other file in an image folder must follow the scheme of names, else
    `DataError` is raised.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def frames(self, split: str) -> list[Frame]:
        """Return all images of `train` or `test`, ordered by id. Raises `DataError` if there are no images."""
        folder = self._folder(split)
        found: dict[str, Frame] = {}
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or path.name.lower() in IGNORED_NAMES:
                continue
            if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
                raise DataError(f"'{path}' is not an image: only files like 0_111_094.jpg belong there; move it away")
            frame = _frame(path.stem, split, path)
            if not self._used(frame.id):
                continue
            if frame.id in found:
                raise DataError(f"'{path}' and '{found[frame.id].locator.path}' are the same frame; remove one of them")
            found[frame.id] = frame
        if not found:
            only = "" if self.options.methods == FAKES else f" of {', '.join(self.options.methods)}, and no real ones"
            raise DataError(f"DD-VQA split '{split}' is empty: no images{only} in '{folder}'")
        return [found[key] for key in sorted(found)]

    def fits(self) -> bool:
        """Return whether the root has a folder of images at this compression."""
        return self.root is not None and (self.root / "DDVQA_images" / self.options.compression).is_dir()

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        """Return the questions whose image exists, ordered by frame and then as in the file.

        `blind`: neutral, with all references. `released`: M2F2-Det's own, which state the label (train has only "real
        or fake?"); rows that repeat a question of an image are one question with all their distinct answers, see
        `repeats`. `judge`: "real or fake?", one for each image. Ids are `<key>_<qid>` and `<key>_judge`. Raises
        `DataError` for an unknown kind or a malformed file. `missing_images` lists the images that do not exist.
        """
        there = {frame.id for frame in self.frames(split)}
        found = [question for question, _ in self._rows(split, kind) if question.frame in there]
        return sorted(found, key=lambda question: question.frame)

    def altered_regions(self, split: str) -> dict[str, frozenset[str]]:
        """Return the regions that annotators found fake, from the neutral questions; no regions for a real frame.

        The annotators chose the regions: a region of a fake without a question counts as not manipulated, and a fake
        without any question about a region is left out.
        """
        found = {frame.id: frozenset[str]() for frame in self.frames(split) if frame.label == REAL}
        for question in self.questions(split, "blind"):
            if question.label == FAKE and question.region != "image":
                found[question.frame] = found.get(question.frame, frozenset()) | set(question.region.split("+"))
        return found

    def missing_images(self, split: str, kind: str = "blind") -> list[str]:
        """Return the keys that have questions of this kind but no image, sorted."""
        there = {frame.id for frame in self.frames(split)}
        return sorted({question.frame for question, _ in self._rows(split, kind)} - there)

    def unannotated_images(self, split: str, kind: str = "blind") -> list[str]:
        """Return the ids of images without a question of this kind, sorted."""
        asked = {question.frame for question, _ in self._rows(split, kind)}
        return sorted({frame.id for frame in self.frames(split)} - asked)

    def repeats(self, split: str, kind: str = "released") -> dict[str, int]:
        """Return how many rows each question id stands for (the released training file repeats rows)."""
        return {question.id: max(1, len(answers)) for question, answers in self._rows(split, kind)}

    def answer_rows(self, split: str, kind: str = "released") -> dict[str, tuple[str, ...]]:
        """Return the answers of the released training file's rows, by question id; empty for other questions."""
        return {question.id: answers for question, answers in self._rows(split, kind) if answers}

    def _folder(self, split: str) -> Path:
        check_split("DD-VQA", split, self.splits)
        root = self._root()
        folder = root / "DDVQA_images" / self.options.compression / split
        if not folder.is_dir():
            holds = ", ".join(sorted(p.name for p in root.iterdir())[:8]) or "nothing"
            raise DataError(
                f"no DD-VQA images: looked for '{folder.relative_to(root)}' in '{root}', "
                f"which holds {holds}; put the release there or set the card's root or compression"
            )
        return folder

    def _root(self) -> Path:
        if self.root is None:
            raise DataError("DD-VQA needs a root: the folder that holds DDVQA_images; set it on the card")
        if not self.root.is_dir():
            raise DataError(
                f"no DD-VQA folder at '{self.root}': it should hold DDVQA_images; set root or the data folder"
            )
        return self.root

    def _used(self, key: str) -> bool:
        return METHODS[key[0]] in (ORIGINAL, *self.options.methods)

    def _rows(self, split: str, kind: str) -> list[tuple[Question, tuple[str, ...]]]:
        """Return the questions about images of the card's methods; images may be missing.

        A question of the released conversations has the answers of its rows, any other none.
        """
        return [row for row in self._all_rows(split, kind) if self._used(row[0].frame)]

    def _all_rows(self, split: str, kind: str) -> list[tuple[Question, tuple[str, ...]]]:
        """Return the questions of a form in the file's order."""
        self._folder(split)
        self._check(kind)
        if kind == "judge":
            return [(question, ()) for question in judge_questions(self.frames(split))]
        if kind == "blind":
            rows = _annotations(self._root() / "DQ_FF++" / f"{split}_set")
        elif split == "test":
            rows = _evaluation(self._first("DDVQA_eval", "test.jsonl", split)[0])
        else:
            return _merge_conversations(self._first("DDVQA_split", "train_DDVQA_format*.json", split))
        unique: dict[str, Question] = {}
        places: dict[str, str] = {}
        for question, where in rows:
            if question.id in unique:
                raise DataError(f"{where}: question '{question.id}' is already in {places[question.id]}; remove one")
            unique[question.id], places[question.id] = question, where
        return [(question, ()) for question in unique.values()]

    def _check(self, kind: str) -> None:
        if kind not in KINDS:
            raise DataError(f"DD-VQA has no '{kind}' questions{near(kind, KINDS)}")
        if kind not in self.options.forms:
            raise DataError(f"'{kind}' questions are switched off: add them to the card's options.forms")

    def _first(self, folder: str, pattern: str, split: str) -> list[Path]:
        """Return the question files of this compression, else of c40.

        The questions are the same; only those of c40 were released.
        """
        looked = list(dict.fromkeys((self.options.compression, "c40")))
        for compression in looked:
            if files := sorted((self._root() / folder / compression).glob(pattern)):
                return files
        where = " or ".join(f"'{folder}/{compression}/{pattern}'" for compression in looked)
        raise DataError(
            f"no released {split} questions: looked for {where} in '{self.root}'; ask for blind ones instead"
        )


def region(question: str) -> str:
    """Return the region that a question asks about: one of `REGIONS`, or several joined by `+` in their order.

    Known wordings are read exactly; in any other, the regions named in the first sentence count, else `image` (also
    for an empty "based on .").
    """
    if (match := _BASED_ON.search(question)) or (match := _BLIND.match(question) or _STATED.match(question)):
        text = match[1]
    else:
        text = re.split(r"[.?!]", question)[0]
    named = [word for word in re.findall(r"\w+", text.lower()) if word in REGIONS and word != "image"]
    return "+".join(dict.fromkeys(named)) or "image"


def _label(key: str) -> int:
    return REAL if METHODS[key[0]] == ORIGINAL else FAKE


def _frame(key: str, split: str, path: Path | str) -> Frame:
    """Return the frame of a key `m_A` (real) or `m_A_B` (fake). Raises `DataError`, which names `path`."""
    match = _NAME.fullmatch(key)
    if not match:
        raise DataError(f"'{path}': name '{key}' does not follow the scheme m_A or m_A_B (5_056, 0_111_094)")
    digit, *numbers = match.groups()
    if digit not in METHODS:
        known = ", ".join(f"{d} {m}" for d, m in METHODS.items())
        raise DataError(f"'{path}': unknown method digit {digit} in '{key}'; known: {known}")
    identities = tuple(number for number in numbers if number)
    label = _label(key)
    if len(identities) != (1 if label == REAL else 2):
        needs = "one video number" if label == REAL else "two video numbers"
        raise DataError(f"'{path}': '{key}' is {METHODS[digit]} and should have {needs}")
    video = f"{METHODS[digit]}/{'_'.join(identities)}"
    return Frame(key, video, label, METHODS[digit], split, identities, Locator(str(path)))


def _annotations(folder: Path) -> Iterator[tuple[Question, str]]:
    """Yield the original annotations with their places.

    They are in `<M>/<M>.json` below `folder`: key -> qid -> {question, answer: [...]}.
    """
    files = sorted(folder.glob("*/*.json"))
    if not files:
        raise DataError(
            f"no DD-VQA annotations: looked for '{folder}/<method>/<method>.json'; fetch DQ_FF++ into the root"
        )
    for path in files:
        for key, entries in _mapping(_load(path), f"'{path}'").items():
            _frame(key, "", path)
            for qid, entry in _mapping(entries, f"'{path}' key '{key}'").items():
                yield _question(key, f"{key}_{qid}", entry, f"'{path}'", "blind"), f"'{path}'"


def _evaluation(path: Path) -> Iterator[tuple[Question, str]]:
    """Yield the released test questions with their places: a line is `{"<key>_<qid>": {question, answer: [one]}}`."""
    for number, line in enumerate(_text(path).splitlines(), start=1):
        where = f"'{path}' line {number}"
        if not line.strip():
            continue
        for name, entry in _mapping(_parse(line, where), where).items():
            key = name.rpartition("_")[0]
            _frame(key, "", where.strip("'"))
            yield _question(key, name, entry, where, "released"), where


def _question(key: str, name: str, entry: Any, where: str, kind: str) -> Question:
    values = _mapping(entry, f"{where} question '{name}'")
    text, answers = values.get("question"), values.get("answer")
    good = isinstance(answers, list) and answers and all(isinstance(a, str) and a.strip() for a in answers)
    if not isinstance(text, str) or not text.strip() or not good:
        raise DataError(f"{where}: question '{name}' needs a text 'question' and a list 'answer' of texts")
    text = text.strip()
    return Question(name, key, text, tuple(cast("list[str]", answers)), region(text), _label(key), kind)


def _merge_conversations(paths: list[Path]) -> list[tuple[Question, tuple[str, ...]]]:
    """Return the questions of released conversations with the answers of their rows.

    Equal questions of an image become one with all distinct answers.
    """
    merged: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        for key, text, answer in _conversations(path):
            merged.setdefault((key, text), []).append(answer)
    numbers: Counter[str] = Counter()
    found = []
    for (key, text), answers in merged.items():
        name, references = f"{key}_{numbers[key]}", tuple(dict.fromkeys(answers))
        found.append((Question(name, key, text, references, region(text), _label(key), "released"), tuple(answers)))
        numbers[key] += 1
    return found


def _conversations(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (key, question, answer) for each turn of a LLaVA conversation file, without image tokens."""
    rows = _load(path)
    if not isinstance(rows, list):
        raise DataError(f"'{path}' should be a list of conversations, not {type(rows).__name__}")
    for number, row in enumerate(rows):
        where = f"'{path}' row {number}"
        values = _mapping(row, where)
        image, turns = values.get("image"), values.get("conversations")
        if not isinstance(image, str) or not isinstance(turns, list) or not turns:
            raise DataError(f"{where}: it needs a text 'image' and a list 'conversations'")
        key = Path(image).stem
        _frame(key, "", where.strip("'"))
        said = [(turn.get("from"), turn.get("value")) if isinstance(turn, dict) else (None, None) for turn in turns]
        for (asker, text), (answerer, answer) in zip(said[::2], [*said[1::2], (None, None)], strict=False):
            if (asker, answerer) != ("human", "gpt") or not isinstance(text, str) or not isinstance(answer, str):
                raise DataError(f"{where}: its turns must alternate between human and gpt, each with a text 'value'")
            yield key, _TOKENS.sub("", text).strip(), answer.strip()


def _text(path: Path) -> str:
    try:
        return read_text(path, MOST)
    except Refused as error:
        raise DataError(f"'{path}' cannot be read: {error}") from None


def _parse(text: str, where: str) -> Any:
    try:
        return parse_json(text)
    except Refused as error:
        raise DataError(f"{where} is not JSON: {error}") from None


def _load(path: Path) -> Any:
    return _parse(_text(path), f"'{path}'")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where} should be a mapping, not {type(value).__name__}")
    return value
