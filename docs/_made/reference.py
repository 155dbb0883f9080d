"""Reference pages, made from the code: commands, cards, metrics, signatures, names, Python."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from functools import reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).parents[2]
FORMULAS = Path(__file__).with_name("metrics.yaml")


def row(*cells: object) -> str:
    """Return one line of a markdown table."""
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a markdown table."""
    heads = list(heads)
    return "\n".join([row(*heads), row(*["---"] * len(heads)), *(row(*cells) for cells in rows)]) + "\n"


def commands() -> str:
    """Return the page of the command line: every command with its arguments and options."""
    from m2f2bench.cli.main import app

    root = typer.main.get_command(app)
    parts = [
        "# Commands\n",
        "`m2f2bench COMMAND -h` prints the same. All commands end with exit status 0 if they worked, 1 if a check",
        "failed, 2 for a mistake, with one line that says what, where and how to fix it, and 130 for Ctrl-C. All take",
        "`-q` or `--quiet` (no progress and no notes, only warnings) and `-v` or `--verbose` (times, and tracebacks of",
        "errors); only `predict` has its own `-q`.\n",
    ]
    context = typer.Context(root, info_name="m2f2bench")
    for name in root.list_commands(context):  # type: ignore[attr-defined]
        command = root.get_command(context, name)  # type: ignore[attr-defined]
        if command.hidden:
            continue
        inner = typer.Context(command, parent=context, info_name=name)
        usage = " ".join(["m2f2bench", name, *command.collect_usage_pieces(inner)])
        parts += [f"## {name}\n", f"    {usage}\n", inspect.cleandoc(command.help or "").replace("\b", "") + "\n"]
        rows = []
        for option in command.params:
            if option.name in ("help", "install_completion", "show_completion") or getattr(option, "hidden", False):
                continue
            record = getattr(option, "get_help_record", lambda _: None)(inner)
            names, text = record or (option.human_readable_name, getattr(option, "help", None) or "")
            rows.append((f"`{names}`", text))
        parts.append(table(("option", "what it does"), rows))
    return "\n".join(parts)


def attribute_docs(model: type) -> dict[str, str]:
    """Return the texts that follow fields in the source of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        for item, after in zip(body, [*body[1:], None], strict=True):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and is_text:
                found[item.target.id] = inspect.cleandoc(str(after.value.value))
    return found


def bare(annotation: Any) -> Any:
    """Return a type without the checks that `Annotated` adds to it or to its parts."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return bare(args[0])
    if origin in (Union, UnionType):
        return reduce(or_, map(bare, args))
    return annotation if origin in (None, Literal) else origin[tuple(map(bare, args))]


def readable(annotation: object) -> str:
    """Return a type in few words: the values themselves of a choice, else its name."""
    kind = bare(annotation)
    if get_origin(kind) in (Union, UnionType) and len(get_args(kind)) == 2 and type(None) in get_args(kind):
        return readable(next(one for one in get_args(kind) if one is not type(None))) + " or nothing"
    if get_origin(kind) in (Union, UnionType) and any(get_origin(one) is Literal for one in get_args(kind)):
        return "; or ".join(map(readable, get_args(kind)))
    if get_origin(kind) is Literal:
        *first, last = (f"`{value}`" if value else "empty" for value in get_args(kind))
        return f"{', '.join(first)} or {last}" if first else last
    text = inspect.formatannotation(bare(annotation)).replace("typing.", "")
    text = re.sub(r"\bm2f2bench\.(?:\w+\.)+", "", text)
    text = re.sub(r"^Optional\[(.*)\]$", r"\1 | None", text)
    text = re.sub(r"Literal\[(.*?)\]", lambda choice: choice[1].replace("'", "").replace(", ", " or "), text)
    return f"`{text}`".replace(" | None`", "` or nothing")


def limits(field: FieldInfo) -> str:
    """Return the range of a number in words: `Above 0.0, at most 1.0.`"""
    words = {"Ge": "at least", "Gt": "above", "Le": "at most", "Lt": "below"}
    ends = [(type(one).__name__, one) for one in field.metadata if type(one).__name__ in words]
    text = ", ".join(f"{words[name]} {getattr(one, name.lower())}" for name, one in ends)
    return f"{text.capitalize()}." if text else ""


def summary(field: FieldInfo) -> str:
    """Return the first sentence about the model that a key holds; empty for other keys."""
    kinds = [one for one in (field.annotation, *get_args(field.annotation)) if isinstance(one, type)]
    models = [one for one in kinds if issubclass(one, BaseModel)]
    text = " ".join((inspect.getdoc(models[0]) or "").split()) if models else ""
    return re.split(r"(?<=\.) ", text)[0]


def keys(model: type[BaseModel]) -> str:
    """Return the table of a model's keys."""
    texts, rows = attribute_docs(model), []
    for name, field in model.model_fields.items():
        value = field.get_default(call_default_factory=True)
        shown = "" if isinstance(value, BaseModel) or value in ("", {}, ()) else f"`{value}`"
        said = " ".join(part for part in (texts.get(name) or summary(field), limits(field)) if part)
        rows.append((f"`{name}`", said, readable(field.annotation), "required" if field.is_required() else shown))
    return table(("key", "what it says", "type", "default"), rows)


def nested(model: type[BaseModel], level: str) -> str:
    """Return the sections of the keys of a model that have keys of their own."""
    parts = []
    for name, field in model.model_fields.items():
        kinds = [one for one in (field.annotation, *get_args(field.annotation)) if isinstance(one, type)]
        parts += [section(one, f"`{name}`", level, deep=True) for one in kinds if issubclass(one, BaseModel)]
    return "\n".join(parts)


def section(model: type[BaseModel], title: str, level: str = "##", deep: bool = False) -> str:
    """Return a heading, a model's docstring and its keys; with `deep` also the keys of its keys."""
    more = nested(model, f"{level}#"[:6]) if deep else ""
    return f"{level} {title}\n\n{inspect.getdoc(model) or ''}\n\n{keys(model)}\n{more}"


def cards() -> str:
    """Return the page of cards: every key of every card, and the options of every adapter and backend."""
    from m2f2bench.cards import columns, models, protocols, settings
    from m2f2bench.faces import crops

    parts = [
        "# Cards\n",
        "A detector, a dataset, a protocol and a leaderboard are each one YAML file. Unknown keys are refused;",
        "a card's `name` is the name of its file. Your own cards lie in folders `detectors/`, `datasets/`,",
        "`metrics/` (protocols) and `leaderboards/` below a folder that `--cards DIR` or `M2F2BENCH_CARDS` names.",
        "`m2f2bench describe NAME` prints a card with all its defaults.\n",
        section(models.DetectorCard, "Detector"),
        section(settings.InputSettings, "`input`", "###"),
        section(settings.TrainingSettings, "`training`", "###", deep=True),
        section(settings.StageSettings, "`stages`: one stage", "###", deep=True),
        options_of("backend"),
        section(models.DatasetCard, "Dataset"),
        options_of("adapter"),
        section(crops.CropCard, "Crop of a face (`datasets/crops/`)"),
        section(protocols.ProtocolRules, "Protocol for detection"),
        section(protocols.FrameSelection, "`frames`", "###"),
        section(protocols.Aggregation, "`aggregation`", "###"),
        section(protocols.Threshold, "`threshold`", "###"),
        section(protocols.Missing, "`missing`", "###"),
        section(protocols.Bootstrap, "`bootstrap`", "###"),
        section(protocols.ExplanationRules, "Protocol for answers"),
        section(protocols.BertScoreRules, "`bertscore`", "###"),
        section(protocols.HeatMapRules, "Protocol for heat maps"),
        section(models.LeaderboardCard, "Leaderboard"),
        section(columns.Column, "`columns`: one column", "###"),
        section(columns.TrainStep, "`train`: one step", "###"),
    ]
    return "\n".join(parts)


def options_of(kind: str) -> str:
    """Return the options of every built-in adapter or backend, and the keys of these options."""
    from m2f2bench.cards import registry

    table_of = registry.BACKENDS if kind == "backend" else registry.ADAPTERS
    parts = [f"### `options`, by {kind}\n"]
    for name in sorted(table_of.builtin):
        found: Any = table_of.get(name)
        parts.append(f"#### {kind} `{name}`\n\n{(inspect.getdoc(found) or '').partition(chr(10) * 2)[0]}\n")
        for before, model in backend_options()[name] if kind == "backend" else [("", found.Options)]:
            parts.append(f"{before}\n\n{keys(model)}\n{nested(model, '#####')}")
    return "\n".join(parts)


def backend_options() -> dict[str, list[tuple[str, type[BaseModel]]]]:
    """Return the models of each built-in backend's options, each with the line before its table."""
    from m2f2bench.detectors import controls, frequency, timm
    from m2f2bench.detectors.cnn import base, capsule, efficientnet, lsda, ucf, xception
    from m2f2bench.detectors.forada.network import ForadaOptions
    from m2f2bench.detectors.m2f2det import options as m2f2det
    from m2f2bench.detectors.openai.endpoint import OpenAIOptions
    from m2f2bench.detectors.runtimes.base import OnnxOptions, RuntimeOptions
    from m2f2bench.detectors.runtimes.hf_classifier import HuggingFaceOptions
    from m2f2bench.detectors.tuned.options import TunedOptions
    from m2f2bench.detectors.vlm.detector import VLMOptions

    explainer = "The options of `m2f2det`, and under the key `explainer`:"
    return {
        "capsule": [("", capsule.CapsuleOptions)],
        "cnn-aug": [("", base.VariantOptions)],
        "constant": [("", controls.ConstantOptions)],
        "efficientnet-b4": [("", efficientnet.EfficientNetOptions)],
        "f3net": [("", base.VariantOptions)],
        "ffd": [("", base.ClassifierOptions)],
        "forada": [("", ForadaOptions)],
        "random": [("", controls.RandomOptions)],
        "frequency": [("", frequency.FrequencyOptions)],
        "hf-classifier": [("None: all that it needs is in the folder.", HuggingFaceOptions)],
        "lsda": [("", lsda.LsdaOptions)],
        "m2f2det": [
            ("Of the variant `paper`; the cards of the others are written by `import-weights`.", m2f2det.PaperOptions)
        ],
        "m2f2det-explainer": [(explainer, m2f2det.ExplainerOptions)],
        "meso4": [("", base.VariantOptions)],
        "mesoinception4": [("", base.VariantOptions)],
        "onnx": [("", OnnxOptions)],
        "openai": [("", OpenAIOptions)],
        "recce": [("", base.ClassifierOptions)],
        "spsl": [("", base.VariantOptions)],
        "srm": [("", base.ClassifierOptions)],
        "timm": [("", timm.TimmOptions)],
        "tuned": [("", TunedOptions)],
        "ucf": [("", ucf.UcfOptions)],
        "torchscript": [("", RuntimeOptions)],
        "vlm": [("", VLMOptions)],
        "xception": [("", xception.XceptionOptions)],
    }


def metrics() -> str:
    """Return the page of metrics: properties from the registry, formulas and sources from `metrics.yaml`."""
    from m2f2bench.metrics.builtin import BUILTIN

    texts = yaml.safe_load(FORMULAS.read_text(encoding="utf-8"))
    kinds = {"scores": "Detection", "answers": "Answers", "maps": "Heat maps"}
    parts = ["# Metrics\n", texts["intro"]]
    if missing := {one.name for one in BUILTIN} ^ set(texts["metrics"]):
        raise ValueError(f"docs/_made/metrics.yaml and the registry differ in {', '.join(sorted(missing))}")
    for kind, title in kinds.items():
        parts.append(f"## {title}\n\n{texts[kind]}\n")
        for one in (one for one in BUILTIN if one.of == kind):
            low, high = (f"{end:g}".replace("inf", "∞").replace("-", "−") for end in one.range)
            facts = [f"{one.better} is better", f"from {low} to {high}"]
            facts += [f"guessing gives {one.chance:g}"] if one.chance is not None else []
            facts += ["depends on the threshold"] if one.decision else []
            text = texts["metrics"][one.name]
            parts += [f"### `{one.name}` — {one.title}\n", f"{'; '.join(facts)}.\n", f"{text['formula']}\n"]
            parts.append(f"Source: {text['source']}\n")
    return "\n".join(parts)


def signatures() -> str:
    """Return the page of signatures: every field and what decides it."""
    from m2f2bench.results import signature

    texts = yaml.safe_load(Path(__file__).with_name("signatures.yaml").read_text(encoding="utf-8"))
    known = (*signature.MEASURE, *signature.DETECTOR, signature.MAP)
    if missing := set(known) ^ set(texts["fields"]):
        raise ValueError(f"docs/_made/signatures.yaml and the code differ in {', '.join(sorted(missing))}")
    parts = ["# Signatures\n", texts["intro"], "## Fields of the measurement\n", texts["measure"]]
    parts.append(table(("field", "what it says"), ((f"`{name}`", texts["fields"][name]) for name in signature.MEASURE)))
    parts += ["## Fields of the detector\n", texts["detector"]]
    rest = (*signature.DETECTOR, signature.MAP)
    parts.append(table(("field", "what it says"), ((f"`{name}`", texts["fields"][name]) for name in rest)))
    return "\n".join(parts)


def names() -> str:
    """Return the page of names: every card that comes with the package."""
    parts = [
        "# Names\n",
        "Every card that comes with the package. `m2f2bench list` prints the same, and `m2f2bench describe NAME`",
        "all of one.\n",
    ]
    titles = {"detectors": "Detectors", "datasets": "Datasets", "metrics": "Protocols", "leaderboards": "Leaderboards"}
    for kind, title in titles.items():
        rows = []
        for path in sorted((ROOT / kind).glob("*.yaml")):
            card = yaml.safe_load(path.read_text(encoding="utf-8"))
            if isinstance(card, dict) and "name" in card:
                rows.append(
                    (f"`{card['name']}`", card.get("description") or card.get("title", ""), card.get("licence", ""))
                )
        parts += [f"## {title}\n", table(("name", "what", "licence"), rows)]
    return "\n".join(parts)


def python() -> str:
    """Return the page of the Python interface: every public name, grouped."""
    groups = yaml.safe_load(Path(__file__).with_name("python.yaml").read_text(encoding="utf-8"))
    import m2f2bench

    listed = [name for group in groups["groups"] for name in group["names"]]
    public = set(m2f2bench.__all__) - {"__version__"}  # type: ignore[attr-defined]
    if missing := set(listed) ^ public:
        raise ValueError(f"docs/_made/python.yaml and m2f2bench/__init__.pyi differ in {', '.join(sorted(missing))}")
    # Pages that say how come first in a search: this one has every word.
    parts = ["---\nsearch: {boost: 0.3}\n---\n", "# Python\n", groups["intro"]]
    for group in groups["groups"]:
        parts.append(f"## {group['title']}\n\n{group['text']}\n")
        parts += [f"::: {place(name)}\n" for name in group["names"]]
    return "\n".join(parts)


def place(name: str) -> str:
    """Return the module and name that defines a public name, as the stub says."""
    for line in (ROOT / "m2f2bench" / "__init__.pyi").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if len(words) >= 4 and words[0] == "from" and words[3] == name:
            return f"m2f2bench{words[1]}.{name}"
    raise ValueError(f"{name} is not in m2f2bench/__init__.pyi")


PAGES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "python": python,
    "cards": cards,
    "metrics": metrics,
    "signatures": signatures,
    "names": names,
}
