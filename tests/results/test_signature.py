"""Signatures: every field that decides a number is in them, and the same measurement has the same signature."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import m2f2bench
from m2f2bench.cards.models import ProtocolCard
from m2f2bench.leaderboards.table import build_table
from m2f2bench.results.signature import MEASURE, differing, measure_fields, measure_signature
from m2f2bench.version import DETECTION

BASE: dict[str, object] = {"name": "p", "level": "video"}
ORACLE = {"how": "best", "split": "test", "maximise": "f1"}


def signature(**changes: object) -> str:
    card = ProtocolCard.model_validate({**BASE, **changes})
    return measure_signature(measure_fields("d", "test", "0123456789ab", 10, card, None))


@pytest.mark.parametrize(
    "change",
    [
        {"level": "frame"},
        {"frames": {"which": "uniform", "count": 32}},
        {"frames": {"which": "first", "count": 32}},
        {"frames": {"which": "first", "count": 31}},
        {"faces": "max"},
        {"faces": "mean"},
        {"aggregation": "median"},
        {"aggregation": "max"},
        {"aggregation": {"how": "trimmed", "trim": 10}},
        {"aggregation": {"how": "trimmed", "trim": 10, "floor": 5}},
        {"threshold": 0.4},
        {"threshold": {"how": "eer", "split": "test"}},
        {"threshold": {"how": "eer", "split": "val"}},
        {"threshold": ORACLE},
        {"threshold": ORACLE | {"split": "val"}},
        {"missing": "half"},
        {"missing": "wrong"},
        {"missing": {"frames": "drop", "videos": "wrong"}},
        {"bootstrap": {"resamples": 500}},
        {"bootstrap": {"seed": 1}},
        {"bootstrap": {"level": 0.9}},
        {"bootstrap": {"cluster": "video"}},
    ],
    ids=str,
)
def test_every_rule_of_a_protocol_is_in_it(change: dict[str, object]) -> None:
    assert signature(**change) != signature()


def test_golden() -> None:
    assert signature() == (
        "data:d|split:test|hash:0123456789ab|n:10|level:video|frames:all|faces:apart|agg:mean|thr:0.5|missing:drop|"
        f"ci:95%-identity-1000-seed0-expanded|limit:none|v:{DETECTION}"
    )
    assert "thr:best-f1@test-ORACLE" in signature(threshold=ORACLE)
    assert "missing:frames-drop+videos-half" in signature(missing={"videos": "half"})
    assert "agg:trimmed10floor1" in signature(aggregation={"how": "trimmed", "trim": 10})


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        ({"how": "best", "split": "test"}, "how: best goes with maximise and split"),
        ({"how": "eer"}, "how: eer goes with split"),
        ({"how": "fixed", "value": 0.5, "split": "val"}, "how: fixed goes with value"),
        (1.5, "less than or equal to 1"),
        ({"how": "eer", "split": "test", "dataset": "x"}, "it goes with split: val"),
    ],
    ids=str,
)
def test_rules_that_do_not_go_together_are_refused(threshold: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ProtocolCard.model_validate({**BASE, "threshold": threshold})


def test_one_changed_pixel_and_one_renamed_frame_change_the_hash(squares: Path, tmp_path: Path) -> None:
    first = m2f2bench.run(detectors="random", datasets=str(squares), out=tmp_path / "1")[0]
    again = m2f2bench.run(detectors="random", datasets=str(squares), out=tmp_path / "2")[0]
    assert first.measured == again.measured
    path = squares / "fake" / "03.png"
    pixels = np.array(Image.open(path))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    changed = m2f2bench.run(detectors="random", datasets=str(squares), out=tmp_path / "3")[0]
    assert differing(first.measured, changed.measured) == ["hash"]
    path.rename(path.with_name("99.png"))
    renamed = m2f2bench.run(detectors="random", datasets=str(squares), out=tmp_path / "4")[0]
    assert differing(changed.measured, renamed.measured) == ["hash"]
    titles = [c.title for c in build_table([first, changed]).columns if c.metric == "auc"]
    assert titles == ["squares · frame · AUC", f"squares · frame · AUC · hash:{changed.measured['hash']}"]


def test_rows_held_against_a_dataset_stand_beside_a_run(squares: Path, tmp_path: Path, monkeypatch) -> None:
    """A CSV has no pixels; the dataset's own digests come from the cache after the first reading."""
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    run = m2f2bench.run(detectors="random", datasets=str(squares), out=tmp_path / "o")[0]
    table = pd.read_parquet(tmp_path / "o" / "random--squares--frame" / "predictions.parquet")
    table[["frame", "label", "score"]].sample(frac=1, random_state=0).to_csv(tmp_path / "mine.csv", index=False)
    scored = m2f2bench.score(tmp_path / "mine.csv", dataset=str(squares))
    assert {k: scored.measured.get(k) for k in MEASURE} == {k: run.measured.get(k) for k in MEASURE}
    assert scored.metrics == run.metrics and scored.detector == "mine"
    cached = list((tmp_path / "cache" / "digests").glob("*.jsonl"))
    assert len(cached) == 1 and len(cached[0].read_text().splitlines()) == 48
    assert m2f2bench.score(tmp_path / "mine.csv", dataset=str(squares)).measured == scored.measured
    assert len(cached[0].read_text().splitlines()) == 48, "nothing was read again"


@pytest.fixture
def with_validation(tmp_path: Path) -> Path:
    """Squares in a validation and a test split; the fakes are brighter, in validation and test alike."""
    rng = np.random.default_rng(0)
    for split in ("val", "test"):
        for name, lift in (("real", 0), ("fake", 12)):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(30):
                level = rng.normal(100 + lift, 8)
                Image.fromarray(np.full((16, 16, 3), level, dtype=np.uint8)).save(folder / f"{i:02d}.png")
    (tmp_path / "bright.py").write_text(
        "class Bright:\n    def predict(self, images):\n        return [float(i.mean()) / 255 for i in images]\n"
    )
    return tmp_path


def test_a_threshold_from_validation_is_frozen_before_the_test(cli, one_line, with_validation: Path) -> None:
    data, out = with_validation / "data", with_validation / "o"
    words = ["-d", f"{with_validation}/bright.py:Bright", "-s", data, "-p", "frame-val", "--out", out, "--json"]
    outcome = cli("run", *words)
    assert outcome.status == 0, outcome.err
    found = json.loads(outcome.out)[0]
    told = found["threshold"]
    assert told["policy"] == "best-balanced_accuracy@val" and not told["oracle"]
    assert told["from"]["split"] == "val" and (told["from"]["n_real"], told["from"]["n_fake"]) == (30, 30)
    val = pd.read_parquet(out / "bright.Bright--data--frame-val--val" / "predictions.parquet")

    def balanced(threshold: float) -> float:
        called = val.score >= threshold
        return float((called[val.label == 1].mean() + 1 - called[val.label == 0].mean()) / 2)

    values = np.unique(val.score)
    assert balanced(told["value"]) == max(balanced(t) for t in [*values, 2.0])
    assert told["value"] != 0.5 and f"best-balanced_accuracy@val-{told['from']['hash']}" in found["signature"]
    assert found["metrics"]["balanced_accuracy"]["value"] > 0.65
    assert found["metrics"]["balanced_accuracy@0.5"]["value"] == 0.5, "the scores are all under 0.5"
    again = json.loads(cli("score", out / "bright.Bright--data--frame-val", "--json").out)
    assert again == found, "the validation rows beside the run are found"
    rows = out / "bright.Bright--data--frame-val" / "predictions.parquet"
    assert "give the rows of the validation split (--validation FILE)" in one_line(
        cli("score", rows, "-p", "frame-val")
    )
    given = json.loads(
        cli("score", rows, "-p", "frame-val", "--validation", out / "bright.Bright--data--frame-val--val", "--json").out
    )
    assert given["metrics"] == found["metrics"]


def test_no_validation_split(cli, one_line, squares: Path, tmp_path: Path) -> None:
    line = one_line(cli("run", "-d", "constant", "-s", squares, "-p", "frame-val", "--out", tmp_path / "o"))
    assert "has no val split" in line


def test_an_oracle_is_flagged_wherever_it_is_printed(cli, squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    text = cli("run", "-d", "random", "-s", squares, "-p", "frame-oracle", "--out", out).out
    assert "accuracy · oracle threshold" in text and "best-accuracy@test-ORACLE" in text
    assert "accuracy at 0.5" in text and "AUC · oracle" not in text
    run = out / "random--squares--frame-oracle"
    text = cli("score", run).out
    assert re.search(r"\| accuracy \(oracle threshold\) +\| 0\.", text) and "| accuracy at 0.5 " in text
    assert "an oracle, chosen on the scores" in text
    result = json.loads((run / "result.json").read_text())
    assert result["threshold"]["oracle"] and "ORACLE" in result["signature"]
    assert "oracle threshold" in (out / "leaderboard.md").read_text()


def test_a_trained_detector_has_its_training_seed(squares: Path, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        shutil.copytree(squares, tmp_path / "data" / split)
    m2f2bench.train("frequency", str(tmp_path / "data"), out=tmp_path / "t", seed=5)
    result = m2f2bench.run(detectors=str(tmp_path / "t"), datasets=str(tmp_path / "data"), out=tmp_path / "o")[0]
    assert result.measured["seed"] == 5


def test_f4_a_limit_is_in_both_kinds_of_signature() -> None:
    from m2f2bench.cards.models import ExplanationCard
    from m2f2bench.results.signature import answer_fields

    card = ProtocolCard.model_validate(BASE)
    asked = ExplanationCard.model_validate(
        {"name": "a", "task": "explanation", "questions": ["blind"], "metrics": ["bleu"]}
    )
    for fields, rules in ((measure_fields, card), (answer_fields, asked)):
        assert fields("d", "test", "0123", 10, rules, None)["limit"] == "none"
        assert fields("d", "test", "0123", 10, rules, 7)["limit"] == 7
        assert fields("d", "test", "0123", 10, rules, 0)["limit"] == 0
