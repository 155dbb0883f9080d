"""Loading of detectors, datasets and protocols by a card's name or path, a folder, or `file.py:Class`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from .cards.chosen import split_chosen, with_methods
from .cards.folders import DETECTION, EXPLANATION, HEATMAPS, find_card, iter_cards
from .cards.models import (
    LONGEST_NAME,
    AnyProtocol,
    Card,
    DatasetCard,
    DetectorCard,
    ExplanationCard,
    HeatMapCard,
    LeaderboardCard,
    ProtocolCard,
    read_card,
    validate,
)
from .cards.registry import ADAPTERS, BACKENDS, Registry, is_file_reference, load_from_file
from .core.arguments import checked
from .core.errors import CardError, DataError, DetectorError, M2F2BenchError, first_line, near
from .core.files import user_path
from .core.guests import guest
from .core.patterns import is_pattern
from .core.text import quoted
from .datasets.base import Adapter
from .datasets.dataset import Dataset
from .datasets.plain import GIVEN, MANIFESTS, plain_card, slug
from .datasets.recognition import at_its_root, card_of_folder
from .detectors.base import Detector, starting_options
from .detectors.build import build_detector, set_up, wrap_object
from .detectors.published.forms import FORMS
from .detectors.weights.given import ENDINGS, called, card_of, is_classifier, is_given
from .metrics.registry import known_metric, load_metric, notes

CARD_SUFFIXES = (".yaml", ".yml")
USE = {"detectors": "-d {}", "datasets": "-s {}", "metrics": "-p {}", "leaderboards": "`m2f2bench run {}`"}
"""How the command line takes a card's name, by the folder of its kind."""
P = TypeVar("P", ProtocolCard, ExplanationCard, HeatMapCard)
ABOUT_TASK = {DETECTION: "P(fake)", EXPLANATION: "answers to questions", HEATMAPS: "heat maps"}
"""What the protocols of a task are about."""
MEASURED = {DETECTION: "scores", EXPLANATION: "answers", HEATMAPS: "maps"}
"""What a task's metrics are of, see `metrics.registry.Metric`."""
Q = TypeVar("Q", ProtocolCard, ExplanationCard, HeatMapCard, AnyProtocol)


def resolve_card(kind: str, reference: str) -> Card:
    """Return the card of a name or a path; a folder stands for the `card.yaml` in it."""
    # A card's name comes first: a folder of the same name must not replace it.
    found = find_card(kind, reference)
    if found is not None:
        return read_card(kind, found)
    if kind == "datasets" and _is_chosen(reference):
        return _chosen_card(reference)
    path = user_path(reference)
    if path.suffix == ".py" and path.is_file():
        raise CardError(f"'{reference}' is code: name its class too, {reference}:CLASS")
    if (path / "card.yaml").is_file():
        return read_card(kind, path / "card.yaml")
    if kind == "detectors" and is_given(path):
        return card_of(path, None)
    if path.is_file():
        return read_card(kind, path)
    if kind == "detectors" and is_pattern(reference):
        raise CardError(
            f"'{reference}' is a pattern, which only run -d takes, for the trainings of one detector: give one of them"
        )
    if reference.endswith(CARD_SUFFIXES) or "/" in reference or path.is_dir():
        raise CardError(f"there is no {_singular(kind)} card at '{path}'")
    other = next((one for one in USE if one != kind and find_card(one, reference) is not None), "")
    if other:
        use = USE[other].format(reference)
        raise CardError(f"unknown {_singular(kind)} '{reference}': this is the name of a {_singular(other)}, for {use}")
    known = [p.stem for p in iter_cards(kind)]
    raise CardError(f"unknown {_singular(kind)} '{reference}'{near(reference, known)}{_own(reference)}")


def _own(name: str) -> str:
    """Return a hint if the current folder has a card, or a class's file, for a name that is no card's."""
    if len(name) > LONGEST_NAME:
        return ""
    file, _, attribute = name.rpartition(".")
    found = [f"{name}{ending}" for ending in CARD_SUFFIXES if Path(f"{name}{ending}").is_file()]
    found += [f"{file}.py:{attribute}"] if file and attribute.isidentifier() and Path(f"{file}.py").is_file() else []
    return f"; for your own give {found[0]}" if found else ""


def _singular(kind: str) -> str:
    return "protocol" if kind == "metrics" else kind[:-1]


def registered(kind: str, name: str, place: object, hint: str = "") -> str:
    """Return the detector's or dataset's name in a result at `place`; `kind` is the folder of its cards.

    A result is data: no file that it names is loaded or executed. Raises CardError, with a `hint` at what to give
    instead, unless the name is a card's or registered.
    """
    known = BACKENDS if kind == "detectors" else ADAPTERS
    base = split_chosen(name)[0] if kind == "datasets" and "@" in name else name
    if any(find_card(kind, one) is not None or one in known.names() for one in (name, base)):
        return name
    what, option = _singular(kind), {"detectors": "-d", "datasets": "-s"}[kind]
    raise CardError(
        f"'{place}' names the {what} {quoted(name)}, which is neither a card nor registered; files that a result "
        f"names are not loaded: give {option} {hint or what.upper()}"
    )


def measured_dataset(name: str, place: Path) -> str | DatasetCard:
    """Return the dataset that a result at `place` names. Raises CardError as `registered` does.

    It is a card's or registered name, or the card of a folder or manifest with this name in the current folder or next
    to the result: these are data too.
    """
    if find_card("datasets", name) is None and name not in ADAPTERS.names() and slug(name) == name:
        for folder in (Path.cwd(), place.parent, place.parent.parent):
            for ending in ("", *GIVEN):
                plain = plain_card(str(folder / f"{name}{ending}"))
                if plain is not None and plain.name == name:
                    return plain
    return registered("datasets", name, place)


def any_protocol(reference: str | AnyProtocol) -> AnyProtocol:
    """Return the protocol card of a name or a path, whatever its task."""
    known: str | AnyProtocol = _reference(reference, (ProtocolCard, ExplanationCard, HeatMapCard), "protocol")
    if isinstance(known, str):
        return with_metrics(cast(AnyProtocol, resolve_card("metrics", known)))
    return with_metrics(known)


def _reference(reference: Any, kinds: type | tuple[type, ...], noun: str) -> Any:
    """Return a reference to a card: a text, a path as text, or an object of `kinds`. Raises CardError for others."""
    if isinstance(reference, Path):
        return str(user_path(reference))
    if not isinstance(reference, str) and not isinstance(reference, kinds):
        raise CardError(f"a {noun} is of type {type(reference).__name__}: give its name, a path, or its card")
    if isinstance(reference, str):
        user_path(reference)
    return reference


def with_metrics(card: Q) -> Q:
    """Return a protocol whose metrics of the form `file.py:NAME` are loaded and called by their names.

    All metrics of the user's are described as they are registered now. Raises RegistryError or CardError.
    """
    names = tuple(load_metric(one, card.folder).name if is_file_reference(one) else one for one in card.metrics)
    described = {name: note for name, note in card.described.items() if name in names} | notes(names)
    wanted = MEASURED[card.kind]
    for name in described:
        known = known_metric(name)
        if known is not None and known.of != wanted:
            raise CardError(f"protocol '{card.name}': metric '{name}' is of {known.of}, and the protocol of {wanted}")
    primary = None if card.primary is None else names[card.metrics.index(card.primary)]
    return card.model_copy(update={"metrics": names, "described": described, "primary": primary})


def load_metrics(references: Sequence[str]) -> list[str]:
    """Return the names of metrics; those given as `file.py:NAME` are loaded. Raises RegistryError."""
    return [load_metric(one).name if is_file_reference(one) else one for one in references]


def load_protocol(reference: str | AnyProtocol) -> ProtocolCard:
    """Return the detection protocol of a name or a path. Raises CardError for one of another task."""
    return _of_task(reference, ProtocolCard)


def load_explanation(reference: str | AnyProtocol) -> ExplanationCard:
    """Return the protocol of a name or a path that is about answers to questions. Raises CardError for any other."""
    return _of_task(reference, ExplanationCard)


def load_heat_maps(reference: str | AnyProtocol) -> HeatMapCard:
    """Return the protocol of a name or a path that is about heat maps. Raises CardError for any other."""
    return _of_task(reference, HeatMapCard)


def _of_task(reference: str | AnyProtocol, wanted: type[P]) -> P:
    card = any_protocol(reference)
    if not isinstance(card, wanted):
        raise CardError(
            f"protocol '{card.name}' is about {ABOUT_TASK[card.kind]}, not about {ABOUT_TASK[wanted.kind]}: "
            f"use another one here"
        )
    return card


def load_leaderboard(reference: str) -> LeaderboardCard:
    """Return the leaderboard card of a name or a path."""
    card = cast(LeaderboardCard, resolve_card("leaderboards", reference))
    columns = [
        one.model_copy(update={"metric": load_metric(one.metric, card.folder).name})
        if is_file_reference(one.metric)
        else one
        for one in card.columns
    ]
    return card.model_copy(update={"columns": tuple(columns)})


def detector_card(reference: str | Path | DetectorCard) -> tuple[DetectorCard, type]:
    """Return a detector's card and its class, without building it.

    A registered backend's name or a `file.py:Class` without a card gets a card that only names it.
    """
    card, cls = _card_and_class("detectors", reference, BACKENDS, "detector")
    return cast(DetectorCard, card), cls


@checked
def detector_from(
    file: str | Path, kind: str | Path | DetectorCard | None = None, fake_class: int | None = None, trust: bool = False
) -> DetectorCard:
    """Return the card of a detector whose weights are in a file of another project; it goes wherever a detector goes.

    `file` is a `.pth`, `.pt`, `.safetensors` with `kind`, the detector (name, card, class) whose network it is for; or
    an ONNX file, a TorchScript program (only with `trust`: it is code) or the folder of a Hugging Face image
    classifier, for which `kind` gives only the input. `fake_class` (0 or 1) says which of two outputs is fake. No code
    in a file of weights is run. Raises DetectorError or CardError.
    """
    path = user_path(_reference(file, (), "file of weights"))
    if not path.exists():
        raise DetectorError(f"there is no file of weights '{path}'")
    if not is_given(path):
        raise DetectorError(
            f"'{path}' is neither a file of weights ({', '.join(ENDINGS[:6])}) nor a classifier's folder"
        )
    if fake_class not in (None, 0, 1):
        raise DetectorError(f"fake class {fake_class}: it is the number of the output that is fake, 0 or 1")
    if isinstance(kind, str) and kind in FORMS and find_card("detectors", kind) is None:
        raise DetectorError(f"'{kind}' is a kind of file: m2f2bench import-weights {path} --as {kind} --out FOLDER")
    base = None if kind is None else detector_card(kind)[0]
    name = called(path)
    name = name if find_card("detectors", name) is None else f"{name}-weights"
    return card_of(path, base, fake_class, trust, name)


def detector_to_train(file: str | Path, kind: str | Path | DetectorCard) -> DetectorCard:
    """Return the card of detector `kind` whose training starts from the weights in a file, but for its last layer.

    Raises DetectorError if its backend cannot start from a file.
    """
    card, cls = detector_card(kind)
    given = detector_from(file, card)
    if given.backend != card.backend:
        raise DetectorError(
            f"'{file}' holds its own network ({given.backend}), which is not trained here: give weights"
        )
    known = starting_options(cls)
    if "pretrained" not in known:
        raise DetectorError(f"detector '{card.name}' (backend {card.backend}) cannot start its training from a file")
    values = {"name": f"{card.name}-from-{given.name}", "options": {**card.options, "pretrained": given.weights}}
    return card.model_copy(update={**values, "weights": None})


def load_detector(reference: str | DetectorCard | Any, device: str = "auto", precision: str | None = None) -> Detector:
    """Build a detector; its card is in `.card`. It judges in `precision`, None: that of its card.

    `reference` is a card's name or path, a folder with `card.yaml`, a backend, `file.py:Class`, a card, or an object
    with `predict(images) -> scores`.
    """
    if isinstance(reference, (str, Path, DetectorCard)):
        card, cls = detector_card(reference)
        detector = build_detector(card, cls, device)
    else:
        card, detector = wrap_object(reference)
    set_up(detector, card, precision)
    return detector


def names_detector(reference: str) -> bool:
    """Return whether a reference that could be a dataset's or a detector's is a detector's, or weights."""
    if find_card("datasets", reference) is not None:
        return False
    if find_card("detectors", reference) is not None:
        return True
    path = user_path(reference)
    if is_file_reference(reference):
        return not issubclass(load_from_file(reference, "class"), Adapter)
    if is_given(path):
        return path.is_file() or is_classifier(path)
    card = path / "card.yaml" if path.is_dir() else path
    if card.suffix not in CARD_SUFFIXES or not card.is_file():
        return False
    return re.search(r"^(backend|base):", card.read_text(encoding="utf-8", errors="replace"), re.MULTILINE) is not None


def load_dataset(reference: str | DatasetCard | Adapter) -> Dataset:
    """Build a dataset.

    `reference` is a card's name or path, an adapter, `file.py:Class`, a folder, a manifest (.csv, .jsonl), a list of
    pictures (.txt, .json), a WebDataset's tar, a card, or an `Adapter` object. `CARD@METHOD[+METHOD]` is a card with
    only these manipulations. A folder has the layout of a card, which is then used, or is in a form that needs none
    (`real` and `fake` in it, say). The data folder (`M2F2BENCH_DATA`) may also be the dataset's own, if the card's root
    is not in it. Raises DataError for a folder with the layouts of several cards.
    """
    if isinstance(reference, Adapter):
        name = getattr(reference, "name", type(reference).__name__)
        values = {"name": name, "adapter": type(reference).__qualname__}
        return _checked(Dataset(validate(DatasetCard, values, f"dataset {type(reference).__qualname__}"), reference))
    reference = _reference(reference, DatasetCard, "dataset")
    if isinstance(reference, str) and _is_chosen(reference):
        reference = _chosen_card(reference)
    if isinstance(reference, str):
        plain = plain_card(reference)
        if plain is not None:
            reference = card_of_folder(reference) or plain
    card, cls = _card_and_class("datasets", reference, ADAPTERS, "dataset")
    dataset_card = cast(DatasetCard, card)
    if not issubclass(cls, Adapter):
        raise DataError(f"dataset '{card.name}': {cls.__qualname__} is not a subclass of m2f2bench.Adapter")
    options = validate(cls.Options, dataset_card.options, f"dataset '{card.name}', options")
    try:
        root = dataset_card.root_path()
        with guest(f"dataset '{card.name}'"):
            adapter = cls(root=root, options=options)
            adapter = at_its_root(adapter, dataset_card)
    except M2F2BenchError:
        raise
    except Exception as error:
        raise DataError(f"dataset '{card.name}' cannot be opened: {first_line(error)}") from error
    return _checked(Dataset(dataset_card, adapter))


def _is_chosen(reference: str) -> bool:
    """Return whether a reference is `CARD@METHOD`, and not the name of a card, a file or a folder with an @ in it."""
    if "@" not in reference.rpartition("/")[2] or reference.endswith((*CARD_SUFFIXES, *MANIFESTS, ".py")):
        return False
    return find_card("datasets", reference) is None and not _exists(reference)


def _exists(reference: str) -> bool:
    path = user_path(reference.rpartition(":")[0] if is_file_reference(reference) else reference)
    return path.exists()


def _chosen_card(reference: str) -> DatasetCard:
    """Return the card of `CARD@METHOD[+METHOD]`. Raises CardError for an unknown card or method."""
    base, methods = split_chosen(reference)
    dataset = load_dataset(base)
    with guest(f"dataset '{dataset.name}'"):
        known = dataset.adapter.choices()
    return with_methods(dataset.card, methods, known, type(dataset.adapter).Options)


def _checked(dataset: Dataset) -> Dataset:
    """Return a dataset whose card and adapter agree on the splits. Raises CardError or DataError."""
    given: Any = dataset.adapter.splits
    cls, own = type(dataset.adapter).__qualname__, given if isinstance(given, (tuple, list)) else (None,)
    if not all(isinstance(split, str) for split in own):
        raise DataError(f"dataset '{dataset.name}': splits of {cls} are {given!r}, not names such as ('train', 'test')")
    for split in dataset.card.splits or ():
        if split not in own:
            raise CardError(f"dataset '{dataset.name}': {cls} has no split '{split}' of its card{near(split, own)}")
    return dataset


def _card_and_class(kind: str, reference: Any, registry: Registry, noun: str) -> tuple[Card, type]:
    model = DetectorCard if kind == "detectors" else DatasetCard
    key = "backend" if kind == "detectors" else "adapter"
    reference = _reference(reference, Card, noun)
    if isinstance(reference, Card):
        card: Card = reference
    elif is_file_reference(reference):
        path, _, attribute = reference.rpartition(":")
        place = Path(os.path.realpath(Path(path).expanduser()))
        values = {"name": slug(f"{Path(path).stem}.{attribute}"), key: f"{place.name}:{attribute}"}
        card = model.model_validate(values).placed(place.parent)
    elif find_card(kind, reference) is None and reference in registry.names():
        card = model.model_validate({"name": reference, key: reference})
    else:
        try:
            card = resolve_card(kind, reference)
        except CardError as error:
            if str(error).startswith("unknown ") and "this is the name of" not in str(error):
                # This package's own classes are not listed: without a card they can do nothing.
                own = [name for name in registry.names() if name not in registry.builtin]
                known = [*(p.stem for p in iter_cards(kind)), *own]
                raise CardError(f"unknown {noun} '{reference}'{near(reference, known)}{_own(reference)}") from None
            raise
    name = getattr(card, key)
    if is_file_reference(name):
        path, _, attribute = name.rpartition(":")
        return card, load_from_file(f"{card.folder / Path(path).expanduser()}:{attribute}", noun)
    return card, registry.get(name)
