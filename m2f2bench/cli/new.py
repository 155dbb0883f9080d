"""`new`: working skeletons of what a user may add, from the files in `templates/`."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ..cards.folders import find_card
from ..core.errors import M2F2BenchError, near
from ..core.files import make_folder, write_text
from . import complete
from .options import CardsOption, settle
from .output import say

TEMPLATES = Path(__file__).with_name("templates")
KINDS = {"detector": "detectors", "dataset": "datasets", "metric": "metrics"}
"""What can be made, with its folder of cards."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
FIRST_TRY = {
    "detector": "m2f2bench run -d {card} -s synthetic",
    "dataset": "m2f2bench sheet {card} --data DIR --out sheet.png",
    "metric": "m2f2bench run -d random -s synthetic -p {card}",
}


def new(
    kind: Annotated[str, Argument(metavar="KIND", autocompletion=complete.words(KINDS), help=f"{', '.join(KINDS)}.")],
    name: Annotated[str, Argument(metavar="NAME", help="Its name: a letter, then letters, digits, `-` and `_`.")],
    out: Annotated[Path, Option(metavar="DIR", help="Write here.")] = Path(),
    cards: CardsOption = None,
) -> None:
    """Write a working skeleton of a detector, a dataset or a metric: its code, its card and its test."""
    settle(cards)
    if kind not in KINDS:
        raise M2F2BenchError(f"cannot make a new '{kind}'{near(kind, KINDS)}")
    _check_name(kind, name)
    texts = skeleton(kind, name)
    module, card, test = (out / file for file in texts)
    taken = [path for path in (module, card, test) if path.exists()]
    if taken:
        raise M2F2BenchError(f"'{taken[0]}' exists and is not overwritten: give another name, or another --out")
    make_folder(out)
    for file, text in texts.items():
        write_text(out / file, text)
    say(f"wrote {module}, {card}, {test}")
    say(f"use it:  {FIRST_TRY[kind].format(card=card)}\ntest it: python -m pytest {test}")


def skeleton(kind: str, name: str) -> dict[str, str]:
    """Return the files of a skeleton, file name → text: the module, its card and its test.

    The card has this name; module and test too, with `_` instead of `-`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    module = name.replace("-", "_")
    files = {"module.py": f"{module}.py", "card.yaml": f"{name}.yaml", "test.py": f"test_{module}.py"}
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES / kind), undefined=StrictUndefined, keep_trailing_newline=True
    )
    words = {"name": name, "module": module, "class": _class_name(name)}
    return {file: templates.get_template(f"{template}.j2").render(words) for template, file in files.items()}


def _class_name(name: str) -> str:
    """A class's name for a card's: `my-net_2` becomes `MyNet2`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split("[-_]", name))


def _check_name(kind: str, name: str) -> None:
    """Raise M2F2BenchError for a name that files, classes or cards cannot have, or that is taken."""
    from ..metrics.registry import metric_names

    module = name.replace("-", "_")
    if not NAME.fullmatch(name):
        raise M2F2BenchError(f"'{name}' cannot be a name: take a letter, then letters, digits, - and _, 60 at most")
    if keyword.iskeyword(module) or keyword.iskeyword(_class_name(name)):
        raise M2F2BenchError(f"'{name}' is a word of Python's own: take another name")
    if kind == "metric" and "-" in name:
        raise M2F2BenchError(f"the name of a metric has no -: take '{name.replace('-', '_')}'")
    if kind == "metric" and name in metric_names():
        raise M2F2BenchError(f"there is a metric '{name}' already: take another name")
    card = find_card(KINDS[kind], name)
    if card is not None:
        raise M2F2BenchError(f"there is a card '{name}' already ({card}): take another name")
    found = importlib.util.find_spec(module)
    if found is not None and not Path(found.origin or "").resolve().is_relative_to(Path.cwd()):
        raise M2F2BenchError(f"a file {module}.py would hide the Python module '{module}': take another name")
