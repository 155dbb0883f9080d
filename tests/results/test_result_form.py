"""Invalid result files: every command that reads them gives one line, never a traceback."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from paths import ROOT

import m2f2bench
from m2f2bench.core.errors import M2F2BenchError, ScoreError, StoreError
from m2f2bench.core.parsing import DEEPEST, MOST_JSON
from m2f2bench.core.records import Prediction
from m2f2bench.leaderboards.board import build_board
from m2f2bench.leaderboards.render import FORMATS, describe_run, render
from m2f2bench.leaderboards.report import describe_result
from m2f2bench.reporting.figures.plot import draw
from m2f2bench.results.form import unsound
from m2f2bench.results.row_files import read_answers, read_parquet
from m2f2bench.results.store import AnswerStore, PredictionStore
from m2f2bench.results.stored import Stored, read_result, read_stored
from m2f2bench.scoring.validate import validate_result

BOARDS = ROOT / "leaderboards"
DETECTION = BOARDS / "results" / "random--ddvqa-c40--frame.json"
EXPLANATION = BOARDS / "explanations" / "control-accuse--ddvqa-c40--explain-blind.json"
GONE = object()
ODD = (None, "x", "\x00", 5, -1, 0, True, 1e300, [], [None], [1], [[1]], {}, {"a": 1}, {"by": 1}, GONE)
READERS = ("score", "leaderboard", "plot", "check", "compare", "report", "validate")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Make a run's folder from a committed result and its rows."""
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(DETECTION, folder / "result.json")
    shutil.copy(BOARDS / "predictions" / f"{DETECTION.stem}.parquet", folder / "predictions.parquet")
    return folder


def call(cli: Any, reader: str, run: Path) -> Any:
    more = {"check": ["--run", run], "plot": ["--out", run / "a.png"], "compare": [run]}
    kind = ["ranks"] if reader == "plot" else []
    return cli(reader, *kind, run, *more.get(reader, []))


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield every path in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (*above, key)
        yield from places(one, (*above, key))


def mutated(data: Any, place: tuple[Any, ...], odd: object) -> Any:
    data = copy.deepcopy(data)
    around = data
    for key in place[:-1]:
        around = around[key]
    if odd is GONE:
        del around[place[-1]]
    else:
        around[place[-1]] = odd
    return data


def everything_shown(stored: list[Stored], run: Path) -> list[Callable[[], object]]:
    """The commands that show results as text or as a figure."""
    board = build_board(stored)
    texts: list[Callable[[], object]] = [partial(render, board, format) for format in FORMATS]
    texts += [partial(describe_run, board, [stored[0].result], run, []), partial(draw, "ranks", run)]
    return [*texts, partial(describe_result, stored[0].result)]


@pytest.mark.parametrize("source", [DETECTION, EXPLANATION], ids=["detection", "explanation"])
def test_e6_no_odd_value_anywhere_gives_a_traceback(source: Path, run: Path) -> None:
    data, file, rng = json.loads(source.read_text()), run / "result.json", random.Random(6)
    (run / "predictions.parquet").unlink()
    everywhere = list(places(data))
    shallow = [place for place in everywhere if len(place) < 3 or place[0] not in ("metrics", "methods", "regions")]
    refused = 0
    for i in range(80):
        changed = mutated(data, rng.choice(shallow if i % 2 else everywhere), rng.choice(ODD))
        file.write_text(json.dumps(changed))
        try:
            validate_result(file)
            stored = read_stored([run])
        except M2F2BenchError as error:
            assert len(str(error).splitlines()) == 1 and len(str(error)) < 600
            refused += 1
            continue
        for text in everything_shown(stored, run):
            try:
                text()
            except M2F2BenchError as error:
                assert len(str(error).splitlines()) == 1
    assert refused > 50, "most odd values are refused"


def auc(data: dict[str, Any], **changes: object) -> dict[str, Any]:
    data["metrics"]["auc"] |= changes
    return data


BROKEN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "text value": (lambda d: auc(d, value="0.9"), "'metrics.auc.value'"),
    "truth value": (lambda d: auc(d, value=True), "'metrics.auc.value'"),
    "one-ended interval": (lambda d: auc(d, ci=[0.1]), "'metrics.auc.ci.1'"),
    "three-ended interval": (lambda d: auc(d, ci=[0.1, 0.5, 0.9]), "'metrics.auc.ci'"),
    "AUC 5": (lambda d: auc(d, value=5.0), "auc 5 is not in [0, 1]"),
    "AUC -1": (lambda d: auc(d, value=-1.0), "auc -1 is not in [0, 1]"),
    "NaN": (lambda d: auc(d, value=float("nan")), "NaN is not a JSON number"),
    "infinite": (lambda d: auc(d, value=float("inf")), "Infinity is not a JSON number"),
    "interval reversed": (lambda d: auc(d, ci=[0.9, 0.1]), "whose ends are swapped"),
    "interval elsewhere": (lambda d: auc(d, ci=[0.8, 0.9], value=0.7), "auc 0.7 is not in its interval [0.8, 0.9]"),
    "interval beyond": (lambda d: auc(d, ci=[0.4, 1.5]), "auc 1.5 is not in [0, 1]"),
    "null measured": (lambda d: d | {"measured": None}, "key 'measured'"),
    "count below 0": (lambda d: auc(d, n_real=-1), "'metrics.auc.n_real'"),
    "huge number": (lambda d: d | {"measured": {"n": 10**30}}, "whole number"),
    "a list": (lambda d: [d], "not a list"),
    "nothing": (lambda d: {}, "missing key 'detector'"),
    "half a surrogate": (lambda d: d | {"detector": "\ud800"}, "surrogate"),
    "another protocol": (lambda d: d | {"protocol_card": {"task": "x"}}, "protocol_card"),
    "no method's metrics": (lambda d: d | {"methods": {"a": {}}}, "methods 'a' lacks the metric"),
    "coverage 2": (lambda d: d | {"coverage": 2.0}, "'coverage'"),
    "newlines": (lambda d: d | {"a\n\nb" * 50: 1}, "unknown key"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_e6_a_broken_result_is_one_line_in_every_command(how: str, cli, one_line, run: Path) -> None:
    change, told = BROKEN[how]
    (run / "result.json").write_text(json.dumps(change(json.loads(DETECTION.read_text()))))
    turn = list(BROKEN).index(how)
    others = READERS[:-1] if turn in (0, 4) else (READERS[turn % 6], "leaderboard")
    for reader in others:
        line = one_line(call(cli, reader, run))
        assert told in line and len(line) < 500, (reader, line)
    outcome = cli("validate", run)
    assert outcome.status == 1 and told in outcome.out, outcome


def test_e6_json_that_is_too_deep_too_long_or_no_text(cli, one_line, run: Path) -> None:
    file = run / "result.json"
    for text, told in (
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "nested deeper"),
        (b'{"a": 1, "a": 2}', "the key 'a' appears twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number is too long"),
        (b'{"a": 1e999}', "not finite"),
        (b"\xff\xfe{\x00}\x00", "UTF-16"),
        (b"\x89PNG", "is not UTF-8"),
        (b"[" + b"{}," * 2_000_000 + b"0]", "more than 2,000,000 values"),
        (b"{", "line 1 is not JSON"),
        (b"", "line 1 is not JSON"),
    ):
        file.write_bytes(text)
        assert told in one_line(cli("leaderboard", run)), text[:20]
    with file.open("wb") as sparse:
        sparse.truncate(MOST_JSON + 1)
    assert "over the limit of 67,108,864" in one_line(cli("leaderboard", run))
    file.unlink()
    os.mkfifo(file)
    line = one_line(cli("score", file))
    assert "result" in line or "no file" in line or "regular" in line


def test_e6_depth_just_below_the_limit_passes() -> None:
    from m2f2bench.core.parsing import Refused, parse_json

    assert parse_json("[" * DEEPEST + "]" * DEEPEST)
    with pytest.raises(Refused):
        parse_json("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))


def test_committed_results_are_of_the_right_form() -> None:
    files = [path for name in ("results", "explanations") for path in (BOARDS / name).glob("*.json")]
    assert len(files) > 40
    for path in files:
        result = read_result(path)
        assert list(unsound(result)) == [], path


def test_e6_one_unsound_result_is_named_among_many(cli, one_line, tmp_path: Path) -> None:
    shutil.copytree(BOARDS / "results", tmp_path / "results")
    bad = tmp_path / "results" / "constant--ddvqa-c40--frame.json"
    bad.write_text(json.dumps(auc(json.loads(bad.read_text()), value=5.0)))
    assert str(bad) in one_line(cli("leaderboard", tmp_path / "results"))


def test_e6_rows_of_our_own_with_other_types(tmp_path: Path) -> None:
    def write(**changes: object) -> Path:
        row = {"frame": "a", "video": "a", "method": "m", "identity": "", "label": 1, "status": "ok", "score": 0.5}
        row |= {"digest": "", "message": ""} | changes
        path = tmp_path / "p.parquet"
        pq.write_table(pa.table({name: [value] for name, value in row.items()}), path)
        return path

    assert read_parquet(write())[0].score == 0.5
    for changes, told in (
        ({"label": "fake"}, "column label is of type string"),
        ({"score": "much"}, "column score is of type string"),
        ({"frame": ["a"]}, "column frame is of type list"),
        ({"frame": None}, "column frame has 1 empty"),
        ({"score": 7.0}, "has the score 7"),
        ({"score": float("nan")}, "has the score nan"),
        ({"score": None}, "has the status ok but no score"),
        ({"label": 1000}, "column label"),
    ):
        with pytest.raises(ScoreError, match=told):
            read_parquet(write(**changes))
    pq.write_table(
        pa.table({"question": [1], "frame": ["a"], "text": [["x"]], "status": ["ok"]}), tmp_path / "a.parquet"
    )
    with pytest.raises(ScoreError):
        read_answers(tmp_path / "a.parquet")


def test_e6_half_written_rows_of_other_types_are_dropped(tmp_path: Path) -> None:
    good = Prediction("a", "a", "m", "", 1, "ok", 0.5)
    with pytest.raises(RuntimeError), PredictionStore(tmp_path, {"k": "v"}) as store:
        store.append([good])
        raise RuntimeError
    partial = tmp_path / "predictions.partial.arrows"
    whole = partial.read_bytes()
    odd = {"frame": pa.array(["b"]), "score": pa.array([7.5])}
    for bad in (b"null", b"[" * 100_000, bytes(1000), pa.RecordBatch.from_pydict(odd).serialize().to_pybytes()):
        partial.write_bytes(whole + bad)
        with PredictionStore(tmp_path, {"k": "v"}) as store:
            assert dict(store.rows) == {"a": good}
            store.append([])
        assert partial.read_bytes() == whole
    partial.write_bytes(b"[" * 100_000)
    with pytest.raises(StoreError, match="is not a file of rows"), PredictionStore(tmp_path, {"k": "v"}):
        pass
    assert AnswerStore.name == "answers.parquet"


def test_e6_records_of_trainings_and_indexes(cli, one_line, tmp_path: Path) -> None:
    record = tmp_path / "training.json"
    for text in ("[" * 100_000, '{"curves": NaN}', '{"curves": [{"epoch": "x"}]}', '{"curves": {}}', "[]"):
        record.write_text(text)
        assert "training" in one_line(cli("plot", "curves", record, "--out", tmp_path / "a.png"))


def test_score_in_python_raises_the_same(run: Path) -> None:
    (run / "result.json").write_text("[" * 100_000)
    with pytest.raises(M2F2BenchError, match="nested deeper"):
        m2f2bench.score(run)
