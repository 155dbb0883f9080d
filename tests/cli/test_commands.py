"""What all commands share: help, quiet and verbose, an interruption, names that the shell completes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from m2f2bench.cli import complete, output

SLOW = """
import time
class Slow:
    def predict(self, images):
        open("begun", "w").close()
        time.sleep(0.2)
        return [0.5] * len(images)
"""
ROWS = "id,label,{}\n" + "".join(f"f{i},{i % 2},{{}}\n" for i in range(40))


def rows(path: Path, name: str = "score", shift: float = 0.3) -> Path:
    values = [0.3 + 0.01 * (i * 7 % 11) + shift * (i % 2) for i in range(40)]
    path.write_text(ROWS.format(name, *(f"{value:.3f}" for value in values)))
    return path


@pytest.mark.parametrize("command", [[], ["run"], ["compare"], ["list"]])
def test_h_is_help_and_names_what_all_commands_have(cli, command: list[str]) -> None:
    short, long = cli(*command, "-h"), cli(*command, "--help")
    assert short.status == long.status == 0 and short.out == long.out
    assert all(option in short.out for option in ("-q, --quiet", "-v, --verbose", "-h, --help"))


def test_help_fits_80_columns_and_cuts_no_summary(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from m2f2bench.cli.main import app

    monkeypatch.setenv("COLUMNS", "80")
    for command in ["", *(str(one.name) for one in app.registered_commands)]:
        out = cli(*command.split(), "-h").out
        assert all(len(line) <= 80 for line in out.splitlines()), command
        assert "..." not in out.replace("}...", "").replace("]...", ""), command


def test_quiet_hides_notes_and_verbose_adds_times_and_tracebacks(cli, tmp_path: Path) -> None:
    from m2f2bench.core import progress

    assert cli("-v", "list", "controls").err.strip().endswith("finished")
    assert cli("list", "controls", "-v").err.strip().endswith("finished")
    assert cli("list", "controls").err == "" and not progress._hidden
    assert cli("list", "controls", "-q").err == "" and progress._hidden
    assert cli("list", "metrics").err and not cli("list", "metrics", "--quiet").err
    failed = cli("score", tmp_path / "none.csv", "-v")
    assert failed.status == 2 and "Traceback" in failed.err
    assert "Traceback" not in cli("score", tmp_path / "none.csv").err
    assert cli("list", "controls").err == "" and not progress._hidden, "one call sets nothing for the next"


def test_predict_keeps_its_own_q(cli) -> None:
    out = cli("predict", "-h").out
    assert "-q, --question" in out and "-q, --quiet" not in out and "--quiet" in out


@pytest.mark.slow
def test_ctrl_c_says_what_is_kept_and_the_same_command_goes_on(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    words = [sys.executable, "-m", "m2f2bench", "run", "-d", "slow.py:Slow", "-s", "synthetic", "--batch-size", "4"]
    words += ["--limit", "16", "--out", "o"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    # A shell starts jobs in the background with SIGINT ignored.
    code = "import signal, sys, os\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120
    while not (tmp_path / "begun").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    line = "m2f2bench: interrupted: the rows written so far are kept in 'o'; the same command goes on from there"
    assert [one for one in err.splitlines() if "interrupted" in one] == [line] and "Traceback" not in err
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "slow" in done.stdout.lower()


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["run", "--out", "there"], "are kept in 'there'"),
        (["run"], "are kept in 'runs/quickstart'"),
        (["run", "-d", "constant", "-s", "synthetic"], "are kept in 'runs/run'"),
        (["train", "small-cnn", "-s", "synthetic"], "no checkpoint was written yet; the same command starts again"),
        (
            ["train", "m2f2det-small-explainer", "-s", "synthetic", "--stage", "align"],
            "in 'runs/trained/m2f2det-small-explainer--synthetic--align'; the same command with --resume",
        ),
        (["predict", "x.png", "-d", "constant"], "keeps nothing unfinished"),
        (["predict", "x.png", "-d", "constant", "--heatmap", "maps"], "are kept in 'maps'"),
        (["audit", "synthetic"], "in the cache"),
        (["score", "x.csv"], "keeps nothing unfinished"),
    ],
)
def test_each_command_says_what_it_keeps(
    cli, words: list[str], kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.core import TyperCommand

    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/trained/m2f2det-small-explainer--synthetic--align/checkpoints/step-0000000002").mkdir(
        parents=True
    )

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TyperCommand, "invoke", stop)
    outcome = cli(*words)
    assert outcome.status == 130 and kept in outcome.err and len(outcome.err.strip().splitlines()) == 1


def test_the_shell_completes_names_without_loading_much() -> None:
    code = (
        "import sys\nfrom m2f2bench.cli.main import main\nsys.argv = ['m2f2bench']\n"
        "try:\n    main()\nfinally:\n"
        "    assert not {'torch', 'numpy', 'pandas', 'pyarrow'} & set(sys.modules)"
    )
    env = os.environ | {"_M2F2BENCH_COMPLETE": "complete_bash", "PYTHONPATH": os.pathsep.join(sys.path)}

    def completed(line: str, place: int) -> list[str]:
        more = {"COMP_WORDS": line, "COMP_CWORD": str(place)}
        done = subprocess.run([sys.executable, "-c", code], env=env | more, capture_output=True, text=True)
        assert "AssertionError" not in done.stderr
        return done.stdout.split()

    assert completed("m2f2bench run -d const", 3) == ["constant"]
    assert completed("m2f2bench audit synth", 2) == ["synthetic", "synthetic-c40", "synthetic-unseen"]
    assert "protocols" in completed("m2f2bench list ", 2)


def test_completions_are_of_the_right_kind() -> None:
    assert "constant" in complete.detectors("") and "synthetic" not in complete.detectors("")
    assert complete.protocols("frame") == ["frame", "frame-fpr", "frame-oracle", "frame-val"]
    assert complete.boards("quick") == ["quickstart"] and complete.metrics("au") == ["auc"]
    assert set(complete.any_card("")) > {"constant", "synthetic", "frame", "quickstart"}


def test_list_has_protocols_and_metrics(cli) -> None:
    protocols = json.loads(cli("list", "protocols", "--json").out)
    assert {"frame", "video", "judge"} <= {row["name"] for row in protocols}
    metrics = cli("list", "metrics", "--json")
    named = {row["name"]: row["description"] for row in json.loads(metrics.out)}
    assert {"auc", "bleu", "iou"} <= set(named) and "frame" not in named
    assert named["eer"] == "EER (scores, lower is better, 0 to 1)"
    assert metrics.err.strip() == "m2f2bench: these are metrics; `m2f2bench list protocols` lists the protocols' cards"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ["run", "-d", "synthetic", "-s", "synthetic"],
            "unknown detector 'synthetic': this is the name of a dataset, for -s",
        ),
        (["run", "constant"], "unknown leaderboard 'constant': this is the name of a detector, for -d constant"),
        (
            ["run", "-d", "constant", "-s", "frame"],
            "unknown dataset 'frame': this is the name of a protocol, for -p frame",
        ),
        (
            ["run", "-d", "syntheti", "-s", "synthetic"],
            "unknown detector 'syntheti'; known: capsule, ",
        ),
        (["describe", "framee"], "did you mean 'frame' (protocol) or 'frame-val' (protocol)?"),
        (["list", "protocol"], "cannot list 'protocol'; did you mean 'protocols'?"),
    ],
)
def test_a_suggestion_is_of_the_right_kind(cli, one_line, words: list[str], why: str) -> None:
    assert why in one_line(cli(*words))


def test_an_option_is_suggested_from_its_command(cli) -> None:
    assert "--against" in cli("compare", "--agianst", "x").err
    assert "--against" not in cli("score", "--agianst", "x").err


def test_columns_of_one_file(cli, one_line, tmp_path: Path) -> None:
    mine, theirs = rows(tmp_path / "mine.csv"), rows(tmp_path / "theirs.csv", "p_fake", 0.0)
    found = cli("compare", mine, theirs, "--column", "theirs.csv:score=p_fake", "-m", "auc")
    assert found.status == 0 and "\nmine is better than theirs in AUC by " in found.out
    same = cli("compare", mine, theirs, "--column", f"{theirs}:score=p_fake", "-m", "auc")
    assert same.out == found.out
    both = cli("score", mine, theirs, "--column", "theirs.csv:score=p_fake")
    assert both.status == 0 and "## theirs on rows, frame" in both.out
    line = one_line(cli("compare", mine, theirs, "--column", "their.csv:score=p_fake"))
    assert "'their.csv', which is not one of the files given; did you mean" in line
    for wrong in (":score=x", "score", "theirs.csv:=x", "=x"):
        assert "write OURS=THEIRS" in one_line(cli("compare", mine, theirs, "--column", wrong))


def test_signatures_are_left_out_on_request_and_in_a_terminal(cli, tmp_path: Path, monkeypatch) -> None:
    a, b = rows(tmp_path / "a.csv"), rows(tmp_path / "b.csv", shift=0.0)
    for words in (["score", a], ["score", a, b], ["compare", a, b]):
        assert "`det:a|" in cli(*words).out or "|det:a|" in cli(*words).out
        assert "det:a|" not in cli(*words, "--no-signatures").out
    monkeypatch.setattr(output, "in_terminal", lambda: True)
    printed = cli("compare", a, b, "-m", "auc").out
    assert "det:a|" not in printed and "| AUC" not in printed and "--signatures shows how" in printed
    assert "det:a|" in cli("compare", a, b, "-m", "auc", "--signatures").out.replace("\n", "")


def test_a_board_for_a_paper_has_no_signatures(cli, one_line) -> None:
    for form in ("md", "tex"):
        kept, bare = (
            cli("leaderboard", "ddvqa-c40", "--format", form, *more).out for more in ((), ("--no-signatures",))
        )
        assert "989fdcc5a2d5" in kept and "989fdcc5a2d5" not in bare and "weights:" not in bare
        assert bare.count("0.777") == kept.count("0.777") > 0 and "[1]" not in bare
    assert bare.count("trained on: ") == 1 and bare.endswith("\\end{table*}\n")
    assert r"\textsuperscript{a} trained on: ddvqa-c40\par" in bare
    assert bare.count(r"\textsuperscript{a}") == 5 and r"\textsuperscript{b}" not in bare
    assert "--no-signatures is for md and tex" in one_line(
        cli("leaderboard", "ddvqa-c40", "--format", "csv", "--no-signatures")
    )


def test_validate_takes_a_folder_of_runs(cli, one_line, tmp_path: Path) -> None:
    assert cli("run", "-d", "constant", "-d", "random", "-s", "synthetic", "--limit", 8, "--out", tmp_path).status == 0
    lines = cli("validate", tmp_path).out.splitlines()
    assert [line.split()[0] for line in lines] == ["valid", "valid"] and "random--synthetic--frame" in lines[1]
    (tmp_path / "empty").mkdir()
    assert "has no result.json in it" in one_line(cli("validate", tmp_path / "empty"))


def test_a_report_of_what_holds_no_answers_says_so(cli, one_line, tmp_path: Path) -> None:
    assert cli("run", "-d", "constant", "-s", "synthetic", "--limit", 8, "--out", tmp_path).status == 0
    run = tmp_path / "constant--synthetic--frame--limit8"
    assert "holds P(fake) of frames: this takes answers" in one_line(cli("report", run))
    assert "holds no answers to questions" in one_line(cli("report", tmp_path))
    assert "there is no file or folder" in one_line(cli("report", tmp_path / "none"))
    assert "must end in .html" in one_line(cli("report", run, "--out", tmp_path / "page.pdf"))
    assert "--out board.pdf: its name must end in one of .md" in one_line(
        cli("leaderboard", tmp_path, "--out", "board.pdf")
    )


def test_a_sheet_says_that_there_are_no_masks(cli, squares: Path, tmp_path: Path) -> None:
    done = cli("sheet", squares, "--masks", "--out", tmp_path / "sheet.png")
    assert done.status == 0 and "no frame of the sheet has a mask" in done.err
