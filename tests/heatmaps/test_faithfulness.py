"""`localize --faithfulness` on a detector that looks at one known square: the right map wins, the wrong one loses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.errors import DataError, DetectorError, FrameError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.base import Adapter
from m2f2bench.detectors.base import Detector, Localizer
from m2f2bench.heatmaps.measurement import faithfulness
from m2f2bench.heatmaps.pixels import BLUR, Settings, blurred, make_scene, mean_colour
from m2f2bench.metrics.heatmaps import area_under, centred_map, counts, proven, ranked, replaced

FEW = Bootstrap(resamples=200)
FEW_VIDEOS = Bootstrap(resamples=200, cluster="video")
WHOLE = (0.0, 0.0, 1.0, 1.0)
SIDE, PEOPLE = 16, 12
SQUARE = (slice(2, 6), slice(9, 13))
MEASURES = {"deletion_blur", "deletion_mean", "insertion_blur", "insertion_mean", "drop"}


class Known(Adapter):
    """12 fakes and 12 reals of 12 people, 16×16: in a fake the square is bright, in a real dark; noise around it."""

    name = "known"
    noise = 60

    def frames(self, split: str) -> list[Frame]:
        kinds = (("original", 0), ("bright", 1))
        return [
            Frame(f"{m}/{p:02d}", f"{m}/{p:02d}", y, m, split, (f"p{p}",), Locator("", index=p))
            for p in range(PEOPLE)
            for m, y in kinds
        ]

    def read(self, frame: Frame) -> np.ndarray:
        if frame.id == "bright/05" and self.noise < 0:
            raise FrameError(frame.id, "gone")
        rng = np.random.default_rng(frame.locator.index)
        image = rng.integers(0, max(self.noise, 1), (SIDE, SIDE, 3)).astype(np.uint8)
        image[SQUARE] = 200 + (frame.locator.index or 0) if frame.label else 0
        return image


class Black(Known):
    """The same without noise, the square white."""

    def read(self, frame: Frame) -> np.ndarray:
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        image[SQUARE] = 255 * frame.label
        return image


def right() -> np.ndarray:
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[SQUARE] = 1.0
    return heat


class Looker(Detector, Localizer):
    """P(fake) is the square's mean brightness; the map is the one given."""

    def __init__(self, heat: np.ndarray, seen: tuple[float, float, float, float] = WHOLE, spoil=None) -> None:
        self.heat, self.part, self.spoil = heat, seen, spoil
        self.batches: list[int] = []

    def forward(self, batch, ids):
        self.batches.append(len(batch))
        scores = np.array([image[SQUARE].mean() / 255.0 for image in batch])
        return scores if self.spoil is None else self.spoil(scores, ids)

    def heatmap(self, images):
        return np.stack([self.heat] * len(images))

    def seen(self, height, width):
        return self.part


def test_the_right_map_wins_and_the_wrong_one_loses() -> None:
    best = faithfulness(Looker(right()), Known(), steps=10, bootstrap=FEW)
    assert set(best.faithful["called_fake"]["better"]) == MEASURES and not best.faithful["called_fake"]["worse"]
    worst = faithfulness(Looker(1.0 - right()), Known(), steps=10, bootstrap=FEW)
    assert not any(said["better"] for said in worst.faithful.values())
    assert set(worst.faithful["fake"]["worse"]) == MEASURES
    for name in MEASURES:
        good = best.controls["random"]["called_fake"][f"{name}_less_control"]
        bad = worst.controls["random"]["called_fake"][f"{name}_less_control"]
        assert good.ci is not None and bad.ci is not None
        low, high = (good.ci, bad.ci) if name.startswith("deletion") else (bad.ci, good.ci)
        assert low[1] < 0.0 < high[0], name
        for control in ("centre", "constant"):
            less = best.controls[control]["called_fake"][f"{name}_less_control"].value
            assert less is not None and (less < 0.0) == name.startswith("deletion")
        assert best.controls["random"]["all"][name].value == worst.controls["random"]["all"][name].value, "one seed"
    text = worst.markdown()
    assert (
        "called_fake, against the random map: nothing shows that the maps are faithful; worse by deletion_blur" in text
    )
    assert " * |" not in text
    assert "random map: better by deletion_blur, deletion_mean" in best.markdown() and " * |" in best.markdown()


def test_a_map_like_a_control_is_no_better_than_it() -> None:
    found = faithfulness(Looker(centred_map((4, 4)).astype(np.float32)), Known(), steps=5, bootstrap=FEW)
    for name in MEASURES:
        less = found.controls["centre"]["all"][f"{name}_less_control"]
        assert less.value == 0.0 and less.ci == (0.0, 0.0)
    flat = faithfulness(Looker(np.full((2, 2), 0.3, np.float32)), Known(), steps=5, bootstrap=FEW)
    assert flat.faithful["fake"]["better"] == ["drop"], "it is noise on the map's own grid that is to be beaten"
    for name in MEASURES:
        assert flat.controls["constant"]["all"][f"{name}_less_control"].value == 0.0, "ties: one random order for all"


def test_areas_by_hand() -> None:
    """A white square of 16 pixels in 256 that are black, 16 pixels a step: it is gone at the first."""
    found = faithfulness(Looker(right()), Black(), steps=16, area=1 / 16, bootstrap=FEW)
    fake = {name: score.value for name, score in found.metrics["fake"].items()}
    mean = 16 / 255  # the mean colour, 255 · 16 / 256, in whole steps
    assert fake["called"] == 1.0
    assert fake["deletion_mean"] == pytest.approx(((1 + mean) / 2 + 15 * mean) / 16)
    assert fake["insertion_mean"] == pytest.approx(((mean + 1) / 2 + 15) / 16)
    soft = blurred(Black().read(Known().frames("test")[1]))[SQUARE].mean() / 255
    assert 0.1 < soft < 1.0 and fake["drop"] == pytest.approx(1 - soft)
    assert fake["deletion_blur"] == pytest.approx(((1 + soft) / 2 + 15 * soft) / 16)
    real = {name: score.value for name, score in found.metrics["called_real"].items()}
    assert real == {"called": 1.0, "drop": 0.0, **dict.fromkeys(MEASURES - {"drop"}, 1.0)}
    curve = found.curves["fake"]["deletion_mean"]["detector"]
    assert curve == pytest.approx([1.0] + [mean] * 16) and len(found.curves["fake"]["insertion_blur"]["random"]) == 17
    assert (found.metrics["all"]["called"].n_real, found.metrics["all"]["called"].n_fake) == (12, 12)


@pytest.mark.parametrize(("steps", "area", "each"), [(10, 0.1, 1 + 2 + 4 * 4 * 9), (4, 0.3, 1 + 2 + 4 * (4 * 3 + 1))])
def test_no_picture_is_judged_twice_and_few_are_in_memory(steps: int, area: float, each: int) -> None:
    judge = Looker(right())
    found = faithfulness(judge, Known(), steps=steps, area=area, bootstrap=FEW, batch_size=7)
    assert Settings(steps, area).passes() == each and found.passes == each * 24 == sum(judge.batches)
    assert max(judge.batches) == 7


def test_batches_and_order_do_not_matter() -> None:
    class Backwards(Known):
        def frames(self, split: str) -> list[Frame]:
            return super().frames(split)[::-1]

    one = faithfulness(Looker(right()), Known(), steps=4, bootstrap=FEW)
    other = faithfulness(Looker(right()), Backwards(), steps=4, bootstrap=FEW, batch_size=3)
    assert one.measured["hash"] == other.measured["hash"] and one.signature == other.signature
    for control in one.controls:
        for name, score in one.controls[control]["all"].items():
            assert score.value == pytest.approx(other.controls[control]["all"][name].value, abs=1e-12)


def test_what_does_not_count_is_counted() -> None:
    def spoil(scores, ids):
        return np.where(np.array(ids) == "bright/03", np.nan, scores)

    adapter = Known()
    adapter.noise = -1
    found = faithfulness(Looker(right(), spoil=spoil), adapter, steps=3, bootstrap=FEW)
    assert found.outcomes == {"fake": {"ok": 10, "unreadable": 1, "error": 1}, "real": {"ok": 12}}
    assert found.coverage == 22 / 24 and found.metrics["all"]["drop"].n_fake == 10
    text = found.markdown()
    assert (
        "22 of 24 frames have a map and scores" in text
        and "fake frames that do not count: 1 unreadable, 1 error" in text
    )
    assert "not finite" in text
    none = faithfulness(Looker(np.zeros((4, 4), np.float32)), Known(), steps=3, bootstrap=FEW)
    assert none.outcomes["fake"] == {"zero_map": 12} and none.coverage == 0.0
    assert "24 zero_map: they count as with the random map" in none.markdown()
    for wrong, match in ((lambda s, i: s + 1.5, r"scores from 1\.5 to 1\.6"), (lambda s, i: s[:-1], r"scores \[\d+\]")):
        with pytest.raises(DetectorError, match=match):
            faithfulness(Looker(right(), spoil=wrong), Known(), steps=3, bootstrap=FEW)
    for steps, area in ((1, 0.1), (5, 0.0), (5, 1.0)):
        with pytest.raises(DataError, match="at least 2 steps and an area between 0 and 1"):
            faithfulness(Looker(right()), Known(), steps=steps, area=area)
    with pytest.raises(DataError, match="no split 'tset'; did you mean 'test'"):
        faithfulness(Looker(right()), Known(), split="tset")


def test_of_few_people_nothing_is_said() -> None:
    """Eight fakes of as many videos: the intervals exclude 0, but are too narrow to be believed."""
    found = faithfulness(Looker(right()), Known(), limit=16, steps=4, bootstrap=FEW_VIDEOS)
    assert found.clusters["n"] == 16 and found.clusters["groups"]["all"] == 16
    few = {group: n for group, n in found.clusters["groups"].items() if n < 10}
    assert few and all(found.faithful[group] == {"better": [], "worse": []} for group in few)
    less = [found.controls["random"]["called_fake"][f"{name}_less_control"].ci for name in MEASURES]
    assert "called_fake" in few and any(ci and not ci[0] <= 0.0 <= ci[1] for ci in less)
    rows = [line for line in found.markdown().splitlines() if line.startswith("| called_fake ")]
    assert rows and not any("*" in row for row in rows) and "nothing is said, it takes 10" in found.markdown()


def test_only_what_is_seen_is_replaced() -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)
    scene = make_scene(image, np.eye(3, dtype=np.float32), (0.0, 0.2, 1.0, 0.8), 0, "a")
    assert scene.box == (0, 4, 12, 16) and scene.ranks["detector"].shape == (12, 12)
    gone = scene.picture("detector", "deletion_mean", 144)
    assert (gone[:, 4:16] == mean_colour(image)[0, 0]).all()
    assert (gone[:, :4] == image[:, :4]).all() and (gone[:, 16:] == image[:, 16:]).all()
    back = scene.picture("detector", "insertion_mean", 144)
    assert (back == image).all() and (image != gone).any(), "the picture itself is left as it was"
    few = scene.picture("detector", "insertion_mean", 10)
    kept = (few == image)[:, 4:16].all(axis=2)
    assert kept[:2, :2].any() and 10 <= kept.sum() <= 12, "the corner is the highest part of the map"


def test_the_blur() -> None:
    image = np.zeros((41, 60, 3), np.uint8)
    image[20, 30] = 255
    wide = blurred(np.repeat(np.repeat(image, 3, 0), 3, 1))
    sigma = BLUR * 123
    peak = 255 * 9 / (2 * np.pi * sigma**2)
    assert wide.max() == pytest.approx(peak, abs=1.0) and wide.dtype == np.uint8 and wide.shape == (123, 180, 3)
    assert (blurred(np.full((9, 9, 3), 77, np.uint8)) == 77).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_orders_and_steps(height: int, width: int, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    heat, ties = rng.integers(0, 3, (height, width)).astype(float), rng.permutation(height * width)
    ranks = ranked(heat, ties)
    assert sorted(ranks.ravel().tolist()) == list(range(height * width))
    order = np.argsort(ranks.ravel())
    pairs = [(-heat.ravel()[i], ties[i]) for i in order]
    assert pairs == sorted(pairs)
    at = counts(height * width, steps)
    assert at[0] == 0 and at[-1] == height * width and (np.diff(at) >= 0).all() and len(at) == steps + 1
    one, other = np.zeros((height, width, 3), np.uint8), np.full((height, width, 3), 9, np.uint8)
    for n in at.tolist():
        assert (replaced(one, other, ranks, n) == 9).sum() == 3 * n
    assert area_under(np.full(steps + 1, 0.3), at) == pytest.approx(0.3)
    assert area_under(1.0 - at / at[-1], at) == pytest.approx(0.5)


def test_what_is_proven() -> None:
    assert proven(True, (-0.2, -0.1)) and not proven(True, (-0.2, 0.0)) and not proven(True, (0.1, 0.2))
    assert proven(False, (0.1, 0.2)) and not proven(False, (-0.1, 0.2)) and not proven(False, None)


PLUG = """
import numpy as np
from m2f2bench import Detector, Localizer

class Bright(Detector, Localizer):
    def forward(self, batch, ids):
        return [float(i[:8].mean()) / 255 for i in batch]
    def heatmap(self, images):
        return np.stack([np.array([[1.0], [0.2], [0.1], [0.0]])] * len(images))
"""


def test_the_command_needs_no_masks(cli, one_line, squares: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "plug.py").write_text(PLUG)
    out = tmp_path / "found.json"
    words = ("localize", "-d", f"{tmp_path}/plug.py:Bright", "-s", squares, "--faithfulness", "--steps", "4")
    done = cli(*words, "--limit", "20", "--out", out, "--json")
    assert done.status == 0, done.err
    assert "20 frames × 55 pictures" in done.err and "1,100 forward passes" in done.err
    found, kept = json.loads(done.out), json.loads(out.read_text())
    rows = kept.pop("frames")
    assert found == kept and len(rows) == 20 and found["passes"] == 1100
    drops = [row["values"]["detector"]["drop"] for row in rows]
    assert found["metrics"]["all"]["drop"]["value"] == pytest.approx(float(np.mean(drops)))
    assert found["signature"].endswith("|map:4x1|steps:4|area:0.1|blur:0.05")
    text = cli(*words, "--limit", "6", "--area", "0.5").out
    assert "## Faithfulness of heat maps of plug.Bright" in text and "drop, top 0.5" in text
    assert "at least 2 steps and an area" in one_line(cli(*words, "--area", "1.5"))
    assert "makes no heat maps" in one_line(cli("localize", "-d", "constant", "-s", squares, "--faithfulness"))


def test_nothing_of_it_imports_torch() -> None:
    code = (
        "import sys, m2f2bench.heatmaps.measurement, m2f2bench.metrics.heatmaps\n"
        "assert not {'torch', 'scipy', 'matplotlib', 'pytorch_grad_cam'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
