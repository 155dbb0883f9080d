"""Quick recipes: what they scale and what they keep, through the front door, and suites with several seeds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import m2f2bench
from m2f2bench.cards.columns import TrainStep
from m2f2bench.cards.models import DetectorCard, read_card
from m2f2bench.cards.quick import IMAGES, quick_settings
from m2f2bench.cards.settings import TrainingSettings
from m2f2bench.cli.main import app
from m2f2bench.core.errors import CardError, DetectorError
from m2f2bench.loading import detector_card
from m2f2bench.training.plan import Alone, Balanced

FACES = """
name: faces
adapter: synthetic
options:
  {{cache: {cache}, seed: 3, size: 64, train: 6, val: 2, test: 10, frames_per_video: 1, methods: [swap, lowres]}}
"""
TINY = """
name: tiny
backend: timm
input: {size: 32}
options: {model: resnet10t, model_kwargs: {channels: [8, 8, 16, 16]}}
training: {epochs: 1, batch_size: 8, lr: 0.002}
"""
SUITE = """
name: mini
detectors: [tiny, random]
train: [{detector: tiny, dataset: faces, quick: true, size: 40, seeds: [0, 1]}]
columns: [{dataset: faces, protocol: frame, metric: auc}]
"""


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    for kind in ("datasets", "detectors", "leaderboards"):
        (tmp_path / kind).mkdir()
    (tmp_path / "datasets" / "faces.yaml").write_text(FACES.format(cache=tmp_path / "cache"))
    (tmp_path / "detectors" / "tiny.yaml").write_text(TINY)
    (tmp_path / "leaderboards" / "mini.yaml").write_text(SUITE)
    return tmp_path


def test_a_quick_recipe_counts_what_the_network_sees() -> None:
    settings = TrainingSettings(epochs=15, batch_size=128, accumulation=4, warmup_epochs=3, lr=2e-4, seed=5)
    quick = quick_settings(settings)
    assert (quick.epochs, quick.batch_size, quick.accumulation, quick.warmup_epochs) == (6, 16, 1, 1.2)
    assert quick.epoch_images == 1000 and quick.epochs * quick.epoch_images == IMAGES
    assert (quick.lr, quick.seed, quick.frames_per_video) == (2e-4, 5, 4)
    views, sam = (TrainingSettings(epochs=2, **more) for more in ({"views": 2}, {"sam": 0.05}))
    assert quick_settings(views).epoch_images == 1500 == quick_settings(sam).epoch_images
    small = quick_settings(
        TrainingSettings(epochs=1, batch_size=8, accumulation=2, frames_per_video=2, epoch_images=40)
    )
    assert (small.frames_per_video, small.epoch_images, small.batch_size, small.accumulation) == (2, 40, 8, 2)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *[
            (name, 128)
            for name in ("xception", "core", "f3net", "srm", "recce", "small-cnn", "efficientnet-lite0-gend")
        ],
        *[(name, 224) for name in ("gend-clip", "effort", "gend-pe")],
        ("m2f2det-small", 160),
    ],
)
def test_pictures_get_smaller_where_the_network_takes_any_size(name: str, size: int) -> None:
    card, cls = detector_card(name)
    assert (128 if cls.takes_size(card, 128) else card.input.size) == size
    assert cls.takes_size(card, card.input.size)


def test_an_epoch_of_few_images_draws_others_each_time() -> None:
    labels = [0] * 10 + [1] * 30
    plan = Balanced(labels, 4, seed=0, images=11)
    assert plan.steps == 2 and [len(batch) for batch in plan.batches(0)] == [4, 4]
    whole = Balanced(labels, 4, seed=0)
    assert plan.batches(3) == whole.batches(3)[:2]
    fakes = {draw for epoch in range(8) for batch in plan.batches(epoch) for draw in batch if labels[draw[0]]}
    assert len(fakes) > 20
    alone = Alone(20, 4, 2, seed=0, images=8)
    assert alone.steps == 2 and all(len(batch) == 2 for batch in alone.batches(0))
    assert Alone(20, 4, 2, seed=0, images=2).steps == 1


@pytest.mark.slow
def test_quick_training_by_the_command_line(cards: Path) -> None:
    given = ["train", "tiny", "-s", "faces", "--quick", "--seed", "7", "--cards", str(cards)]
    done = CliRunner().invoke(app, [*given, "--out", str(cards / "out")])
    assert done.exit_code == 0, done.output
    assert "trained tiny-quick on faces" in done.output
    record = json.loads((cards / "out" / "training.json").read_text())
    assert record["detector"] == "tiny-quick" and record["seed"] == 7 and record["seconds"] > 0
    assert record["settings"]["epoch_images"] == IMAGES
    whole = CliRunner().invoke(
        app, ["train", "tiny", "-s", "faces", "--cards", str(cards), "--out", str(cards / "out")]
    )
    assert whole.exit_code == 1 and "holds a training with another card" in str(whole.exception)


@pytest.mark.slow
def test_pictures_of_another_size(cards: Path) -> None:
    given = ["train", "tiny", "-s", "faces", "--quick", "--size", "48", "--cards", str(cards)]
    done = CliRunner().invoke(app, [*given, "--out", str(cards / "out")])
    assert done.exit_code == 0, done.output
    made = read_card("detectors", cards / "out" / "card.yaml")
    assert isinstance(made, DetectorCard) and (made.name, made.input.size) == ("tiny-48px-quick", 48)
    judged = ["run", "-d", str(cards / "out"), "-s", "faces", "--cards", str(cards), "--out", str(cards / "judged")]
    again = CliRunner().invoke(app, judged)
    assert again.exit_code == 0 and "prep:48px" in again.output, again.output


@pytest.mark.parametrize(
    ("detector", "size", "problem"),
    [
        ("meso4", 100, "detector 'meso4' cannot be trained on pictures of 100 pixels: give another --size, or none"),
        ("effort", 128, "detector 'effort' cannot be trained on pictures of 128 pixels"),
        ("xception", 4, "pictures of detector 'xception': key 'size': Input should be greater than or equal to 8"),
    ],
)
def test_a_size_that_cannot_be_is_one_line(detector: str, size: int, problem: str, tmp_path: Path) -> None:
    with pytest.raises(CardError) as refused:
        m2f2bench.train(detector, "synthetic", size=size, out=tmp_path)
    assert problem in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_suite_trains_with_several_seeds(cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CARDS", str(cards))
    results = m2f2bench.run("mini", out=cards / "runs")
    assert [one.detector for one in results] == ["tiny-40px-quick-seed0", "tiny-40px-quick-seed1", "random"]
    rows = {row.detector: row.trained for row in results.board().table.rows}
    assert rows == {"tiny-40px-quick": "2 trainings", "random": ""}
    old = cards / "runs" / "trained" / "tiny" / "seed2"  # of an older card with more seeds: not of this board
    shutil.copytree(old.with_name("seed1"), old)
    monkeypatch.setattr("m2f2bench.runs.judging.begin", None)  # neither trained nor judged again
    again = m2f2bench.run("mini", out=cards / "runs")
    assert [one.metrics for one in again] == [one.metrics for one in results]


def test_what_cannot_be_is_one_line(cards: Path) -> None:
    with pytest.raises(DetectorError, match="--quick is for stage detector: for stage align set `max_steps`"):
        m2f2bench.train("m2f2det-small-explainer", "synthetic", stage="align", quick=True)
    with pytest.raises(DetectorError, match="--size is for stage detector"):
        m2f2bench.train("m2f2det-small-explainer", "synthetic", stage="align", size=64)
    with pytest.raises(ValueError, match=r"seeds are \[1, 1\]: give each seed once"):
        TrainStep(detector="tiny", dataset="faces", seeds=(1, 1))
