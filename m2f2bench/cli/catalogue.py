"""The commands `list`, `describe` and `doctor`: what is available. Large packages are imported only if needed."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ..cards.folders import KINDS, OWN, iter_cards
from ..core.errors import CardError, CheckFailed, M2F2BenchError, near
from ..core.parsing import Refused, read_yaml
from . import complete
from .options import CardsOption, DataOption, DatasetArgument, JsonOption, settle
from .output import echo_json, in_terminal, line_width, one_line, say
from .terminal import folded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..auditing.holdings import Finding
    from ..cards.models import Card
    from ..cards.registry import Registry

log = logging.getLogger("m2f2bench")
CARDS = {"protocols" if kind == "metrics" else kind: kind for kind in KINDS}
"""What cards describe, with their folder: protocols are in `metrics/`."""
CROPS = "datasets/crops"
"""The folder of the cards of crops."""
CARDS["crops"] = CROPS
KEYS = {"backend": "detectors", "base": "detectors", "adapter": "datasets", "columns": "leaderboards"}
"""Keys that only cards of one kind have; a protocol's card has none of them."""
NOUNS = {"detectors": "detector", "datasets": "dataset", "metrics": "protocol", "leaderboards": "leaderboard"}
NOUNS[CROPS] = "crop"
NOUNS |= {"backends": "backend", "adapters": "adapter"}
"""One of each kind in a message."""
LISTED = (*CARDS, "metrics", "backends", "adapters", "controls")


def list_names(
    kind: Annotated[
        str | None,
        Argument(metavar="KIND", autocompletion=complete.words(LISTED), help=f"{', '.join(LISTED)}. Default: all."),
    ] = None,
    cards: CardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what there is: detectors, datasets, crops, protocols, boards, metrics, backends, adapters, controls."""
    settle(cards)
    if kind is not None and kind not in LISTED:
        raise CardError(f"cannot list '{kind}'{near(kind, LISTED)}")
    broken: list[M2F2BenchError] = []
    found = {one: _listed(one, broken) for one in (LISTED if kind is None else (kind,))}
    if as_json:
        echo_json(found if kind is None else found[kind])
    else:
        parts = [_lines(rows) if kind else f"{one}\n{_lines(rows, '  ', True)}" for one, rows in found.items()]
        say("\n".join(parts), nl=False)
    if kind == "datasets":
        log.info(
            "in brackets: what a frame is (crops of faces, whole scenes, any images), then the splits; "
            "`m2f2bench describe NAME` says how to get the data, `m2f2bench doctor NAME` whether it is all there"
        )
    if kind == "metrics":
        log.info("these are metrics; `m2f2bench list protocols` lists the protocols' cards")
    for problem in broken[:-1]:
        print(f"m2f2bench: {one_line(str(problem))}", file=sys.stderr)
    if broken:
        raise broken[-1]


def _registries() -> dict[str, Registry]:
    """Return the registries by the names that `list` gives them."""
    from ..cards.registry import ADAPTERS, BACKENDS

    return {"backends": BACKENDS, "adapters": ADAPTERS}


def _listed(kind: str, broken: list[M2F2BenchError]) -> list[dict[str, Any]]:
    """Return name and description of all of a kind; errors of cards that cannot be read are added to `broken`."""
    if kind == "controls":
        from ..scoring.control_names import CONTROLS

        given = {"nothing": "", "label": "; gets the label", "verdict": "; gets a detector's verdict"}
        return [{"name": name, "description": c.description + given[c.needs]} for name, c in CONTROLS.items()]
    if kind == "metrics":
        return [{"name": name, "description": text} for name, text in _metrics().items()]
    if kind not in CARDS:
        registry = _registries()[kind]
        return [{"name": name, "description": registry.origin(name)} for name in registry.names()]
    rows = []
    for path in sorted(iter_cards(CARDS[kind]), key=lambda path: path.stem):
        try:
            name, description, facts = _summary(CARDS[kind], path)
            rows.append({"name": name, "description": " ".join(description.split()), **facts, "path": str(path)})
        except CardError as error:
            broken.append(error)
    return rows


def _metrics() -> dict[str, str]:
    """Return each metric's title, what it measures, its direction and range; those of packages are not loaded."""
    from ..cards.registry import METRICS, entry_points
    from ..metrics.facts import FACTS

    others = {entry.name for entry in entry_points(METRICS)} - {*FACTS}
    return {name: str(fact) for name, fact in FACTS.items()} | dict.fromkeys(sorted(others), "of an installed package")


def _summary(kind: str, path: Path) -> tuple[str, str, dict[str, Any]]:
    """Return a card's name, its description and, of a dataset, what it shows and its splits.

    Raises CardError for a card with mistakes. This package's own cards are not checked, which the tests do: their
    models take longer than all the rest of `list`.
    """
    facts: dict[str, Any] = {}
    if path.parents[kind.count("/") + 1] in OWN:
        try:
            card = read_yaml(path)
            name, description = card["name"], card["description"]
            if kind == "datasets":
                facts = {"shows": card.get("shows", "crops"), "splits": list(card.get("splits") or [])}
        except (Refused, TypeError, KeyError):  # such as a description that its base has
            name, description = None, None
        if isinstance(name, str) and isinstance(description, str) and name == path.stem:
            return name, description, facts
    from ..cards.models import DatasetCard

    checked = _checked(kind, path)
    if isinstance(checked, DatasetCard):
        facts = {"shows": checked.shows, "splits": list(checked.splits or ())}
    return checked.name, checked.description, facts


def _checked(kind: str, path: Path) -> Card:
    """Return a card of any kind. Raises CardError."""
    if kind == CROPS:
        from ..faces.crops import read_crop

        return read_crop(path)
    from ..cards.models import read_card

    return read_card(kind, path)


def _lines(rows: list[dict[str, Any]], indent: str = "", short: bool = False) -> str:
    """Return a line for each name; in a terminal descriptions are wrapped, or with `short` cut, to its width."""
    width = max((len(row["name"]) for row in rows), default=0)
    room = line_width() - len(indent) - width - 2
    lines = []
    for row in rows:
        parts = [row["description"]]
        if "shows" in row and not short:
            parts[0] += f" [{', '.join([row['shows'], *row['splits']])}]"
        if in_terminal() and short:
            text = row["description"]
            parts = [text if len(text) <= room else f"{text[: room - 1]}…"]
        elif in_terminal():
            parts = folded(parts[0], room)
        names = [row["name"], *[""] * (len(parts) - 1)]
        lines += [f"{indent}{name:<{width}}  {part}".rstrip() for name, part in zip(names, parts, strict=True)]
    return "".join(f"{line}\n" for line in lines)


def describe(
    name: Annotated[
        str,
        Argument(
            metavar="NAME",
            autocompletion=complete.any_card,
            help="A card's name or path, a backend, an adapter, or file.py:Class.",
        ),
    ],
    frames: Annotated[bool, Option("--frames", help="Also count a dataset's frames.")] = False,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print all that is known about a name: every card, backend and adapter with this name."""
    settle(cards, data)
    from ..cards.registry import is_file_reference
    from ..loading import resolve_card

    found: list[dict[str, Any]] = []
    known: dict[str, list[str]] = {}
    refused: dict[str, CardError] = {}
    for kind in KINDS:
        names = [path.stem for path in iter_cards(kind)]
        for one in names:
            known.setdefault(one, []).append(NOUNS[kind])
        chosen = kind == "datasets" and name.rpartition("@")[0] in names  # CARD@METHOD
        if name in names or chosen or ("/" in name or name.endswith((".yaml", ".yml"))):
            try:
                card = resolve_card(kind, name)
            except CardError as error:
                if name in names or chosen:
                    raise
                refused[kind] = error
                continue
            found.append({"kind": kind, "path": str(card.path), **card.model_dump(mode="json")})
            if kind == "datasets" and frames:
                found[-1]["frames"] = _frame_counts(name)
    for path in iter_cards(CROPS):
        known.setdefault(path.stem, []).append(NOUNS[CROPS])
        if name == path.stem:
            card = _checked(CROPS, path)
            found.append({"kind": "crops", "path": str(card.path), **card.model_dump(mode="json")})
    for kind, registry in _registries().items():
        for one in registry.names():
            known.setdefault(one, []).append(NOUNS[kind])
        if name in registry.names():
            cls = registry.get(name)
            found.append({"kind": kind, "name": name, "class": registry.origin(name), "doc": _first_line(cls)})
    if is_file_reference(name):
        found.append(_described_class(name))
    if not found and refused and Path(name).is_file():
        raise refused[_kind_of_card(Path(name))]
    if not found:
        hint = near(name, known)
        for one, kinds in sorted(known.items(), key=lambda item: -len(item[0])):
            if "did you mean" in hint:
                hint = hint.replace(f" '{one}'", f" '{one}' ({', '.join(kinds)})")
        raise CardError(f"unknown name '{name}'{hint}")
    if as_json:
        echo_json(found)
        return
    import yaml

    width = line_width() - 16 if in_terminal() else 110  # a line ends after the word that passes it
    say(yaml.safe_dump_all(found, sort_keys=False, allow_unicode=True, width=width), nl=False)


def _kind_of_card(path: Path) -> str:
    """The kind of a card that has mistakes, by the key that every card of the kind has."""
    try:
        keys = read_yaml(path)
    except Refused:
        keys = None
    return next((kind for key, kind in KEYS.items() if isinstance(keys, dict) and key in keys), "metrics")


def _described_class(reference: str) -> dict[str, Any]:
    """Return what is known about a `file.py:Class`: how to give it, the first line of its docstring, its options."""
    import inspect

    from ..cards.registry import load_from_file
    from ..datasets.base import Adapter

    cls = load_from_file(reference, "class")
    dataset = issubclass(cls, Adapter)
    can = [name for name in ("predict", "heatmap", "explain", "fit") if callable(getattr(cls, name, None))]
    facts: dict[str, Any] = {"kind": "datasets" if dataset else "detectors", "class": reference}
    facts |= {"doc": _first_line(cls), "use": f"{'-s' if dataset else '-d'} {reference}"}
    if not dataset:
        facts |= {"methods": can, "options": list(inspect.signature(cls).parameters)}
    return facts


def _frame_counts(name: str) -> dict[str, dict[str, int]]:
    """Return the number of frames by split and method."""
    from ..core.frame_lists import column
    from ..loading import load_dataset

    dataset = load_dataset(name)
    return {split: dict(Counter(column(dataset.frames(split), "method"))) for split in dataset.splits}


def _first_line(cls: type) -> str:
    """Return the first line of a class's docstring."""
    return (cls.__doc__ or "").strip().partition("\n")[0]


def doctor(
    dataset: Annotated[
        str | None, DatasetArgument(help="Hold its folder against its card. Default: check this machine.")
    ] = None,
    split: Annotated[list[str] | None, Option(help="Of the dataset. Repeatable. Default: all splits.")] = None,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check this machine (versions, devices, weights, data, cards), or, with DATASET, the files of a dataset.

    Of a dataset it says what is there, what is missing or odd, and which counts differ from the card; --data is the
    data folder or the dataset's own. Exit status 1 if anything is.
    """
    settle(cards, data)
    if dataset is not None:
        from ..auditing.holdings import hold

        held = hold(dataset, split or ())
        if as_json:
            echo_json(held.to_json())
        else:
            _print_findings(held.findings)
        if not held.whole:
            failed = [one for one in held.findings if one.ok is False]
            more = f" ({len(failed)} findings)" if len(failed) > 1 else ""
            raise CheckFailed(f"dataset '{held.dataset}' is not whole{more}: {failed[0].what}: {failed[0].detail}")
        return
    if split:
        raise CardError("--split is of a dataset: name it too, m2f2bench doctor DATASET")
    from .doctor import examine

    findings = examine()
    if as_json:
        echo_json([{"what": f.what, "ok": f.ok, "detail": f.detail} for f in findings])
        return
    _print_findings(findings)
    wrong = [f for f in findings if f.ok is False]
    if wrong:
        raise CheckFailed(f"{len(wrong)} checks failed, first {wrong[0].what}: {wrong[0].detail}")


def _print_findings(findings: Sequence[Finding]) -> None:
    """Print a line for each finding; in a terminal its detail is wrapped."""
    width = max(len(finding.what) for finding in findings) + 1
    for finding in findings:
        mark = {True: "ok  ", False: "FAIL", None: "–   "}[finding.ok]
        detail = folded(finding.detail, max(line_width() - width - 7, 20)) if in_terminal() else [finding.detail]
        say(f"{mark}  {finding.what:<{width}}" + ("\n" + " " * (width + 6)).join(detail))
