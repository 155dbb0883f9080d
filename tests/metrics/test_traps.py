"""The field's traps, each with the right number and, beside it, the wrong one computed the wrong way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from toy_units import make_rows, make_units, plain_values, score_all

import m2f2bench
from m2f2bench.cards.models import ProtocolCard
from m2f2bench.cards.protocols import Bootstrap, FrameSelection
from m2f2bench.core.rows import Rows
from m2f2bench.datasets.dataset import pick
from m2f2bench.metrics.detection.values import Cut
from m2f2bench.results.row_files import read_parquet
from m2f2bench.results.store import PREDICTIONS
from m2f2bench.results.units import to_units

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


def protocol(**keys: object) -> ProtocolCard:
    return ProtocolCard.model_validate({"name": "p", "level": "frame"} | keys)


def values_of(rows: Rows, **keys: object) -> dict[str, float | None]:
    return {name: score.value for name, score in score_all(to_units(rows, protocol(**keys))).overall.items()}


def write_rows(path: Path, ids: Iterable[str], labels: Iterable[int], scores: Iterable[float]) -> Path:
    """A file of id, label, score, every score to the last bit."""
    lines = [f"{i},{int(y)},{float(s)!r}\n" for i, y, s in zip(ids, labels, scores, strict=True)]
    path.write_text("id,label,score\n" + "".join(lines))
    return path


def auc_of_groups(groups: dict[str, tuple[int, list[float]]]) -> float:
    labels, scores = zip(*[(label, np.mean(values)) for label, values in groups.values()], strict=True)
    return float(roc_auc_score(labels, scores))


# Video level


def test_trap_1_grouping_by_the_folders_name() -> None:
    """`000_003` of four manipulations is four videos; by the folder's bare name they are one."""
    lines = [(f"{m}/000_003", m, 1, s) for m, s in zip(METHODS, (0.9, 0.8, 0.7, 0.2), strict=True)]
    lines += [("original/000", "original", 0, 0.4), ("original/003", "original", 0, 0.5)]
    assert values_of(make_rows(*lines), level="video")["auc"] == 0.75
    wrong: dict[str, tuple[int, list[float]]] = {}
    for video, _, label, score in lines:
        wrong.setdefault(video.split("/")[1], (label, []))[1].append(float(score))
    assert len(wrong) == 3 and auc_of_groups(wrong) == 1.0


def stream(lines: list[tuple[str, str, int, float]]) -> list[tuple[int, float]]:
    """The wrong way: rows in a stream, a video closed by the next one's first row, with that row's label."""
    out, current, scores = [], lines[0][0], []
    for video, _, label, score in lines:
        if video != current:
            out.append((label, float(np.mean(scores))))
            current, scores = video, []
        scores.append(score)
    return out


def test_trap_2_the_neighbours_label_and_the_last_video() -> None:
    lines = [("a", "original", 0, 0.1), ("b", "m", 1, 0.9), ("c", "original", 0, 0.2), ("d", "m", 1, 0.8)]
    lines = [line for line in lines for _ in range(3)]
    units = to_units(make_rows(*lines), protocol(level="video"))
    assert score_all(units).overall["auc"].value == 1.0 and len(units.score) == 4
    wrong = stream(lines)
    assert len(wrong) == 3, "the last video is dropped"
    labels, scores = zip(*wrong, strict=True)
    assert roc_auc_score(labels, scores) == 0.0


def test_trap_3_trimming_more_than_there_is() -> None:
    """Ten highest and ten lowest of 20 frames leave nothing; here a video with few frames is trimmed less."""
    rng = np.random.default_rng(0)
    lines = [("a", "original", 0, 0.5 * s) for s in rng.uniform(size=20)]
    lines += [("b", "m", 1, 0.3 + 0.5 * s) for s in rng.uniform(size=20)]
    wrong = []
    for video in "ab":
        kept = sorted(line[3] for line in lines if line[0] == video)[10:-10]
        with pytest.warns(RuntimeWarning):
            wrong.append(np.mean(kept))
    assert np.isnan(wrong).all()
    trimmed = {"how": "trimmed", "trim": 10, "floor": 1}
    units = to_units(make_rows(*lines), protocol(level="video", aggregation=trimmed))
    middle = [sorted(line[3] for line in lines if line[0] == video)[9:11] for video in "ab"]
    assert units.score.tolist() == pytest.approx([np.mean(m) for m in middle]) and units.coverage == 1.0
    whole = {"how": "trimmed", "trim": 10, "floor": 20}
    means = [np.mean([line[3] for line in lines if line[0] == video]) for video in "ab"]
    units = to_units(make_rows(*lines), protocol(level="video", aggregation=whole))
    assert units.score.tolist() == pytest.approx(means)


def test_trap_4_the_first_frames_are_not_uniform_ones() -> None:
    """A fake that begins as an untouched face: its first 32 frames say real, 32 over the whole say fake."""
    scores = np.concatenate([np.full(100, 0.1), np.full(200, 0.9)])
    uniform = pick(FrameSelection(which="uniform", count=32), 300)
    assert scores[uniform].mean() == pytest.approx((11 * 0.1 + 21 * 0.9) / 32), "a third of the frames is untouched"
    assert scores[:32].mean() == pytest.approx(0.1)


def test_trap_4_a_short_video_is_not_padded_by_repeating() -> None:
    scores = np.array([0.1, 0.1, 0.9])
    found = pick(FrameSelection(which="uniform", count=32), 3)
    assert found == [0, 1, 2] and scores[found].mean() == pytest.approx(1.1 / 3)
    padded = np.concatenate([scores, np.full(29, scores[-1])])
    assert padded.mean() == pytest.approx((0.2 + 30 * 0.9) / 32), "the last frame thirty times"


CRASHED = make_rows(
    *[(f"f{i}", "m", 1, s) for i, s in enumerate((0.2, 0.3, 0.6, 0.7))],
    *[(f"r{i}", "original", 0, s) for i, s in enumerate((0.1, 0.8, None, None, None, None))],
)


@pytest.mark.parametrize(
    ("missing", "auc", "accuracy", "n_real"),
    [
        ("drop", 4 / 8, 3 / 6, 2),
        # .1 beats 0 of the fakes, .8 all; each of four .5 is above .2 and .3; a score of .5 is called fake
        ("half", (4 + 0 + 4 * 2) / 24, 3 / 10, 6),
        ("wrong", 4 / 24, 3 / 10, 6),
    ],
)
def test_trap_5_frames_without_a_score(missing: str, auc: float, accuracy: float, n_real: int) -> None:
    units = to_units(CRASHED, protocol(missing=missing))
    found = score_all(units).overall
    assert found["auc"].value == pytest.approx(auc) and found["accuracy"].value == pytest.approx(accuracy)
    assert found["auc"].n_real == n_real and units.coverage == pytest.approx(6 / 10), "the coverage tells in every case"
    label, score = CRASHED.label, np.nan_to_num(CRASHED.score, nan=0.0)
    assert roc_auc_score(label, score) == pytest.approx((4 + 0 + 4 * 4) / 24), "a crash into 0 is a real recognised"


def test_trap_5_a_detector_that_crashes_on_all_reals() -> None:
    rows = make_rows(("f", "m", 1, 0.1), ("g", "m", 1, 0.2), ("r", "original", 0, None), ("s", "original", 0, None))
    assert roc_auc_score(rows.label, np.nan_to_num(rows.score, nan=0.0)) == 1.0, "the wrong way: perfect"
    found = score_all(to_units(rows, protocol())).overall["auc"]
    assert found.value is None and found.reason == "no real unit has a score"
    assert values_of(rows, missing="half")["auc"] == 0.0 and values_of(rows, missing="wrong")["auc"] == 0.0


SEES = """
class Sees:
    def predict(self, images):
        return [float(image.mean()) / 255 for image in images]
"""


@pytest.fixture
def faces(tmp_path: Path) -> tuple[Path, str]:
    """A folder of 7 real and 6 fake pictures, of which one real is cut short, and a detector that sees brightness."""
    root = tmp_path / "faces"
    for name, levels in (("real", range(40, 180, 20)), ("fake", range(75, 195, 20))):
        (root / name).mkdir(parents=True)
        for i, level in enumerate(levels):
            Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(root / name / f"{i}.png")
    broken = root / "real" / "6.png"
    broken.write_bytes(broken.read_bytes()[:60])
    (tmp_path / "plug.py").write_text(SEES)
    return root, f"{tmp_path / 'plug.py'}:Sees"


def test_trap_6_an_unreadable_frame_is_not_another_frame(faces: tuple[Path, str], tmp_path: Path) -> None:
    root, plug = faces
    result = m2f2bench.run(detectors=plug, datasets=str(root), out=tmp_path / "o")[0]
    assert result.statuses == {"ok": 12, "unreadable": 1} and result.coverage == pytest.approx(12 / 13)
    rows = read_parquet(tmp_path / "o" / "plug.Sees--faces--frame" / PREDICTIONS)
    bad = [row for row in rows if row.status != "ok"]
    assert [(row.frame, row.score, row.label) for row in bad] == [("real/6.png", None, 0)] and bad[0].message
    real, fake = np.arange(40, 160, 20), np.arange(75, 195, 20)
    right = roc_auc_score([0] * 6 + [1] * 6, [*real, *fake])
    assert result.metrics["auc"].value == pytest.approx(right) and result.metrics["auc"].n_real == 6
    replaced = roc_auc_score([0] * 7 + [1] * 6, [*real, real[0], *fake])  # "take the next sample instead"
    assert abs(replaced - right) > 0.01


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (5, 2), (12, 1), (13, 3), (64, 1)])
def test_trap_11_every_frame_once_whatever_the_batch(
    faces: tuple[Path, str], tmp_path: Path, batch: int, workers: int
) -> None:
    """13 frames; dropping the last partial batch of 5 loses 3, padding 13 to two times 7 counts one twice."""
    root, plug = faces
    result = m2f2bench.run(detectors=plug, datasets=str(root), out=tmp_path / "o", batch_size=batch, workers=workers)[0]
    rows = read_parquet(tmp_path / "o" / "plug.Sees--faces--frame" / PREDICTIONS)
    assert sorted(row.frame for row in rows) == sorted({row.frame for row in rows}) and len(rows) == 13
    label, score = [row.label for row in rows if row.status == "ok"], [row.score for row in rows if row.status == "ok"]
    assert result.metrics["auc"].value == pytest.approx(roc_auc_score(label, score))
    dropped = roc_auc_score(label[:10], score[:10])
    padded = roc_auc_score([*label, label[0]], [*score, score[0]])
    assert len({round(v, 6) for v in (dropped, padded, roc_auc_score(label, score))}) == 3


# Thresholds and ties


def test_trap_7_accuracy_at_the_threshold_that_is_best_on_the_test(cli: Callable, tmp_path: Path) -> None:
    """Scores that tell nothing, 60 units: about half right at 0.5, well above half at the oracle's threshold."""
    rng = np.random.default_rng(1)
    label, score = np.arange(60) % 2, rng.uniform(size=60)
    path = write_rows(tmp_path / "rows.csv", map(str, range(60)), label, score)
    honest = m2f2bench.score(path)
    oracle = m2f2bench.score(path, protocol="frame-oracle")
    at_half = ((score >= 0.5) == label).mean()
    best = max(((score >= t) == label).mean() for t in [*score, 2.0])
    assert best - at_half > 0.05
    assert honest.metrics["accuracy"].value == pytest.approx(at_half)
    assert oracle.metrics["accuracy"].value == pytest.approx(best)
    assert oracle.metrics["accuracy@0.5"].value == pytest.approx(at_half)
    assert oracle.threshold["oracle"] is True and honest.threshold["oracle"] is False
    assert "thr:best-accuracy@test-ORACLE" in oracle.signature and "ORACLE" not in honest.signature
    printed = cli("score", path, "-p", "frame-oracle").out
    assert "oracle threshold" in printed and "accuracy at 0.5" in printed


def test_trap_7_a_threshold_from_validation_is_not_the_tests(tmp_path: Path) -> None:
    """Picked on validation scores, the threshold is the same whatever the test's labels are."""
    val = write_rows(tmp_path / "val.csv", "abcd", [0, 0, 1, 1], [0.1, 0.2, 0.4, 0.9])
    for labels, accuracy in (([0, 0, 1, 1], 0.75), ([1, 1, 0, 0], 0.25)):
        test = write_rows(tmp_path / "rows.csv", "wxyz", labels, [0.2, 0.35, 0.6, 0.7])
        result = m2f2bench.score(test, protocol="frame-val", validation=val)
        assert result.threshold["value"] == pytest.approx(0.3) and result.threshold["oracle"] is False
        assert result.threshold["from"]["n_real"] == 2 and "thr:best-balanced_accuracy@val-" in result.signature
        assert result.metrics["accuracy"].value == accuracy


def test_trap_8_the_nearest_point_is_not_the_crossing() -> None:
    label, score = [0] * 5 + [1] * 4, [0.1, 0.2, 0.3, 0.6, 0.8, 0.4, 0.6, 0.7, 0.9]
    fpr, tpr, _ = roc_curve(label, score, drop_intermediate=False)
    nearest = fpr[np.argmin(np.abs(1 - tpr - fpr))]
    assert nearest == pytest.approx(0.4)
    assert plain_values(label, score)["eer"] == pytest.approx(1 / 3, abs=1e-12)


def ap_by_rows(label: np.ndarray, order: np.ndarray) -> float:
    """The wrong way: rows one after another, tied or not."""
    y = label[order]
    return float((np.cumsum(y) / np.arange(1, len(y) + 1))[y == 1].mean())


def test_trap_9_ap_and_the_order_of_tied_rows() -> None:
    label, score = np.array([1, 0, 1, 0]), np.array([0.5, 0.5, 0.5, 0.5])
    fakes_first, reals_first = np.array([0, 2, 1, 3]), np.array([1, 3, 0, 2])
    assert ap_by_rows(label, fakes_first) == 1.0
    assert ap_by_rows(label, reals_first) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert plain_values(label, score)["ap"] == plain_values(label[::-1], score)["ap"] == 0.5


def test_trap_9_scores_rounded_to_four_decimals_make_ties(tmp_path: Path) -> None:
    """A detector that is sure of everything: all its scores round to 1.0000; here they are kept to the last bit."""
    rng = np.random.default_rng(0)
    label = np.arange(200) % 2
    score = 1 - 10 ** (-5 - label - rng.uniform(size=200))
    assert roc_auc_score(label, np.round(score, 4)) == 0.5 and roc_auc_score(label, score) == 1.0
    path = write_rows(tmp_path / "rows.csv", map(str, range(200)), label, score)
    assert m2f2bench.score(path).metrics["auc"].value == 1.0


def test_trap_10_class_wise_accuracy_after_a_shuffle() -> None:
    """By position ("the first half are the reals") class-wise accuracy is wrong once rows are shuffled."""
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 50)
    score = np.where(label == 1, 0.9, rng.uniform(0, 0.8, 100))
    order = rng.permutation(100)
    specificity = float((score[label == 0] < 0.5).mean())
    right = (score >= 0.5) == label
    assert right[order][:50].mean() != pytest.approx(specificity, abs=0.1), "the wrong way"
    for rows in (np.arange(100), order):
        found = plain_values(label[rows], score[rows])
        assert found["recall"] == 1.0 and found["balanced_accuracy"] == pytest.approx((1 + specificity) / 2)


@pytest.mark.slow
def test_trap_12_the_best_checkpoint_on_the_test_looks_better_than_it_is() -> None:
    """Thirty checkpoints that know nothing, 100 test frames: the best by test AUC reaches .6; by validation, .5."""
    rng = np.random.default_rng(0)
    label = np.arange(100) % 2
    by_test, by_val = [], []
    for _ in range(40):
        test = [plain_values(label, rng.uniform(size=100), names=("auc",))["auc"] or 0.0 for _ in range(30)]
        val = [float(roc_auc_score(label, rng.uniform(size=100))) for _ in range(30)]
        by_test.append(max(test))
        by_val.append(test[int(np.argmax(val))])
    assert np.mean(by_test) > 0.59
    assert np.mean(by_val) == pytest.approx(0.5, abs=0.03)


def test_trap_12_training_does_not_read_the_test_split(squares: Path, tmp_path: Path) -> None:
    """With the test's labels flipped and its files destroyed the very same detector comes out."""
    weights = []
    for spoilt in (False, True):
        lines = ["path,label,split"]
        for i in range(24):
            split = ("train", "train", "val", "test")[i % 4]
            for kind, other in (("real", "fake"), ("fake", "real")):
                gone = spoilt and split == "test"
                lines.append(f"{kind}/{i:02d}.png,{other if gone else kind},{split}")
                if gone:
                    (squares / kind / f"{i:02d}.png").write_bytes(b"")
        (squares / "m.csv").write_text("\n".join(lines) + "\n")
        card = tmp_path / "d.yaml"
        card.write_text(f"name: d\nadapter: folder\nroot: {squares}\noptions: {{manifest: m.csv}}\n")
        out = tmp_path / f"t{spoilt}"
        m2f2bench.train("frequency", str(card), out=out)
        weights.append((out / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_trap_13_polarity(cli: Callable, one_line: Callable, squares: Path, tmp_path: Path) -> None:
    """Labels the other way round turn an AUC into its complement; held against the dataset they are refused."""
    names = [f"{kind}/{i:02d}.png" for kind in ("fake", "real") for i in range(24)]
    rng = np.random.default_rng(0)
    label = np.array([int(name.startswith("fake")) for name in names])
    score = np.clip(0.2 * label + rng.uniform(0, 0.8, 48), 0, 1)
    results = []
    for flip in (0, 1):
        path = write_rows(tmp_path / f"rows{flip}.csv", names, label ^ flip, score)
        results.append(m2f2bench.score(path).metrics["auc"].value)
    assert results[0] == pytest.approx(roc_auc_score(label, score)) and results[0] > 0.6
    assert results[1] == pytest.approx(1 - results[0])
    line = one_line(cli("score", tmp_path / "rows1.csv", "-s", squares))
    assert "is labelled 0, but in 'squares' it is 1" in line and "labels inverted" in line


# Statistics


def test_trap_20_frames_of_one_video_are_not_independent() -> None:
    """Twenty videos of fifty like frames: drawn by frame the interval is a fraction of what the videos allow.

    Which of the two holds the truth, and how often, is in test_coverage.py.
    """
    rng = np.random.default_rng(0)
    video = np.repeat(np.arange(20), 50)
    label = video % 2
    latent = label - 0.5 + rng.normal(size=20)[video] + 0.3 * rng.normal(size=1000)
    score = 1 / (1 + np.exp(-latent))
    widths = {}
    for by, clusters in (("frame", np.arange(1000)), ("video", video)):
        found = score_all(make_units(label, score, clusters=clusters), resampling=Bootstrap(resamples=400)).overall
        widths[by] = {name: s.ci[1] - s.ci[0] for name, s in found.items() if s.ci}
    for name in ("auc", "accuracy", "ap", "eer", "brier", "mcc"):
        assert widths["video"][name] > 3 * widths["frame"][name], name


def test_average_precision_agrees_with_its_definition_elsewhere() -> None:
    rng = np.random.default_rng(4)
    label, score = rng.integers(0, 2, 300), np.round(rng.uniform(size=300), 1)
    assert plain_values(label, score)["ap"] == pytest.approx(average_precision_score(label, score), abs=1e-12)
    assert plain_values(label, score, Cut(value=0.3))["recall"] == pytest.approx((score[label == 1] >= 0.3).mean())
