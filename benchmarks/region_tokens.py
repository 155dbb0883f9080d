"""Do answers about a region rest on that region? Asked where the truth of each region is known (`synthetic`).

    python benchmarks/region_tokens.py runs/explainer/merged [-s synthetic] [--swap eyes mouth] [--json]

Of forged faces: how often the explainer calls a region fake that the forgery touched, and one that it did not. Then
what is known of two regions is exchanged before it becomes their tokens, in faces where the forgery touched one of the
two, and all questions are asked again: how many verdicts change, about these two regions and about the others.
Intervals (95%) are over people, by 1,000 resamples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

import m2f2bench
from m2f2bench.core.connected import connected
from m2f2bench.core.records import FAKE, Frame, Question
from m2f2bench.detectors.m2f2det.regions import REGIONS
from m2f2bench.metrics.verdicts.prose import read_prose

RESAMPLES = 1000


def share(
    hits: Sequence[bool], groups: Sequence[int], less: Sequence[bool] = (), of: Sequence[int] = ()
) -> list[float]:
    """The mean of `hits`, less that of `less`, with the interval over resampled groups: three numbers."""
    random, count = np.random.default_rng(0), 1 + max([*groups, *of], default=0)
    draws = [
        np.ones(count),
        *(np.bincount(random.integers(count, size=count), minlength=count) for _ in range(RESAMPLES)),
    ]

    def mean(values: Sequence[bool], codes: Sequence[int], weights: Any) -> float:
        found = weights[np.asarray(codes, dtype=int)]
        return float((found * np.asarray(values, dtype=float)).sum() / found.sum()) if found.sum() else np.nan

    values = [mean(hits, groups, one) - (mean(less, of, one) if len(less) else 0.0) for one in draws]
    return [values[0], *np.nanpercentile(values[1:], (2.5, 97.5)).tolist()]


def swapped(explainer: Any, first: str, second: str) -> Any:
    """Make an explainer's projectors read what is known of two regions exchanged; return what they did before."""
    order = list(range(len(REGIONS)))
    a, b = REGIONS.index(first), REGIONS.index(second)
    order[a], order[b] = b, a
    plain = explainer.projectors.forward
    explainer.projectors.forward = lambda p, patches, cells, regions: plain(p, patches, cells, regions[:, order])
    return plain


def verdicts(explainer: Any, dataset: Any, asked: list[tuple[Frame, Question]]) -> list[str]:
    """What the explainer says of each region: `fake`, `real` or ""."""
    images = {frame.id: dataset.read(frame) for frame, _ in asked}
    found = explainer.explain([images[frame.id] for frame, _ in asked], [question.text for _, question in asked])
    return [read_prose(reply if isinstance(reply, str) else reply.text) for reply in found]


def follows(asked: list[tuple[Frame, Question]], said: list[str], group: dict[str, int]) -> list[dict[str, Any]]:
    """For each region and all of them: how often a touched and an untouched one is called fake, and the difference."""
    rows = []
    for region in (*REGIONS, "all"):
        own = [(q.label == FAKE, v == "fake", group[f.id]) for (f, q), v in zip(asked, said, strict=True)
               if f.label == FAKE and region in (q.region, "all")]  # fmt: skip
        touched, other = ([one[1:] for one in own if one[0] == which] for which in (True, False))
        if touched and other:
            (hits, groups), (less, of) = (tuple(zip(*one, strict=True)) for one in (touched, other))
            row = {"touched": share(hits, groups), "untouched": share(less, of), "less": share(hits, groups, less, of)}
            rows.append({"region": region, "n": [len(hits), len(less)], **row})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("-s", "--dataset", default="synthetic")
    parser.add_argument("--swap", nargs=2, default=("eyes", "mouth"), choices=REGIONS)
    parser.add_argument("--limit", type=int, help="of images")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    explainer: Any = m2f2bench.load_detector(given.folder)
    if not explainer.explainer.region_tokens:
        raise SystemExit(f"'{given.folder}' has no tokens of regions: train it with region_tokens")
    dataset = m2f2bench.load_dataset(given.dataset)
    frames = {frame.id: frame for frame in dataset.frames("test")}
    codes = connected([one.video for one in frames.values()], [one.identities for one in frames.values()])
    group = dict(zip(frames, codes.tolist(), strict=True))
    about = [one for one in dataset.questions("test", "blind") if one.region in REGIONS]
    chosen = list(dict.fromkeys(one.frame for one in about))[: given.limit]
    asked = [(frames[one.frame], one) for one in about if one.frame in chosen]
    said = verdicts(explainer, dataset, asked)
    truth = {(frame.id, question.region): question.label for frame, question in asked}
    a, b = given.swap
    mixed = [n for n, (f, _) in enumerate(asked) if truth.get((f.id, a)) != truth.get((f.id, b))]
    plain = swapped(explainer, a, b)
    again = verdicts(explainer, dataset, [asked[n] for n in mixed])
    explainer.projectors.forward = plain
    changed = [(asked[n][1].region in (a, b), said[n] != v, group[asked[n][0].id])
               for n, v in zip(mixed, again, strict=True)]  # fmt: skip
    own, other = ([one[1:] for one in changed if one[0] == which] for which in (True, False))
    made: dict[str, Any] = {"follows": follows(asked, said, group), "swap": [a, b], "images": len(chosen)}
    if own and other:
        (hits, groups), (less, of) = (tuple(zip(*one, strict=True)) for one in (own, other))
        made["changed"] = {"these": share(hits, groups), "others": share(less, of), "n": [len(hits), len(less)]}
        made["changed"]["less"] = share(hits, groups, less, of)
    if given.json:
        print(json.dumps([made]))
        return
    print("| region | touched: called fake | untouched: called fake | difference |\n|---|---:|---:|---:|")
    for row in made["follows"]:
        print(f"| {row['region']} | {' | '.join(text(row[name]) for name in ('touched', 'untouched', 'less'))} |")
    if "changed" in made:
        cells = [text(made["changed"][name]) for name in ("these", "others", "less")]
        print(f"\nVerdicts that change as {a} and {b} are exchanged: {cells[0]}; others {cells[1]}; less {cells[2]}")


def text(found: list[float]) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(*found)


if __name__ == "__main__":
    main()
