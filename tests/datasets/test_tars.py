"""Tar files: found once, read by place, compressed or not; what is damaged or cut short is said."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import multiprocessing
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_line import error_of

from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.core.memo import CACHE_VARIABLE
from m2f2bench.core.records import Locator
from m2f2bench.datasets.files import tars
from m2f2bench.datasets.files.tars import read_member, tar_members, tar_stem

FILES = {"1/0001.png": b"first", "1/0002.png": b"x" * 700, "2/0001.png": b"", "2/odd name é.png": b"\0" * 1024}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test, and a process that has seen no tar yet."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(tars, "_KNOWN", type(tars._KNOWN)())
    return tmp_path / "cache"


def tarred(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of these files, each folder with a header of its own."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for folder in dict.fromkeys(name.rpartition("/")[0] for name in files):
            one = tarfile.TarInfo(folder)
            one.type = tarfile.DIRTYPE
            tar.addfile(one)
        for name, data in files.items():
            one = tarfile.TarInfo(name)
            one.size = len(data)
            tar.addfile(one, io.BytesIO(data))
    return out.getvalue()


def read(path: Path, key: str) -> bytes:
    return read_member(Locator(str(path), key), "frame")


def reason(path: Path, key: str) -> str:
    with pytest.raises(FrameError) as caught:
        read(path, key)
    assert "\n" not in caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("1.tar", bytes),
        ("1.tar.gz", gzip.compress),
        ("1.TAR.GZ", gzip.compress),
        ("1.tgz", gzip.compress),
        ("1.tar.bz2", bz2.compress),
        ("1.tar.xz", lzma.compress),
        ("1.tar", gzip.compress),  # named as if it were not compressed
        ("1.tar.gz", bytes),  # and as if it were
    ],
)
def test_each_member_is_read(tmp_path: Path, name: str, pack: object, form: int) -> None:
    path = tmp_path / name
    files = {**FILES, f"{'long/' * 40}x.png": b"under a name of 200 letters"}
    path.write_bytes(pack(tarred(files, form)))  # type: ignore[operator]
    members = tar_members(path)
    assert (members.names, members.problem) == (list(files), "")
    assert {key: read(path, key) for key in files} == files
    assert "no '3/0001.png' in" in reason(path, "3/0001.png")


def test_names_of_tar_files() -> None:
    assert [tar_stem(name) for name in ("1.tar.gz", "2.TAR", "a.b.Tgz", "tar", "1.gz", "x.tar.zip")] == [
        "1", "2", "a.b", None, None, None,
    ]  # fmt: skip


def test_a_name_given_twice_is_the_last_file_and_a_hard_link_is_its_file(tmp_path: Path) -> None:
    path = tmp_path / "1.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (("./a", b"old"), ("b", b"bee"), ("a", b"new!")):
            one = tarfile.TarInfo(name)
            one.size = len(data)
            tar.addfile(one, io.BytesIO(data))
        link = tarfile.TarInfo("c")
        link.type, link.linkname = tarfile.LNKTYPE, "b"
        tar.addfile(link)
        away = tarfile.TarInfo("d")
        away.type, away.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(away)
    assert tar_members(path).names == ["a", "b", "c"]
    assert [read(path, key) for key in "abc"] == [b"new!", b"bee", b"bee"]


def test_a_tar_is_gone_through_once(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, packed = tmp_path / "1.tar", tmp_path / "2.tar.gz"
    files = {f"{i}.png": str(i).encode() for i in range(tars.STORED)}
    plain.write_bytes(tarred(files))
    packed.write_bytes(gzip.compress(tarred(files)))
    seen: list[Path] = []
    scan = tars._scan
    monkeypatch.setattr(tars, "_scan", lambda data, problem: seen.append(data) or scan(data, problem))
    with ThreadPoolExecutor(8) as pool:
        for path in (plain, packed):
            assert list(pool.map(lambda key, path=path: read(path, key), files)) == list(files.values())
    assert len(seen) == 2
    tars._KNOWN.clear()  # as in a later process
    assert read(plain, "7.png") == read(packed, "7.png") == b"7"
    assert len(seen) == 2
    os.utime(packed, ns=(1, 1))  # touched: it may be another file
    assert read(packed, "7.png") == b"7" and len(seen) == 3
    assert len(list(own_cache.glob("tars/*.tar"))) == 1
    for copy in own_cache.glob("tars/*.tar"):
        copy.unlink()
    assert read(packed, "7.png") == b"7"  # unpacked again


def test_a_changed_tar_is_read_anew(tmp_path: Path) -> None:
    for name, pack in (("1.tar", bytes), ("1.tar.gz", gzip.compress)):
        path = tmp_path / name
        path.write_bytes(pack(tarred({"a": b"one", "b": b"two"})))
        assert read(path, "b") == b"two"
        path.write_bytes(pack(tarred({"b": b"three", "c": b""})))
        assert read(path, "b") == b"three" and tar_members(path).names == ["b", "c"]


def test_a_forked_process_reads_too(tmp_path: Path) -> None:
    path = tmp_path / "1.tar"
    path.write_bytes(tarred(FILES))
    tar_members(path)
    with tars._LOCKS[os.getpid()], multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap_async(read, [(path, key) for key in FILES]).get(60) == list(FILES.values())


def test_a_cut_tar_gives_what_is_there(tmp_path: Path) -> None:
    whole = tarred(FILES)
    path = tmp_path / "1.tar"
    at = whole.index(b"x" * 700)
    path.write_bytes(whole[: at + 100])
    members = tar_members(path)
    assert members.names == ["1/0001.png", "1/0002.png"] and "cut short after 2 files" in members.problem
    assert read(path, "1/0001.png") == b"first"
    assert "cut short in '1.tar': 100 of 700 bytes are there" in reason(path, "1/0002.png")
    assert "cut short after 2 files" in reason(path, "2/0001.png")
    path.write_bytes(whole[: at + 1024])  # just between two files
    assert "cut short after 2 files" in tar_members(path).problem
    path.write_bytes(whole[: at - 512] + b"?" * 512 + whole[at:])  # a damaged header
    assert tar_members(path).names == ["1/0001.png"] and "damaged" in tar_members(path).problem


def test_a_cut_gzip_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "1.tar.gz"
    noise = os.urandom(50_000)
    packed = gzip.compress(tarred({"a": b"whole", "b": noise}))
    path.write_bytes(packed[:30_000])
    members = tar_members(path)
    assert members.names == ["a", "b"] and "compressed data end or are damaged" in members.problem
    assert read(path, "a") == b"whole" and "cut short" in reason(path, "b")
    path.write_bytes(packed[:20_000] + b"?" * 100 + packed[20_100:])
    assert "damaged" in tar_members(path).problem
    tars._KNOWN.clear()
    assert "damaged" in tar_members(path).problem  # as stored


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "not a tar"), (b"<html>404</html>" * 99, "not a tar"), (b"\x28\xb5\x2f\xfd" + bytes(99), "zstd")],
)
def test_what_is_no_tar(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "1.tar"
    path.write_bytes(data)
    assert tar_members(path).names == [] and said in tar_members(path).problem
    assert said in reason(path, "a")


def test_a_path_without_a_tar(tmp_path: Path) -> None:
    assert "'" + str(tmp_path / "1.tar") + "' does not exist" in error_of(lambda: tar_members(tmp_path / "1.tar"))
    assert "not a regular file" in error_of(lambda: tar_members(tmp_path))
    assert "does not exist" in reason(tmp_path / "1.tar", "a")


def test_a_cache_that_cannot_be_written(tmp_path: Path, own_cache: Path) -> None:
    own_cache.write_text("a file, not a folder")
    path = tmp_path / "1.tar"
    path.write_bytes(tarred({f"{i}": b"" for i in range(tars.STORED)}))
    assert len(tar_members(path)) == tars.STORED  # only time is lost
    packed = tmp_path / "2.tar.gz"
    packed.write_bytes(gzip.compress(tarred(FILES)))
    assert f"set {CACHE_VARIABLE} to a folder" in error_of(lambda: tar_members(packed))


def test_a_very_long_member_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "MAX_BYTES", 600)
    path = tmp_path / "1.tar"
    path.write_bytes(tarred(FILES))
    assert "700 bytes, over the limit of 600" in reason(path, "1/0002.png")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=6), st.integers(0, 5000))
def test_damage_is_never_a_traceback(tmp_path: Path, changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(tarred(FILES)[:4096])
    for at, value in changes:
        data[at] = value
    path = tmp_path / "damaged.tar"
    path.write_bytes(bytes(data)[:end])
    tars._KNOWN.clear()
    try:
        for key in tar_members(path).names:
            read_member(Locator(str(path), key), "frame")
    except (FrameError, DataError) as error:
        assert "\n" not in str(error)
