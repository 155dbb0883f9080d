"""`plot curves`: what training records say is what is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from plot_rows import write_training
from test_plot import boxes, refuse_overlaps
from toy_training import fit, toy_job

from m2f2bench.core.errors import ScoreError
from m2f2bench.reporting.figures import plot as plotter
from m2f2bench.reporting.figures.chosen import Options


def points(axes: Axes, gid: str) -> list[list[float]]:
    (line,) = [line for line in axes.lines if line.get_gid() == gid]
    return np.column_stack(line.get_data()).tolist()


def test_lines_are_the_rows_of_a_real_training(tmp_path: Path) -> None:
    report = fit(tmp_path / "t")
    job = toy_job(tmp_path / "t")
    record = {"identity": "i", "detector": job.card.name, "dataset": "drawn", "stage": "detector"}
    record |= {"curves": report.curves, "versions": {"m2f2bench": "1"}}
    (tmp_path / "t" / "training.json").write_text(json.dumps(record))
    figure = plotter.draw("curves", tmp_path / "t").figure
    names = ("train_loss", "val_loss", "val_auc")
    assert len(figure.axes) == 3 and len(report.curves) == 2
    for axes, name in zip(figure.axes, names, strict=True):
        assert points(axes, "curve-0") == [[row["epoch"], row[name]] for row in report.curves]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim() != figure.axes[2].get_ylim()
    words = [text for text, _ in boxes(figure)]
    assert f"{min(row['val_loss'] for row in report.curves):.4g}" in words and "epoch" in words
    assert {"training loss", "validation loss", "validation AUC"} <= set(words)


def test_steps_with_a_validation_now_and_then(tmp_path: Path) -> None:
    """As `align` and `tune` note them: the first row has a validation loss alone, most others none."""
    rows = [(float(step), 3.0 / step, 2.0 if step % 20 == 0 else None) for step in range(1, 41)]
    place = write_training(tmp_path / "a", "toy", rows, "step", stage="align")
    record = json.loads((place / "training.json").read_text())
    record["curves"] = [{"step": 0.0, "epoch": 0.0, "val_loss": 4.0}, *({"epoch": 0.5, **r} for r in record["curves"])]
    (place / "training.json").write_text(json.dumps(record))
    losses, checked = plotter.draw("curves", place).figure.axes
    assert points(losses, "curve-0") == [[step, loss] for step, loss, _ in rows]
    assert points(checked, "curve-0") == [[0.0, 4.0], [20.0, 2.0], [40.0, 2.0]]
    assert losses.get_xlabel() == "step" and losses.lines[0].get_marker() == "None"
    assert checked.lines[0].get_marker() == "o", "a few points are marked: one alone would not be seen"
    (rates,) = plotter.draw("curves", place, options=Options(metric="lr")).figure.axes
    assert points(rates, "curve-0")[0] == [1.0, 5e-4]


def test_several_trainings_and_folders_of_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_training(tmp_path / "one", "toy", [(1, 0.7, 0.6)])
    write_training(tmp_path / "two", "toy", [(1, 0.8, 0.9)])
    write_training(tmp_path / "three", "other", [(1, 0.8, None)], dataset="more")
    write_training(tmp_path / "not", "linear", [(1, 0.8, None)], "c")
    caplog.set_level("INFO", "m2f2bench")
    drawing = plotter.draw("curves", tmp_path, options=Options(width="double"))
    words = {text for text, _ in boxes(drawing.figure)}
    assert {"toy · faces (one01234)", "toy · faces (two01234)", "other · more"} <= words
    assert "no curves by step or epoch" in caplog.text and len(drawing.signature.splitlines()) == 3
    assert points(drawing.figure.axes[0], "curve-1") == [[1.0, 0.8]]  # three, one before two by name
    refuse_overlaps(drawing.figure)
    same = plotter.draw("curves", tmp_path / "one", tmp_path / "two" / "training.json").figure
    assert [line.get_gid() for line in same.axes[1].lines] == ["curve-0", "curve-1"]


def test_large_and_small_numbers_fit(tmp_path: Path) -> None:
    rows = [(float(s), 1e-5 * s, 1.2345e-5) for s in range(1, 99_999, 997)]
    for wide in ("single", "double"):
        place = write_training(tmp_path / wide, "toy", rows, "step")
        refuse_overlaps(plotter.draw("curves", place, options=Options(width=wide)).figure)
        big = write_training(tmp_path / f"{wide}-big", "toy", [(s, 1e6 * v, x) for s, v, x in rows], "step")
        refuse_overlaps(plotter.draw("curves", big, options=Options(width=wide, metric="train_loss")).figure)


def test_refusals_and_command(cli, one_line, tmp_path: Path) -> None:
    place = write_training(tmp_path / "a", "toy", [(1, 0.7, 0.6)])
    steps = write_training(tmp_path / "b", "late", [(1, 0.7, 0.6)], "step")
    out = tmp_path / "c.svg"
    done = cli("plot", "curves", place, "--out", out)
    assert done.status == 0 and done.out == f"wrote {out}\n" and "training loss" in out.read_text()
    words = ("plot", "curves", place, "--out", tmp_path / "no.png")
    assert "recorded by epoch and 'late' by step" in one_line(cli(*words, steps))
    assert "did you mean 'val_loss'" in one_line(cli(*words, "--metric", "valid_loss"))
    assert "have no meaning for curves" in one_line(cli(*words, "-p", "frame"))
    assert "--log-x has no effect on curves" in one_line(cli(*words, "--log-x"))
    (tmp_path / "x.json").write_text('{"curves": 3}')
    assert "is not a training record" in one_line(cli(*words, tmp_path / "x.json"))
    for odd in ({"versions": [1]}, {"versions": "x"}, {"detector": 3}, {"curves": 1}, {"seed": "x"}):
        (tmp_path / "y.json").write_text(json.dumps({"curves": [{"epoch": 1, "train_loss": 1.0}]} | odd))
        assert f"is not a training record: key '{next(iter(odd))}" in one_line(cli(*words, tmp_path / "y.json"))
    (tmp_path / "x.json").write_text('{"curves": [{"c": 1.0, "cv_auc": 0.5}]}')
    assert "no curves by step or epoch" in one_line(cli(*words, tmp_path / "x.json"))
    (tmp_path / "x.json").write_text("{")
    assert "cannot be read as JSON" in one_line(cli(*words, tmp_path / "x.json"))
    (tmp_path / "empty").mkdir()
    assert "holds no training with curves" in one_line(cli(*words, tmp_path / "empty"))
    assert not (tmp_path / "no.png").exists()


def test_a_quantity_that_no_training_recorded(tmp_path: Path) -> None:
    place = write_training(tmp_path / "a", "toy", [])
    record = json.loads((place / "training.json").read_text())
    record["curves"] = [{"epoch": 1, "lr": 0.1}]
    (place / "training.json").write_text(json.dumps(record))
    with pytest.raises(ScoreError, match=r"no train_loss or val_loss or val_auc: choose a quantity with --metric; k"):
        plotter.draw("curves", place)
