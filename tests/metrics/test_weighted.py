"""Metrics of weighted units, as resampling takes them: each weighting equals the units repeated, or is undefined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from toy_units import make_units, score_all

from m2f2bench.cards.protocols import DETECTION_METRICS
from m2f2bench.metrics.detection import curve as curves
from m2f2bench.metrics.detection import sample as samples
from m2f2bench.metrics.detection.sample import make_levels, plain, resampled
from m2f2bench.metrics.detection.tally import Tally
from m2f2bench.metrics.detection.values import Cut, evaluate
from m2f2bench.metrics.names import OVERALL
from m2f2bench.metrics.registry import builtin, metric_of
from m2f2bench.stats.bootstrap import cluster_draws

RANKING = [m.name for m in builtin().values() if m.of == "scores" and m.needs == "both" and not m.decision]
TIED = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)


@pytest.mark.slow
@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 1), TIED, st.integers(0, 4)), min_size=1, max_size=25), st.data())
def test_a_weighting_is_its_units_repeated(drawn: list, data: st.DataObject) -> None:
    """Against scikit-learn on the repeated units; a class without weight leaves only what needs none of it."""
    label, score, cluster = (np.array(column) for column in zip(*drawn, strict=True))
    units = make_units(label, score, clusters=cluster)
    n = units.n_clusters
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=3 * n, max_size=3 * n)), float).reshape(n, 3)
    found = evaluate(resampled(units, (0.5,), 0), weights, DETECTION_METRICS, Cut())[OVERALL]
    for column in range(3):
        times = weights[cluster, column].astype(int)
        y, s = np.repeat(label, times), np.repeat(score.astype(float), times)
        own = {name: float(values[column]) for name, values in found.items()}
        both = set(y.tolist()) == {0, 1}
        for name in (*RANKING, "balanced_accuracy", "mcc"):
            assert np.isnan(own[name]) == (not both), name
        if len(y) == 0:
            assert all(np.isnan(own[name]) for name in DETECTION_METRICS)
            continue
        called = s >= 0.5
        expected = {"accuracy": sk.accuracy_score(y, called), "brier": float(np.mean((s - y) ** 2))}
        expected["log_loss"] = sk.log_loss(y, s, labels=[0, 1])
        expected["ece"] = ece(y, s)
        if y.any():
            expected["f1"], expected["recall"] = sk.f1_score(y, called), sk.recall_score(y, called)
        else:
            assert np.isnan(own["f1"]) and np.isnan(own["recall"])
        if called.any():
            expected["precision"] = sk.precision_score(y, called)
        else:
            assert np.isnan(own["precision"])
        if both:
            fpr, tpr, _ = sk.roc_curve(y, s, drop_intermediate=False)
            expected |= {"auc": sk.roc_auc_score(y, s), "ap": sk.average_precision_score(y, s)}
            expected["pauc"] = sk.roc_auc_score(y, s, max_fpr=0.1)
            expected["tpr_at_fpr1"] = tpr[fpr <= 0.01].max()
            expected["balanced_accuracy"] = sk.balanced_accuracy_score(y, called)
            expected["mcc"] = sk.matthews_corrcoef(y, called)
        for name, value in expected.items():
            assert own[name] == pytest.approx(value, abs=1e-9), name


def ece(y: np.ndarray, s: np.ndarray) -> float:
    """The expected calibration error of 15 equal bins, each with its upper edge, unit by unit."""
    bins: dict[int, list[tuple[float, float]]] = {}
    for label, score in zip(y.tolist(), s.tolist(), strict=True):
        edges = [k for k in range(1, 16) if score <= np.linspace(0.0, 1.0, 16)[k]]
        bins.setdefault(edges[0], []).append((score, label))
    return sum(abs(sum(s for s, _ in own) - sum(y for _, y in own)) for own in bins.values()) / len(y)


@pytest.mark.parametrize("cuts", [(), (0.5,), (0.5, 0.37)])
def test_more_scores_than_levels_are_joined_evenly(monkeypatch: pytest.MonkeyPatch, cuts: tuple[float, ...]) -> None:
    """Levels of about equal numbers of units, none across a threshold or the edge of a bin; every mean is kept."""
    monkeypatch.setattr(samples, "MAX_LEVELS", 200)
    monkeypatch.setattr(samples, "JOINED_LEVELS", 10)
    rng = np.random.default_rng(6)
    scores = np.concatenate([rng.random(300), np.repeat(0.811, 200), rng.random(100) ** 4])
    levels, level = make_levels(scores, cuts, 200)
    assert 10 <= len(levels) <= 10 + len(cuts) + 15
    assert (np.diff(levels.high) < 0).all() and (levels.low <= levels.high).all()
    assert (levels.high[1:] < levels.low[:-1]).all(), "levels do not overlap"
    for i in range(len(levels)):
        own = scores[level == i]
        assert (own.max(), own.min()) == (levels.high[i], levels.low[i])
        assert levels.score[i] == pytest.approx(own.mean())
        assert levels.losses["brier"][0][i] == pytest.approx((own**2).mean())
        assert levels.losses["log_loss"][1][i] == pytest.approx(-np.log(own).mean())
        assert len(own) <= 60 or len(set(own.tolist())) == 1 or 0.811 in own, "a tenth of the units, but for ties"
        edges = [*np.linspace(0.0, 1.0, 16)[1:-1]]
        assert not any(own.min() <= edge < own.max() for edge in edges)
        assert not any(own.min() < cut <= own.max() for cut in cuts)
        assert levels.bin[i] == sum(own.max() > edge for edge in edges)
    few = scores[:200]
    for most, drawn in ((200, few), (0, scores)):
        assert len(make_levels(drawn, cuts, most)[0]) == len(set(drawn.tolist())), "up to that many none is joined"


def test_more_clusters_than_are_drawn_are_joined_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MAX_CLUSTERS", 10)
    rng = np.random.default_rng(1)
    units = make_units(rng.integers(0, 2, 35), rng.random(35), clusters=np.arange(35))
    sample = resampled(units, (), 3)
    assert sample.n_clusters == 10
    sizes = sum(np.asarray(part.sum(axis=0)).ravel() for part in (sample.real, sample.fake))
    assert sorted(sizes.tolist()) == [3.0] * 5 + [4.0] * 5
    alone = resampled(make_units([0, 1] * 5, rng.random(10)), (), 3)
    assert alone.n_clusters == 10 and np.asarray(alone.real.sum(axis=0)).ravel().tolist() == [1.0, 0.0] * 5
    same(*(evaluate(one, np.ones((n, 1)), DETECTION_METRICS, Cut())[OVERALL]
           for one, n in ((sample, 10), (plain(units), 1))))  # fmt: skip


def test_draws_are_as_many_as_there_are_and_do_not_depend_on_the_pieces() -> None:
    whole = np.concatenate(list(cluster_draws(7, 20, 5)), axis=1)
    assert whole.shape == (7, 20) and (whole.sum(axis=0) == 7).all() and set(np.unique(whole)) <= set(range(8))
    for width in (1, 3, 20, 99):
        pieces = list(cluster_draws(7, 20, 5, width))
        assert [p.shape[1] for p in pieces] == [min(width, 20 - i) for i in range(0, 20, width)]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
    source = np.random.default_rng(5)
    by_hand = [np.bincount(source.integers(0, 7, 7), minlength=7) for _ in range(20)]
    np.testing.assert_array_equal(whole, np.stack(by_hand, axis=1))


def test_a_class_without_units_has_no_curve() -> None:
    some, none = np.array([[1.0], [2.0]]), np.zeros((2, 1))
    for real, fake in ((some, none), (none, some), (none, none)):
        c = curves.curve(real, fake)
        tally = Tally(c, make_levels(np.array([0.25, 0.75]), (), 0)[0], c.n_fake, c.n_real, np.full(1, 0.5))
        for name in RANKING:
            own = metric_of(name).fast
            assert own is not None and np.isnan(own(tally)).all(), name
    assert set(RANKING) == {"auc", "pauc", "tpr_at_fpr1", "tpr_at_fpr01", "ap", "eer"}


def test_one_column_of_many_is_that_alone() -> None:
    rng = np.random.default_rng(2)
    units = make_units(rng.integers(0, 2, 60), np.round(rng.random(60), 1), clusters=rng.integers(0, 9, 60))
    weights = rng.integers(0, 3, (9, 5)).astype(float)
    for cut in (Cut(), Cut(value=0.3), Cut("eer"), Cut("best", maximise="accuracy"), Cut("best", maximise="f1")):
        sample = resampled(units, (0.5,), 0)
        many = evaluate(sample, weights, DETECTION_METRICS, cut)[OVERALL]
        for i in range(5):
            alone = evaluate(sample, weights[:, [i]], DETECTION_METRICS, cut)[OVERALL]
            same(alone, {name: values[[i]] for name, values in many.items()})
    whole = evaluate(plain(units), np.ones((1, 1)), DETECTION_METRICS, Cut())[OVERALL]
    same(whole, evaluate(resampled(units, (), 0), np.ones((9, 1)), DETECTION_METRICS, Cut())[OVERALL])


def same(found: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name in DETECTION_METRICS:
        np.testing.assert_allclose(found[name], other[name], atol=1e-12, err_msg=name)


def test_as_many_false_positives_as_the_rate_allows() -> None:
    """Of 2,000 reals .1% are two and 1% are twenty: fakes that stand between reals are counted one by one."""
    reals = np.linspace(0.0, 1.0, 2000)  # the r-th from the top stands at 1 - r / 1999
    below = [1.5, 2.5, 3.5, 19.5, 20.5, 21.5, 40.0]  # as many reals stand above each fake, rounded up
    fakes = 1.0 - np.array(below) / 1999
    found = score_all(make_units(np.repeat([0, 1], [2000, 7]), np.concatenate([reals, fakes]))).overall
    assert found["tpr_at_fpr01"].value == 1 / 7, "two reals stand above the first, three above the second"
    assert found["tpr_at_fpr1"].value == 4 / 7
    assert found["tpr_at_fpr1"].ci is None and found["tpr_at_fpr1"].reason is None


@given(st.integers(1, 40).flatmap(lambda t: st.tuples(st.just(t), st.lists(st.integers(0, t), min_size=6, max_size=6))))
def test_fewest_steps_are_those_of_a_look_at_all(drawn: tuple[int, list[int]]) -> None:
    most, wanted = drawn[0], np.array(drawn[1]).reshape(2, 3)
    found = curves.fewest(lambda steps: steps >= wanted, most, (2, 3))
    assert (found == wanted).all(), "where none are enough they are all"
    assert (curves.fewest(lambda steps: steps >= wanted[0], most, (3,)) == wanted[0]).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
def test_places_of_the_curve_are_those_of_all_levels(seed: int, levels: int, most: float) -> None:
    """Search by halving, and the partial area of some levels, against the definitions over all levels; equal."""
    rng = np.random.default_rng(seed)
    real, fake = rng.integers(0, 4, (2, levels, 5)).astype(float)
    real[:, 3], fake[:, 4] = 0.0, 0.0
    c = curves.curve(real, fake)
    allowed = most * c.n_real * (1.0 + 1e-12)
    assert (curves.within(c, most) == (c.fp <= allowed).sum(axis=0)).all()
    both = (c.n_real > 0) & (c.n_fake > 0)
    with np.errstate(invalid="ignore"):
        gap = 1.0 - c.tp / c.n_fake - c.fp / c.n_real
    crossing = curves.equal_error(c)
    assert (crossing.step == np.where(both, np.argmax(gap <= 0.0, axis=0), 0)).all()
    if most > 0:
        for column in np.flatnonzero(both):
            fpr = np.concatenate([[0.0], c.fp[:, column] / c.n_real[column]])
            tpr = np.concatenate([[0.0], c.tp[:, column] / c.n_fake[column]])
            at = np.unique(np.concatenate([fpr[fpr <= most], [most]]))
            heights = [np.interp(x, fpr, tpr) if x == most and most not in fpr else tpr[fpr == x].max() for x in at]
            lows = [np.interp(x, fpr, tpr) if x == most and most not in fpr else tpr[fpr == x].min() for x in at]
            area = sum((b - a) * (h + low) / 2 for a, b, h, low in zip(at, at[1:], heights, lows[1:], strict=False))
            least = most * most / 2
            expected = 0.5 * (1.0 + (area - least) / (most - least))
            assert curves.partial_auc(c, most)[column] == pytest.approx(expected, abs=1e-9)
