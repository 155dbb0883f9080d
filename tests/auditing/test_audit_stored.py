"""`audit` reads type, size and JPEG settings of pictures in tars and LMDB files, and says what it cannot know."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from audit_folder import METHODS, picture
from field_lists import write_tar
from toy_videos import write_video

from m2f2bench import Adapter, Frame, Locator
from m2f2bench.auditing.audit import audit
from m2f2bench.auditing.facts import gather
from m2f2bench.auditing.files import facts_of, read_facts
from m2f2bench.datasets.calls import data_of
from m2f2bench.loading import load_dataset


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))


def encoded(person: int, number: int, form: str) -> bytes:
    file = io.BytesIO()
    picture(person, number).save(file, form, **({"quality": 90} if form == "JPEG" else {}))
    return file.getvalue()


def tar(path: Path, fakes: str, people: int = 24) -> Path:
    """Reals as JPEG, and fakes in a format."""
    members: dict[str, bytes] = {}
    for person in range(people):
        for number, method in enumerate(METHODS):
            key, form = f"{method}-{person:03d}", fakes if number else "JPEG"
            members[f"{key}.{'png' if form == 'PNG' else 'jpg'}"] = encoded(person, number, form)
            said = {"label": int(number > 0), "method": method, "video": f"{person}", "identity": f"p{person}"}
            members[f"{key}.json"] = json.dumps(said).encode()
    return write_tar(path, members)


def test_the_type_of_files_in_a_tar_is_a_shortcut(tmp_path: Path) -> None:
    report = audit(str(tar(tmp_path / "test-0000.tar", "PNG")), resamples=200)
    leaks = [finding.text for finding in report.findings if finding.severity == "leak"]
    assert any("by the file type alone" in text for text in leaks)
    cells = report.details["shortcuts"]["auc"]["all fakes"]
    assert cells["type"]["auc"] == 1.0 and cells["type"]["told"]
    assert report.details["shortcuts"]["frames_without_file"] == 0


def test_files_of_one_type_in_a_tar_are_no_shortcut(tmp_path: Path) -> None:
    report = audit(str(tar(tmp_path / "test-0000.tar", "JPEG")), resamples=200)
    cells = report.details["shortcuts"]["auc"]["all fakes"]
    assert [cells[name]["state"] for name in ("type", "dimensions", "quantisation")] == ["constant"] * 3
    assert cells["size"]["state"] == "fitted"
    assert not [f for f in report.findings if f.severity == "leak" and f.topic == "shortcut"]


def test_facts_of_a_member_are_those_of_the_file(tmp_path: Path) -> None:
    dataset = load_dataset(tar(tmp_path / "test-0000.tar", "PNG", people=2))
    frames = dataset.frames("test")
    for again in (False, True):  # read, and from the cache
        found = gather(dataset, frames)
        assert len(found) == 6, again
        for one in found:
            number = METHODS.index(one.frame.method)
            form = "PNG" if number else "JPEG"
            path = tmp_path / "one"
            path.write_bytes(encoded(int(one.frame.video.rpartition("/")[2]), number, form))
            assert one.file == read_facts(path) == facts_of(path.read_bytes())
            assert one.file is not None and one.file.kind == ("PNG RGB" if number else "JPEG")


def test_equal_files_in_a_tar_are_counted(tmp_path: Path) -> None:
    same = encoded(0, 0, "JPEG")
    members = {}
    for person in range(3):
        members |= {f"{person}.jpg": same, f"{person}.json": json.dumps({"label": 0, "video": f"v{person}"}).encode()}
        members |= {f"f{person}.jpg": encoded(person, 1, "JPEG"), f"f{person}.json": b'{"label": 1}'}
    report = audit(str(write_tar(tmp_path / "test-0000.tar", members)), resamples=200, probe=False)
    exact = report.details["duplicates"]["exact"]
    assert (exact["pairs_of_equal_files"], exact["pairs_of_unknown_files"]) == (3, 0)


class Stored(Adapter[Any]):
    """Stored pixels, with an own attribute that is named as the hook is."""

    splits = ("test",)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.data = {"a": 1}  # type: ignore[assignment]

    def frames(self, split: str) -> list[Frame]:
        return [
            Frame(f"{n}", f"{n}", n % 2, "fake" if n % 2 else "original", split, (), Locator("x.npy", str(n)))
            for n in range(6)
        ]

    def read(self, frame: Frame) -> Any:
        import numpy as np

        return np.asarray(picture(int(frame.id) // 4, 0))


def test_stored_pixels_have_no_file_and_it_is_said() -> None:
    assert data_of(Stored(), Stored().frames("test")[0]) is None
    report = audit(Stored(), resamples=200)
    exact = report.details["duplicates"]["exact"]
    # Frames 0 to 3 are equal, and 4 and 5: 6 pairs and 1.
    assert (exact["pairs_of_equal_files"], exact["pairs_of_unknown_files"]) == (0, 7)
    assert report.details["shortcuts"]["frames_without_file"] == 6
    text = str(report)
    assert "of 7 that is unknown" in text and "6 frames without a known image or video file" in text


def test_frames_of_videos_say_that_their_file_is_the_whole_video(tmp_path: Path) -> None:
    for label in ("real", "fake"):
        for number in range(2):
            path = tmp_path / "data" / label / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, 4)
    dataset = load_dataset(tmp_path / "data")
    frame = dataset.frames("test")[0]
    assert data_of(dataset.adapter, frame) is None
    report = audit(str(tmp_path / "data"), resamples=200)
    assert report.details["shortcuts"]["frames_of_videos"] == 16
    assert "16 frames of video files: type and size are those of the whole video" in str(report)


def test_remarks_of_each_dataset_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("one", "two"):
        members = {f"{n}.jpg": encoded(n, n % 2, "JPEG") for n in range(2)} | {
            f"{n}.cls": b"%d" % (n % 2) for n in (0, 1)
        }
        write_tar(tmp_path / f"{name}.tar", {**members, "1.txt": b"said"})
    with caplog.at_level(logging.INFO, "m2f2bench"):
        audit(str(tmp_path / "one.tar"), str(tmp_path / "two.tar"))
    said = [record.getMessage() for record in caplog.records]
    for name in ("one", "two"):
        assert said.count(f"{name}, test: 1 files in the tars are not read (txt)") == 1
