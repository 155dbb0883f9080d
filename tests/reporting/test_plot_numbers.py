"""The numbers that figures draw are those of the scoring, read back from matplotlib's own objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from plot_rows import METHODS, write_results, write_rows
from toy_units import make_units

import m2f2bench
from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.metrics.detection.values import Cut
from m2f2bench.metrics.names import AVERAGE
from m2f2bench.reporting.figures import plot as plotter
from m2f2bench.reporting.figures.calibration import histogram
from m2f2bench.reporting.figures.chosen import Options
from m2f2bench.reporting.figures.roc import from_fpr
from m2f2bench.reporting.figures.series import Series
from m2f2bench.stats.ranks import critical_difference, rank

# Demsar (2006), table 6: AUC of C4.5 and its variants (m; cf; m and cf) on 14 datasets; on the last
# but one it ranks two that are both printed as .975 as second and third
DEMSAR = [
    [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
    [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
    [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946],
    [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970],
]


def drawn(axes: Axes, gid: str) -> np.ndarray:
    """A line's points, [P, 2]."""
    (line,) = [line for line in axes.lines if line.get_gid() == gid]
    return np.column_stack(line.get_data()).astype(float)


def band(axes: Axes, gid: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, lower and upper end of a filled band."""
    (area,) = [area for area in axes.collections if area.get_gid() == gid]
    points = area.get_paths()[0].vertices
    at = np.unique(points[:, 0])
    ends = [points[points[:, 0] == x, 1] for x in at]
    return at, np.array([e.min() for e in ends]), np.array([e.max() for e in ends])


@pytest.mark.parametrize("group", ["", "FaceSwap", AVERAGE])
def test_area_under_the_drawn_roc_is_the_auc(tmp_path: Path, group: str) -> None:
    path = write_rows(tmp_path / "a.csv")
    result = m2f2bench.score(path)
    score = {"": result.metrics, AVERAGE: result.average, **result.methods}[group]["auc"]
    (axes,) = plotter.draw("roc", path, options=Options(group=group)).figure.axes
    points = drawn(axes, "curve-0")
    assert points[0].tolist() == [0, 0] and points[-1].tolist() == [1, 1]
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(score.value, abs=1e-12)
    at, low, high = band(axes, "band-0")
    # Where the curve rises at once, its upper end counts
    curve = np.array([points[points[:, 0] <= x, 1].max() if (points[:, 0] == x).any() else np.nan for x in at])
    curve = np.where(np.isnan(curve), np.interp(at, points[:, 0], points[:, 1]), curve)
    assert (low <= curve + 1e-9).all() and (curve <= high + 1e-9).all() and (high - low).max() > 0.05
    # Every point of the band is at most as sure as the whole: its areas lie outside the AUC's interval, not far off
    areas = np.trapezoid(low, at), np.trapezoid(high, at)
    assert score.ci is not None
    assert score.ci[0] - 0.15 < areas[0] < score.ci[0] + 0.01 and score.ci[1] - 0.01 < areas[1] < score.ci[1] + 0.15


@pytest.mark.parametrize("group", ["", "Deepfakes", AVERAGE])
def test_area_under_the_drawn_steps_is_the_average_precision(tmp_path: Path, group: str) -> None:
    path = write_rows(tmp_path / "a.csv", digits=1)
    result = m2f2bench.score(path)
    score = {"": result.metrics, AVERAGE: result.average, **result.methods}[group]["ap"]
    (axes,) = plotter.draw("pr", path, options=Options(group=group)).figure.axes
    points = drawn(axes, "curve-0")
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(score.value, abs=1e-12)
    at, low, high = band(axes, "band-0")
    held = np.array([points[np.searchsorted(points[:, 0], x - 1e-9), 1] for x in at])
    assert (low <= held + 1e-9).all() and (held <= high + 1e-9).all() and (high - low).max() > 0.05


def test_roc_by_hand() -> None:
    # above .9: nothing; .9: one fake; .5: a fake and a real, tied; .1: a real
    series = Series("x", make_units([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1]), Cut(), Bootstrap(resamples=0))
    x, y = series.roc()
    assert np.column_stack([x, y]).tolist() == [[0, 0], [0, 0.5], [0.5, 1.0], [1, 1]]
    recall, precision = series.precision_recall()
    assert recall.tolist() == [0.5, 1.0] and precision.tolist() == pytest.approx([1.0, 2 / 3])
    assert series.roc_band(np.linspace(0, 1, 5)) is None, "no resamples, no band"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=2, max_size=30))
def test_curves_have_the_areas_of_the_metrics(rows: list[tuple[int, int]]) -> None:
    labels = [y for y, _ in rows] + [0, 1]
    series = Series("x", make_units(labels, [s / 5 for _, s in rows] + [0.2, 0.6]), Cut(), Bootstrap(resamples=0))
    x, y = series.roc()
    assert np.trapezoid(y, x) == pytest.approx(series.score("auc").value, abs=1e-12)
    recall, precision = series.precision_recall()
    assert np.sum(np.diff(recall, prepend=0) * precision) == pytest.approx(series.score("ap").value, abs=1e-12)


def test_logarithmic_axis_begins_above_zero_and_bends_slanted_lines(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv")  # 120 reals: one is more than a hundredth less than a tenth
    (axes,) = plotter.draw("roc", path, options=Options(log_x=True)).figure.axes
    assert axes.get_xscale() == "log" and axes.get_xlim() == (0.001, 1.0)
    points = drawn(axes, "curve-0")
    assert points[0, 0] == 0.001 and (points > 0).any() and np.isfinite(points).all()
    plain = drawn(plotter.draw("roc", path).figure.axes[0], "curve-0")
    assert points[0, 1] == pytest.approx(np.interp(0.001, *plain.T))
    assert band(axes, "band-0")[0][0] == pytest.approx(0.001)
    x, y = from_fpr(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.01)  # one score for all: the diagonal
    assert len(x) > 20 and x.tolist() == pytest.approx(y.tolist()) and x[0] == 0.01 and x[-1] == 1.0


def test_histogram_holds_every_unit() -> None:
    units = make_units([0, 0, 1, 1, 1, 1], [0.0, np.inf, 1.0, 0.5, 0.5, -np.inf], ["o", "o", "a", "a", "b", "a"])
    found = histogram(units, "a")
    assert found.real.sum() == 1 and found.fake.sum() == 2 and found.apart == (1, 1)
    assert found.fake[10] == 1, "what is at the threshold .5 is on its upper side, and called fake"


def test_drawn_histograms_are_shares_and_mark_the_threshold(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv")
    counts = {m: s["auc"].n_fake for m, s in m2f2bench.score(path).methods.items()}
    drawing = plotter.draw("histogram", path, options=Options("frame-oracle"))
    oracle = m2f2bench.score(path, protocol="frame-oracle").threshold["value"]
    assert len(drawing.figure.axes) == len(METHODS)
    for axes, n in zip(drawing.figure.axes, counts.values(), strict=True):
        up, down = (next(p for p in axes.patches if p.get_gid() == g).get_data().values for g in ("fake", "real"))
        assert up.sum() == pytest.approx(1.0) and -down.sum() == pytest.approx(1.0)
        assert (up * n).tolist() == pytest.approx(np.round(up * n).tolist(), abs=1e-9)
        assert drawn(axes, "threshold")[:, 0].tolist() == [oracle, oracle]
    words = [text.get_text() for text in drawing.figure.texts]
    assert any("ORACLE" in word for word in words)


def test_reliability_draws_the_results_bins(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv")
    result = m2f2bench.score(path)
    axes, strip = plotter.draw("reliability", path).figure.axes
    kept = [b for b in result.reliability if b["n"]]
    assert drawn(axes, "bins").tolist() == pytest.approx(np.array([[b["score"], b["fake"]] for b in kept]))
    assert [bar.get_height() for bar in strip.patches] == [b["n"] for b in result.reliability]
    segments = axes.collections[0].get_segments()
    assert len(segments) == len(kept)
    for b, segment in zip(kept, segments, strict=True):
        low, high = segment[:, 1]
        assert np.isnan(low) or 0 <= low <= b["fake"] + 1e-9 <= high + 2e-9 <= 1 + 4e-9
    assert sum(not np.isnan(s[0, 1]) for s in segments) >= 10


def test_methods_draws_every_value_and_interval(tmp_path: Path) -> None:
    paths = [write_rows(tmp_path / f"{name}.csv", seed=i) for i, name in enumerate("ab")]
    (axes,) = plotter.draw("methods", *paths, options=Options(metric="ap")).figure.axes
    for i, path in enumerate(paths):
        result = m2f2bench.score(path)
        scores = [result.metrics["ap"], result.average["ap"], *(s["ap"] for s in result.methods.values())]
        assert drawn(axes, f"values-{i}")[:, 0].tolist() == [s.value for s in scores]
        lines = [line.get_xdata() for line in axes.lines if line.get_gid() == f"interval-{i}"]
        assert [tuple(line) for line in lines] == [s.ci for s in scores]
    low, high = axes.get_xlim()
    assert low <= min(s.ci[0] for s in scores if s.ci) and high >= max(s.ci[1] for s in scores if s.ci)


def test_a_single_method_is_drawn_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,label,score\n" + "\n".join(f"f{i},{i % 2},{(i * 7 % 10) / 10}" for i in range(40)))
    (axes,) = plotter.draw("methods", path).figure.axes
    assert len(drawn(axes, "values-0")) == 1


def test_ranks_are_demsars() -> None:
    found = rank(DEMSAR)
    assert found.ranks.tolist() == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    # The article's chi-squared, 9.28, is without the correction for ties: over 1 - sum(t^3 - t) / n k (k^2 - 1)
    ties = 0
    for column in np.array(DEMSAR).T:
        _, counts = np.unique(column, return_counts=True)
        ties += int((counts**3 - counts).sum())
    assert found.chi2 * (1 - ties / (14 * 4 * 15)) == pytest.approx(9.28, abs=0.02)
    assert found.differ and found.difference == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.005)
    # 1.964 2.000 2.893 3.143: Nemenyi's test tells none apart (the ends are 1.18 apart); signed ranks tell the fourth
    # from the second, and the third from none
    assert found.alike() == [(0, 2), (2, 3)]
    worse = rank([[1 - v for v in row] for row in DEMSAR], lower_is_better=True)
    assert worse.ranks.tolist() == pytest.approx(found.ranks.tolist())


@pytest.mark.parametrize(
    ("k", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)]
)
def test_critical_values_are_those_of_the_table(k: int, q: float) -> None:
    """Demsar (2006), table 5a, at 5%."""
    assert critical_difference(k, 10) / np.sqrt(k * (k + 1) / 60) == pytest.approx(q, abs=1.1e-3)


def test_bars_join_what_is_not_told_apart(tmp_path: Path) -> None:
    # three detectors always in the same order, 12 datasets: CD = 2.343 sqrt(3 * 4 / 72) = 0.957, ranks 1, 2, 3
    table = {name: [0.9 - 0.1 * i + 0.001 * j for j in range(12)] for i, name in enumerate("abc")}
    assert rank(list(table.values())).alike() == []
    drawing = plotter.draw("ranks", write_results(tmp_path / "r", table))
    artists = drawing.figure.get_children()
    lines = {gid: [a for a in artists if a.get_gid() == gid] for gid in ("alike", "cd", "detector")}
    assert not lines["alike"] and len(lines["detector"]) == 3
    places = [line.get_xdata()[0] for line in lines["detector"]]
    cd = np.ptp(lines["cd"][0].get_xdata())
    assert cd / (places[1] - places[0]) == pytest.approx(critical_difference(3, 12), rel=1e-9)
    # always tied: nothing differs, all are joined
    same = rank([[0.5] * 4] * 3)
    assert same.p == 1.0 and same.ranks.tolist() == [2, 2, 2] and same.alike() == [(0, 2)]
