"""The registry of metrics: a user's metric from a file of their own, through every command that numbers pass."""

from __future__ import annotations

import json
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
from paths import TESTS
from toy_questions import FACES, RULES, answer_lines
from toy_units import make_units

import m2f2bench
from m2f2bench.cards.models import ProtocolCard, read_card
from m2f2bench.cards.protocols import DETECTION_METRICS, METRIC_NAME
from m2f2bench.core.errors import CardError, M2F2BenchError, RegistryError, ScoreError
from m2f2bench.loading import any_protocol
from m2f2bench.metrics import registry
from m2f2bench.metrics.detection.intervals import score_units
from m2f2bench.metrics.detection.sample import plain, resampled
from m2f2bench.metrics.detection.values import Cut, evaluate
from m2f2bench.metrics.metric import Metric, from_note
from m2f2bench.metrics.names import OVERALL
from m2f2bench.metrics.registry import metric_of, register_metric
from m2f2bench.scoring.answers import load_answers, plan_questions
from m2f2bench.scoring.score_answers import score_answers
from m2f2bench.scoring.source import Source
from m2f2bench.stats.bootstrap import Resampling

SOURCE = """
import numpy as np
import m2f2bench

@m2f2bench.register_metric("cost", better="lower", title="cost of errors", range=(0, 10), chance=5)
def cost(label, score, threshold):
    called = score >= threshold
    return (10.0 * (called != (label == 1))).mean()

class Good:
    def predict(self, images):
        return [float(image[0, 0, 0]) / 255 for image in images]

class Bad:
    def predict(self, images):
        return [float(image[0, 0, 1]) / 255 for image in images]

class Faces(m2f2bench.Adapter):
    def frames(self, split):
        return [m2f2bench.Frame(str(i), str(i // 2), i // 2 % 2, "m" if i // 2 % 2 else "original", split, (),
                                m2f2bench.Locator("")) for i in range(120)]
    def read(self, frame):
        rng = np.random.default_rng(int(frame.id))
        shift = 60 * frame.label
        red, green = 60 + shift + 110 * rng.random(), 90 + shift / 10 + 100 * rng.random()
        return np.tile(np.array([red, green, 0]).astype(np.uint8), (8, 8, 1))
"""


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers ends with it."""
    monkeypatch.setattr(registry, "_REGISTERED", {})


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with a user's file and a protocol card that names a metric in it."""
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nlevel: frame\nmetrics: [auc, mine.py:cost]\nbootstrap: {resamples: 200}\n"
    )
    return tmp_path


def judge(mine: Path, cli: Callable, *more: object) -> Path:
    """Run both detectors of the user's file under the user's protocol; the folder of the runs."""
    words = ["-d", mine / "mine.py:Good", "-d", mine / "mine.py:Bad", "-s", mine / "mine.py:Faces"]
    ran = cli("run", *words, "-p", mine / "mine.yaml", "--out", mine / "out", *more)
    assert ran.status == 0, ran.err
    return mine / "out"


def test_a_users_metric_of_which_lower_is_better_end_to_end(mine: Path, cli: Callable) -> None:
    out = judge(mine, cli, "--json")
    good, bad = (json.loads((out / f"mine.{n}--mine.Faces--mine" / "result.json").read_text()) for n in ("Good", "Bad"))
    own = {name: one["metrics"]["cost"] for name, one in (("good", good), ("bad", bad))}
    assert own["good"]["ci"][0] <= own["good"]["value"] <= own["good"]["ci"][1] < own["bad"]["value"] <= 10.0
    assert own["good"]["ci"][0] < own["good"]["ci"][1] and good["methods"]["m"]["cost"] == own["good"]
    described = good["protocol_card"]["described"]["cost"]
    assert (described["better"], described["title"], described["high"]) == ("lower", "cost of errors", 10.0)
    assert f"|own:cost@{described['code']}|" in good["signature"]

    places = [out / f"mine.{name}--mine.Faces--mine" for name in ("Good", "Bad")]
    compared = json.loads(cli("compare", *places, "--metric", f"{mine}/mine.py:cost", "--json").out)["differences"][0]
    assert compared["metric"] == "cost" and compared["difference"] < 0 and compared["p"] < 0.05
    assert compared["ci"][1] < 0
    printed = cli("compare", *places, "--metric", f"{mine}/mine.py:cost").out
    assert "\n| cost of errors |" in printed and "AUC" not in printed

    # The board orders by the metric: the lower value first, and says that it is the best by a paired test.
    (mine / "cards" / "leaderboards").mkdir(parents=True)
    board = "columns: [{dataset: mine.Faces, protocol: mine, metric: ../../mine.py:cost}]\n"
    (mine / "cards" / "leaderboards" / "own.yaml").write_text("name: own\n" + board)
    table = json.loads(cli("leaderboard", "own", out, "--cards", mine / "cards", "--format", "json").out)
    assert [row["detector"] for row in table["rows"]] == ["mine.Good", "mine.Bad"]
    assert [row["rank"] for row in table["rows"]] == [1, 2]
    for form, words in {
        "md": "cost of errors",
        "html": "lower is better",
        "tex": "cost of errors",
        "csv": "cost",
    }.items():
        assert words in cli("leaderboard", "own", out, "--cards", mine / "cards", "--format", form).out
    assert "**" in cli("leaderboard", "own", out, "--cards", mine / "cards").out

    drawn = cli("plot", "methods", *places, "--metric", "cost", "--out", mine / "cost.svg")
    assert drawn.status == 0 and "cost of errors" in (mine / "cost.svg").read_text()
    valid = cli("validate", *places)
    assert valid.status == 0, valid.out
    passed = cli("check", places[0], "--run", places[0], "--metric", "cost")
    assert passed.status == 0, passed.out
    failed = cli("check", places[0], "--run", places[1], "--metric", "cost")
    assert failed.status == 1 and re.search("cost rose from .* by more than noise", failed.err)


def outside(folder: Path, *words: object, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in a fresh process, which knows nothing of the user's files."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(site or ""), *sys.path]))}
    command = [sys.executable, "-m", "m2f2bench", *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_without_the_code_a_result_is_ranked_by_what_it_says_and_nothing_is_loaded(mine: Path, cli: Callable) -> None:
    out = judge(mine, cli)
    (mine / "mine.py").rename(mine / "moved.py")
    found = outside(mine, "leaderboard", out)
    assert found.returncode == 0 and "cost of errors" in found.stdout, found.stderr
    table = json.loads(outside(mine, "leaderboard", out, "--format", "json").stdout)
    assert [row["detector"] for row in table["rows"]] == ["mine.Good", "mine.Bad"]
    run = out / "mine.Good--mine.Faces--mine"
    lacking = outside(mine, "validate", run)
    assert lacking.returncode == 1 and "unknown metric 'cost'; if it is your own, give the file" in lacking.stdout
    assert outside(mine, "validate", run, "--metric", "moved.py:cost").returncode == 1, "another file, another code"
    (mine / "moved.py").rename(mine / "mine.py")
    assert outside(mine, "validate", run, "--metric", "mine.py:cost").returncode == 0


def test_a_result_that_names_a_file_is_refused_and_the_file_not_executed(mine: Path, cli: Callable) -> None:
    out = judge(mine, cli)
    file = out / "mine.Good--mine.Faces--mine" / "result.json"
    data = json.loads(file.read_text())
    (mine / "evil.py").write_text(f"open({str(mine / 'executed')!r}, 'w')\n")
    for metrics in (["auc", f"{mine}/evil.py:cost"], ["auc", "cost", f"{mine}/evil.py:x"]):
        file.write_text(json.dumps({**data, "protocol_card": {**data["protocol_card"], "metrics": metrics}}))
        for words in (("validate",), ("leaderboard",), ("score",), ("check", "--run", file.parent)):
            found = cli(words[0], file.parent, *words[1:])
            assert found.status in (1, 2) and "Traceback" not in found.err
    assert not (mine / "executed").exists()
    card = {
        **data["protocol_card"],
        "metrics": ["auc"],
        "described": {"auc": data["protocol_card"]["described"]["cost"]},
    }
    file.write_text(json.dumps({**data, "protocol_card": card}))
    assert "'auc' is no metric of the user's" in cli("validate", file.parent).out


def test_two_metrics_of_one_name_are_never_in_one_column(mine: Path, cli: Callable) -> None:
    out = judge(mine, cli)
    changed = SOURCE.replace("10.0 * ", "5.0 * ")
    (mine / "mine.py").write_text(changed)
    words = ["-d", mine / "mine.py:Bad", "-s", mine / "mine.py:Faces", "-p", mine / "mine.yaml"]
    assert cli("run", *words, "--out", mine / "again").status == 0
    old, new = (mine / place / f"mine.{n}--mine.Faces--mine" for place, n in (("out", "Good"), ("again", "Bad")))
    table = json.loads(cli("leaderboard", out, mine / "again", "--format", "json").out)
    assert len({column["signature"] for column in table["columns"]}) == 2
    assert cli("compare", old, new, "--metric", "cost").status == 0, "rows are scored again, both by the present code"
    refused = cli("check", old, "--run", new, "--metric", "cost")
    assert refused.status == 1 and "code of your own metrics (own) was" in refused.err
    told = cli("plot", "ranks", out, mine / "again", "--metric", "cost", "--out", mine / "r.svg")
    assert told.status == 2 and "different metrics of the name 'cost'" in told.err
    assert "own is cost@" in cli("validate", old).out


def test_an_entry_point_of_an_installed_package(tmp_path: Path, cli: Callable) -> None:
    site = tmp_path / "site"
    info = site / "m2f2bench_fixture-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: m2f2bench-fixture\nVersion: 1.0\n")
    declared = (TESTS / "plugin" / "pyproject.toml").read_text().split("[project.entry-points.")[1:]
    groups = [part.partition("]\n") for part in declared]
    lines = [f"[{head.strip(chr(34))}]\n" + body.replace('"', "") for head, _, body in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))
    (site / "m2f2bench_fixture").symlink_to(TESTS / "plugin" / "m2f2bench_fixture")
    card = tmp_path / "gap.yaml"
    card.write_text("name: gap\nlevel: frame\nmetrics: [fixture_gap]\n")
    (tmp_path / "rows.csv").write_text("id,label,score\na,0,0.25\nb,1,0.75\nc,0,0.25\nd,1,0.5\n")
    ran = outside(tmp_path, "score", "rows.csv", "-p", card, "--json", site=site)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["metrics"]["fixture_gap"]["value"] == 0.375 and result["metrics"]["fixture_gap"]["ci"]
    assert "own:fixture_gap@" in result["signature"]
    without = outside(tmp_path, "score", "rows.csv", "-p", card)
    assert without.returncode == 2 and "unknown metric 'fixture_gap'" in without.stderr
    (info / "entry_points.txt").write_text("[m2f2bench.metrics]\nfixture_gap = m2f2bench_fixture:Brightness\n")
    wrong = outside(tmp_path, "score", "rows.csv", "-p", card, site=site)
    assert wrong.returncode == 2 and "must be the Metric of that name" in wrong.stderr


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
    return score_units(units, [name], Cut(), Resampling(resamples)).overall[name]


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


def test_a_metric_of_answers_is_the_mean_over_what_is_compared(tmp_path: Path, cli: Callable) -> None:
    (tmp_path / "words.py").write_text(
        "import m2f2bench\n\n@m2f2bench.register_metric('brevity', better='lower', title='words an answer', "
        "of='answers', range=(0, float('inf')))\ndef brevity(text, references):\n    return len(text.split())\n"
    )
    rules = tmp_path / "toy.yaml"
    metrics = re.search(r"metrics: \[[^\]]*", RULES)
    assert metrics is not None
    rules.write_text(RULES.replace(metrics[0], f"{metrics[0]}, words.py:brevity"))
    asked = plan_questions(FACES, str(rules))
    files = {}
    for name, text in (("short", "It looks fake."), ("long", "The image looks fake to me, I think.")):
        files[name] = answer_lines(tmp_path / f"{name}.jsonl", {q.id: text for q in asked.questions})
    result = score_answers(load_answers(files["short"], source=Source(str(rules), FACES, detector="short")), False)
    found = result.result.metrics["brevity"]
    assert found.value == 3.0 and found.n_real > 0 and found.ci is not None
    assert "own:brevity@" in result.result.signature
    words = ["compare", *files.values(), "-p", rules, "-s", FACES, "-m", "brevity", "--json"]
    outcome = cli(*words)
    assert outcome.status == 0, outcome.err
    assert json.loads(outcome.out)["differences"][0]["difference"] == -5.0
    with pytest.raises(M2F2BenchError, match="is of answers"):
        any_protocol(ProtocolCard(name="p", level="frame", metrics=("auc", f"{tmp_path}/words.py:brevity")))


def test_it_is_exported_and_nothing_heavy_is_imported() -> None:
    assert m2f2bench.register_metric is register_metric and m2f2bench.Metric is Metric
    code = "import sys, m2f2bench.cards.models as m; m.read_card('metrics', m.find_card('metrics', 'frame')); "
    heavy = "print([name for name in ('torch', 'scipy', 'sklearn', 'pandas', 'transformers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + heavy], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
