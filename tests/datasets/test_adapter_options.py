"""Options of adapters: taken from the type that a class names, from `Options`, or the empty ones."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import m2f2bench
from m2f2bench.core.errors import CardError
from m2f2bench.datasets.base import AdapterOptions
from m2f2bench.datasets.layouts.ddvqa import DDVQAAdapter, DDVQAOptions
from m2f2bench.datasets.layouts.ffpp import FFPPAdapter, FFPPOptions
from m2f2bench.datasets.lists.folder import FolderAdapter, FolderOptions
from m2f2bench.datasets.synthetic.adapter import SyntheticAdapter
from m2f2bench.datasets.synthetic.draw import SyntheticOptions
from m2f2bench.loading import load_dataset


class LevelOptions(AdapterOptions):
    level: int = 7


class OtherOptions(AdapterOptions):
    shade: int = 1


class Listing(m2f2bench.Adapter):
    """The methods that all adapters below share; it has no options, as most adapters of users."""

    def frames(self, split: str) -> list[m2f2bench.Frame]:
        return []

    def read(self, frame: m2f2bench.Frame) -> Any:
        return np.zeros((8, 8, 3), np.uint8)


class Named(m2f2bench.Adapter[LevelOptions]):
    frames, read = Listing.frames, Listing.read


class Declared(Listing):
    Options = LevelOptions


class Child(Named):
    """Inherits the options."""


class Replaced(Named):
    Options = OtherOptions


class Both(m2f2bench.Adapter[LevelOptions]):
    """What the class itself says counts more than its base's type."""

    Options = OtherOptions
    frames, read = Listing.frames, Listing.read


@pytest.mark.parametrize(
    ("adapter", "options"),
    [
        (Listing, AdapterOptions),
        (Named, LevelOptions),
        (Declared, LevelOptions),
        (Child, LevelOptions),
        (Replaced, OtherOptions),
        (Both, OtherOptions),
        (DDVQAAdapter, DDVQAOptions),
        (FFPPAdapter, FFPPOptions),
        (FolderAdapter, FolderOptions),
        (SyntheticAdapter, SyntheticOptions),
    ],
)
def test_an_adapter_has_the_options_that_its_class_names(
    adapter: type[m2f2bench.Adapter], options: type[AdapterOptions]
) -> None:
    assert adapter.Options is options
    made = adapter()
    assert type(made.options) is options
    assert type(pickle.loads(pickle.dumps(made)).options) is options


def test_the_type_of_the_options_checks_a_card(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import m2f2bench\n"
        "from m2f2bench.datasets.base import AdapterOptions\n"
        "class Mine(AdapterOptions):\n    level: int = 7\n"
        "class Data(m2f2bench.Adapter[Mine]):\n"
        "    def frames(self, split): return []\n"
        "    def read(self, frame): return None\n"
    )
    card = tmp_path / "mine.yaml"
    card.write_text("name: mine\nadapter: mine.py:Data\noptions: {level: 3}\n")
    assert load_dataset(str(card)).adapter.options.model_dump() == {"level": 3}
    card.write_text("name: mine\nadapter: mine.py:Data\noptions: {lewel: 3}\n")
    with pytest.raises(CardError, match="unknown key 'lewel'; did you mean 'level'"):
        load_dataset(str(card))
