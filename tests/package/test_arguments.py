"""Arguments of public functions: whatever an argument is, there is a result or one clear line."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import m2f2bench
from m2f2bench.core.errors import M2F2BenchError

ROWS = {"id": [0, 1], "label": [0, 1], "score": [0.1, 0.2]}
NOWHERE = {"detector": "no-such-detector", "dataset": "no-such-dataset"}
GOOD: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "audit": (("no-such-dataset",), {}),
    "audit_checkpoint": (("no-such-detector",), {}),
    "check": (("nowhere",), {}),
    "compare": ((ROWS, ROWS), {"names": ["a", "b"]}),
    "detector_from": (("nowhere.pth", "small-cnn"), {}),
    "faithfulness": ((), NOWHERE),
    "import_weights": (("nowhere.pth", "m2f2det-released-detector", "out"), {}),
    "leaderboard": (({"a": ROWS},), {}),
    "load_dataset": (("no-such-dataset",), {}),
    "load_detector": (("no-such-detector",), {}),
    "localize": ((), NOWHERE),
    "merge": (("constant", "out"), {}),
    "multiverse": ((ROWS,), {}),
    "plot": (("roc", ROWS), {"out": "a.svg"}),
    "predict": ((np.zeros((9, 9, 3), np.uint8), "constant"), {"faces": False}),
    "power": ((ROWS,), {}),
    "prepare": (("no-such-dataset",), {"out": "out"}),
    "read_regions": (("The nose is blurred.",), {}),
    "read_verdict": (("It is fake.",), {}),
    "run": ((), {"detectors": "constant", "datasets": "no-such-dataset", "out": "out"}),
    "score": ((ROWS,), {}),
    "train": ((), {**NOWHERE, "out": "out"}),
    "validate_result": (("nowhere",), {}),
}
"""Arguments of each public function that takes data, of which one at a time is exchanged."""
NOT_CALLED = {"fit_network", "register_adapter", "register_backend", "register_metric", "trained_weights"}
"""Public functions for the authors of detectors, datasets and metrics, which take classes and jobs."""
VALUES: dict[str, Any] = {
    "None": None, "a number": 3, "a float": 0.5, "NaN": float("nan"), "True": True, "bytes": b"x", "a class": dict,
    "an object": object(), "an array": np.zeros(3), "a picture": np.zeros((9, 9, 3), np.uint8), "a list": [],
    "a set": {1}, "a dict": {}, "a frame": pd.DataFrame({"id": [1]}), "empty": "", "a line break": "a\nb",
    "a NUL": "a\0b", "long": "a" * 5000, "a surrogate": "\udcff", "no home": "~nosuchuser/x",
    "a path": Path("nowhere"), "numbers": [1, 2],
}  # fmt: skip


def test_every_public_function_is_here() -> None:
    things = {name: getattr(m2f2bench, name) for name in m2f2bench.__all__}
    functions = {name for name, thing in things.items() if callable(thing) and not inspect.isclass(thing)}
    assert functions == {*GOOD, *NOT_CALLED}


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
def test_a_wrong_argument_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    function = getattr(m2f2bench, name)
    signature = inspect.signature(function)
    good = signature.bind(*GOOD[name][0], **GOOD[name][1]).arguments
    for parameter in signature.parameters.values():
        for what, value in VALUES.items():
            given = dict(good)
            several = parameter.kind is inspect.Parameter.VAR_POSITIONAL
            given[parameter.name] = (*given.get(parameter.name, ())[:1], value) if several else value
            call = signature.bind_partial()
            call.arguments.update(given)
            try:
                function(*call.args, **call.kwargs)
            except M2F2BenchError as error:
                assert "\n" not in str(error) and str(error), (parameter.name, what)
            except Exception as error:
                raise AssertionError(f"{name}, {parameter.name} is {what}: {type(error).__name__}: {error}") from error


def test_references_may_be_paths(squares: Path, tmp_path: Path) -> None:
    plug = tmp_path / "plug.py"
    plug.write_text("class Half:\n    def predict(self, images):\n        return [0.5] * len(images)\n")
    rules = tmp_path / "rules.yaml"
    rules.write_text("{name: rules, level: frame, metrics: [auc], bootstrap: {resamples: 20}}")
    found = m2f2bench.run(detectors=Path(f"{plug}:Half"), datasets=squares, protocols=[rules], out=tmp_path / "o")
    assert found[0].dataset == "squares" and found[0].metrics["auc"].value == 0.5
    assert m2f2bench.predict(squares / "real", Path(f"{plug}:Half"), faces=False)[0]["score"] == 0.5
    assert m2f2bench.load_dataset(squares).name == "squares"


def test_messages_say_what_is_wanted() -> None:
    wrong: list[tuple[Any, str]] = [
        (lambda: m2f2bench.score(ROWS, split=3), "split is 3: a text is wanted"),
        (lambda: m2f2bench.run(detectors="constant", limit="ten"), "limit is 'ten': a whole number is wanted"),
        (lambda: m2f2bench.compare(ROWS, ROWS, metrics="auc"), "metrics is one text, 'auc': give a list of metrics"),
        (lambda: m2f2bench.load_dataset(pd.DataFrame()), "a dataset is of type DataFrame: give its name, a path"),
        (lambda: m2f2bench.load_dataset("~nosuchuser/x"), "cannot be looked up: Could not determine home directory"),
        (lambda: m2f2bench.predict("a" * 5000, "constant"), "cannot be looked up: File name too long"),
        (lambda: m2f2bench.read_verdict(None), "text is None: a text is wanted"),  # type: ignore[arg-type]
    ]  # fmt: skip
    for call, said in wrong:
        with pytest.raises(M2F2BenchError) as caught:
            call()
        assert said in str(caught.value)
