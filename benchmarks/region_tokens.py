"""Do answers about a region rest on that region? Asked where the truth of each region is known (`synthetic`).

    python benchmarks/region_tokens.py runs/explainer/merged [-s synthetic] [--swap eyes mouth] [--json]

Of forged faces: how often the explainer calls a region fake that the forgery touched, and one that it did not. Then
what is known of two regions is exchanged before it becomes their tokens, in faces where the forgery touched one of the
two, and all questions are asked again: how many verdicts and answers change, about these two regions and the others.
Intervals (95%) are over people, by 1,000 resamples; over videos if most frames belong to people of one group.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

import m2f2bench
from m2f2bench.auditing.heldout import people_or_videos
from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.records import FAKE, Frame, Question
from m2f2bench.detectors.m2f2det.regions import REGIONS
from m2f2bench.metrics.verdicts.prose import read_prose
from m2f2bench.stats.bootstrap import percentile_interval
from m2f2bench.stats.statistic import estimate, mean_of

RESAMPLING = Bootstrap(resamples=1000)


def shares(hits: Any, which: Any, cluster: Any) -> dict[str, Any] | None:
    """How often there are hits [N] among those that are meant and among the others, and the difference.

    Each is a value with its interval over clusters [N]; None if there are none of one kind.
    """
    hits, which, cluster = np.asarray(hits, float), np.asarray(which, bool), np.asarray(cluster, int)
    if which.all() or not which.any():
        return None
    count = int(cluster.max()) + 1
    made = estimate({"share": mean_of(hits)}, {True: which, False: ~which}, which * 1, cluster, count, RESAMPLING)
    found = {own: [made.scores[own]["share"].value, *(made.scores[own]["share"].ci or ())] for own in (True, False)}
    less = found[True][0] - found[False][0]
    drawn = made.drawn[True]["share"] - made.drawn[False]["share"] if made.drawn else None
    ci, _ = percentile_interval(less, drawn, count, RESAMPLING)
    return {"these": found[True], "others": found[False], "less": [less, *(ci or ())], "n": np.bincount(which).tolist()}


def swapped(explainer: Any, first: str, second: str) -> Any:
    """Make an explainer's projectors read what is known of two regions exchanged; return what they did before."""
    order = list(range(len(REGIONS)))
    a, b = REGIONS.index(first), REGIONS.index(second)
    order[a], order[b] = b, a
    plain = explainer.projectors.forward
    explainer.projectors.forward = lambda p, patches, cells, regions: plain(p, patches, cells, regions[:, order])
    return plain


def answers(explainer: Any, dataset: Any, asked: list[tuple[Frame, Question]]) -> list[str]:
    """What the explainer says of each region."""
    images = {frame.id: dataset.read(frame) for frame, _ in asked}
    found = explainer.explain([images[frame.id] for frame, _ in asked], [question.text for _, question in asked])
    return [reply if isinstance(reply, str) else reply.text for reply in found]


def follows(asked: list[tuple[Frame, Question]], said: list[str], group: dict[str, int]) -> list[dict[str, Any]]:
    """For each region and all of them: how often a touched and an untouched one is called fake, and the difference."""
    own = [n for n, (frame, _) in enumerate(asked) if frame.label == FAKE]
    rows = []
    for region in (*REGIONS, "all"):
        about = [n for n in own if region in (asked[n][1].region, "all")]
        touched = [asked[n][1].label == FAKE for n in about]
        found = shares([said[n] == "fake" for n in about], touched, [group[asked[n][0].id] for n in about])
        rows += [] if found is None else [{"region": region, **found}]
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
    codes, unit = people_or_videos(list(frames.values()))
    group = dict(zip(frames, codes.tolist(), strict=True))
    about = [one for one in dataset.questions("test", "blind") if one.region in REGIONS]
    chosen = list(dict.fromkeys(one.frame for one in about))[: given.limit]
    asked = [(frames[one.frame], one) for one in about if one.frame in chosen]
    texts = answers(explainer, dataset, asked)
    said = [read_prose(one) for one in texts]
    truth = {(frame.id, question.region): question.label for frame, question in asked}
    a, b = given.swap
    mixed = [n for n, (f, _) in enumerate(asked) if truth.get((f.id, a)) != truth.get((f.id, b))]
    plain = swapped(explainer, a, b)
    again = answers(explainer, dataset, [asked[n] for n in mixed])
    explainer.projectors.forward = plain
    these, clusters = [asked[n][1].region in (a, b) for n in mixed], [group[asked[n][0].id] for n in mixed]
    changed = {
        "changed": [said[n] != read_prose(text) for n, text in zip(mixed, again, strict=True)],
        "reworded": [texts[n] != text for n, text in zip(mixed, again, strict=True)],
    }
    made: dict[str, Any] = {"follows": follows(asked, said, group), "swap": [a, b], "images": len(chosen), "over": unit}
    made |= {name: shares(hits, these, clusters) if mixed else None for name, hits in changed.items()}
    if given.json:
        print(json.dumps([made]))
        return
    print(markdown(made), end="")


def markdown(made: dict[str, Any]) -> str:
    """What was found, as Markdown."""
    lines = ["| region | touched: called fake | untouched: called fake | difference |", "|---|---:|---:|---:|"]
    for row in made["follows"]:
        lines.append(f"| {row['region']} | {' | '.join(text(row[name]) for name in ('these', 'others', 'less'))} |")
    for name, what in (("changed", "Verdicts"), ("reworded", "Answers")):
        if made.get(name):
            these, others, less = (text(made[name][one]) for one in ("these", "others", "less"))
            both = " and ".join(made["swap"])
            lines += ["", f"{what} that change as {both} are exchanged: {these}; others {others}; less {less}."]
    return "\n".join(lines) + "\n"


def text(found: list[float]) -> str:
    """A value, with its interval if there is one."""
    return f"{found[0]:.3f}" + (" [{:.3f}, {:.3f}]".format(*found[1:]) if found[1:] else "")


if __name__ == "__main__":
    main()
