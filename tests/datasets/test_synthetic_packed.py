"""The packed faces: the cards' hashes, the step from YUV to RGB, damage, redrawing, and what a mismatch says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from paths import ROOT

from m2f2bench import load_dataset
from m2f2bench.core.errors import DataError
from m2f2bench.core.memo import CACHE_VARIABLE, REDRAW_VARIABLE
from m2f2bench.datasets.synthetic import cache, pack
from m2f2bench.datasets.synthetic.adapter import SyntheticAdapter
from m2f2bench.datasets.synthetic.draw import SyntheticOptions, draw_identities
from m2f2bench.datasets.synthetic.h264 import decode, encode, encoder_version, without_remarks, yuv_to_rgb

CARDS = {name: (options, splits) for name, options, splits in pack.packed_options()}
MAX_BYTES = 5_000_000


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One cache for this file: the splits are unpacked once."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path_factory.getbasetemp() / "packed-faces"))
    monkeypatch.delenv(REDRAW_VARIABLE, raising=False)
    cache._reported.clear()
    forget()
    yield
    forget()


def forget() -> None:
    pack.pack_hash.cache_clear()
    pack.packed_index.cache_clear()


def hash_here(options: SyntheticOptions, split: str) -> str:
    opened = cache.open_split(options, split)
    return pack.hash_of((video.name for video in cache.plan(options, split)), opened.digests, opened.notes)


@pytest.mark.parametrize("name", CARDS)
def test_what_is_decoded_here_has_the_cards_hash(name: str, caplog: pytest.LogCaptureFixture) -> None:
    options, splits = CARDS[name]
    assert {split: hash_here(options, split) for split in splits} == options.hashes
    assert not caplog.records and set(options.hashes) == set(splits)


def test_the_hash_is_of_the_bytes_that_are_read() -> None:
    data = load_dataset("synthetic-unseen").adapter
    frames = data.frames("test")
    videos = {frame.video: [f for f in frames if f.video == frame.video] for frame in frames}
    digests = {
        name: [
            pack.digest_of(np.stack([data.read(f) for f in of])),
            pack.digest_of(np.stack([np.packbits(data.mask(f)) for f in of])),  # type: ignore[arg-type]
        ]
        for name, of in videos.items()
    }
    notes = {name: data.notes(name, "test") for name in videos}
    assert pack.hash_of(videos, digests, notes) == CARDS["synthetic-unseen"][0].hashes["test"]


def test_packed_is_what_the_code_draws() -> None:
    """On the encoder that packed them to the last bit; elsewhere the plan, masks and pictures still agree closely."""
    options, _ = CARDS["synthetic"]
    opened = cache.open_split(options, "val")
    same_encoder = pack.packed_index()["encoder"] == encoder_version()
    for drawn in draw_identities(options, "val", 0, 6):
        rows = slice(drawn.video.row, drawn.video.row + 3)
        assert np.abs(opened.frames[rows].astype(int) - drawn.frames).mean() < 3
        assert opened.notes[drawn.video.name].keys() == drawn.notes.keys()
        if same_encoder:
            bits = np.packbits(drawn.masks.reshape(3, -1), axis=1)
            assert (opened.masks[rows] != bits).mean() < 1e-3
            assert drawn.frames.shape == opened.frames[rows].shape


def test_it_is_small() -> None:
    assert pack.PACK.stat().st_size <= MAX_BYTES


def test_no_stream_has_remarks_and_reals_are_packed_once() -> None:
    with zipfile.ZipFile(pack.PACK) as opened:
        assert b"x264" not in opened.read("test/c23.h264")
    known = pack.packed_index()["splits"]["test"]
    methods = {name.split("/")[0] for name in known["c23"]}
    assert methods == {"original", *CARDS["synthetic"][0].methods, *CARDS["synthetic-unseen"][0].methods}
    assert len(known["c23"]) == 12 * 2 * len(methods)


def test_packing_twice_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = SyntheticOptions(train=2, val=2, test=2, videos_per_identity=1, frames_per_video=2, size=64)
    unseen = small.model_copy(update={"methods": ("morph",)})
    cards = [("a", small, ("test",)), ("b", small.model_copy(update={"compression": "c40"}), ("test",))]
    monkeypatch.setattr(pack, "packed_options", lambda: [*cards, ("c", unseen, ("test",))])
    hashes = [pack.make_pack(tmp_path / name, say=lambda line: None) for name in ("one.zip", "two.zip")]
    assert hashes[0] == hashes[1]
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    monkeypatch.setattr(pack, "PACK", tmp_path / "one.zip")
    forget()
    for name, options, splits in pack.packed_options():
        assert pack.holds(options, "test") and not pack.holds(options, "train")
        placed = options.model_copy(update={"cache": str(tmp_path / "cache")})
        assert {split: hash_here(placed, split) for split in splits} == hashes[0][name]


def bt601(y: int, u: int, v: int) -> list[float]:
    """The standard's matrix, in floating point."""
    light = 255 / 219 * (y - 16)
    blue, red = 255 / 112 * (u - 128), 255 / 112 * (v - 128)
    kr, kb = 0.299, 0.114
    kg = 1 - kr - kb
    return [
        light + (1 - kr) * red,
        light - kb * (1 - kb) / kg * blue - kr * (1 - kr) / kg * red,
        light + (1 - kb) * blue,
    ]


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_a_sample_becomes_the_standards_colour(y: int, u: int, v: int) -> None:
    planes = [np.full(shape, value, np.uint8) for shape, value in (((2, 2), y), ((1, 1), u), ((1, 1), v))]
    rgb = yuv_to_rgb(*planes)
    assert rgb.shape == (2, 2, 3) and rgb.dtype == np.uint8 and (rgb == rgb[0, 0]).all()
    assert np.abs(rgb[0, 0] - np.clip(bt601(y, u, v), 0, 255)).max() <= 0.502


def test_known_colours() -> None:
    for (y, u, v), rgb in {
        (16, 128, 128): [0, 0, 0],
        (235, 128, 128): [255, 255, 255],
        (126, 128, 128): [128, 128, 128],
        (81, 90, 240): [254, 0, 0],
        (145, 54, 34): [0, 255, 1],
        (41, 240, 110): [0, 0, 255],
    }.items():
        planes = [np.full(shape, value, np.uint8) for shape, value in (((2, 2), y), ((1, 1), u), ((1, 1), v))]
        assert yuv_to_rgb(*planes)[1, 1].tolist() == rgb


@given(arrays(np.uint8, (4, 6)), arrays(np.uint8, (2, 3)), arrays(np.uint8, (2, 3)))
def test_a_chroma_sample_counts_for_its_four_pixels(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
    rgb = yuv_to_rgb(y, u, v)
    for row in range(4):
        for column in range(6):
            at = (row // 2, column // 2)
            one = yuv_to_rgb(np.full((2, 2), y[row, column]), u[at].reshape(1, 1), v[at].reshape(1, 1))
            assert rgb[row, column].tolist() == one[0, 0].tolist()


@given(arrays(np.uint8, (3, 32, 32, 3)))
def test_remarks_are_not_needed(pixels: np.ndarray) -> None:
    stream = encode(list(pixels), 23)
    bare = without_remarks(stream)
    assert b"x264" in stream and b"x264" not in bare and len(bare) < len(stream)
    assert np.array_equal(decode(bare), decode(stream))


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40_000]),
    "one byte of the streams": lambda path: flip(path, b"test/c23.h264"),
    "one byte of the masks": lambda path: flip(path, b"test/masks"),
    "one byte of the index": lambda path: flip(path, b"index.json"),
}


def flip(path: Path, member: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(member) + len(member) + 9_000] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    copy = tmp_path / "packed.zip"
    copy.write_bytes(pack.PACK.read_bytes())
    DAMAGES[damage](copy)
    monkeypatch.setattr(pack, "PACK", copy)
    forget()
    options = CARDS["synthetic"][0].model_copy(update={"cache": str(tmp_path / "cache")})
    with pytest.raises(DataError, match="install m2f2bench again, or draw them with --redraw") as caught:
        cache.open_split(options, "test")
    assert "\n" not in str(caught.value) and str(copy) in str(caught.value)


def test_other_options_are_drawn_and_a_choice_of_methods_is_not(tmp_path: Path) -> None:
    options = CARDS["synthetic"][0]
    for more in ({"seed": 1}, {"size": 96}, {"test": 3}, {"frames_per_video": 2}, {"compression": "raw"}):
        assert not pack.holds(options.model_copy(update=more), "test"), more
    assert not pack.holds(options.model_copy(update={"methods": ("morph",)}), "train")
    fewer = options.model_copy(update={"methods": ("swap",), "hashes": {}, "cache": str(tmp_path)})
    assert pack.holds(fewer, "test")
    whole = SyntheticAdapter(None, options)
    for frame in SyntheticAdapter(None, fewer).frames("test")[::17]:
        (same,) = [one for one in whole.frames("test") if one.id == frame.id]
        assert np.array_equal(SyntheticAdapter(None, fewer).read(frame), whole.read(same))


def test_the_folder_goes_by_the_packed_file_and_by_redraw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = CARDS["synthetic"][0]
    first = cache.cache_folder(options)
    monkeypatch.setenv(REDRAW_VARIABLE, "1")
    assert cache.cache_folder(options) != first
    monkeypatch.setenv(REDRAW_VARIABLE, "0")
    assert cache.cache_folder(options) == first
    copy = tmp_path / "packed.zip"
    copy.write_bytes(pack.PACK.read_bytes() + b"\0")
    monkeypatch.setattr(pack, "PACK", copy)
    forget()
    assert cache.cache_folder(options) != first


def test_redraw_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = CARDS["synthetic-unseen"][0].model_copy(update={"hashes": {}, "cache": str(tmp_path), "workers": 1})
    drawn: list[str] = []
    monkeypatch.setattr(cache, "work", lambda folder, options, split, share, of: drawn.append(split) or iter(()))
    monkeypatch.setenv(REDRAW_VARIABLE, "1")
    with pytest.raises(DataError, match="was not drawn"):
        cache.open_split(options, "test")
    assert drawn == ["test"]


def test_a_mismatch_says_in_one_line_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = CARDS["synthetic-unseen"][0]
    true_decode = pack.decode
    turn: list[int] = []

    def other(stream: bytes) -> list[np.ndarray]:  # a decoder that gets the second video wrong by one level
        turn.append(1)
        return [frame + (len(turn) == 2) for frame in true_decode(stream)]

    monkeypatch.setattr(pack, "decode", other)
    placed = options.model_copy(update={"cache": str(tmp_path / "a")})
    for _ in range(2):
        cache.open_split(placed, "test")
    (record,) = caplog.records  # once
    said = record.getMessage()
    assert "\n" not in said and "split 'test'" in said and options.hashes["test"] in said
    assert re.search(r"of 72 videos, decoded here by av[\d.]+-lavc[\d.]+, differ the frames of 1 \(first 'morph/", said)
    caplog.clear()
    monkeypatch.setattr(pack, "decode", true_decode)
    cache.open_split(options.model_copy(update={"cache": str(tmp_path / "b"), "hashes": {"test": "0" * 16}}), "test")
    assert "the card is of another version of the faces, or changed their options" in caplog.text


def other_pythons() -> list[Path]:
    """Pythons of other environments with another PyAV, named in M2F2BENCH_TEST_PYTHONS."""
    return [Path(one) for one in os.environ.get("M2F2BENCH_TEST_PYTHONS", "").split(os.pathsep) if one]


@pytest.mark.skipif(not other_pythons(), reason="M2F2BENCH_TEST_PYTHONS names no Python with another PyAV")
@pytest.mark.parametrize("python", other_pythons() or [Path(sys.executable)], ids=str)
def test_another_pyav_decodes_the_same(python: Path, tmp_path: Path) -> None:
    code = (
        "import sys, json, av; sys.path.insert(0, sys.argv[1])\n"
        "from m2f2bench.datasets.synthetic import cache, pack\n"
        "def look(o, s):\n"
        "    opened = cache.open_split(o, s)\n"
        "    return pack.hash_of([v.name for v in cache.plan(o, s)], opened.digests, opened.notes)\n"
        "found = {n: {s: look(o, s) for s in splits} for n, o, splits in pack.packed_options()}\n"
        "print(json.dumps([av.__version__, found]))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {CACHE_VARIABLE: str(tmp_path)}
    done = subprocess.run([python, "-c", code, str(ROOT)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    version, found = json.loads(done.stdout)
    assert version != __import__("av").__version__
    assert found == {name: dict(options.hashes) for name, (options, _) in CARDS.items()}
