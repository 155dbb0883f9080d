"""Heat maps against true masks: intervals against an independent bootstrap, hostile detectors, the command."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_means import estimated
from toy_units import outside

from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.errors import DataError, DetectorError, FrameError
from m2f2bench.core.records import Frame, Locator, Score
from m2f2bench.datasets.base import Adapter
from m2f2bench.detectors.base import Detector, Localizer
from m2f2bench.heatmaps.measurement import localize
from m2f2bench.stats.statistic import Columns

FEW = Bootstrap(resamples=200)
PEOPLE = 12


class Squares(Adapter):
    """12 real and 24 fake 8×8 frames of 12 people; in a fake of person p the square at (2(p % 4), 2(p // 4)) is white,
    of side 2 (`small`) or 4 (`large`), and that is the mask."""

    name = "squares"
    changed: dict[str, object] = {}  # noqa: RUF012

    def frames(self, split: str) -> list[Frame]:
        rows = [("original", 0), ("small", 1), ("large", 1)]
        return [
            Frame(f"{m}/{p:02d}", f"{m}/{p:02d}", y, m, split, (f"p{p}",), Locator("", index=p))
            for m, y in rows
            for p in range(PEOPLE)
        ]

    def read(self, frame: Frame) -> np.ndarray:
        if frame.id in self.changed.get("unreadable", ()):  # type: ignore[operator]
            raise FrameError(frame.id, "gone")
        image = np.zeros((8, 8, 3), np.uint8)
        image[self.square(frame)] = 255
        return image

    def square(self, frame: Frame) -> np.ndarray:
        mask = np.zeros((8, 8), bool)
        p, side = frame.locator.index or 0, {"small": 2, "large": 4}.get(frame.method, 0)
        top, left = 2 * (p // 4), 2 * (p % 4)
        mask[top : top + side, left : left + side] = True
        return mask

    def mask(self, frame: Frame) -> np.ndarray | None:
        masks: dict[str, object] = self.changed.get("masks", {})  # type: ignore[assignment]
        return masks.get(frame.id, self.square(frame))  # type: ignore[return-value]


class Maps(Detector, Localizer):
    """A map of the brightness, or what `make` makes of the pictures."""

    def __init__(self, make=None, seen=None) -> None:
        self.make, self.part = make, seen

    def forward(self, batch, ids):
        return np.full(len(batch), 0.5)

    def heatmap(self, images):
        grey = np.stack([image.mean(2)[:8, :8] / 255.0 for image in images]).astype(np.float32)
        return self.make(grey) if self.make else grey

    def seen(self, height, width):
        return self.part or (0.0, 0.0, 1.0, 1.0)


def test_intervals_are_those_of_an_independent_bootstrap() -> None:
    rng = np.random.default_rng(11)
    cluster = rng.integers(0, 30, 200)
    a, b = rng.random(200), rng.random(200) + 0.1
    a[:20] = np.nan
    real = np.arange(200) < 5
    table = Columns({"a": a, "b": b})
    formulas = {"mean": table.mean("a"), "difference": table.difference("a", "b"), "ratio": table.ratio("a", "b")}
    found = estimated(formulas, real, cluster, 30, Bootstrap(resamples=500, seed=4, level=0.9))
    drawn: dict[str, list[float]] = {name: [] for name in formulas}
    source = np.random.default_rng(4)
    for _ in range(500):
        frames = np.concatenate([np.flatnonzero(cluster == c) for c in source.integers(0, 30, 30)])
        x, y = np.nanmean(a[frames]), b[frames].mean()
        for name, value in (("mean", x), ("difference", x - y), ("ratio", x / y)):
            drawn[name].append(float(value))
    x, y = np.nanmean(a), b.mean()
    tail = outside(0.9, 30)
    for name, value in (("mean", x), ("difference", x - y), ("ratio", x / y)):
        assert found[name].value == pytest.approx(value, abs=1e-12)
        assert found[name].ci == pytest.approx(np.quantile(drawn[name], [tail, 1 - tail]), abs=1e-12)
    assert (found["mean"].n_real, found["mean"].n_fake) == (0, 180)
    assert (found["ratio"].n_real, found["ratio"].n_fake) == (5, 195)


def test_intervals_hold_the_truth() -> None:
    """40 people with 1 to 5 frames each, correlated within a person: 95% intervals, 300 worlds."""
    rng, held = np.random.default_rng(5), 0
    for world in range(300):
        cluster = np.repeat(np.arange(40), rng.integers(1, 6, 40))
        person = rng.normal(0.0, 0.1, 40)[cluster]
        columns = {"a": 0.5 + person + rng.normal(0.0, 0.05, len(cluster)), "b": np.full(len(cluster), 0.4)}
        formulas = {"d": Columns(columns).difference("a", "b")}
        ci = estimated(formulas, columns["a"] < 0, cluster, 40, Bootstrap(resamples=200, seed=world))["d"].ci
        assert ci is not None
        held += ci[0] <= 0.1 <= ci[1]
    assert 0.90 <= held / 300 <= 0.99


def test_no_interval_where_there_is_no_spread_to_resample() -> None:
    def mean(values: np.ndarray, cluster: np.ndarray, n_clusters: int) -> Score:
        of = {"a": Columns({"a": values}).mean("a")}
        return estimated(of, np.zeros(len(values), bool), cluster, n_clusters, Bootstrap())["a"]

    alone = mean(np.array([0.2, 0.4, np.nan]), np.array([0, 0, 1]), 2)
    assert alone.value == pytest.approx(0.3) and alone.ci is None and "one cluster" in str(alone.reason)
    none = mean(np.full(3, np.nan), np.array([0, 0, 1]), 2)
    assert none.value is None and none.reason == "no frame has a value" and none.n_fake == 0
    sure = mean(np.ones(20), np.arange(20), 20)
    assert sure.ci == (pytest.approx(0.025 ** (1 / 20)), 1.0), "20 of 20: Clopper and Pearson's bound"


def test_a_map_that_equals_the_mask_gets_everything() -> None:
    found = localize(Maps(), Squares(), bootstrap=FEW)
    values = {name: score.value for name, score in found.metrics.items()}
    # On the 8×8 pictures a small square is 4 pixels. A large one is cut off at the right edge for 3 of 12 people.
    large = (9 * 16 + 3 * 8) / 12
    area = (4 + large) / 2 / 64
    assert values == {
        "energy_in_mask": 1.0,
        "mask_area": pytest.approx(area),
        "energy_difference": pytest.approx(1 - area),
        "energy_ratio": pytest.approx(1 / area),
        "energy_above_area": 1.0,
        "pointing": 1.0,
        "iou": 1.0,
        "pixel_auc": 1.0,
        "iou_best": 1.0,
        "iou_best_threshold": 0.01,
    }
    assert found.methods["small"]["mask_area"].value == 4 / 64
    assert found.methods["large"]["mask_area"].value == pytest.approx(large / 64)
    constant = found.controls["constant"]
    assert constant["energy_in_mask"].value == values["mask_area"] and constant["energy_above_area"].value == 0.0
    assert constant["energy_difference"].ci == (0.0, 0.0), "it is zero in every resample"
    assert constant["detector_less_control"].ci == found.metrics["energy_difference"].ci, "the same draws: paired"
    assert found.controls["centre"]["energy_in_mask"].value == pytest.approx(_centre_energy(), abs=1e-9)
    assert found.level["real"].value == 0.0 and found.level["fake"].value == pytest.approx(area)
    assert (found.level["difference"].n_real, found.level["difference"].n_fake) == (12, 24)
    assert found.coverage == 1.0 and found.outcomes == {"fake": {"ok": 24}, "real": {"ok": 12}}
    assert found.clusters == {"by": "identity", "n": 12} and found.shapes == ((8, 8),)


def _centre_energy() -> float:
    """The mean share of an 8×8 Gaussian of deviation a quarter in each frame's square, cell by cell."""
    offsets = [(i + 0.5) / 8 - 0.5 for i in range(8)]
    weight = [[math.exp(-8 * (y * y + x * x)) for x in offsets] for y in offsets]
    total, frames, adapter = sum(map(sum, weight)), [], Squares()
    for frame in adapter.frames("test"):
        if frame.label:
            mask = adapter.square(frame)
            frames.append(sum(weight[y][x] for y in range(8) for x in range(8) if mask[y, x]) / total)
    return sum(frames) / len(frames)


def test_a_constant_map_is_worth_its_area_and_no_more() -> None:
    found = localize(Maps(lambda grey: np.full((len(grey), 3, 5), 0.37, np.float32)), Squares(), bootstrap=FEW)
    metrics = found.metrics
    assert metrics["energy_in_mask"].value == pytest.approx(metrics["mask_area"].value, abs=1e-12)
    assert metrics["energy_difference"].value == pytest.approx(0.0, abs=1e-12)
    assert metrics["energy_ratio"].value == pytest.approx(1.0) and metrics["energy_above_area"].value == 0.0
    assert found.level["real"].value == pytest.approx(0.37) and "map:3x5" in found.signature


def test_the_mask_is_cut_to_what_is_seen() -> None:
    """A map over the left half only: squares on the right are out of its sight, and it has not found them."""
    found = localize(Maps(lambda grey: grey[:, :, :4], (0.0, 0.0, 1.0, 0.5)), Squares(), bootstrap=FEW)
    assert found.outcomes["fake"] == {"ok": 12, "unseen_mask": 12} and found.coverage == 0.5
    values = {name: score.value for name, score in found.metrics.items()}
    assert (values["energy_in_mask"], values["pointing"], values["iou"], values["pixel_auc"]) == (0.5, 0.5, 0.5, 0.75)
    assert all(score.n_fake == 24 for score in found.metrics.values())
    with pytest.raises(DetectorError, match="top, left"):
        localize(Maps(seen=(0.0, 0.5, 1.0, 0.5)), Squares(), bootstrap=FEW)


@pytest.mark.parametrize(
    ("seen", "says"),
    [(7, "TypeError"), (("a", "b", "c", "d"), "ValueError"), (ZeroDivisionError("no"), "ZeroDivisionError: no")],
)
def test_a_region_that_is_none_is_one_error(seen: object, says: str) -> None:
    class Blind(Maps):
        def seen(self, height, width):
            if isinstance(seen, Exception):
                raise seen
            return seen

    with pytest.raises(DetectorError, match=f"'Blind' cannot say what it sees of a picture of 8x8 pixels: {says}"):
        localize(Blind(), Squares(), bootstrap=FEW)


def test_what_does_not_count_is_counted() -> None:
    adapter = Squares()
    empty, none = np.zeros((8, 8), bool), None
    adapter.changed = {
        "unreadable": {"small/00", "original/03"},
        "masks": {"small/01": empty, "small/02": none, "large/02": none},
    }

    def make(grey: np.ndarray) -> np.ndarray:
        sums = grey.sum((1, 2))
        out = grey.copy()
        out[sums == 8] = 0.0  # the large squares at the right edge
        return out

    found = localize(Maps(make), adapter, bootstrap=FEW)
    assert found.outcomes == {
        "fake": {"ok": 17, "unreadable": 1, "no_mask": 2, "empty_mask": 1, "zero_map": 3},
        "real": {"ok": 11, "unreadable": 1},
    }
    assert found.coverage == 17 / 24 and found.metrics["pointing"].n_fake == 20
    assert found.metrics["pointing"].value == found.metrics["iou"].value == 17 / 20
    assert found.level["fake"].n_fake == 23, "maps without a mask count for the level"
    text = found.markdown()
    assert "coverage 0.7083: 17 of 24 fakes have a map that says something of their mask" in text
    assert "- 3 zero_map: they count as maps that say nothing (pointing and IoU 0, energy the mask's area" in text
    assert "- fake frames that do not count: 1 unreadable, 2 no_mask, 1 empty_mask\n" in text
    assert "- real frames that do not count: 1 unreadable\n" in text
    assert "- first without a map: original/03 (gone)\n" in text
    rows = {row["frame"]: row for row in found.to_json(frames=True)["frames"]}
    assert len(rows) == 36 and rows["small/00"]["outcome"] == "unreadable" and rows["small/00"]["level"] is None


def test_hostile_maps() -> None:
    def nan(grey: np.ndarray) -> np.ndarray:
        return np.where(grey.sum((1, 2), keepdims=True) == 4, np.nan, grey)

    found = localize(Maps(nan), Squares(), bootstrap=FEW)
    assert found.outcomes["fake"] == {"ok": 12, "error": 12} and found.methods["small"]["pointing"].value == 0.0
    assert "not finite" in found.markdown()

    def sometimes(grey: np.ndarray) -> np.ndarray:
        if (grey.sum((1, 2)) == 4).any():
            raise ValueError("a small square")
        return grey

    failed = localize(Maps(sometimes), Squares(), bootstrap=FEW)
    assert failed.outcomes["fake"] == {"ok": 12, "error": 12}, "a batch that raises is mapped picture by picture"
    with pytest.raises(DetectorError, match=r"values from -0.2 to 0.8 for 'a grey picture'"):
        localize(Maps(lambda grey: np.full_like(grey, -0.2) + np.eye(8, dtype=np.float32)), Squares())
    with pytest.raises(DetectorError, match=r"\[1, 8\] for 1 images"):
        localize(Maps(lambda grey: grey[:, 0]), Squares())


def test_hostile_data() -> None:
    adapter = Squares()
    adapter.changed = {"masks": {"small/01": np.zeros((7, 8), bool)}}
    with pytest.raises(DataError, match=r"\[7, 8\] for frame 'small/01' of \[8, 8\] pixels"):
        localize(Maps(), adapter, bootstrap=FEW)
    adapter.changed = {"masks": {"small/01": np.zeros((8, 8))}}
    with pytest.raises(DataError, match="mask of float64"):
        localize(Maps(), adapter, bootstrap=FEW)
    with pytest.raises(DataError, match="no split 'tset'; did you mean 'test'"):
        localize(Maps(), Squares(), split="tset")


def test_the_order_and_the_batches_do_not_matter() -> None:
    class Backwards(Squares):
        def frames(self, split: str) -> list[Frame]:
            return super().frames(split)[::-1]

    def stripes(grey: np.ndarray) -> np.ndarray:
        return (0.2 + 0.8 * grey) * np.linspace(0.1, 1.0, 8, dtype=np.float32)

    one, other = localize(Maps(stripes), Squares()), localize(Maps(stripes), Backwards(), batch_size=5)
    assert one.measured["hash"] == other.measured["hash"]
    for name, score in one.metrics.items():
        assert score.value == pytest.approx(other.metrics[name].value, abs=1e-12)
    random = [found.controls["random"]["energy_in_mask"].value for found in (one, other)]
    assert random[0] == pytest.approx(random[1], abs=1e-12), "a frame's noise is its own"


PLUG = """
import numpy as np
from m2f2bench import Detector, Localizer

class Bright(Detector, Localizer):
    def forward(self, batch, ids):
        return [0.5] * len(batch)
    def heatmap(self, images):
        return np.stack([i[:160, :160].reshape(10, -1, 10, 16, 3).mean((1, 3, 4)) / 255 for i in images])
"""


def test_the_command_on_synthetic_faces(cli, one_line, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "plug.py").write_text(PLUG.replace("i[:160, :160]", "np.resize(i, (160, 160, 3))"))
    card = tmp_path / "faces.yaml"
    cache = tmp_path / "cache"
    card.write_text(
        f"name: faces\nadapter: synthetic\noptions: {{test: 3, train: 2, val: 2, videos_per_identity: 1, "
        f"frames_per_video: 2, size: 64, methods: [swap, relight], cache: {cache}, workers: 1}}\n"
    )
    plug, out = f"{tmp_path}/plug.py:Bright", tmp_path / "found.json"
    done = cli("localize", "-d", plug, "-s", card, "--out", out, "--json")
    assert done.status == 0, done.err
    found, kept = json.loads(done.out), json.loads(out.read_text())
    rows = kept.pop("frames")
    assert found == kept and len(rows) == 18 and set(found["methods"]) == {"swap", "relight"}
    mine = [row["energy_in_mask"] for row in rows if row["label"]]
    assert found["metrics"]["energy_in_mask"]["value"] == pytest.approx(float(np.mean(mine)))
    assert found["signature"].startswith("data:faces|split:test|hash:") and "det:plug.Bright" in found["signature"]
    few = cli("localize", "-d", plug, "-s", card, "--limit", "9")
    assert "| relight" in few.out and "| centre" in few.out and "n:9|" in few.out
    assert "must end in .json or .md" in one_line(cli("localize", "-d", plug, "-s", card, "--out", "x.txt"))
    assert "makes no heat maps" in one_line(cli("localize", "-d", "constant", "-s", card))


def test_data_without_masks(cli, one_line, squares: Path) -> None:
    line = one_line(cli("localize", "-d", "constant", "-s", squares))
    assert "has no true masks" in line and "synthetic" in line


def test_scoring_does_not_import_torch() -> None:
    code = "import sys, m2f2bench.metrics.heatmaps\n"
    code += "import m2f2bench.heatmaps.localization_report\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
