"""A dataset's splits: what an adapter does not have is neither judged nor audited nor trained on, whoever asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import m2f2bench
from m2f2bench.cards.folders import iter_cards
from m2f2bench.cards.models import ExplanationCard
from m2f2bench.core.errors import CardError, DataError
from m2f2bench.loading import load_dataset
from m2f2bench.scoring.answers import plan_questions

ADAPTER = """
import numpy as np
import m2f2bench
from m2f2bench.datasets.base import judge_questions

class OnlyTest(m2f2bench.Adapter):
    splits = ("test",)

    def frames(self, split):  # gives the same frames whatever it is asked for, as many a small adapter does
        return [
            m2f2bench.Frame(
                f"{i}", f"{i}", i % 2, "m" if i % 2 else "original", split, (f"p{i}",), m2f2bench.Locator("")
            )
            for i in range(24)
        ]

    def read(self, frame):
        return np.random.default_rng(int(frame.id)).integers(0, 120 + 60 * frame.label, (64, 64, 3)).astype(np.uint8)

    def questions(self, split, kind="blind"):
        return judge_questions(self.frames(split))

    def mask(self, frame):
        return np.ones((64, 64), bool)

class BadSplits(OnlyTest):
    splits = "test"
"""
ASKING = ExplanationCard.model_validate(
    {"name": "judge", "task": "explanation", "questions": ["judge"], "metrics": ["verdict_accuracy"]}
)


@pytest.fixture(params=["object", "file", "card"])
def only_test(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The adapter above, as an object, as `file.py:Class`, or named by a card that says nothing of splits."""
    (tmp_path / "mine.py").write_text(ADAPTER)
    reference = f"{tmp_path / 'mine.py'}:OnlyTest"
    if request.param == "file":
        return reference
    if request.param == "object":
        return load_dataset(reference).adapter
    (tmp_path / "d.yaml").write_text("name: d\nadapter: mine.py:OnlyTest\n")
    return str(tmp_path / "d.yaml")


JOBS: dict[str, Callable[[Any, Path], Any]] = {
    "run": lambda data, out: m2f2bench.run(detectors="constant", datasets=[data], split="train", out=out),
    "run, threshold": lambda data, out: m2f2bench.run(
        detectors="constant", datasets=[data], protocols=["frame-val"], out=out
    ),
    "ask": lambda data, out: plan_questions(load_dataset(data), ASKING, "val"),
    "score": lambda data, out: m2f2bench.score(_rows(out), dataset=data, split="train"),
    "audit": lambda data, out: m2f2bench.audit(data, splits="train"),
    "localize": lambda data, out: m2f2bench.localize("constant", data, split="train"),
    "faithfulness": lambda data, out: m2f2bench.faithfulness("constant", data, split="val"),
    "train": lambda data, out: m2f2bench.train("frequency", data, out=out),
    "frames": lambda data, out: load_dataset(data).frames("train"),
    "questions": lambda data, out: load_dataset(data).questions("train", "judge"),
}


def _rows(folder: Path) -> Path:
    folder.mkdir()
    path = folder / "rows.csv"
    path.write_text("id,label,score\n" + "".join(f"{i},{i % 2},0.5\n" for i in range(24)))
    return path


@pytest.mark.parametrize("job", JOBS)
def test_a8_a_split_that_the_adapter_lacks_is_refused_by_every_job(job: str, only_test: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        JOBS[job](only_test, tmp_path / "out")
    assert "has no split '" in str(caught.value) and "\n" not in str(caught.value)


def test_a8_a_contact_sheet_of_a_split_that_is_not_there(cli: Any, one_line: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ADAPTER)
    words = ["sheet", f"{tmp_path / 'mine.py'}:OnlyTest", "--out", tmp_path / "sheet.png"]
    assert "has no split 'train'; known: test" in one_line(cli(*words, "--split", "train"))
    assert cli(*words).status == 0


def test_a8_its_one_split_is_judged_and_not_audited_against_itself(only_test: Any, tmp_path: Path) -> None:
    (result,) = m2f2bench.run(detectors="constant", datasets=[only_test], out=tmp_path / "out")
    assert result.statuses == {"ok": 24}
    report = m2f2bench.audit(only_test, probe=False)
    assert list(report.splits) == ["test"] and report.details["across_splits"] == {"identities": {}, "videos": {}}
    assert load_dataset(only_test).splits == ("test",)


def test_a8_a_card_names_some_of_the_adapters_splits(tmp_path: Path) -> None:
    card = tmp_path / "d.yaml"
    card.write_text("name: d\nadapter: synthetic\nsplits: [test]\n")
    assert load_dataset(str(card)).splits == ("test",)
    with pytest.raises(DataError, match="has no split 'train'; known: test"):
        load_dataset(str(card)).frames("train")
    (tmp_path / "mine.py").write_text(ADAPTER)
    card.write_text("name: d\nadapter: mine.py:OnlyTest\nsplits: [train, test]\n")
    with pytest.raises(CardError, match="dataset 'd': OnlyTest has no split 'train' of its card; known: test"):
        load_dataset(str(card))
    card.write_text(f"name: d\nadapter: ddvqa\nroot: {tmp_path}\nsplits: [train, val, test]\n")
    with pytest.raises(CardError, match="has no split 'val' of its card"):
        load_dataset(str(card))


def test_a8_splits_that_are_no_names(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ADAPTER)
    with pytest.raises(DataError, match=r"splits of BadSplits are 'test', not names"):
        load_dataset(f"{tmp_path / 'mine.py'}:BadSplits")


def test_a8_every_card_of_the_package_names_splits_that_its_adapter_has(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("M2F2BENCH_DATA", str(tmp_path))
    for path in iter_cards("datasets"):
        dataset = load_dataset(path.stem)
        assert set(dataset.splits) <= set(type(dataset.adapter).splits)


def test_a8_a_data_set_without_val_is_trained_with_a_part_of_train(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ADAPTER.replace('splits = ("test",)', 'splits = ("train", "test")'))
    m2f2bench.train("frequency", f"{tmp_path / 'mine.py'}:OnlyTest", out=tmp_path / "t")
    record = json.loads((tmp_path / "t" / "training.json").read_text())
    assert record["n_train"]["frames"] + record["n_val"]["frames"] == 24 and record["n_val"]["frames"] > 0
