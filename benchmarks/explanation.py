"""Text metrics at size: the published answers' metrics, and resampling them.

Asked: 1,000 resamples of BLEU-1 to 4, ROUGE-L and CIDEr (its document frequencies found anew in each resample) over the
1,070 published answers, by 72 clusters, in less than 5 s; and the whole scoring of the published answers under
`explain-released` (METEOR, verdicts, regions, image dependence, all groups with intervals; nothing in the cache) in
less than 15 s. Where M2F2BENCH_DATA is not set, answers drawn at random take the published ones' place, and the whole
is left out.
"""

from __future__ import annotations

import json
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from common import report, sized

from m2f2bench.cards.protocols import Bootstrap, ExplanationRules
from m2f2bench.core.memo import cache_folder
from m2f2bench.metrics.text.meteor import MEMO
from m2f2bench.metrics.text.metrics import text_statistics
from m2f2bench.stats.statistic import estimate

RULES = ExplanationRules(task="explanation", questions=("blind",), metrics=("bleu",), tokenizer="ptb")
CLUSTERS, ANSWERS, RESAMPLES = sized((72, 1070, 1000), (5, 20, 10))
REAL = sized(bool(os.environ.get("M2F2BENCH_DATA")), False)
"""Whether the published answers are there."""
COUNTED = ("bleu1", "bleu2", "bleu3", "bleu4", "bleu", "rouge_l", "cider")


def published() -> tuple[list[str], list[tuple[str, ...]], np.ndarray, np.ndarray]:
    """The published answers, their references, labels, and clusters of images."""
    from m2f2bench.loading import load_dataset

    questions = load_dataset("ddvqa-c40").questions("test", "released")
    file = Path(os.environ["M2F2BENCH_DATA"]) / "ddvqa" / "outputs" / "DDVQA_exp_c40.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    given = {row["key"]: row["text"].removeprefix("<s>").removesuffix("</s>").strip() for row in rows}
    images = {frame: i for i, frame in enumerate(dict.fromkeys(q.frame for q in questions))}
    label = np.array([q.label for q in questions])
    cluster = np.array([images[q.frame] % CLUSTERS for q in questions])
    return [given[q.id] for q in questions], [q.references for q in questions], label, cluster


def drawn() -> tuple[list[str], list[tuple[str, ...]], np.ndarray, np.ndarray]:
    """As many answers of as many words, of 300 words by a power law."""
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, 301)

    def text() -> str:
        return " ".join(f"w{i}" for i in rng.choice(300, 16, p=share / share.sum()))

    n = np.arange(ANSWERS)
    return [text() for _ in n], [(text(),) for _ in n], n % 2, n % CLUSTERS


def main() -> None:
    texts, references, label, cluster = published() if REAL else drawn()
    groups = {"all": label >= 0, "real": label == 0, "fake": label == 1}
    rows: list[dict[str, object]] = []
    for frequencies in ("fixed", "recomputed"):
        settings = RULES.model_copy(update={"tokenizer": "none", "cider_df": frequencies})
        start = time.perf_counter()
        statistics = text_statistics(COUNTED, texts, references, settings).statistics
        middle = time.perf_counter()
        for kept in ({"all": groups["all"]}, groups):
            before = time.perf_counter()
            found = estimate(statistics, kept, label, cluster, CLUSTERS, Bootstrap(resamples=RESAMPLES))
            taken = time.perf_counter() - before
            if any(score.ci is None for group in found.scores.values() for score in group.values()):
                raise RuntimeError("no interval")
            what = f"{len(texts):,} answers, CIDEr {frequencies}, {RESAMPLES:,} resamples, {len(kept)} group(s)"
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            asked = "< 5 s" if len(kept) == 1 else ""
            rows.append(
                {"what": what, "counting_s": middle - start, "resampling_s": taken, "peak_mib": peak, "asked": asked}
            )
    report(rows)
    rows = []
    for names in (("bleu",), ("meteor",), (*COUNTED, "meteor")):
        empty_cache()
        start = time.perf_counter()
        missing = text_statistics(names, texts, references, RULES).missing
        what = f"tokenizer ptb, {'+'.join(names) if len(names) == 1 else 'all seven and meteor'}"
        rows.append({"what": what, "s": time.perf_counter() - start, "missing": len(missing), "asked": ""})
    if REAL:
        seconds, missing = whole()
        rows.append({"what": "the whole of explain-released", "s": seconds, "missing": missing, "asked": "< 15 s"})
    print()
    report(rows)


def empty_cache() -> None:
    """METEOR has seen nothing yet."""
    (cache_folder() / MEMO).unlink(missing_ok=True)


def whole() -> tuple[float, int]:
    """Seconds from the published files to a result, and how many of its metrics are not there (METEOR needs Java)."""
    empty_cache()
    from m2f2bench.scoring.answers import load_answers
    from m2f2bench.scoring.score_answers import score_answers
    from m2f2bench.scoring.scored import Source

    folder = Path(os.environ["M2F2BENCH_DATA"]) / "ddvqa" / "outputs"
    start = time.perf_counter()
    files = (folder / "DDVQA_det_c40.jsonl", folder / "DDVQA_exp_c40.jsonl")
    result = score_answers(load_answers(*files, source=Source("explain-released", "ddvqa-c40"))).result
    taken = time.perf_counter() - start
    return taken, sum(score.value is None for score in result.metrics.values())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="m2f2bench-") as place:
        os.environ["M2F2BENCH_CACHE"] = place
        main()
