"""The memo: what is put is found again under its stamp, whatever is killed or written meanwhile."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.core.memo import CACHE_VARIABLE, Memo, cache_folder, file_stamp

JSON = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def test_put_get_and_reopen(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "memo.jsonl"
    with Memo(path) as memo:
        assert memo.get("a", "1") is None and not path.exists()
        memo.put("a", "1", [1, "ü\n"])
        memo.put("a", "2", {"x": 0.1})
        memo.put("b", "", 3)
        assert memo.get("a", "1") is None and memo.get("a", "2") == {"x": 0.1}
    assert len(path.read_bytes().splitlines()) == 3
    again = Memo(path)
    assert (again.get("a", "1"), again.get("a", "2"), again.get("b", ""), len(again)) == (None, {"x": 0.1}, 3, 2)


def test_a_value_is_what_reopening_gives(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "m")
    memo.put("t", "", (1, 2))
    assert memo.get("t", "") == [1, 2] == Memo(memo.path).get("t", "")


@given(cut=st.integers(0, 200))
def test_a_file_cut_anywhere_keeps_its_whole_lines(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("memo") / "m"
    with Memo(path) as memo:
        for i in range(6):
            memo.put(f"key{i}", "s", {"value": i})
    data = path.read_bytes()[: min(cut, 6 * 27)]
    path.write_bytes(data)
    whole = data.count(b"\n") + (data.rpartition(b"\n")[2].endswith(b"]"))
    with Memo(path) as memo:
        assert len(memo) == whole
        memo.put("new", "s", 1)
    again = Memo(path)
    assert again.get("new", "s") == 1 and len(again) == whole + 1


@given(rows=st.lists(st.tuples(st.text(), st.text(), JSON), max_size=8))
def test_anything_json_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, object]]
) -> None:
    path = tmp_path_factory.mktemp("memo") / "m"
    with Memo(path) as memo:
        for key, stamp, value in rows:
            memo.put(key, stamp, value)
    again = Memo(path)
    for key, (stamp, value) in {key: (stamp, value) for key, stamp, value in rows}.items():
        assert again.get(key, stamp) == value


@given(junk=st.binary(max_size=60))
def test_foreign_bytes_are_passed_over(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("memo") / "m"
    path.write_bytes(b'["k","s",1]\n' + junk + b'\n{"no": "row"}\n["short"]\n["n",1,2]\n["l","s",2]\n')
    memo = Memo(path)
    assert memo.get("k", "s") == 1 and memo.get("l", "s") == 2 and memo.get("n", "1") is None


def test_not_json_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "m")
    with pytest.raises(ValueError):
        memo.put("a", "s", float("nan"))
    with pytest.raises(TypeError):
        memo.put("a", "s", {1, 2})
    assert memo.get("a", "s") is None and not memo.path.exists()


def _write(path: Path, who: int, n: int) -> None:
    with Memo(path) as memo:
        for i in range(n):
            memo.put(f"{who}-{i}", "s", ["x" * (i % 50), who])
            memo.put("both", "s", [who, i])


def test_two_processes_lose_no_line(tmp_path: Path) -> None:
    path, n = tmp_path / "m", 400
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(path, who, n)) for who in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    lines = path.read_bytes().splitlines()
    assert len(lines) == 4 * n and all(json.loads(line) for line in lines)
    memo = Memo(path)
    assert len(memo) == 2 * n + 1 and memo.get("both", "s")[1] == n - 1


def test_a_full_disk_is_told_once_and_stops_nothing(small_disk, caplog: pytest.LogCaptureFixture) -> None:
    path = small_disk("64k") / "m"
    with caplog.at_level(logging.WARNING), Memo(path) as memo:
        for i in range(40):
            memo.put(str(i), "s", "x" * 4000)
        assert memo.get("39", "s") == "x" * 4000
    assert len(caplog.records) == 1 and CACHE_VARIABLE in caplog.text and "No space" in caplog.text
    kept = Memo(path)
    assert 0 < len(kept) < 40 and kept.get("0", "s") == "x" * 4000


def test_a_folder_that_cannot_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    memo = Memo(tmp_path / "file" / "m")
    memo.put("a", "s", 1)
    assert memo.get("a", "s") == 1 and "cannot write" in caplog.text


def test_stamp_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert file_stamp(path) == "" == file_stamp("a\0b")
    path.write_bytes(b"abc")
    os.utime(path, ns=(5, 7))
    assert file_stamp(path) == f"7:{path.stat().st_ctime_ns}:3"


def test_cache_folder_is_the_variable_or_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "m2f2bench"
