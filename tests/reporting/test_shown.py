"""Results in a notebook: a table and a chart of each, as HTML that is well formed and escaped, and as a data frame."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import m2f2bench
from m2f2bench.core import notebook
from m2f2bench.core.notebook import Bar

NASTY = '<script>alert("x")</script> & \x1b[31m'


class Painter(m2f2bench.Detector, m2f2bench.Localizer):
    """P(fake) is the mean brightness, and the heat map the brightness of each pixel."""

    def forward(self, batch: Any, ids: Any) -> Any:
        return np.array([image.mean() / 255 for image in batch])

    def heatmap(self, images: Any) -> Any:
        return np.stack([image.mean(axis=2) / 255 for image in images]).astype(np.float32)


def rows(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    label = np.arange(40) % 2
    method = np.where(label == 0, "original", np.where(np.arange(40) % 4 == 1, NASTY.replace("\x1b", ""), "b"))
    ids = [f"f{i}" for i in range(40)]
    return pd.DataFrame({"id": ids, "label": label, "score": rng.beta(2 + label, 2), "method": method})


def parsed(shown: Any) -> ET.Element:
    """The HTML of a result, which must be well-formed XML and hold no name unescaped."""
    html = shown._repr_html_()
    assert "<script" not in html and "\x1b" not in html
    return ET.fromstring(html)


def tags(shown: Any) -> set[str]:
    return {element.tag.rpartition("}")[2] for element in parsed(shown).iter()}


def test_results_in_memory_are_shown() -> None:
    one, other = (m2f2bench.score(rows(seed), detector=name) for seed, name in ((0, NASTY), (1, "other")))
    third = m2f2bench.score(rows(2), detector="third")
    pair, three = m2f2bench.compare(one, other), m2f2bench.compare([one, other, third])
    board = m2f2bench.leaderboard(one, other)
    for shown in (one, three, three[0], board):
        assert {"table", "svg", "td"} <= tags(shown)
    assert "table" in tags(pair) and "svg" not in tags(pair), "a single difference needs no chart"
    assert {"polyline", "circle"} <= tags(board)

    frame = one.to_pandas()
    assert set(frame["group"]) == {"all", "average", *rows()["method"].unique()} - {"original"}
    (auc,) = frame.query("group == 'all' and metric == 'auc'").to_dict("records")
    assert (auc["value"], auc["ci_low"], auc["ci_high"]) == (one.metrics["auc"].value, *(one.metrics["auc"].ci or ()))
    assert frame["value"].dtype == "float64"
    differences = pair.to_pandas().query("metric == 'auc' and group == 'all'").iloc[0]
    expected = next(d for d in pair.to_json()["differences"] if d["metric"] == "auc" and not d["group"])
    assert [differences["difference"], differences["p"]] == [expected["difference"], expected["p"]]
    assert len(three.to_pandas()) == 3 * len(pair.to_pandas())


def test_a_board_has_the_rows_of_its_csv_in_memory_and_on_disk(squares: Path, tmp_path: Path) -> None:
    found = m2f2bench.run(detectors=["constant", "random"], datasets=str(squares), out=tmp_path / "o")
    board = m2f2bench.leaderboard(found, out=tmp_path / "board.csv")
    csv = pd.read_csv(tmp_path / "board.csv")
    own = board.to_pandas().query("method == ''").reset_index(drop=True)
    assert own["value"].tolist() == csv["value"].tolist() and own["detector"].tolist() == csv["detector"].tolist()
    assert board == m2f2bench.leaderboard(tmp_path / "o") == m2f2bench.leaderboard(*found) == found.board()
    assert {"table", "svg"} <= tags(found) and len(found.to_pandas()) == sum(len(one.to_pandas()) for one in found)
    mixed = m2f2bench.leaderboard(found, {"mine": rows()})
    assert {row.detector for row in mixed.table.rows} == {"constant", "random", "mine"}


def test_a_board_of_frames_is_that_of_their_files(tmp_path: Path) -> None:
    frames = {"a": rows(0), "b": rows(1).assign(score=rows(1)["label"] * 0.8)}
    for name, frame in frames.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    board = m2f2bench.leaderboard(frames, out=tmp_path / "board.html")
    assert board == m2f2bench.leaderboard(tmp_path / "a.csv", tmp_path / "b.csv")
    assert board == m2f2bench.leaderboard(*(m2f2bench.score(frame, detector=name) for name, frame in frames.items()))
    assert [cell.best for row in board.table.rows for cell in row.cells if cell][:1] == [True], "paired tests are made"
    assert "<table" in (tmp_path / "board.html").read_text(encoding="utf-8")


def test_predictions_and_audits_are_shown(squares: Path, tmp_path: Path) -> None:
    for name in ("a", "b <i>"):
        Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(tmp_path / f"{name}.png")
    found = m2f2bench.predict(tmp_path, "random", faces=False)
    assert {"table", "svg"} <= tags(found) and "i" not in tags(found)
    frame = found.to_pandas()
    assert frame["score"].dtype == "float64" and frame["path"].tolist() == [one["path"] for one in found]
    (alone,) = m2f2bench.predict(tmp_path / "a.png", "constant", faces=False)
    assert alone["score"] == 0.5 and alone["verdict"] == "fake"
    audit = m2f2bench.audit(str(squares))
    assert "table" in tags(audit)
    assert list(audit.to_pandas().columns) == ["dataset", "severity", "topic", "text"]
    assert len(audit.to_pandas()) == len(audit.findings)


def test_measured_maps_are_shown(measured_maps: tuple[Any, Any]) -> None:
    for report in measured_maps:
        assert {"table", "svg"} <= tags(report)
        frame = report.to_pandas()
        assert "all" in set(frame["group"]) and frame["value"].notna().any()
    localization = measured_maps[0]
    value = localization.to_pandas().query("group == 'all' and metric == 'energy_in_mask'")["value"].item()
    assert value == localization.metrics["energy_in_mask"].value


@pytest.fixture(scope="module")
def measured_maps() -> tuple[Any, Any]:
    return (
        m2f2bench.localize(Painter(), "synthetic", limit=30),
        m2f2bench.faithfulness(Painter(), "synthetic", limit=12, steps=3),
    )


@given(st.lists(st.tuples(st.text(max_size=40), st.none() | st.floats(-1e6, 1e6)), max_size=60))
def test_any_chart_and_table_is_well_formed(values: list[tuple[str, float | None]]) -> None:
    bars = [Bar(label, value, value, value) for label, value in values]
    text = notebook.page(
        notebook.chart("any", bars, reference=0.5),
        notebook.table([["name", "value"], *([b.label, str(b.value)] for b in bars)]),
    )
    ET.fromstring(text)
    n = sum(value is not None for _, value in values)
    assert text.count("<circle") == (min(n, notebook.MOST_ROWS) if n > 1 else 0)
