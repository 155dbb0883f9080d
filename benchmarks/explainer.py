"""M2F2-Det's explainer against look-ups by its own P(fake): trained in its three stages, with several seeds.

    python benchmarks/explainer.py DATASET [--seeds 0 1] [--threads 2] [--precision fp32] [--may-repeat]
    python benchmarks/explainer.py DATASET --tables

Trains every seed's detector, `align` and `tune` (under `--out`), merges, asks the neutral and the released questions,
and puts results, resamples and training records into `--into`, leaderboards/explainer; where the truth of each region
is known (synthetic), also what `region_tokens.py` finds. With `--may-repeat` the same weights are asked with
`may_repeat: true`, which the card forbids, and stand beside the training, such as `seed1-repeats`. Then, and with
`--tables` only, makes the table. What is done already is not done again, and what was cut off goes on. p-values are of
paired tests, after Holm's correction over those of one training and kind of questions.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import runpy
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from common import command, put_tables, span

DETECTOR = "m2f2det-small-explainer"
PROTOCOLS = ("explain-blind", "explain-released")
LOOK_UPS = {"medoid": "control-medoid-verdict", "most frequent": "control-frequent-verdict"}
"""Training answers by region and verdict; the verdict is the explainer's own P(fake) at .5."""
METRICS = {"verdict_accuracy": "verdict accuracy", "cider": "CIDEr", "meteor": "METEOR"}
REGIONAL = ("synthetic",)
"""Datasets that know for each region whether it is forged."""
REGIONS = Path(__file__).with_name("region_tokens.py")


def train(dataset: str, seed: int, here: Path, threads: int, precision: Sequence[str]) -> Path:
    """Train all stages of a seed and merge them; return the merged folder."""
    before: list[object] = []
    for stage in ("detector", "align", "tune"):
        words = ["train", DETECTOR, "--dataset", dataset, "--stage", stage, "--seed", seed, *before]
        own = precision if stage != "detector" else ()
        command([*words, *own, "--out", here / stage, "--resume"], here / "log", threads)
        before = ["--from", here / stage]
    shutil.rmtree(here / "merged", ignore_errors=True)  # it may be of an earlier training
    command(["merge", here / "tune", "--out", here / "merged"], here / "log", threads)
    return here / "merged"


def judge(
    dataset: str, seed: int, out: Path, into: Path, threads: int, precision: Sequence[str], repeats: bool
) -> None:
    """Train one seed, ask it, and put what came of it in its place."""
    here = out / dataset / f"seed{seed}"
    place = into / dataset / (f"{here.name}-repeats" if repeats else here.name)
    if place.exists():
        return
    merged, made = train(dataset, seed, here, threads, precision), place.with_name(f".{place.name}")
    answers = here / "answers"
    if repeats:
        merged, answers = with_repeats(merged), here / "answers-repeats"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    for protocol in PROTOCOLS:
        words = ["run", "-d", merged, "-s", dataset, "-p", protocol, "--out", answers]
        command(words, here / "log", threads)
        for name in (DETECTOR, *(f"{one}@{DETECTOR}" for one in LOOK_UPS.values())):
            run = answers / f"{name}--{dataset}--{protocol}"
            shutil.copy(run / "result.json", made / f"{name}--{protocol}.json")
            shutil.copy(run / "resamples.parquet", made / f"{name}--{protocol}.parquet")
    for stage in ("detector", "align", "tune"):
        shutil.copy(here / stage / "training.json", made / f"{stage}.training.json")
    if dataset in REGIONAL:
        (made / "regions.json").write_text(json.dumps(regions(merged, dataset), indent=1) + "\n")
    made.rename(place)  # all of it or nothing
    print(f"{dataset} seed {seed}: done", flush=True)


def with_repeats(merged: Path) -> Path:
    """Return a folder with the same weights and a card by which an answer may say a sentence twice."""
    place = merged.with_name("merged-repeats")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(merged, place)
    card = yaml.safe_load((place / "card.yaml").read_text())
    card["options"]["explainer"]["generation"]["may_repeat"] = True
    (place / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False))
    return place


def regions(folder: Path, dataset: str) -> dict[str, Any]:
    """Ask what `region_tokens.py` finds."""
    before, sys.argv = sys.argv, ["region_tokens", str(folder), "-s", dataset, "--json"]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(str(REGIONS), run_name="__main__")
    finally:
        sys.argv = before
    found: dict[str, Any] = json.loads(said.getvalue().splitlines()[-1])[0]
    return found


def table(place: Path) -> list[dict[str, Any]]:
    """For each seed and kind of questions: its numbers, and its difference to each look-up by each metric."""
    from m2f2bench.scoring.compare import compare
    from m2f2bench.stats.multiplicity import holm

    rows: list[dict[str, Any]] = []
    for folder in sorted(place.glob("seed*")):
        for protocol in PROTOCOLS:
            path = folder / f"{DETECTOR}--{protocol}.json"
            result = json.loads(path.read_text())
            row: dict[str, Any] = {"seed": folder.name, "questions": protocol, "less": []}
            row |= {name: result["metrics"][name]["value"] for name in (*METRICS, "consistency")}
            row["kept"] = result["details"]["image_dependence"]["within"]["cider"]["kept"]
            for title, control in LOOK_UPS.items():
                other = folder / f"{control}@{DETECTOR}--{protocol}.json"
                found = compare(path, other, metrics=list(METRICS)).to_json()["differences"]
                row["less"] += [{"look_up": title, **one} for one in found if one["group"] is None]
            for one, p in zip(row["less"], holm([one["p"] for one in row["less"]]), strict=True):
                one["p_holm"] = p
            rows.append(row)
    return rows


def markdown(dataset: str, rows: Sequence[dict[str, Any]]) -> str:
    """The tables as Markdown: what each explainer reaches, and what it has more than each look-up."""
    lines = [
        f"| {dataset}: questions | training | {' | '.join(METRICS.values())} | consistency | CIDEr kept |",
        "|---|---|" + "---:|" * (len(METRICS) + 2),
    ]
    for row in rows:
        cells = " | ".join(f"{row[name]:.3f}" for name in (*METRICS, "consistency", "kept"))
        lines.append(f"| `{row['questions']}` | {row['seed']} | {cells} |")
    lines += ["", "| questions | training | less the look-up | metric | difference [95% CI] | p (Holm) |"]
    lines.append("|---|---|---|---|---:|---:|")
    for row in rows:
        for one in row["less"]:
            cells = f"{METRICS[one['metric']]} | {one['difference']:+.3f} {span(one['ci'])} | {one['p_holm']:.4f}"
            lines.append(f"| `{row['questions']}` | {row['seed']} | {one['look_up']} | {cells} |")
    return "\n".join(lines) + "\n"


def regional(place: Path) -> str:
    """What was found about regions, of each training, as Markdown."""
    files = sorted(place.glob("seed*/regions.json"))
    if not files:
        return ""
    text: Callable[[dict[str, Any]], str] = runpy.run_path(str(REGIONS))["markdown"]
    return "".join(f"\nRegions, {path.parent.name}:\n\n{text(json.loads(path.read_text()))}" for path in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", help="of the language stages, in place of the card's")
    parser.add_argument("--may-repeat", action="store_true", help="ask with may_repeat: true")
    parser.add_argument("--out", type=Path, default=Path("runs/explainer"))
    parser.add_argument("--into", type=Path, default=Path("leaderboards/explainer"))
    parser.add_argument("--tables", action="store_true")
    given = parser.parse_args()
    precision = ("--precision", given.precision) if given.precision else ()
    for seed in () if given.tables else given.seeds:
        how = (given.dataset, seed, given.out, given.into, given.threads, precision)
        judge(*how, repeats=given.may_repeat)
    place = given.into / given.dataset
    rows = table(place)
    put_tables(place, rows, markdown(given.dataset, rows) + regional(place))


if __name__ == "__main__":
    main()
