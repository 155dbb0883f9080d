"""Ways to come to a number a second time, run before and after something was changed behind the bench's back.

As a program: `python stale_flows.py before|after FOLDER DETECTOR DATASET` does them all and prints outcomes as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import m2f2bench
from m2f2bench.core.errors import M2F2BenchError
from m2f2bench.runs import check as checker
from m2f2bench.runs import judging

FLOWS = ("run", "video", "score", "check", "killed")


def number(result: m2f2bench.Result) -> list[Any]:
    """What a result says: the Brier score, AUC and how many there are of each label."""
    brier, auc = result.metrics["brier"], result.metrics["auc"]
    return [brier.value, auc.value, brier.n_real, brier.n_fake]


def run(detector: Any, dataset: Any, out: Path, protocol: str = "frame") -> list[Any]:
    return number(m2f2bench.run(detectors=[detector], datasets=dataset, protocols=protocol, out=out)[0])


class Killed(BaseException):
    """In the place of a signal, for a run inside the tests' own process."""


def before(folder: Path, detector: Any, dataset: Any) -> dict[str, Any]:
    """Fill one folder for each flow."""
    found = {flow: run(detector, dataset, folder / flow) for flow in ("run", "video", "score")}
    base = folder / "base"
    run(detector, dataset, base)
    (place,) = base.iterdir()
    checker.check(place, detector=detector, dataset=dataset, out=folder / "check")
    return found


def cut_off(folder: Path, detector: Any, dataset: Any, signal_: bool = False) -> None:
    """Begin a run and end it after two batches; with `signal_` by SIGKILL, which ends this process."""
    begin = judging._begin_rows

    def dying(name: str, judged: Any, batch: Any) -> Any:
        if dying.batches == 2:
            if signal_:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Killed
        dying.batches += 1
        return begin(name, judged, batch)

    dying.batches = 0  # type: ignore[attr-defined]
    judging._begin_rows = dying  # type: ignore[assignment]
    try:
        m2f2bench.run(detectors=[detector], datasets=dataset, out=folder / "killed", batch_size=3)
    except Killed:
        pass
    finally:
        judging._begin_rows = begin
    assert list((folder / "killed").glob("*/predictions.partial.arrows"))


def after(folder: Path, detector: Any, dataset: Any) -> dict[str, Any]:
    """The same folders once more, and a fresh one; what is refused is told as a text."""

    def told(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except M2F2BenchError as error:
            return f"refused: {error}"

    def score() -> Any:
        (place,) = (folder / "score").iterdir()
        result = m2f2bench.score(place, dataset=dataset)
        return [*number(result), result.measured["weights"]]

    def check() -> Any:
        (place,) = (folder / "base").iterdir()
        (report,) = checker.check(place, detector=detector, dataset=dataset, out=folder / "check", metrics=["brier"])
        return report.checked[0].now if report.checked else "refused: " + "; ".join(report.problems)

    fresh = m2f2bench.run(detectors=[detector], datasets=dataset, out=folder / "fresh")[0]
    return {
        "fresh": number(fresh),
        "fresh video": run(detector, dataset, folder / "fresh", "video"),
        "weights": fresh.measured["weights"],
        "run": told(lambda: run(detector, dataset, folder / "run")),
        "video": told(lambda: run(detector, dataset, folder / "video", "video")),
        "score": told(score),
        "check": told(check),
        "killed": told(lambda: run(detector, dataset, folder / "killed")),
    }


if __name__ == "__main__":
    logging.disable()
    when, place, detector, dataset = sys.argv[1:]
    print(json.dumps({"before": before, "after": after}[when](Path(place), detector, dataset)), flush=True)
    if when == "before":
        cut_off(Path(place), detector, dataset, signal_=True)
