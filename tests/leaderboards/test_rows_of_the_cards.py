"""Committed rows of trained detectors are of today's cards: a card that has changed since needs its rows again."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

from m2f2bench.cards.models import DetectorCard
from m2f2bench.cards.quick import altered_card
from m2f2bench.cards.settings import InputSettings, TrainingSettings
from m2f2bench.detectors.base import Trainable
from m2f2bench.loading import detector_card

BOARDS = ROOT / "leaderboards"
RECORDS = sorted(
    path
    for pattern in ("**/training/*.json", "ablation/*/seed*/*.training.json")
    for path in BOARDS.glob(pattern)
    if "explainer" not in path.stem
)
"""Explainers are left out: a later stage's record says with which weights it began, and its detector is here."""
OWN = {"seed", "precision", "workers"}
"""Settings that a training may have in place of its card's; the last decides nothing of what is learned."""


def todays(name: str) -> DetectorCard:
    """The card of a trained detector's name, such as `xception-96px-quick`."""
    plain = re.sub(r"(-\d+px)?(-quick)?$", "", name)
    size = re.search(r"-(\d+)px", name[len(plain) :])
    card, cls = detector_card(plain)
    assert issubclass(cls, Trainable)
    return altered_card(card, partial(cls.takes_size, card), name.endswith("-quick"), int(size[1]) if size else None)


def differing(record: dict[str, Any], card: DetectorCard) -> list[str]:
    """What of a record's card and settings is not as on a card. A setting that is not in the record has its default."""
    then, now = record["card"], card.model_dump(mode="json")
    found = [name for name in ("backend", "options") if then[name] != now[name]]
    found += ["input"] if InputSettings.model_validate(then["input"]) != card.input else []
    mine, today = TrainingSettings.model_validate(record["settings"]), card.training or TrainingSettings()
    return found + [
        name
        for name in TrainingSettings.model_fields
        if name not in OWN and getattr(mine, name) != getattr(today, name)
    ]


def test_there_are_records() -> None:
    assert len(RECORDS) > 100


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.relative_to(BOARDS).as_posix())
def test_a_training_that_is_shown_is_of_todays_card(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert differing(record, todays(record["detector"])) == [], "train it again, or take its rows off the boards"


def test_another_rate_and_another_option_are_seen() -> None:
    card = todays("m2f2det-small-cnn")
    assert card.training is not None
    record = {"card": card.model_dump(mode="json"), "settings": card.training.content()}
    assert differing(record, card) == []
    changed = {**record, "settings": {**record["settings"], "lr": 0.5, "seed": 7, "precision": "bf16"}}
    assert differing(changed, card) == ["lr"]
    options = {**record["card"], "options": {}, "input": {**record["card"]["input"], "size": 32}}
    assert differing({**record, "card": options}, card) == ["options", "input"]
