"""The four card models, and reading a card.

A card is one YAML file: a detector, a dataset, a protocol (kind `metrics`) or a leaderboard. Unknown keys are
refused, and a card's `name` is its file's name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from ..core.errors import CardError, near
from ..core.parsing import Refused, read_yaml
from ..core.places import moved, moved_reference
from ..core.text import quoted
from .columns import Column, TrainStep
from .folders import DATA_VARIABLE, DETECTION, EXPLANATION, HEATMAPS, find_card, iter_cards
from .protocols import DETECTION_METRICS, ExplanationRules, HeatMapRules, ProtocolRules
from .registry import is_file_reference
from .settings import InputSettings, StageSettings, TrainingSettings

if TYPE_CHECKING:
    from typing_extensions import Self

LONGEST_NAME = 150
"""Characters of a card's name: file systems allow 255 for a run's folder, which has three names in it."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$"


class Card(BaseModel):
    """The common part of all cards: a name, a line of description, and the file they came from."""

    # Built when the first card of its kind is read: a command that reads none starts faster.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: str = Field(pattern=NAME_PATTERN, max_length=LONGEST_NAME)
    """Its name on the command line and in tables; also the name of the card's file."""
    description: str = ""
    """One line for lists."""
    _path: Path | None = PrivateAttr(default=None)
    _folder: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """The file this card was read from; None for a card made in code."""
        return self._path

    @property
    def folder(self) -> Path:
        """The folder that relative paths on the card start from."""
        return self._path.parent if self._path else self._folder or Path.cwd()

    def placed(self, folder: Path) -> Self:
        """Return the card, made in code, with the folder that its relative paths start from."""
        self._folder = folder
        return self


class DetectorCard(Card):
    """One detector: its backend, its weights, its input, its training and the data that it was trained on."""

    backend: str
    """What runs it: a class in a file next to the card (`file.py:Class`), or the name of a backend."""
    weights: str | None = None
    """A file next to the card (or an absolute path) with trained weights; None for an untrained detector."""
    fake_class: Literal[0, 1] | None = None
    """For `weights` of others: which of two outputs is fake. With one output, 0 says that it is the logit of real."""
    input: InputSettings = InputSettings()
    """How an image becomes the network's input."""
    precision: Literal["fp32", "tf32", "bf16", "fp16"] | None = None
    """Arithmetic in which a torch network judges, unless `--precision` chooses another; None: as the backend does."""
    compile: bool = False
    """Whether a torch network is compiled by `torch.compile` for judging, by which its scores move by rounding."""
    channels_last: bool = True
    """Whether a torch network of images judges in channels-last memory, as PyTorch advises; else by channels, by
    which its scores move by rounding."""
    options: dict[str, Any] = {}
    """Settings of the backend; checked against its own model."""
    training: TrainingSettings | None = None
    """Settings of the stage that trains P(fake)."""
    stages: dict[Literal["align", "tune"], StageSettings] = {}
    """Settings of the later stages, in which a detector learns to answer questions."""
    training_datasets: tuple[str, ...] = ()
    """Names of the datasets this detector has seen, so that a table can tell in-domain from cross-dataset."""
    training_sources: tuple[str, ...] = ()
    """The corpora of these datasets, from their cards, so that a table does not need the cards."""
    training_people: tuple[str, ...] = ()
    """Other corpora whose people are in these datasets too, from `people` on their cards."""
    licence: str = ""
    """The licence of code and weights."""
    reference: str = ""
    """The paper, or where the weights come from."""

    def weights_path(self) -> Path | None:
        """Return the path of the weights, resolved against the card's folder."""
        return None if self.weights is None else self.folder / Path(self.weights).expanduser()

    @model_serializer(mode="wrap")
    def _plainly(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave keys that are not set and that older cards lack out: their identities and results stay the same."""
        values: dict[str, Any] = handler(self)
        if not values.get("training_people", True):
            del values["training_people"]
        for key in ("fake_class", "precision"):
            if values.get(key, 0) is None:
                del values[key]
        for key, default in (("compile", False), ("channels_last", True)):
            if values.get(key) is default:
                del values[key]
        return values


class DatasetCard(Card):
    """One dataset: its adapter, its folder, its splits and its licence."""

    adapter: str
    """What lists and reads its frames: a class in a file next to the card (`file.py:Class`), or an adapter's name."""
    root: str | None = None
    """A folder; a relative one lies in `M2F2BENCH_DATA`. None for a dataset drawn by code."""
    options: dict[str, Any] = {}
    """Settings of the adapter; checked against its own model."""
    splits: tuple[str, ...] | None = None
    """The splits of the adapter that are used; None: all of them."""
    source: str = ""
    """The corpus of its people and videos: one name for all datasets that share them (other compressions, crops,
    manipulations). Empty: the dataset is its own corpus."""
    people: tuple[str, ...] = ()
    """Other corpora whose people are in it too: DeeperForensics has the reals of FaceForensics++ as targets."""
    shows: Literal["crops", "scenes", "images"] = "crops"
    """What a frame is: a crop of one face, a whole scene with people in it, or any image (not always with a face)."""
    counts: dict[str, dict[str, int]] = {}
    """The videos that a whole copy has, by split and method (`original` for reals); a single picture is a video."""
    obtain: str = ""
    """How to get the data: where to ask or download, and what to unpack where."""
    unchecked: str = ""
    """What on this card is from a paper or from memory and was not checked on a copy."""
    licence: str = ""
    """The licence of the images."""
    reference: str = ""
    """The paper, or where the images come from."""

    @property
    def corpus(self) -> str:
        """The common name of all datasets with the same people and videos."""
        return self.source or self.name

    def root_path(self) -> Path | None:
        """Return the dataset's folder; a relative one lies in `M2F2BENCH_DATA`."""
        if self.root is None:
            return None
        root = Path(self.root).expanduser()
        if root.is_absolute() or self.root.startswith("."):
            return self.folder / root
        base = os.environ.get(DATA_VARIABLE)
        if not base:
            raise CardError(
                f"dataset '{self.name}' lies in '{root}' under the data folder, and no data folder is set: "
                f"set {DATA_VARIABLE} or give --data DIR"
            )
        return Path(base).expanduser() / root


class ProtocolCard(Card, ProtocolRules):
    """Protocol for detection. Its keys are those of `ProtocolRules`."""

    kind: ClassVar[str] = DETECTION
    """The task, as `Result.task` names it."""


class ExplanationCard(Card, ExplanationRules):
    """Protocol for answers to questions (`task: explanation`). Its keys are those of `ExplanationRules`."""

    kind: ClassVar[str] = EXPLANATION


class HeatMapCard(Card, HeatMapRules):
    """Protocol for heat maps: `task: heatmaps`. Its keys are in `cards.protocols`."""

    kind: ClassVar[str] = HEATMAPS


AnyProtocol = ProtocolCard | ExplanationCard | HeatMapCard


class LeaderboardCard(Card):
    """A table (columns × detectors) and, when it is run as a suite, the detectors to train first."""

    title: str = ""
    """The heading of the page."""
    detectors: tuple[str, ...] = ()
    """The rows when run as a suite; a table shows all results that fit a column."""
    train: tuple[TrainStep, ...] = ()
    """The trainings that come first; those that are done already are not repeated."""
    columns: tuple[Column, ...] = Field(min_length=1)
    """The columns, from left to right."""
    rank_by: int = Field(default=0, ge=0)
    """The column, from 0, that rows are ordered by."""

    @model_validator(mode="after")
    def _ranked_by_its_own(self) -> Self:
        if self.rank_by >= len(self.columns):
            raise ValueError(f"rank_by is {self.rank_by}, and the columns are 0 to {len(self.columns) - 1}")
        return self


MODELS: dict[str, type[Card]] = {
    "detectors": DetectorCard,
    "datasets": DatasetCard,
    "metrics": ProtocolCard,
    "leaderboards": LeaderboardCard,
}


def protocol_model(data: Mapping[str, Any]) -> type[AnyProtocol]:
    """Return the model of a protocol's data, by its key `task`; a card of detection has no such key."""
    if "task" not in data:
        return ProtocolCard
    return HeatMapCard if data["task"] == HEATMAPS else ExplanationCard


def corpus_of(dataset: str) -> str:
    """Return the corpus of a named dataset; its own name if it has no readable card."""
    card = named_dataset(dataset)
    return card.corpus if card is not None else dataset


def people_of(dataset: str) -> tuple[str, ...]:
    """Return the other corpora whose people are in a named dataset; none if it has no readable card."""
    card = named_dataset(dataset)
    return card.people if card is not None else ()


def named_dataset(name: str) -> DatasetCard | None:
    """Return a named dataset's card; None if there is none that can be read."""
    path = find_card("datasets", name) or find_card("datasets", name.rpartition("@")[0])
    try:
        card = read_card("datasets", path) if path is not None else None
    except CardError:
        card = None
    return card if isinstance(card, DatasetCard) else None


def read_card(kind: str, path: Path) -> Card:
    """Read and check one card file. Raises CardError in one line."""
    data = _read_mapping(path)
    if kind == "detectors" and "base" in data:
        data = _on_base(data, path, ())
    model = protocol_model(data) if kind == "metrics" else MODELS[kind]
    if model is ProtocolCard and "metrics" not in data:
        raise CardError(
            f"protocol card '{path}': missing key metrics; for the metrics that 0.5 took without it, add the line "
            f"metrics: [{', '.join(DETECTION_METRICS)}]"
        )
    card = validate(model, data, f"{kind[:-1] if kind != 'metrics' else 'protocol'} card '{path}'")
    _check_name(card, path)
    card._path = path.resolve()
    return card


C = TypeVar("C", bound=Card)


def read_card_as(model: type[C], path: Path, noun: str) -> C:
    """Read and check one card file of a model that has no folder among `KINDS`. Raises CardError in one line."""
    card = validate(model, _read_mapping(path), f"{noun} card '{path}'")
    _check_name(card, path)
    card._path = path.resolve()
    return card


def _check_name(card: Card, path: Path) -> None:
    if path.stem not in (card.name, "card"):
        raise CardError(f"card '{path}' is named {quoted(card.name)}: name and file must agree; rename one of them")


def _read_mapping(path: Path) -> dict[str, Any]:
    """Return the content of a card file, unchecked. Raises CardError in one line."""
    try:
        data: Any = read_yaml(path)
    except Refused as error:
        raise CardError(f"card '{path}' cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise CardError(f"card '{path}' must be a mapping of keys to values, not {type(data).__name__}")
    return data


def _on_base(data: dict[str, Any], path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """Return a detector's card put on top of its `base`, an untrained card: mappings are merged, the rest replaced.

    A base may have a base itself. `above` are the cards that build on this one. Raises CardError for a circle.
    """
    name, own = data["base"], {key: value for key, value in data.items() if key != "base"}
    neighbour = path.parent / f"{name}.yaml"
    found = neighbour if neighbour.is_file() else find_card("detectors", str(name))
    if found is None:
        known = [card.stem for card in iter_cards("detectors")]
        raise CardError(f"card '{path}': its base '{name}' is not a detector card{near(str(name), known)}")
    chain = (*above, path)
    if found.resolve() in [one.resolve() for one in chain]:
        circle = " → ".join(one.stem for one in (*chain, found))
        raise CardError(f"card '{chain[0]}': its bases form a circle, {circle}: remove `base` from one of them")
    under = _read_mapping(found)
    if "base" in under:
        under = _on_base(under, found, chain)
    base = validate(DetectorCard, under, f"detector card '{found}'")
    _check_name(base, found)
    if base.weights is not None:
        raise CardError(f"card '{path}': its base '{name}' is a trained detector: name an untrained one")
    return merged(_said_in(base, found.parent, path.parent), own)


def _said_in(base: DetectorCard, origin: Path, folder: Path) -> dict[str, Any]:
    """Return a base's values; paths of files become relative to the folder of the card that builds on it."""
    values = base.model_dump(mode="json", exclude_unset=True)
    if origin.resolve() == folder.resolve():
        return values
    if is_file_reference(base.backend):
        values["backend"] = moved_reference(base.backend, origin, folder)
    return {**values, "options": moved(base.options, [origin], folder)} if base.options else values


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return one mapping over another: mappings inside are merged, the rest is replaced, null removes a key."""
    both = {
        key: merged(under[key], value)
        for key, value in over.items()
        if isinstance(value, dict) and isinstance(under.get(key), dict)
    }
    gone = {key for key, value in over.items() if value is None and key in under}
    return {key: value for key, value in {**under, **over, **both}.items() if key not in gone}


M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], data: Any, where: str) -> M:
    """Return the validated model. Raises CardError in one line: the key, the problem, what is allowed."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise CardError(f"{where}: {problem_of(model, error)}") from None


def problem_of(model: type[BaseModel], error: ValidationError) -> str:
    """Return the first problem that a model found, in one short line: the key, the problem, the known keys."""
    problems = error.errors(include_url=False)
    first = problems[0]
    key = quoted(".".join(str(part) for part in first["loc"]))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {key}{near(str(first['loc'][-1]), _keys_at(model, first['loc'][:-1]))}{more}"
    if first["type"] == "unknown_metric":
        return f"key {key}: {first['msg']}{more}"
    if first["type"] == "missing":
        return f"missing key {key}{more}"
    message = " ".join(first["msg"].removeprefix("Value error, ").split())
    if not first["loc"] and isinstance(first["input"], dict):  # values that do not fit together: the message names them
        return f"{message}{more}"
    return f"{f'key {key}' if first['loc'] else 'card'}: {message}, not {quoted(first['input'])}{more}"


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys a model knows at a place inside it; empty if the place is not in a nested model."""
    current: Any = model
    for part in location:
        info = current.model_fields.get(part) if isinstance(part, str) else None
        nested = [t for t in (info.annotation, *getattr(info.annotation, "__args__", ())) if info] if info else []
        found = [t for t in nested if isinstance(t, type) and issubclass(t, BaseModel)]
        if not found:
            return []
        current = found[0]
    return list(current.model_fields)
