"""The ablation of M2F2-Det: each part switched off in turn, and the CNN alone, over several training seeds.

    python benchmarks/ablation.py DATASET [--seeds 0 1 2] [--jobs 2] [--detectors NAME ...]
    python benchmarks/ablation.py DATASET --tables

Trains every detector once a seed (under `--out`), judges it on the test split under the protocol `frame`, and puts
results, rows and training records into `--into`, leaderboards/ablation; then, and with `--tables` only, makes the
table from the rows there. What is done already is not done again. A cell is the mean AUC over seeds; its interval, and
that of the difference to the whole detector, are over the test's people and over trainings. Of one training nobody
knows how much another would differ: its interval is over people alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from common import command, put_tables, span

from m2f2bench.stats.clustered import Influence, trainings_difference, trainings_interval

WHOLE = "m2f2det-small"
PARTS = ("cnn", "no-general", "no-specific", "no-layer", "no-bridge", "no-map")
PARTS += ("no-tower", "no-strides", "no-gates", "no-masks", "no-freeze", "no-average", "no-ties")
DETECTORS = (WHOLE, *(f"{WHOLE}-{part}" for part in PARTS))
WITHOUT_MAP = (f"{WHOLE}-cnn", f"{WHOLE}-no-map")
BLOB = "centre blob"
MAP_LESS = {
    "detector_less_control": "energy in the mask",
    "pointing_less_control": "pointing",
    "pixel_auc_less_control": "pixel AUC",
    "iou_less_control": "IoU at .5",
}
"""What a map has more than the blob, in pairs."""
MAP_METRICS = {"energy_ratio": "energy in the mask / its area", "pointing": "pointing", "pixel_auc": "pixel AUC"}
MASKED = ("synthetic",)
"""Datasets with true masks, where heat maps are held against them."""


def judge(dataset: str, detector: str, seed: int, out: Path, into: Path) -> None:
    """Train and run one detector with one seed, and put what came of it in its place."""
    place = into / dataset / f"seed{seed}"
    if (place / f"{detector}.json").exists():
        return
    here = out / dataset / f"seed{seed}"
    trained, log = here / "trained" / detector, here / f"{detector}.log"
    if not (trained / "training.json").exists():
        command(["train", detector, "--dataset", dataset, "--seed", seed, "--out", trained, "--resume"], log)
    command(["run", "--detector", trained, "--dataset", dataset, "--protocol", "frame", "--out", here / detector], log)
    run = here / detector / f"{detector}--{dataset}--frame"
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(trained / "training.json", place / f"{detector}.training.json")
    shutil.copy(run / "predictions.parquet", place / f"{detector}.parquet")
    if dataset in MASKED and detector not in WITHOUT_MAP:
        report = here / f"{detector}.maps.json"
        command(["localize", "--detector", trained, "--dataset", dataset, "--out", report], log)
        found = json.loads(report.read_text())
        del found["frames"]
        (place / f"{detector}.maps.json").write_text(json.dumps(found, indent=1) + "\n")
    shutil.copy(run / "result.json", place / f"{detector}.json")
    print(f"{dataset} seed {seed} {detector}: done", flush=True)


def table(place: Path) -> dict[str, Any]:
    """All numbers of one dataset from its rows."""
    from m2f2bench.metrics.detection.paired import Judged
    from m2f2bench.metrics.names import OVERALL
    from m2f2bench.scoring.detection import load_rows

    seeds = sorted(int(folder.name.removeprefix("seed")) for folder in place.glob("seed*"))
    found: dict[str, dict[int, Influence]] = {}
    for seed in seeds:
        for detector in DETECTORS:
            path = place / f"seed{seed}" / f"{detector}.json"
            if path.exists():
                evidence = load_rows(path)
                judged = Judged(evidence.units, evidence.cut, ["auc"], evidence.protocol.bootstrap)
                found.setdefault(detector, {})[seed] = judged.influence(OVERALL)
    return {detector: row(detector, found) | maps(place, detector) for detector in found}


def maps(place: Path, detector: str) -> dict[str, Any]:
    """How the heat maps of each seed, and a blob in the centre, fit the true masks: by metric, value and interval."""
    found: dict[str, Any] = {}
    for path in sorted(place.glob(f"seed*/{detector}.maps.json")):
        report = json.loads(path.read_text())
        blob = report["controls"]["centre"]
        found[path.parent.name] = measured(report["metrics"], MAP_METRICS) | measured(blob, MAP_LESS)
        found[BLOB] = measured(blob, MAP_METRICS)
    return {"maps": found} if found else {}


def measured(metrics: dict[str, Any], names: Iterable[str]) -> dict[str, list[float]]:
    """Some metrics of a report: value and interval."""
    return {name: [metrics[name]["value"], *metrics[name]["ci"]] for name in names}


def row(detector: str, found: dict[str, dict[int, Influence]]) -> dict[str, Any]:
    """One detector: mean AUC over its seeds, and its difference to the whole one over the seeds that both have."""
    own = found[detector]
    aucs = [one.value for one in own.values()]
    made: dict[str, Any] = {"seeds": list(own), "auc": aucs, "mean": float(np.mean(aucs))}
    made["ci"] = list(trainings_interval(list(own.values()), 0.95))
    both = [seed for seed in own if seed in found.get(WHOLE, {})]
    if detector != WHOLE and both:
        made["differences"] = [own[seed].value - found[WHOLE][seed].value for seed in both]
        made["difference"] = float(np.mean(made["differences"]))
        tested = trainings_difference([own[s] for s in both], [found[WHOLE][s] for s in both], 0.95)
        if tested is not None:
            made |= {"difference_ci": list(tested.ci), "p": tested.p}
    return made


def markdown(dataset: str, rows: dict[str, Any]) -> str:
    """The table as Markdown."""
    lines = [
        f"| {dataset}: detector | seeds | AUC, mean [95% CI] | each seed | less the whole [95% CI] | p |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for detector, found in rows.items():
        each = ", ".join(f"{value:.3f}" for value in found["auc"])
        less = f"{found['difference']:+.3f} {span(found.get('difference_ci'))}" if "difference" in found else "–"
        p = f"{found['p']:.3f}" if "p" in found else "–"
        mean = f"{found['mean']:.3f} {span(found['ci'])}"
        lines.append(f"| `{detector}` | {len(found['seeds'])} | {mean} | {each} | {less} | {p} |")
    of = {detector: found["maps"] for detector, found in rows.items() if "maps" in found}
    if of:
        lines += heads("map of", MAP_METRICS)
        lines.append(f"| {BLOB} | – | {cells(next(iter(of.values()))[BLOB], MAP_METRICS)} |")
        lines += map_rows(of, MAP_METRICS)
        lines += [*heads(f"map less the {BLOB}", MAP_LESS), *map_rows(of, MAP_LESS)]
    return "\n".join(lines) + "\n"


def heads(what: str, names: dict[str, str]) -> list[str]:
    """The head of a table of maps."""
    titles = " | ".join(f"{one} [95% CI]" for one in names.values())
    return ["", f"| {what} | training | {titles} |", "|---|---|" + "---:|" * len(names)]


def map_rows(of: dict[str, Any], names: dict[str, str]) -> list[str]:
    """The rows of a table of maps, one for each training of each detector."""
    return [
        f"| `{detector}` | {seed} | {cells(found, names)} |"
        for detector, each in of.items()
        for seed, found in each.items()
        if seed != BLOB
    ]


def cells(found: dict[str, list[float]], names: Iterable[str]) -> str:
    """What the metrics of a map say, as cells."""
    return " | ".join("{:.2f} [{:.2f}, {:.2f}]".format(*found[name]) for name in names)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--detectors", nargs="+", default=list(DETECTORS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--into", type=Path, default=Path("leaderboards/ablation"))
    parser.add_argument("--tables", action="store_true")
    given = parser.parse_args()
    if not given.tables:
        with ThreadPoolExecutor(given.jobs) as pool:
            planned = [(detector, seed) for seed in given.seeds for detector in given.detectors]
            jobs = [pool.submit(judge, given.dataset, *one, given.out, given.into) for one in planned]
            for job in jobs:
                job.result()
    rows = table(given.into / given.dataset)
    put_tables(given.into / given.dataset, rows, markdown(given.dataset, rows))


if __name__ == "__main__":
    main()
