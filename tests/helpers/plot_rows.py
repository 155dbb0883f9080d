"""Rows and results for the tests of the figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from m2f2bench.core.records import Score
from m2f2bench.results.result import Result

METHODS = ("Deepfakes", "FaceSwap", "a-manipulation-with-quite-a-long-name-of-its-own")


def write_rows(path: Path, shift: float = 1.5, seed: int = 0, n: int = 240, frames: int = 4, digits: int = 2) -> Path:
    """A CSV of `n` simulated frames, `frames` a video, half of the videos fake by three methods; scores with ties."""
    layout, rng = np.random.default_rng(99), np.random.default_rng(seed)
    video = np.arange(n) // frames
    label = layout.permutation(video.max() + 1)[video] % 2
    method = np.where(label == 1, np.array(METHODS, dtype=object)[video % 3], "original")
    raw = rng.normal(size=video.max() + 1)[video] + rng.normal(size=n) + shift * label - 0.7
    table = {"id": [f"f{i:05d}" for i in range(n)], "label": label, "score": (1 / (1 + np.exp(-raw))).round(digits)}
    names = [f"v{v}" for v in video]
    pd.DataFrame({**table, "video": names, "method": method}).to_csv(path, index=False)
    return path


def write_result(
    path: Path, detector: str, dataset: str, auc: float | None, protocol: str = "frame", **measured: str
) -> Path:
    """A result file with nothing but an AUC."""
    fields = {"data": dataset, "split": "test", "hash": f"{dataset:0>12}", "n": 100, "level": "frame", "v": "1"}
    fields |= {"det": detector, "weights": "none", **measured}
    score = Score(auc, 50, 50)
    signature = "|".join(f"{key}:{value}" for key, value in fields.items())
    result = Result(detector, dataset, "test", protocol, {"auc": score}, {}, 1.0, {"ok": 100}, signature, fields)
    path.write_text(json.dumps(result.to_json()))
    return path


def write_results(folder: Path, table: dict[str, list[float | None]]) -> Path:
    """Result files of detectors on datasets `d0`, `d1` …; None writes none."""
    folder.mkdir(exist_ok=True)
    for i, (detector, values) in enumerate(table.items()):
        for j, value in enumerate(values):
            if value is not None:
                write_result(folder / f"{i}-{j}.json", detector, f"d{j:02d}", value)
    return folder


def write_training(
    folder: Path, detector: str, rows: list[tuple[float, float, float | None]], unit: str = "epoch", **values: object
) -> Path:
    """A training's folder with its record alone; rows: epoch or step, training loss, and perhaps validation loss."""
    folder.mkdir(exist_ok=True)
    curves = [
        {unit: at, "train_loss": loss, "lr": 1e-3 / (1 + at)} | ({} if val is None else {"val_loss": val})
        for at, loss, val in rows
    ]
    record = {"identity": f"{folder.name}0123456789", "detector": detector, "dataset": "faces", "stage": "detector"}
    record |= {"data_fingerprint": "ab", "seed": 0, "curves": curves, "versions": {"m2f2bench": "9"}, **values}
    (folder / "training.json").write_text(json.dumps(record))
    return folder
