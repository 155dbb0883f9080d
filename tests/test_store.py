"""Predictions on disk: resume after a cut, other runs' rows, a second writer, a full disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.errors import ScoreError, StoreError
from m2f2bench.files import replacing, write_json
from m2f2bench.records import Prediction
from m2f2bench.store import (
    PREDICTIONS,
    PredictionStore,
    read_key,
    read_parquet,
    write_parquet,
)

KEY = {"detector": "k"}


def row(i: int, score: float | None = 0.5) -> Prediction:
    status = "ok" if score is not None else "unreadable"
    return Prediction(f"f{i}", f"v{i}", "m", "a+b", 1, status, score, "00ff", "" if score is not None else "bad")


def test_rows_survive_and_are_finished_in_order(tmp_path: Path) -> None:
    with PredictionStore(tmp_path, KEY) as store:
        store.append([row(2), row(0)])
    assert not (tmp_path / PREDICTIONS).exists() and (tmp_path / "predictions.partial.jsonl").exists()
    with PredictionStore(tmp_path, KEY) as store:
        assert list(store.rows) == ["f2", "f0"]
        store.append([row(1, None)])
        finished = store.finish(["f0", "f1", "f2"])
    assert finished == [row(0), row(1, None), row(2)]
    assert read_parquet(tmp_path / PREDICTIONS) == finished
    assert read_key(tmp_path / PREDICTIONS) == KEY
    assert sorted(p.name for p in tmp_path.iterdir()) == [PREDICTIONS]


@given(cut=st.integers(0, 2000))
@settings(max_examples=40, deadline=None)
def test_a_file_cut_anywhere_gives_back_its_whole_lines(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("cut")
    with PredictionStore(folder, KEY) as store:
        store.append([row(i, i / 7) for i in range(7)])
    path = folder / "predictions.partial.jsonl"
    whole = path.read_bytes()
    kept = whole[: min(cut, len(whole))]
    path.write_bytes(kept)
    with PredictionStore(folder, KEY) as store:
        expected = max(0, kept.count(b"\n") - 1)
        assert list(store.rows.values()) == [row(i, i / 7) for i in range(expected)]
        store.append([row(i, i / 7) for i in range(expected, 7)])
        assert store.finish(f"f{i}" for i in range(7)) == [row(i, i / 7) for i in range(7)]


def test_scores_come_back_bit_by_bit(tmp_path: Path) -> None:
    values = [0.1 + 0.2, 1 / 3, 5e-324, 0.9999999999999999]
    with PredictionStore(tmp_path, KEY) as store:
        store.append([row(i, value) for i, value in enumerate(values)])
    with PredictionStore(tmp_path, KEY) as store:
        assert [r.score for r in store.finish(f"f{i}" for i in range(4))] == values


def test_rows_of_another_detector_are_refused(tmp_path: Path) -> None:
    with PredictionStore(tmp_path, {"detector": "first"}) as store:
        store.append([row(0)])
    for _ in range(2):
        other = PredictionStore(tmp_path, {"detector": "second"})
        with pytest.raises(StoreError, match=r"differing in detector \(first / second\)"), other:
            pass
    with PredictionStore(tmp_path, {"detector": "first"}) as store:
        store.finish(["f0"])
    with pytest.raises(StoreError, match="give another --out"), PredictionStore(tmp_path, {"detector": "second"}):
        pass


def test_two_writers_at_once(tmp_path: Path) -> None:
    with PredictionStore(tmp_path, KEY) as store:
        store.append([row(0)])
        with (
            pytest.raises(StoreError, match="being written by another process"),
            PredictionStore(tmp_path, KEY),
        ):
            pass
        store.append([row(1)])
    with PredictionStore(tmp_path, KEY) as store:
        assert len(store.rows) == 2


def test_a_finished_run_opened_again_leaves_nothing_behind(tmp_path: Path) -> None:
    with PredictionStore(tmp_path, KEY) as store:
        store.append([row(0)])
        store.finish(["f0"])
    with PredictionStore(tmp_path, KEY) as store:
        assert list(store.rows) == ["f0"]
    assert [p.name for p in tmp_path.iterdir()] == [PREDICTIONS]


def test_a_disk_that_fills_keeps_what_was_written(small_disk) -> None:
    disk = small_disk("256k")
    folder = disk / "run"
    written = 0
    with (
        pytest.raises(StoreError, match="No space left on device"),
        PredictionStore(folder, KEY) as store,
    ):
        for start in range(0, 10_000, 8):
            store.append([row(i) for i in range(start, start + 8)])
            written = start + 8
    assert written > 100
    with PredictionStore(folder, KEY) as store:
        assert [r.frame for r in store.rows.values()] == [f"f{i}" for i in range(written)]


def test_a_disk_that_fills_during_a_run_says_so_in_one_line_and_goes_on(cli, one_line, squares, small_disk) -> None:
    disk = small_disk("256k")
    folder = disk / "run"
    folder.mkdir()
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * (252 << 10))
    words = ["run", "-d", "random", "-s", squares, "--out", folder, "--batch-size", "4"]
    line = one_line(cli(*words))
    assert "No space left on device" in line and str(folder) in line
    partial = folder / "random--squares--frame" / "predictions.partial.jsonl"
    kept = [json.loads(text)["frame"] for text in partial.read_text().splitlines()[1:]]
    assert 0 < len(kept) < 48
    ballast.unlink()
    outcome = cli(*words, "--json")
    assert outcome.status == 0, outcome.err
    rows = read_parquet(folder / "random--squares--frame" / PREDICTIONS)
    assert len(rows) == 48 and {r.frame for r in rows} >= set(kept)


def test_replacing_leaves_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(ValueError):
        write_json(path, float("nan"))
    assert json.loads(path.read_text()) == {"a": 1}
    assert oct(path.stat().st_mode & 0o777) in ("0o644", "0o664", "0o600")


def test_somebody_elses_parquet(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"not parquet")
    with pytest.raises(ScoreError, match="not a readable Parquet file"):
        read_parquet(tmp_path / "x.parquet")
    write_parquet(tmp_path / "y.parquet", [Prediction("f", "v", "m", "", 1, "fine", 0.5)])
    with pytest.raises(ScoreError, match="unknown status 'fine'"):
        read_parquet(tmp_path / "y.parquet")
