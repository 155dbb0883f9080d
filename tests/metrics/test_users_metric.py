"""A user's metric from a file of their own, through every command that numbers pass."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from paths import TESTS
from toy_metric import SOURCE
from toy_questions import FACES, RULES, answer_lines

import m2f2bench
from m2f2bench.cards.models import ProtocolCard
from m2f2bench.core.errors import M2F2BenchError
from m2f2bench.leaderboards.report import describe_result
from m2f2bench.loading import any_protocol
from m2f2bench.metrics import registry
from m2f2bench.metrics.metric import Metric
from m2f2bench.metrics.registry import register_metric
from m2f2bench.results.stored import read_results
from m2f2bench.scoring.answers import load_answers, plan_questions
from m2f2bench.scoring.score_answers import score_answers
from m2f2bench.scoring.scored import Source


def judge(mine: Path, cli: Callable, *more: object) -> Path:
    """Run both detectors of the user's file under the user's protocol; the folder of the runs."""
    words = ["-d", mine / "mine.py:Good", "-d", mine / "mine.py:Bad", "-s", mine / "mine.py:Faces"]
    ran = cli("run", *words, "-p", mine / "mine.yaml", "--out", mine / "out", *more)
    assert ran.status == 0, ran.err
    return mine / "out"


@pytest.mark.slow
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
    assert "\n| cost of errors" in printed and "| AUC" not in printed

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


@pytest.mark.slow
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
    assert [column["metric"] for column in table["columns"]] == ["auc", "cost", "cost"], "another's code moves no AUC"
    assert cli("compare", old, new, "--metric", "cost").status == 0, "rows are scored again, both by the present code"
    refused = cli("check", old, "--run", new, "--metric", "cost")
    assert refused.status == 1 and "code of your own metrics (own) was" in refused.err
    told = cli("plot", "ranks", out, mine / "again", "--metric", "cost", "--out", mine / "r.svg")
    assert told.status == 2 and "different metrics of the name 'cost'" in told.err
    assert "own is cost@" in cli("validate", old).out


def test_reasons_have_the_title_that_a_result_gives(mine: Path, cli: Callable) -> None:
    result = read_results([judge(mine, cli)])[0]
    registry._REGISTERED.clear()
    lacking = {name: replace(score, value=None, ci=None, reason="no reason") for name, score in result.metrics.items()}
    assert "\n- AUC, cost of errors: no reason\n" in describe_result(replace(result, metrics=lacking, methods={}))


@pytest.mark.slow
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
