"""Runs of heat maps: scored from rows alone, compared, checked, on a board, by the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_maps import PEOPLE, place, run, write_toys

import m2f2bench
from m2f2bench.cards.models import HeatMapCard
from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.errors import CardError, DataError, DetectorError, ScoreError
from m2f2bench.heatmaps.measurement import localize
from m2f2bench.leaderboards.table import build_table
from m2f2bench.loading import any_protocol
from m2f2bench.results.store import MAPS
from m2f2bench.runs.check import check
from m2f2bench.scoring.compare import compare, compare_folder
from m2f2bench.scoring.heatmaps import load_maps
from m2f2bench.scoring.validate import validate_result

LOCALIZATION = any_protocol("localization")
FAST = HeatMapCard(
    name="fast",
    task="heatmaps",
    measure="faithfulness",
    steps=3,
    area=0.2,
    fills=("mean",),
    metrics=("deletion_mean", "drop"),
    bootstrap=Bootstrap(resamples=200),
)


@pytest.fixture
def toys(tmp_path: Path) -> tuple[Path, str]:
    return write_toys(tmp_path)


def test_a_run_is_the_report_and_can_be_made_again_from_its_rows(toys: tuple[Path, str], tmp_path: Path) -> None:
    (result,) = run(toys, tmp_path / "out")
    report = localize(f"{toys[0]}:Bright", toys[1])
    assert set(result.metrics) == set(LOCALIZATION.metrics)
    assert all(score == report.metrics[name] for name, score in result.metrics.items())
    assert result.methods["small"]["iou"] == report.methods["small"]["iou"]
    assert result.details["controls"]["random"]["detector_less_control"] == (
        report.controls["random"]["detector_less_control"].to_json()
    )
    assert result.measured["masks"] == report.measured["masks"] and result.measured["map"] == "8x8"
    assert f"masks:{report.measured['masks']}" in result.signature and result.signature.endswith("|map:8x8")
    folder = place(tmp_path / "out")
    shutil.rmtree(tmp_path / "data")
    assert m2f2bench.score(folder).to_json() == result.to_json()
    assert load_maps(folder).report.to_json(True) == report.to_json(True), "every frame, control and group"
    assert validate_result(folder) == []


def test_faithfulness_is_a_run_too(toys: tuple[Path, str], tmp_path: Path, cli, one_line) -> None:
    (result,) = run(toys, tmp_path / "out", protocol=FAST, limit=12)
    assert set(result.metrics) == {"deletion_mean", "drop"} and set(result.labels) >= {"fake", "real"}
    assert "maps:faithfulness|steps:3|area:0.2|blur:0.05|fills:mean" in result.signature
    folder = place(tmp_path / "out", protocol="fast--limit12")
    assert validate_result(folder) == []
    shown = cli("score", str(folder))
    assert shown.status == 0 and all(word in shown.out for word in ("deletion", "random |", "called_real"))
    with pytest.raises(ScoreError, match=r"has maps with steps: 3, not 20"):
        m2f2bench.score(folder, protocol="faithfulness")


def test_compared_in_pairs_and_on_a_board(toys: tuple[Path, str], tmp_path: Path, cli) -> None:
    out = tmp_path / "out"
    results = run(toys, out, "Sharp", "Dark", "Silent")
    (found,) = compare_folder(out)
    first = next(pair for pair in found.pairs if (pair.first, pair.second) == ("toys.Dark", "toys.Sharp"))
    worse = next(d for d in first.differences if d.metric == "iou_best")
    assert worse.difference < 0 and worse.p < 0.05 and worse.ci[1] < 0
    board = results.board().table
    column = next(i for i, c in enumerate(board.columns) if c.metric == "pixel_auc")
    cells = {row.detector: row.cells[column] for row in board.rows}
    assert board.rows[0].detector == "toys.Sharp" and cells["toys.Sharp"].best
    assert cells["toys.Silent"].score.value == 0.5, "who says nothing is worth an even map"
    (tmp_path / "board.yaml").write_text(
        "name: board\ncolumns:\n- {dataset: masked, protocol: localization, metric: iou}\n"
        "- {dataset: masked, protocol: frame, metric: auc}\n"
    )
    run(toys, out, "Sharp", protocol="frame")
    shown = cli("leaderboard", tmp_path / "board.yaml", out, "--format", "json")
    rows = {row["detector"]: row for row in json.loads(shown.out)["rows"]}
    assert shown.status == 0 and all(cell is not None for cell in rows["toys.Sharp"]["cells"]), (
        "maps and scores of one detector in one row"
    )


def test_runs_of_other_masks_are_not_compared(toys: tuple[Path, str], tmp_path: Path) -> None:
    run(toys, tmp_path / "a", "Sharp")
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(tmp_path / "data" / "masks" / "small-p00.png")
    run(toys, tmp_path / "b", "Dark")
    with pytest.raises(ScoreError, match=r"cannot be compared: they differ in true masks \(masks: "):
        compare(place(tmp_path / "a", "Sharp"), place(tmp_path / "b", "Dark"))
    with pytest.raises(ScoreError, match="holds heat maps, not P"):
        m2f2bench.score(place(tmp_path / "a", "Sharp"), protocol="frame")


def test_checked_against_a_baseline(toys: tuple[Path, str], tmp_path: Path) -> None:
    run(toys, tmp_path / "out", "Sharp")
    baseline = place(tmp_path / "out", "Sharp")
    (fine,) = check(baseline, detector=f"{toys[0]}:Sharp", dataset=toys[1])
    assert fine.passed and [one.metric for one in fine.checked] == ["energy_in_mask", "pointing", "iou", "pixel_auc"]
    (bad,) = check(baseline, detector=f"{toys[0]}:Dark", dataset=toys[1])
    assert not bad.passed and any("pixel_auc fell from" in line for line in bad.problems)
    (baseline / MAPS).unlink()
    (bare,) = check(baseline, detector=f"{toys[0]}:Dark", dataset=toys[1])
    assert not bare.passed and any("no rows next to" in note for note in bare.notes)


def test_a_detector_without_maps_and_a_dataset_without_masks(
    toys: tuple[Path, str], squares: Path, tmp_path: Path, cli, one_line
) -> None:
    with pytest.raises(DetectorError, match=r"'toys.Mute' makes no heat maps: .* --cam gradcam"):
        run(toys, tmp_path / "out", "Bright", "Mute")
    assert not (tmp_path / "out").exists(), "it is found before any work is done"
    with pytest.raises(DataError, match="has no true masks to compare heat maps with"):
        run((toys[0], str(squares)), tmp_path / "out")
    with pytest.raises(CardError, match="--cam gradcam says how heat maps are made, and no protocol of this run"):
        run(toys, tmp_path / "out", protocol="frame", cam="gradcam")
    (plain,) = run(toys, tmp_path / "out", "Plain")
    assert plain.coverage == 1.0


def test_an_object_without_maps_is_found_before_any_work(toys: tuple[Path, str], tmp_path: Path) -> None:
    class Plain:
        def predict(self, images):
            return [0.5] * len(images)

    with pytest.raises(DetectorError, match="Plain' makes no heat maps"):
        m2f2bench.run(detectors=[f"{toys[0]}:Bright", Plain()], datasets=toys[1], protocols=FAST, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_column_of_a_suite(toys: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli) -> None:
    cards = tmp_path / "cards"
    for kind, name, text in (
        ("datasets", "masked", Path(toys[1]).read_text()),
        (
            "leaderboards",
            "maps",
            "name: maps\ncolumns:\n- {dataset: masked, protocol: localization, metric: iou}\n"
            "- {dataset: masked, protocol: frame, metric: auc}\n",
        ),
    ):
        (cards / kind).mkdir(parents=True)
        (cards / kind / f"{name}.yaml").write_text(text)
    done = cli("run", "maps", "-d", f"{toys[0]}:Sharp", "--cards", cards, "--out", tmp_path / "out")
    assert done.status == 0, done.err
    assert "localization" in done.out and "AUC" in done.out
    assert {path.parent.name for path in (tmp_path / "out").glob("*/result.json")} == {
        "toys.Sharp--masked--localization",
        "toys.Sharp--masked--frame",
    }


def test_zero_maps_are_a_result_and_failed_ones_are_not(toys: tuple[Path, str], tmp_path: Path) -> None:
    (silent,) = run(toys, tmp_path / "out", "Silent")
    assert silent.coverage == 0.0 and silent.statuses == {"ok": PEOPLE, "zero_map": 2 * PEOPLE}
    assert m2f2bench.score(place(tmp_path / "out", "Silent")).metrics == silent.metrics
    assert build_table([silent]).rows[0].cells[0].coverage == 0.0


def test_class_activation_maps_of_a_network(toys: tuple[Path, str], tmp_path: Path) -> None:
    """A small torch network with --cam: the method and its layer are in the name, the signature and the rows' key."""
    pytest.importorskip("pytorch_grad_cam")
    import timm
    import torch

    from m2f2bench.core.tensors import write_tensors

    torch.manual_seed(2)
    narrow = {"channels": [8, 8, 16, 16], "stem_width": 8}
    model = timm.create_model("resnet10t", num_classes=1, **narrow)
    write_tensors(tmp_path / "model.safetensors", model.state_dict(), {})
    card = str(tmp_path / "narrow.yaml")
    Path(card).write_text(
        "name: narrow\nbackend: timm\nweights: model.safetensors\ninput: {size: 64}\n"
        f"options: {{model: resnet10t, model_kwargs: {json.dumps(narrow)}}}\n"
    )
    results = m2f2bench.run(
        detectors=[card], datasets=toys[1], protocols="localization", out=tmp_path / "out", cam="gradcam", limit=12
    )
    assert results[0].detector == "narrow+gradcam" and results[0].measured["map"] == "2x2-gradcam-layer4"
    with pytest.raises(DetectorError, match=r"narrow.* makes no heat maps"):
        m2f2bench.run(detectors=[card], datasets=toys[1], protocols="localization", out=tmp_path / "out")
    (again,) = check(results.folders[0], detector=card, dataset=toys[1])
    assert again.passed and again.detector == results[0].detector
