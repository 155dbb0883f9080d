"""Videos and pictures of one name: FaceForensics++ has a `000_003` under every manipulation, and each is its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from toy_units import make_rows

import m2f2bench
from m2f2bench.auditing.audit import across
from m2f2bench.auditing.duplicates import SAME_VIDEO, UNKNOWN, Table
from m2f2bench.cards.models import ProtocolCard
from m2f2bench.core.errors import DataError, ScoreError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.core.rows import Rows
from m2f2bench.datasets.base import Adapter
from m2f2bench.datasets.dataset import check_unique
from m2f2bench.results.units import clusters, to_units
from m2f2bench.training.frames import components

VIDEO = ProtocolCard(name="v", level="video")
MEANS = {"Deepfakes": (0.9, 0.8), "Face2Face": (0.7, 0.6), "FaceSwap": (0.35, 0.25), "NeuralTextures": (0.2, 0.1)}


def faceforensics(name: str) -> str:
    """Two fake videos under each of four methods and two real ones, two frames each; `name` of method and video."""
    lines = ["id,label,score,video,method"]
    for method, scores in MEANS.items():
        for video, more in (("000_003", 0.0), ("003_000", 0.01)):
            own = name.format(method=method, video=video)
            lines += [f"{method}/{video}/{i},1,{score + more:.2f},{own},{method}" for i, score in enumerate(scores)]
    for video, score in (("000", 0.41), ("003", 0.43)):
        lines += [f"original/{video}/{i},0,{score},{video},original" for i in range(2)]
    return "\n".join(lines) + "\n"


def test_a6_videos_of_one_name_under_several_methods(tmp_path: Path) -> None:
    """AUC .5 over eight fakes: two methods lie above both reals, two below."""
    found = {}
    for form in ("{video}", "{method}/{video}"):
        path = tmp_path / "rows.csv"
        path.write_text(faceforensics(form))
        result = found[form] = m2f2bench.score(path, protocol="video")
        assert (result.metrics["auc"].n_real, result.metrics["auc"].n_fake) == (2, 8)
        assert result.metrics["auc"].value == 0.5
        values = {method: scores["auc"].value for method, scores in result.methods.items()}
        assert values == {"Deepfakes": 1.0, "Face2Face": 1.0, "FaceSwap": 0.0, "NeuralTextures": 0.0}
        assert all(scores["auc"].n_fake == 2 for scores in result.methods.values()) and result.coverage == 1.0
    one, other = found.values()
    assert one.clusters == other.clusters and one.clusters["n"] == 10, "as names that are unique"
    assert {k: s.ci for k, s in one.metrics.items()} == {k: s.ci for k, s in other.metrics.items()}


names = st.sampled_from(["a", "b", "m/a", "c"])
lines = st.lists(
    st.tuples(names, st.sampled_from(["m", "n", "original"]), st.floats(0.0, 1.0)), min_size=1, max_size=30
)


@settings(max_examples=100)
@given(lines, st.sampled_from(["mean", "max", "median"]), st.sampled_from(["identity", "video", "frame"]), st.randoms())
def test_a6_names_that_come_again_are_as_good_as_unique_ones(drawn: list, how: str, cluster: str, random) -> None:
    """The same units, clusters and scores as if each video's name held its method; by hand with a dictionary."""
    drawn = [(f"r{video}" if method == "original" else video, method, score) for video, method, score in drawn]
    rows = make_rows(*((video, method, int(method != "original"), score) for video, method, score in drawn))
    spelt = np.array([f"{method}:{video}" for video, method, _ in drawn], dtype=object)
    card = ProtocolCard.model_validate(
        {"name": "v", "level": "video", "aggregation": how, "bootstrap": {"cluster": cluster}}
    )
    units, unique = to_units(rows, card), to_units(replace(rows, video=spelt), card)
    for field in ("label", "score", "method", "cluster"):
        assert getattr(units, field).tolist() == getattr(unique, field).tolist()
    assert (units.n_clusters, units.clustered_by) == (unique.n_clusters, unique.clustered_by)
    by_hand: dict[tuple[str, str], list[float]] = {}
    for video, method, score in drawn:
        by_hand.setdefault((video, method), []).append(score)
    of = {"mean": np.mean, "max": np.max, "median": np.median}[how]
    assert units.score.tolist() == pytest.approx([float(of(scores)) for scores in by_hand.values()])
    order = list(range(len(drawn)))
    random.shuffle(order)
    again = to_units(reordered(rows, order), card)
    assert sorted(zip(again.method, again.score, strict=True)) == sorted(zip(units.method, units.score, strict=True))


def reordered(rows: Rows, order: list[int]) -> Rows:
    return replace(rows, **{name: getattr(rows, name)[order] for name in vars(rows)})


def test_a6_pictures_of_one_name() -> None:
    """Two faces of picture p0 in each of three videos: two methods with a video of one name, and another video."""
    rows = make_rows(*((v, m, 1, s) for v, m, s in (("a", "m", 0.1), ("a", "m", 0.5), ("a", "n", 0.2), ("a", "n", 0.4),
                                                    ("b", "m", 0.9), ("b", "m", 0.3))))  # fmt: skip
    rows = replace(rows, picture=np.array(["p0"] * 6, dtype=object))
    units = to_units(rows, ProtocolCard(name="f", level="frame", faces="max"))
    assert units.score.tolist() == [0.5, 0.4, 0.9] and units.method.tolist() == ["m", "n", "m"]


@pytest.mark.parametrize("level", ["frame", "video"])
def test_a6_a_real_and_a_fake_of_one_name_are_refused(level: str) -> None:
    """They may be two videos, or one that is partly fake: to guess would be a number nobody can defend."""
    rows = make_rows(("a", "m", 1, 0.2), ("a", "original", 0, 0.2))
    rows = replace(rows, picture=np.array(["p", "p"], dtype=object))
    card = ProtocolCard.model_validate({"name": "p", "level": level, "faces": "max" if level == "frame" else "apart"})
    with pytest.raises(ScoreError, match=r"'[ap]' has real and fake rows: .* as in 'original/[ap]'"):
        to_units(rows, card)
    to_units(replace(rows, picture=rows.frame), ProtocolCard(name="f", level="frame"))


def test_a6_people_are_joined_by_identity_and_not_by_a_name() -> None:
    rows = make_rows(*(("0001", f"m{i}", 1, 0.5) for i in range(12)), *(("r", "original", 0, 0.5),) * 2)
    codes, by = clusters(rows, "video")
    assert (codes.tolist(), by) == ([*range(12), 12, 12], "video")
    known = replace(rows, identity=np.array(["p"] * 3 + [""] * 11, dtype=object))
    codes, by = clusters(known, "identity")
    assert (codes.tolist(), by) == ([0, 0, 0, *range(1, 10), 10, 10], "identity")
    assert clusters(rows, "frame")[0].tolist() == list(range(14))


def frame(video: str, method: str, i: int, split: str = "test") -> Frame:
    label = int(method != "original")
    return Frame(f"{split}/{method}/{video}/{i}", video, label, method, split, (), Locator("x"))


class Named(Adapter):
    """Five frames of `000_003` under two methods, in turn, and of a real video."""

    def frames(self, split: str) -> list[Frame]:
        clips = (("000_003", "Deepfakes"), ("000_003", "FaceSwap"), ("000", "original"))
        return [frame(video, method, i, split) for i in range(5) for video, method in clips]

    def read(self, frame: Frame) -> np.ndarray:
        return np.zeros((8, 8, 3), np.uint8)


def test_a6_frames_are_picked_from_each_video() -> None:
    found = [one.id for one in Named().sample("test", lambda n: [0, n - 1])]
    assert found == [f"test/{clip}/{i}" for clip in ("Deepfakes/000_003", "FaceSwap/000_003", "original/000")
                     for i in (0, 4)]  # fmt: skip
    check_unique(Named().frames("test"))
    with pytest.raises(DataError, match="video '000_003' has real and fake frames"):
        check_unique([*Named().frames("test"), frame("000_003", "original", 0)])


def test_a6_too_many_frames_of_a_video_are_told_by_video(tmp_path: Path) -> None:
    """32 frames are picked of each video: two methods with 20 frames of one name are no video of 40."""
    path = tmp_path / "rows.csv"
    lines = [f"{m}{i},{int(m != 'r')},0.5,{'r' if m == 'r' else 'v'},{m}" for m in ("m", "n", "r") for i in range(20)]
    path.write_text("\n".join(["id,label,score,video,method", *lines]) + "\n")
    card = ProtocolCard.model_validate({"name": "p", "level": "video", "frames": {"which": "uniform", "count": 32}})
    assert m2f2bench.score(path, protocol=card).metrics["auc"].n_fake == 2
    path.write_text(path.read_text().replace(",n\n", ",m\n"))
    with pytest.raises(ScoreError, match=r"'v' in '.*' has 40"):
        m2f2bench.score(path, protocol=card)


def test_a6_an_audit_knows_videos_by_method() -> None:
    frames = [frame("000_003", "Deepfakes", 0, "train"), frame("000_003", "FaceSwap", 0, "test")]
    assert across(frames)["videos"] == {}
    again = [*frames, frame("000_003", "FaceSwap", 0, "train"), frame("x/y", "x", 0, "val"), frame("x/y", "x", 0)]
    assert across(again)["videos"] == {"FaceSwap/000_003": {"test": 1, "train": 1}, "x/y": {"val": 1, "test": 1}}
    table = Table.of(again)
    pairs = np.array([[0, 1], [1, 2], [3, 4]])
    assert table.relation(pairs[:, 0], pairs[:, 1]).tolist() == [UNKNOWN, SAME_VIDEO, SAME_VIDEO]


def test_a6_a_split_keeps_what_has_one_name_together() -> None:
    """`000_003` may be the same two people under every method: to part them could leak, to keep them cannot."""
    groups = components([frame("000_003", "Deepfakes", 0), frame("000_003", "FaceSwap", 0), frame("1", "FaceSwap", 0)])
    assert [len(group.frames) for group in groups] == [2, 1]


def test_a6_rows_without_a_method_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "rows.csv"
    plain = [",".join(line.split(",")[:4]) for line in faceforensics("{video}").splitlines()]
    path.write_text("\n".join(plain) + "\n")
    merged = m2f2bench.score(path, protocol="video")
    assert merged.metrics["auc"].n_fake == 2, "nothing in the rows tells the methods apart but their ids"
    assert "video '000_003' is in 'Deepfakes/000_003'" not in caplog.text
    assert "by the ids, video '000_003' is in 'Deepfakes' and in 'Face2Face'" in caplog.text
    caplog.clear()
    path.write_text("\n".join(plain[:5] + plain[-4:]) + "\n")
    m2f2bench.score(path, protocol="video")
    path.write_text(faceforensics("{video}"))
    m2f2bench.score(path, protocol="video")
    assert not caplog.text


def test_faces_of_a_picture_are_one_video_where_no_video_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,label,score,picture\na,1,0.2,p\nb,1,0.8,p\nc,0,0.3,q\nd,1,0.4,\n")
    card = ProtocolCard(name="f", level="frame", faces="max")
    found = m2f2bench.score(path, protocol=card).metrics["auc"]
    assert (found.value, found.n_fake) == (roc_auc_score([1, 0, 1], [0.8, 0.3, 0.4]), 2)
