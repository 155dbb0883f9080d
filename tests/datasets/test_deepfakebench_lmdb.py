"""DeepfakeBench's LMDB form: the same frames as in folders, keys with `\\` and `/`, forks and other datasets' files."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from field_dfb import make_dfb, write_list

from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.datasets.deepfakebench.adapter import DeepfakeBenchAdapter, DeepfakeBenchOptions
from m2f2bench.datasets.files.images import digest_bytes
from m2f2bench.datasets.files.lmdb_file import LMDBFile

lmdb = pytest.importorskip("lmdb")


def adapter(root: Path, dataset: str = "FaceForensics++", **options: Any) -> DeepfakeBenchAdapter:
    return DeepfakeBenchAdapter(root, DeepfakeBenchOptions(dataset=dataset, **options))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dfb(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dfb(tmp_path_factory.mktemp("lmdb"), lmdb=True, head=".\\datasets\\", separator="\\")


def test_the_frames_are_those_of_the_folders(plain: Path, stored: Path) -> None:
    for dataset in ("FaceForensics++", "Celeb-DF-v2", "DFDCP"):
        files, values = adapter(plain, dataset), adapter(stored, dataset)
        assert values.fits() and not (stored / dataset).exists()
        pairs = list(zip(files.frames("test"), values.frames("test"), strict=True))
        assert len(pairs) == {"FaceForensics++": 30, "Celeb-DF-v2": 9, "DFDCP": 9}[dataset]
        for one, other in pairs:
            assert (one.id, one.label, one.method, one.identities) == (
                other.id,
                other.label,
                other.method,
                other.identities,
            )
            assert np.array_equal(files.read(one), values.read(other))
        values.close()


def test_keys_are_those_of_deepfakebench(stored: Path) -> None:
    frame = adapter(stored).frames("test")[0]
    assert frame.locator.path == str(stored / "FaceForensics++_lmdb/data.mdb")
    assert frame.locator.key == "FaceForensics++\\original_sequences\\youtube\\c23\\frames\\000\\000.png"


def test_keys_made_on_linux_have_slashes(tmp_path: Path) -> None:
    root = make_dfb(tmp_path, lmdb=True)
    one = adapter(root)
    frames = one.frames("test")
    assert LMDBFile(root / "FaceForensics++_lmdb").first_key().startswith("FaceForensics++\\manipulated_sequences/")
    assert [one.read(frame).shape for frame in frames[:3]] == [(32, 32, 3)] * 3
    one.close()


def test_digest_is_that_of_the_bytes(stored: Path) -> None:
    one = adapter(stored)
    frame = one.frames("test")[5]
    with lmdb.open(str(stored / "FaceForensics++_copy_lmdb"), map_size=1 << 20):
        pass
    value = LMDBFile(stored / "FaceForensics++_lmdb").get(frame.locator.key or "")
    assert value is not None
    image = one.read(frame)
    assert one.data(frame) == value
    assert one.digest(frame, image) == digest_bytes(value) == one.digest(frame, image)
    assert one.stamp(frame) and one.stamp(frame) != one.stamp(one.frames("test")[6])
    one.close()


def test_masks_are_in_the_file_too(stored: Path) -> None:
    one = adapter(stored, compression="c40")
    masks = {frame.video: one.mask(frame) for frame in one.frames("test")}
    fake = masks["Deepfakes/000_003"]
    assert masks["original/003"] is None and fake is not None and fake.sum() == 32 * 16
    one.close()


def test_a_missing_key_is_one_frame_that_fails(stored: Path, tmp_path: Path) -> None:
    frames = [f".\\datasets\\UADFV\\real\\frames\\0000\\{n}.png" for n in ("000", "999")]
    write_list(tmp_path, "UADFV", {"UADFV": {"UADFV_Real": {"test": {"0000": {"frames": frames}}}}})
    one = adapter(stored, "UADFV", lists=str(tmp_path / "dataset_json"))
    first, second = one.frames("test")
    assert one.read(first).shape == (32, 32, 3)
    with pytest.raises(FrameError, match=r"999.png: 'UADFV\\real\\frames\\0000\\999.png' is not in the LMDB file"):
        one.read(second)
    one.close()


def test_a_file_without_the_lists_keys_is_one_line(stored: Path) -> None:
    one = adapter(stored, "UADFV", form="lmdb", lmdb="DFDC_lmdb")
    with pytest.raises(DataError, match=r"has none of the listed frames") as caught:
        one.frames("test")
    text = str(caught.value)
    assert "UADFV\\real\\frames\\0000\\000.png" in text and "'DFDC\\test\\frames\\aareal\\000.png'" in text
    assert "\n" not in text
    one.close()


def test_form_says_which_is_read(plain: Path, stored: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no LMDB file '.*UADFV_lmdb"):
        adapter(plain, "UADFV", form="lmdb").frames("test")
    with pytest.raises(DataError, match=r"none of the 2 listed videos is under"):
        adapter(stored, "UADFV", form="files").frames("test")
    (tmp_path / "UADFV_lmdb").mkdir()
    (tmp_path / "UADFV_lmdb/data.mdb").write_bytes(b"no database" * 1000)
    one = adapter(tmp_path, "UADFV", lists=str(plain / "dataset_json"))
    with pytest.raises(DataError, match=r"data.mdb' is no LMDB file: .*; fetch it again$"):
        one.frames("test")


def test_two_adapters_share_one_file_and_pickles_leave_it(stored: Path) -> None:
    one, two = adapter(stored, "DFDC"), adapter(stored, "DFDC")
    frame = one.frames("test")[0]
    expected = one.read(frame)
    assert np.array_equal(two.read(frame), expected)
    three = pickle.loads(pickle.dumps(one))
    one.close()
    assert np.array_equal(two.read(frame), expected) and np.array_equal(three.read(frame), expected)
    two.close(), three.close()
    assert np.array_equal(one.read(frame), expected)
    one.close()


def _sum(one: DeepfakeBenchAdapter, frame: Any, answers: Any) -> None:
    answers.put(int(one.read(frame).sum()))
    one.close()


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_fork_opens_the_file_again(stored: Path) -> None:
    one = adapter(stored, "DFDC")
    frame = one.frames("test")[0]
    expected = int(one.read(frame).sum())
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    children = [context.Process(target=_sum, args=(one, frame, answers)) for _ in range(2)]
    for child in children:
        child.start()
    assert [answers.get(timeout=60) for _ in children] == [expected] * 2
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    assert int(one.read(frame).sum()) == expected
    one.close()


def test_without_the_package_the_extra_is_named(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(DataError, match=r"pip install 'm2f2bench\[lmdb\]'"):
        adapter(stored, "DFDC").frames("test")
