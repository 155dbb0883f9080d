"""Every public function: its result shows itself in a notebook and becomes a data frame; no function is forgotten."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import m2f2det_published as released
import numpy as np
import pandas as pd
import pytest
from marker_faces import MarkerFinder, write_scenes
from paths import ROOT
from toy_explainer import stages
from toy_maps import write_toys
from toy_questions import FACES

import m2f2bench

NO_RESULT = {
    "detector_from": "a detector's card",
    "fit_network": "see its FitReport below",
    "load_detector": "a detector, to be called",
    "trained_weights": "a detector's own file, for its class",
    "read_verdict": "a word",
    "read_regions": "a set of words",
    "register_adapter": "the class",
    "register_backend": "the class",
    "register_metric": "the metric",
}
"""Public functions whose value is no result, and what it is."""
THINGS = {name: getattr(m2f2bench, name) for name in m2f2bench.__all__}
NAMES = [name for name, thing in THINGS.items() if callable(thing) and not inspect.isclass(thing)]
ROWS = {"id": [0, 1, 2, 3, 4, 5], "label": [0, 1, 0, 1, 0, 1], "score": [0.1, 0.7, 0.4, 0.3, 0.6, 0.9]}


class Crowd:
    """A detector with a fault: its scores depend on the batch."""

    def predict(self, images: Any) -> list[float]:
        return [float(np.mean(images[0])) / 255] * len(images)


class Place:
    """What the calls need: a folder of their own, and datasets on disk."""

    def __init__(self, folder: Path, squares: Path) -> None:
        self.folder, self.squares = folder, str(squares)
        folder.mkdir()

    def run(self) -> Any:
        return m2f2bench.run(detectors=["constant", "random"], datasets=self.squares, out=self.folder / "o")

    def train(self, **more: Any) -> Any:
        whole, card = self.folder / "squares", self.folder / "toy.yaml"
        text = (ROOT / "detectors" / "small-cnn.yaml").read_text()
        card.write_text(re.sub(r"epochs: \d+", "epochs: 2", text.replace("name: small-cnn", "name: toy")))
        for split in ("train", "val", "test"):
            shutil.copytree(self.squares, whole / split, dirs_exist_ok=True)
        return m2f2bench.train(str(card), str(whole), out=self.folder / "trained", **more)

    def toys(self) -> tuple[str, str]:
        code, dataset = write_toys(self.folder)
        return f"{code}:Bright", dataset

    def scenes(self) -> Any:
        shown = [{"red": (10, 10, 50, 60)}]
        return write_scenes(self.folder / "scenes", {"original/a": shown, "swap/b": shown})

    def published(self) -> Path:
        return released.save_checkpoint(self.folder / "published.pth", released.small("detector"))


CALLS: dict[str, Callable[[Place], Any]] = {
    "audit": lambda at: m2f2bench.audit(at.squares),
    "audit_checkpoint": lambda at: m2f2bench.audit_checkpoint(Crowd(), dataset=at.squares),
    "check": lambda at: m2f2bench.check(at.run().folders[1], detector="constant", dataset=at.squares),
    "compare": lambda at: m2f2bench.compare({"a": ROWS, "b": {**ROWS, "score": ROWS["score"][::-1]}}),
    "faithfulness": lambda at: m2f2bench.faithfulness(*at.toys(), limit=6, steps=3),
    "import_weights": lambda at: m2f2bench.import_weights(at.published(), "m2f2det-released-detector", at.folder / "o"),
    "leaderboard": lambda at: m2f2bench.leaderboard({"a": ROWS, "b": {**ROWS, "score": ROWS["score"][::-1]}}),
    "load_dataset": lambda at: m2f2bench.load_dataset(at.squares),
    "localize": lambda at: m2f2bench.localize(*at.toys(), limit=12),
    "merge": lambda at: m2f2bench.merge(stages(at.folder, FACES)["tune"], at.folder / "merged"),
    "multiverse": lambda at: m2f2bench.multiverse({"a": ROWS, "b": {**ROWS, "score": ROWS["score"][::-1]}}),
    "plot": lambda at: m2f2bench.plot("roc", {"a": ROWS}, out=at.folder / "a.svg"),
    "power": lambda at: m2f2bench.power(ROWS),
    "predict": lambda at: m2f2bench.predict(at.squares, "random", faces=False),
    "prepare": lambda at: m2f2bench.prepare(at.scenes(), finder=MarkerFinder(), out=at.folder / "o", workers=1),
    "run": lambda at: at.run(),
    "score": lambda at: m2f2bench.score(ROWS),
    "train": lambda at: at.train(),
    "validate_result": lambda at: m2f2bench.validate_result(broken(at.run().folders[0])),
}
"""A call of each public function that gives a result."""


def broken(folder: Path) -> Path:
    """A run's folder whose result has an impossible number."""
    path = folder / "result.json"
    data = json.loads(path.read_text())
    data["metrics"]["auc"]["value"] = 0.1
    path.write_text(json.dumps(data))
    return folder


@pytest.fixture
def place(tmp_path: Path, squares: Path) -> Place:
    return Place(tmp_path / "work", squares)


def test_every_public_function_is_called_here() -> None:
    """A new public function gets a call above, or a reason why its value is no result."""
    assert set(NAMES) == {*CALLS, *NO_RESULT}


@pytest.mark.parametrize("name", CALLS)
def test_the_type_that_is_promised_shows_itself(name: str) -> None:
    function = getattr(m2f2bench, name)
    promised = eval(function.__annotations__["return"], vars(sys.modules[function.__module__]))
    for kind in get_args(promised) if not isinstance(promised, type) else (promised,):
        assert callable(getattr(kind, "to_pandas", None)) and callable(getattr(kind, "_repr_html_", None)), kind


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_every_result_is_a_table(name: str, place: Place) -> None:
    found = CALLS[name](place)
    frame = found.to_pandas()
    assert isinstance(frame, pd.DataFrame) and len(frame) and len(frame.columns) > 1
    html = found._repr_html_()
    ElementTree.fromstring(html.replace("&nbsp;", " "))  # well-formed
    assert "<table" in html or "<img" in html
    if isinstance(found, Path):
        assert found.is_file() and found == Path(str(found)) and type(found.parent) is type(Path())


def test_every_class_of_results_is_one_of_these(place: Place) -> None:
    """A list of results, and a report of a training, which no function above returns."""
    report = m2f2bench.FitReport(Path("model.safetensors"), 0.7, [{"epoch": 1, "val_auc": 0.6}, {"epoch": 2}])
    assert report.to_pandas()["val_auc"].tolist()[0] == 0.6 and "<table" in report._repr_html_()
    results = place.run()
    assert isinstance(m2f2bench.compare(results), m2f2bench.Comparisons) and len(m2f2bench.compare(results).to_pandas())
    assert m2f2bench.validate_result(results.folders[0]) == []
    assert "valid" in m2f2bench.validate_result(results.folders[0])._repr_html_()


def test_a_check_has_its_numbers(place: Place) -> None:
    reports = m2f2bench.check(place.run().folders[1], detector="constant", dataset=place.squares, metrics=["auc"])
    (row,) = reports.to_pandas().to_dict("records")
    (one,) = reports[0].checked
    assert (row["metric"], row["then"], row["now"], row["p"], row["failed"]) == (
        "auc", one.then, one.now, one.p, one.failed,
    )  # fmt: skip
    assert one.then == 0.5 or one.now == 0.5


def test_a_figure_has_the_numbers_that_it_draws(place: Place) -> None:
    names = {"a": ROWS, "b": {**ROWS, "score": ROWS["score"][::-1]}}
    found = m2f2bench.plot("roc", names, out=place.folder / "a.png").to_pandas()
    curve = found[(found["part"] == "curve") & (found["detector"] == "b")]
    auc = m2f2bench.score(names["b"]).metrics["auc"].value
    areas = np.diff(curve["x"]) * (curve["y"].to_numpy()[1:] + curve["y"].to_numpy()[:-1]) / 2
    assert areas.sum() == pytest.approx(auc) and set(found["detector"]) == {"a", "b"}
    for kind in ("pr", "reliability", "histogram", "methods"):
        drawn = m2f2bench.plot(kind, names, out=place.folder / f"{kind}.pdf")
        assert set(drawn.to_pandas()["detector"]) == {"a", "b"} and str(drawn) in drawn._repr_html_()


def test_a_training_has_its_curves(place: Place) -> None:
    card = place.train()
    curves = json.loads((card.parent / "training.json").read_text())["curves"]
    assert card.to_pandas().to_dict("records") == pd.DataFrame(curves).to_dict("records")
    again = place.train(resume=True)
    assert again.to_pandas().equals(card.to_pandas())
    drawn = m2f2bench.plot("curves", card.parent, out=place.folder / "curves.svg").to_pandas()
    assert set(drawn["detector"]) == {"toy"} and len(drawn) >= 4
