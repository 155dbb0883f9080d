"""Do forgery tokens matter? The same explainer with its true tokens, with zeros, and with another image's.

    python benchmarks/forgery_tokens.py runs/ablation/synthetic/seed0/trained/m2f2det-small [--steps 200]
    python benchmarks/forgery_tokens.py runs/explainer/merged -s ddvqa-c40

Takes an explainer, or a detector, behind which it first trains `align` and `tune` of `m2f2det-small-explainer` on the
dataset (on `judge`, then on `judge` and `blind`). Asks all questions three times and compares answer by answer
over the same resampled people. Where the truth is known (`synthetic`), a model that reads its forgery tokens must lose
with tokens that are not the image's own.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import m2f2bench
from m2f2bench.detectors.m2f2det.projectors import Encoded
from m2f2bench.leaderboards.render import table_markdown
from m2f2bench.leaderboards.report import describe_comparison
from m2f2bench.leaderboards.table import build_table
from m2f2bench.loading import detector_card

METRICS = ("verdict_accuracy", "consistency", "cider", "bleu", "region_f1")


def key(image: Any) -> str:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=12).hexdigest()


def permuted(explainer: Any, images: Sequence[Any], seed: int = 0) -> dict[str, torch.Tensor]:
    """Each image's stand-in: the forgery tokens of another one, all images in one circle of a seeded order."""
    tokens = {key(image): row for image, row in zip(images, explainer.encode(images).forgery, strict=True)}
    names = sorted(tokens)
    np.random.default_rng(seed).shuffle(names)
    return {name: tokens[other] for name, other in zip(names, [*names[1:], names[0]], strict=True)}


def meddled(folder: str, name: str, change: Callable[[Any, Encoded, Sequence[Any]], torch.Tensor] | None) -> Any:
    """The explainer under another name, its forgery tokens changed."""
    one: Any = m2f2bench.load_detector(folder)
    one.card = one.card.model_copy(update={"name": f"{one.card.name}-{name}"})
    one._fingerprint += f"-{name}"
    if change is not None:
        encode = one.encode

        def instead(images: Sequence[Any], *more: Any) -> Encoded:
            found = encode(images, *more)
            return found._replace(forgery=change(one, found, images).to(found.forgery))

        one.encode = instead
    return one


def trained(detector: str, dataset: str, out: Path, steps: int) -> str:
    """The folder of stage `tune` that starts from a detector's folder; goes on where it was cut off."""
    card, _ = detector_card("m2f2det-small-explainer")
    align = card.stages["align"].model_copy(update={"questions": ("judge",), "epochs": 4.0, "max_steps": steps})
    tune = card.stages["tune"].model_copy(update={"questions": ("judge", "blind"), "max_steps": steps})
    card = card.model_copy(update={"stages": {"align": align, "tune": tune}})
    first = m2f2bench.train(card, dataset, stage="align", start=detector, out=out / "align", resume=True)
    last = m2f2bench.train(card, dataset, stage="tune", start=first.parent, out=out / "tune", resume=True)
    return str(last.parent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("-s", "--dataset", default="synthetic")
    parser.add_argument("-p", "--protocol", default="explain-blind")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--steps", type=int, default=200, help="of each stage at most, where one is trained")
    parser.add_argument("--out", type=Path, default=Path("runs/forgery-tokens"))
    given = parser.parse_args()
    if detector_card(given.folder)[0].backend == "m2f2det":
        given.folder = trained(given.folder, given.dataset, given.out, given.steps)
    dataset = m2f2bench.load_dataset(given.dataset)
    asked = {question.frame for question in dataset.questions("test", "blind")}
    images = [dataset.read(frame) for frame in dataset.frames("test") if frame.id in asked]
    others = permuted(m2f2bench.load_detector(given.folder), images)
    variants = [
        meddled(given.folder, "true", None),
        meddled(given.folder, "zeroed", lambda one, found, images: torch.zeros_like(found.forgery)),
        meddled(given.folder, "permuted", lambda one, found, images: torch.stack([others[key(i)] for i in images])),
    ]
    results = m2f2bench.run(
        detectors=variants, datasets=given.dataset, protocols=given.protocol, limit=given.limit, out=given.out
    )
    own = [result for result in results if not result.detector.startswith("control-")]
    print(table_markdown(build_table(own)))
    folders = [folder for result, folder in zip(results, results.folders, strict=True) if result in own]
    names = [name for name in METRICS if name in own[0].metrics]
    comparison = m2f2bench.compare(*folders, metrics=names, against=own[0].detector)
    text = describe_comparison(comparison, names)
    (given.out / "paired.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
