"""The registry of metrics: names, fields, identity, and values of a user's metric."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_metric import SOURCE
from toy_units import make_units

from m2f2bench.cards.models import ProtocolCard, read_card
from m2f2bench.cards.protocols import DETECTION_METRICS, METRIC_NAME, Bootstrap
from m2f2bench.core.errors import CardError, RegistryError, ScoreError
from m2f2bench.loading import any_protocol
from m2f2bench.metrics import registry
from m2f2bench.metrics.detection.intervals import score_units
from m2f2bench.metrics.detection.sample import plain, resampled
from m2f2bench.metrics.detection.values import Cut, evaluate
from m2f2bench.metrics.metric import Metric, from_note
from m2f2bench.metrics.names import OVERALL
from m2f2bench.metrics.registry import metric_of, register_metric


def test_a_forgotten_or_wrong_direction_is_an_error(mine: Path, cli: Callable, one_line: Callable) -> None:
    with pytest.raises(TypeError, match="better"):
        Metric("cost", compute=lambda label, score: 0.0)  # type: ignore[call-arg]
    with pytest.raises(RegistryError, match="better must be 'higher' or 'lower', not 'up'"):
        Metric("cost", better="up", compute=lambda label, score: 0.0)  # type: ignore[arg-type]
    (mine / "mine.py").write_text(SOURCE.replace('better="lower", ', ""))
    (mine / "r.csv").write_text("id,label,score\na,0,0.25\nb,1,0.75\n")
    line = one_line(cli("score", mine / "r.csv", "-p", mine / "mine.yaml"))
    assert "mine.py:cost" in line and "say which direction is better, better='higher' or better='lower'" in line


def test_what_cannot_be_of_a_metric_is_one_clear_line() -> None:
    def none(label, score): ...

    def other(y_true, y_score): ...

    for fields, why in (
        ({"compute": other}, "compute takes 'y_true'; it can only take, by name: label, score, weight, threshold"),
        ({"compute": none, "range": (1, 0)}, "must be a pair"),
        ({"compute": none, "range": (0, 1), "chance": 2}, "chance level"),
        ({"compute": none, "title": "<b>"}, "its title"),
        ({"compute": none, "needs": "real"}, "needs must be 'both' or 'fake' or 'any'"),
        ({"compute": none, "trials": "pair"}, "trials must be '' or 'clusters' or"),
        ({"compute": none, "test": "DeLong"}, "leave `test` out"),
        ({}, "has no computation"),
    ):
        with pytest.raises(RegistryError, match=re.escape(why)):
            register_metric(Metric("own", better="lower", **fields))  # type: ignore[arg-type]
    for name in ("a b", "own@0.5", "", "x" * 61, "é"):
        with pytest.raises(RegistryError, match="a metric's name is a word"):
            Metric(name, better="lower", compute=none)
    with pytest.raises(RegistryError, match="'auc' is built into m2f2bench"):
        register_metric("auc", better="lower")(none)


def test_two_metrics_of_one_name_are_refused_but_not_one_executed_again(mine: Path, tmp_path: Path) -> None:
    protocol = any_protocol(str(mine / "mine.yaml"))
    assert protocol.metrics == ("auc", "cost")
    (mine / "mine.py").write_text(SOURCE + "\n# changed\n")
    assert any_protocol(str(mine / "mine.yaml")).described["cost"].code != protocol.described["cost"].code
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.py").write_text(SOURCE + "\n# changed\n")
    assert registry.load_metric("mine.py:cost", other).identity == metric_of("cost").identity, "the same code"
    (other / "costs.py").write_text(SOURCE)
    with pytest.raises(RegistryError, match=r"'cost' is taken twice, by m2f2bench_file_mine.*:cost and by"):
        registry.load_metric("costs.py:cost", other)
    partial = (
        "import functools\nimport m2f2bench\ndef at(power, label, score):\n    return float((score**power).mean())\n"
    )
    for number in (1, 2):
        own = f"m2f2bench.Metric('powered', better='higher', compute=functools.partial(at, {number}))"
        partial += f"m{number} = m2f2bench.register_metric({own})\n"
    (other / "partials.py").write_text(partial)
    with pytest.raises(RegistryError, match=r"'powered' is taken twice, by .*:at\(1\) and by .*:at\(2\)"):
        registry.load_metric("partials.py:m2", other)
    (other / "twice.py").write_text(SOURCE.replace("cost", "loss") + SOURCE.replace("cost", "loss", 1))
    with pytest.raises(RegistryError, match="'loss' is taken twice"):
        registry.load_metric("twice.py:loss", other)


def test_unknown_names_are_told_with_the_nearest(tmp_path: Path, mine: Path) -> None:
    card = tmp_path / "odd.yaml"
    for metrics, why in (
        ("[auc, acuracy]", "key 'metrics.1': unknown metric 'acuracy'; did you mean 'accuracy'"),
        ("[bleu]", "'bleu' is no metric of scores"),
        ("[pointing]", "'pointing' is no metric of scores"),
        ("['accuracy@0.5']", "'accuracy@0.5' is no metric of scores"),
        ("[1]", "key 'metrics.0'"),
        ("[]", "key 'metrics'"),
    ):
        card.write_text(f"name: odd\nlevel: frame\nmetrics: {metrics}\n")
        with pytest.raises(CardError, match=re.escape(why)):
            read_card("metrics", card)
    for reference, why in (
        ("mine.py:costs", "no metric 'costs' in 'mine.py'; did you mean 'cost'"),
        ("mine.py:Good", "is a plain function"),
        ("nothing.py:cost", "there is no file"),
    ):
        card.write_text(f"name: odd\nlevel: frame\nmetrics: [{reference}]\n")
        read_card("metrics", card)  # listing cards executes nothing
        with pytest.raises(RegistryError, match=re.escape(why)):
            any_protocol(str(card))


def test_a_card_without_metrics_is_told_what_to_write(tmp_path: Path) -> None:
    card = tmp_path / "bare.yaml"
    card.write_text("name: bare\nlevel: frame\n")
    with pytest.raises(CardError, match=r"missing key metrics; .* add the line metrics: \[auc, pauc, ") as caught:
        read_card("metrics", card)
    card.write_text(card.read_text() + re.search(r"metrics: \[.*\]", str(caught.value))[0])
    assert read_card("metrics", card).metrics == DETECTION_METRICS


def test_a_new_metric_joins_no_protocol_that_names_none() -> None:
    before = ProtocolCard(name="bare", level="frame")
    register_metric("own", better="lower")(lambda label, score: 0.5)
    after = ProtocolCard(name="bare", level="frame")
    assert after == before and after.metrics == DETECTION_METRICS and "described" not in after.model_dump()
    assert any_protocol("frame").metrics == DETECTION_METRICS


def scored(name: str, labels: list[int], values: list[float], resamples: int = 0):
    units = make_units(labels, values)
    return score_units(units, [name], Cut(), Bootstrap(resamples=resamples)).overall[name]


def test_a_failing_metric_is_told_in_one_line() -> None:
    @register_metric("breaks", better="higher")
    def breaks(label, score):
        raise ValueError("no\nway")

    @register_metric("beyond", better="higher")
    def beyond(label, score):
        return 2.0

    @register_metric("shaped", better="higher")
    def shaped(label, score):
        return score

    for name, why in (("breaks", "'breaks' failed: ValueError: no"), ("beyond", "is 2, which is not in its range"),
                      ("shaped", "'shaped' failed: TypeError")):  # fmt: skip
        with pytest.raises(ScoreError, match=re.escape(why)) as caught:
            scored(name, [0, 1, 1], [0.1, 0.2, 0.3])
        assert "\n" not in str(caught.value)


def test_a_value_outside_the_range_is_refused_unless_by_rounding() -> None:
    metric = Metric("own", better="lower", compute=lambda text: 0.0, of="answers")
    metric.check_range(np.array([0.0, -1e-12, 1.0 + 1e-12, np.nan]))
    for value in (-0.1, 1.1, np.inf):
        with pytest.raises(ScoreError, match="not in its range"):
            metric.check_range(np.array([0.5, value]))


def test_needs_decide_where_a_metric_is_not_defined() -> None:
    for needs, lacking in (("both", {0, 1}), ("fake", {0}), ("any", set())):
        register_metric(f"of_{needs}", better="lower", needs=needs)(lambda label, score: score.mean())
        for only in (0, 1):
            found = scored(f"of_{needs}", [only] * 3, [0.2, 0.3, 0.4])
            assert (found.value is None) == (only in lacking) and bool(found.reason) == (only in lacking)


def test_at_an_end_of_its_range_a_metric_that_says_nothing_of_trials_has_no_interval() -> None:
    register_metric("zero", better="lower")(lambda label, score: 0.0)
    found = scored("zero", [0, 1] * 10, [0.5] * 20, resamples=50)
    assert (found.value, found.ci, found.reason) == (0.0, None, "no interval: all resamples agree")


DRAWN = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), st.integers(0, 5)), min_size=2
)


@settings(max_examples=60)
@given(DRAWN, st.data())
def test_the_slow_form_gives_what_the_fast_one_gives(drawn: list, data: st.DataObject) -> None:
    """A user's accuracy and AUC, with and without weights, under any weighting of clusters, against this package's."""
    registry._REGISTERED.clear()

    def hit(label, score, threshold):
        return ((score >= threshold) == (label == 1)).mean()

    def weighted_hit(label, score, weight, threshold):
        return np.average((score >= threshold) == (label == 1), weights=weight)

    def area(label, score):
        gap = score[label == 1][:, None] - score[label == 0][None]
        return float(((gap > 0) + 0.5 * (gap == 0)).mean())

    for name, compute in (("hit", hit), ("weighted_hit", weighted_hit)):
        register_metric(name, better="higher", needs="any")(compute)
    register_metric("area", better="higher")(area)
    register_metric(
        Metric(
            "quick",
            better="higher",
            needs="any",
            fast=lambda t: (t.tp + t.n_real - t.fp) / (t.n_real + t.n_fake),
            decision=True,
        )
    )
    label, score, cluster = (np.array(column) for column in zip(*drawn, strict=True))
    units = make_units(label, score, clusters=np.unique(cluster, return_inverse=True)[1])
    n = units.n_clusters
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=3 * n, max_size=3 * n)), float).reshape(n, 3)
    cut = data.draw(st.sampled_from([Cut(), Cut(value=0.2), Cut("eer"), Cut("best", maximise="accuracy")]))
    names = ["accuracy", "hit", "weighted_hit", "quick", "auc", "area", "hit@0.5", "accuracy@0.5"]
    for sample, given_weights in ((resampled(units, (0.5,), 0), weights), (plain(units), np.ones((1, 1)))):
        found = evaluate(sample, given_weights, names, cut)[OVERALL]
        for own in ("hit", "weighted_hit", "quick"):
            np.testing.assert_allclose(found[own], found["accuracy"], atol=1e-12)
        np.testing.assert_allclose(found["hit@0.5"], found["accuracy@0.5"], atol=1e-12)
        np.testing.assert_allclose(found["area"], found["auc"], atol=1e-12)


@settings(max_examples=60)
@given(st.from_regex(METRIC_NAME, fullmatch=True), st.floats(-5, 5), st.floats(0.1, 9), st.booleans())
def test_what_a_result_says_of_a_metric_is_enough_to_rank_and_draw_it(
    name: str, low: float, width: float, lower: bool
) -> None:
    range = (low, low + width if width < 8 else float("inf"))
    metric = Metric(name, better="lower" if lower else "higher", range=range, compute=lambda label, score: low)
    again = from_note(name, type(metric.note).model_validate_json(metric.note.model_dump_json()))
    for field in ("name", "title", "better", "range", "chance", "decision", "headline", "identity", "best", "worse"):
        assert getattr(again, field) == getattr(metric, field)


def test_the_identity_is_of_code_and_fields() -> None:
    def of(**fields: object) -> str:
        power = fields.pop("power", 1)
        fields = {"better": "lower", **fields}
        return Metric("own", compute=lambda label, score: score.mean() ** power, **fields).identity  # type: ignore[arg-type, operator]

    assert of() == of() and len(of()) == 16
    several = {of(), of(better="higher"), of(range=(0, 2)), of(title="other"), of(power=2), of(needs="any")}
    assert len(several) == 6


class Above:
    """A measure as a method, with a value that its object holds."""

    def __init__(self, line: float) -> None:
        self.line = line

    def share(self, label: np.ndarray, score: np.ndarray) -> float:
        return float((score > self.line).mean())


def test_the_identity_of_a_method_is_also_of_its_object() -> None:
    def of(line: float) -> str:
        return Metric("own", compute=Above(line).share, better="higher").identity

    assert of(0.5) == of(0.5) != of(0.9)


FILES = {
    "own.py": "import m2f2bench\nfrom costs import price, quick\n\nown = m2f2bench.Metric('own', better='lower', "
    "range=(0, 9), needs='any', compute=lambda label, score: price(score.mean()), fast=quick)\n",
    "costs.py": "import depth\n\ndef price(x):\n    return depth.power(x)\n\ndef quick(t):\n    return t.tp\n",
    "depth.py": "def power(x):\n    return open('table.csv').read() and x\n",
    "table.csv": "1,2\n",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("costs.py", "power(x)", "power(x) + 1"),
        ("depth.py", "and x", "and 2 * x"),
        ("table.csv", "1", "3"),
        ("costs.py", "t.tp", "t.fp"),
        ("own.py", "fast=quick", "fast=None"),
        ("own.py", "'lower'", "'higher'"),
        ("own.py", "(0, 9)", "(0, 8)"),
        ("own.py", "'any'", "'any', biased=True"),
    ],
)
def test_the_identity_is_also_of_imported_modules_and_what_they_read(
    tmp_path: Path, file: str, old: str, new: str
) -> None:
    found = []
    for name, changed in (("before", ""), ("copy", ""), ("after", new)):
        folder = tmp_path / name
        folder.mkdir()
        for place, text in FILES.items():
            (folder / place).write_text(text.replace(old, changed) if changed and place == file else text)
        code = "from m2f2bench.metrics.registry import load_metric as load; print(load('own.py:own').identity)"
        path = os.pathsep.join([str(folder), *sys.path])
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert found[0] == found[1] != found[2]


def priced(price: float, label: np.ndarray, score: np.ndarray) -> float:
    return price * float(score.mean())


class Price:
    def __init__(self, price: float) -> None:
        self.price = price

    def mean(self, label: np.ndarray, score: np.ndarray) -> float:
        return priced(self.price, label, score)

    def __call__(self, label: np.ndarray, score: np.ndarray) -> float:
        return self.mean(label, score)


def test_the_identity_is_also_of_what_a_function_is_bound_to() -> None:
    for make in (lambda price: functools.partial(priced, price), lambda price: Price(price).mean, Price):
        one, same, other = (Metric("own", better="lower", compute=make(price)).identity for price in (1.0, 1.0, 2.0))
        assert one == same != other


def test_every_field_of_a_metric_is_in_its_identity() -> None:
    other: dict[str, object] = {"name": "other", "better": "higher", "title": "other", "range": (0.0, 2.0)}
    other |= {"chance": 0.5, "of": "answers", "needs": "any", "headline": False, "decision": True, "trials": "pairs"}
    other |= {"test": "DeLong", "biased": 1, "fewest_reals": 5, "undefined": "why", "part": "regions"}
    other |= {"reader": "verdict", "shuffled": True, "reads": ("cider",), "calibrated": True}

    def of(**changed: object) -> str:
        given = {"name": "own", "better": "lower", **changed}
        return Metric(compute=lambda label: 0.0, **given).identity  # type: ignore[arg-type]

    assert {field.name for field in dataclasses.fields(Metric)} == {*other, "compute", "fast", "code"}
    assert len({of(), *(of(**{key: value}) for key, value in other.items())}) == 1 + len(other)
