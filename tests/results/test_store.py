"""Predictions on disk: resuming, other runs' rows, a second writer, a full disk."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows_held import rows_held

from m2f2bench.core.errors import ScoreError, StoreError
from m2f2bench.core.files import replacing, write_json
from m2f2bench.core.records import Prediction
from m2f2bench.results.parts import AHEAD, Parts
from m2f2bench.results.row_files import KEY as KEY_NAME
from m2f2bench.results.row_files import read_key, read_parquet, write_parquet
from m2f2bench.results.store import PREDICTIONS, PredictionStore, describe_difference

KEY = {"detector": "k"}


def row(i: int, score: float | None = 0.5) -> Prediction:
    status = "ok" if score is not None else "unreadable"
    return Prediction(f"f{i}", f"v{i}", "m", "a+b", 1, status, score, "00ff", "" if score is not None else "bad")


def test_rows_survive_and_are_finished_in_order(tmp_path: Path) -> None:
    with PredictionStore(tmp_path, KEY) as store:
        store.append([row(2), row(0)])
    assert not (tmp_path / PREDICTIONS).exists() and (tmp_path / "predictions.partial.arrows").exists()
    with PredictionStore(tmp_path, KEY) as store:
        assert list(store.rows) == ["f2", "f0"]
        store.append([row(1, None)])
        finished = store.finish(["f0", "f1", "f2"])
    assert finished == [row(0), row(1, None), row(2)]
    assert read_parquet(tmp_path / PREDICTIONS) == finished
    assert read_key(tmp_path / PREDICTIONS) == KEY
    assert sorted(p.name for p in tmp_path.iterdir()) == [PREDICTIONS]


def three_parts(folder: Path) -> tuple[Path, list[int]]:
    """A file of nine rows in three parts, and where each part begins."""
    path, begins = folder / "predictions.partial.arrows", []
    for start in range(0, 9, 3):
        with PredictionStore(folder, KEY) as store:
            begins.append(path.stat().st_size)
            store.append([row(i, i / 9) for i in range(start, start + 3)])
    return path, begins


@given(cut=st.floats(0, 1), after=st.sampled_from([b"", bytes(8), bytes(4096), b"\xff" * 64, b"[" * 99]))
@settings(max_examples=60, deadline=None)
def test_a_file_cut_anywhere_gives_back_its_whole_parts(
    tmp_path_factory: pytest.TempPathFactory, cut: float, after: bytes
) -> None:
    """A kill or a full disk cuts it off; after a power failure blocks of zeros or of another file may follow."""
    path, ends = three_parts(tmp_path_factory.mktemp("cut"))
    whole = path.read_bytes()
    kept = round(cut * len(whole))
    after = after if kept >= ends[0] else b""  # what is no beginning of such a file is another's
    path.write_bytes(found := whole[:kept] + after)
    with PredictionStore(path.parent, KEY) as store:
        expected = 3 * sum(found[:end] == whole[:end] for end in [*ends[1:], len(whole)])
        assert list(store.rows.values()) == [row(i, i / 9) for i in range(expected)]
        store.append([row(i, i / 9) for i in range(expected, 9)])
        assert store.finish(f"f{i}" for i in range(9)) == [row(i, i / 9) for i in range(9)]


@given(at=st.floats(0, 1), changed=st.binary(min_size=1, max_size=40), fill=st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_row_is_read_that_was_not_written(
    tmp_path_factory: pytest.TempPathFactory, at: float, changed: bytes, fill: bool
) -> None:
    """Wherever bytes are others, or zeros up to the end."""
    path, ends = three_parts(tmp_path_factory.mktemp("changed"))
    whole = path.read_bytes()
    begin = ends[0] + round(at * (len(whole) - ends[0]))
    rest = bytes(len(whole) - begin) if fill else (changed + whole[begin + len(changed) :])[: len(whole) - begin]
    path.write_bytes(whole[:begin] + rest)
    with PredictionStore(path.parent, KEY) as store:
        found = list(store.rows.values())
    assert found == [row(i, i / 9) for i in range(len(found))]
    assert len(found) >= 3 * sum(end <= begin for end in ends[1:]) and len(found) % 3 == 0


def test_a_disk_that_fails_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = three_parts(tmp_path)
    whole = path.read_bytes()

    def fails(self: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fails)
        with pytest.raises(StoreError, match=r"cannot read .*: Input/output error"), PredictionStore(tmp_path, KEY):
            pass
    assert path.read_bytes() == whole, "nothing is cut off"


def test_rows_are_read_by_any_reader_of_arrow_while_a_run_goes_on(tmp_path: Path) -> None:
    with PredictionStore(tmp_path, KEY) as store:
        for i in range(0, 40, 4):
            store.append([row(i + j) for j in range(4)])
        until = time.monotonic() + 60
        while len(rows_held(tmp_path / "predictions.partial.arrows")) < 40 and time.monotonic() < until:
            time.sleep(0.001)
        held = pa.ipc.open_stream(tmp_path / "predictions.partial.arrows").read_pandas()
        assert held["frame"].tolist() == [f"f{i}" for i in range(40)] and held["score"].dtype == "float64"


def test_no_more_than_a_few_parts_wait_for_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, begun = threading.Event(), threading.Semaphore(0)
    write = Parts._write

    def slow(self: Parts, data: pa.Buffer) -> None:
        begun.release()
        assert goes_on.wait(60)
        write(self, data)

    with PredictionStore(tmp_path, KEY) as store:
        monkeypatch.setattr(Parts, "_write", slow)
        for i in range(AHEAD):  # the caller goes on
            store.append([row(i)])
        assert begun.acquire(timeout=60)
        another = threading.Thread(target=store.append, args=([row(AHEAD)],))
        another.start()
        another.join(0.2)
        assert another.is_alive(), "one more waits"
        goes_on.set()
        another.join()
    assert len(rows_held(tmp_path / "predictions.partial.arrows")) == AHEAD + 1


def test_what_ended_a_run_is_said_and_not_that_its_rows_could_not_be_written(tmp_path: Path) -> None:
    def fails(self: Parts, data: pa.Buffer) -> None:
        raise StoreError("full")

    for ended, said in ((KeyboardInterrupt, KeyboardInterrupt), (None, StoreError)):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(said), PredictionStore(tmp_path, KEY) as store:
            patch.setattr(Parts, "_write", fails)
            store.append([row(0)])
            if ended is not None:
                raise ended
    with PredictionStore(tmp_path, KEY) as store:
        assert not store.rows


def test_texts_that_utf8_cannot_say_are_escaped(tmp_path: Path) -> None:
    odd = dataclasses.replace(row(1, None), message="no file \udcff")
    with PredictionStore(tmp_path, KEY) as store:
        store.append([row(0), odd])
    with PredictionStore(tmp_path, KEY) as store:
        assert [one.message for one in store.rows.values()] == ["", "no file \\udcff"]
        store.append([dataclasses.replace(odd, frame="f2")])
        found = store.finish(["f0", "f1", "f2"])
    assert read_parquet(tmp_path / PREDICTIONS) == found and "\\udcff" in found[2].message


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
    given = 0
    with (
        pytest.raises(StoreError, match="No space left on device"),
        PredictionStore(folder, KEY) as store,
    ):
        for start in range(0, 10_000, 8):
            store.append([row(i) for i in range(start, start + 8)])
            given = start + 8
    assert given > 100
    with PredictionStore(folder, KEY) as store:
        written = len(store.rows)
        assert given - 8 * AHEAD <= written <= given and written % 8 == 0, "and no part that waited is lost in between"
        assert [r.frame for r in store.rows.values()] == [f"f{i}" for i in range(written)]


def test_a_disk_that_fills_during_a_run_says_so_in_one_line_and_goes_on(cli, one_line, squares, small_disk) -> None:
    disk = small_disk("256k")
    folder = disk / "run"
    folder.mkdir()
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * (248 << 10))
    words = ["run", "-d", "random", "-s", squares, "--out", folder, "--batch-size", "4"]
    line = one_line(cli(*words))
    assert "No space left on device" in line and str(folder) in line
    kept = [one["frame"] for one in rows_held(folder / "random--squares--frame" / "predictions.partial.arrows")]
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


def test_the_last_row_of_a_thing_counts(tmp_path: Path) -> None:
    """A row that was judged again because its frame had changed replaces the finished one."""
    with PredictionStore(tmp_path, KEY) as store:
        store.append([row(0, 0.1), row(1, 0.2)])
        store.finish(["f0", "f1"])
    with PredictionStore(tmp_path, KEY) as store:
        store.append([row(0, 0.7)])
        store.append([row(0, 0.8)])
    with PredictionStore(tmp_path, KEY) as store:
        assert [one.score for one in store.finish(["f0", "f1"])] == [0.8, 0.2]
    assert [one.score for one in read_parquet(tmp_path / PREDICTIONS)] == [0.8, 0.2]


def test_only_siblings_of_the_same_key_and_name_are_taken(tmp_path: Path) -> None:
    for folder, key, i in (("d--s--frame", KEY, 0), ("d--s--video", {"detector": "j"}, 1), ("e--s--frame", KEY, 2)):
        with PredictionStore(tmp_path / folder, key) as store:
            store.append([row(i)])
            store.finish([f"f{i}"])
    with PredictionStore(tmp_path / "d--s--sbi", KEY) as store:
        assert set(store.siblings("d--s")) == {"f0"}
        store.append([row(3)])
        store.finish(["f3"])
        assert set(store.siblings("d--s")) == {"f0"}  # its own rows are none of another run's
    with PredictionStore(tmp_path / "other", KEY) as store:
        assert set(store.siblings("d--s")) == {"f0", "f3"} and set(store.siblings("d")) == {"f0", "f3"}


def test_a_status_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    odd = dataclasses.replace(row(1), status="fine")
    write_parquet(tmp_path / "rows.parquet", [row(0), odd])
    with pytest.raises(ScoreError, match="frame 'f1' has the unknown status 'fine'"):
        read_parquet(tmp_path / "rows.parquet")


def test_what_two_keys_differ_in_is_said() -> None:
    held = {"detector": "a", "weights": "1", "torch": "2.4", "root": "x"}
    assert describe_difference(held, {**held, "torch": "2.5"}) == "torch (2.4 / 2.5)"
    assert describe_difference(held, {**held, "root": "y"}) == "the dataset's folder"
    assert describe_difference(held, {"detector": "a", "weights": "2", "torch": "2.4", "root": "x", "timm": "1"}) == (
        "weights, state or code (1 / 2), timm (none / 1)"
    )
    assert describe_difference({}, held) == "" == describe_difference(held, held)


def test_rows_of_an_older_version_are_refused(tmp_path: Path) -> None:
    """Version 0.5 wrote a key without parts: it is unknown what decided its rows."""
    with PredictionStore(tmp_path, KEY) as store:
        store.append([row(0)])
        store.finish(["f0"])
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / PREDICTIONS)
    pq.write_table(table.replace_schema_metadata({KEY_NAME: b"0123abcd"}), tmp_path / PREDICTIONS)
    assert read_key(tmp_path / PREDICTIONS) == {}
    with pytest.raises(StoreError, match="written by another version"), PredictionStore(tmp_path, KEY):
        pass


def test_f4_columns_that_were_added_later_may_lack_and_no_others(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows.parquet", [row(0), row(1)])
    table = pq.read_table(tmp_path / "rows.parquet")
    pq.write_table(table.drop_columns(["picture", "stamp"]), tmp_path / "older.parquet")
    assert [one.frame for one in read_parquet(tmp_path / "older.parquet")] == ["f0", "f1"]
    pq.write_table(table.drop_columns(["score"]), tmp_path / "lacks.parquet")
    with pytest.raises(ScoreError, match="lacks the column 'score'"):
        read_parquet(tmp_path / "lacks.parquet")


@pytest.mark.parametrize("n", [1, 3])
def test_f4_as_many_rows_again_as_were_recovered_are_kept(tmp_path: Path, n: int) -> None:
    """The partial file is removed only if it is empty."""
    for start in (0, n, 2 * n):
        with PredictionStore(tmp_path, KEY) as store:
            assert len(store.rows) == start
            store.append([row(i) for i in range(start, start + n)])
