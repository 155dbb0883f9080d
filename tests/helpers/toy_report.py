"""A report's input, small and with everything that can be in it: hostile text, long answers, holes, controls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from m2f2bench.core.answers import Answers, joined
from m2f2bench.core.records import FAKE, REAL, Answer, Frame, Locator, Question, Score
from m2f2bench.results.result import Result

SCRIPT = (
    "</style></script><script>window.ran = 1</script><img src='https://example.org/x.png' onerror='window.ran = 2'>"
)
RTL = "الوجه \u202eاصطناعي"
EMOJI = "🫥👩‍🚀 nose"
LONG = "word " * 100_000
BROKEN = "nul\x00 bell\x07 lone\ud800 tag{{ 7 * 7 }}{% raw %}"
TEXTS = ["The nose is bent.", SCRIPT, RTL, EMOJI, LONG, "", BROKEN, "x" * 5000]
REGIONS = ("nose", "image", "eyes", "mouth")


def toy_answers(frames: int = 12) -> tuple[Answers, dict[str, Any], list[str]]:
    """Answers to four questions about each frame with values by metric and verdicts; some are missing."""
    listed, questions, given = {}, [], {}
    for f in range(frames):
        label = FAKE if f % 2 else REAL
        method = "Deepfakes" if label else "original"
        listed[f"f{f}"] = Frame(f"f{f}", f"{method}/{f}", label, method, "test", (str(f),), Locator(""))
        for r, region in enumerate(REGIONS):
            id = f"f{f}#{region}"
            kind = "released" if region == "mouth" else "blind"
            references = (f"reference {f} {region}", SCRIPT)[: 1 + (r == 1)]
            questions.append(
                Question(id, f"f{f}", f"Does the {region} look real/fake?", references, region, label, kind)
            )
            text = TEXTS[(4 * f + r) % len(TEXTS)] if f < 4 else f"Answer {f} about the {region}."
            given[id] = Answer(id, f"f{f}", text, "ok", (f + 1) / 20)
    given["f7#nose"] = Answer("f7#nose", "f7", "", "error", None, "it failed")
    del given["f9#eyes"]
    answers = joined(questions, listed, given)
    values = (np.arange(len(answers)) * 7 % 48) / 48.0
    values[answers.kind == "judge"] = np.nan
    cider = 10.0 - 10.0 * values
    cider[::5] = np.nan
    verdicts = [("real", "fake", "none")[i % 3] for i in range(len(answers))]
    return answers, {"rouge_l": values, "cider": cider}, verdicts


def toy_result(detector: str = "judge", rouge: float = 0.5, cider: float | None = 1.5) -> Result:
    """A result by hand, with real and fake apart, regions, details and one metric without a value."""

    def scores(shift: float, real: int, fake: int) -> dict[str, Score]:
        value = None if cider is None else cider + shift
        return {
            "rouge_l": Score(rouge + shift, real, fake, (rouge + shift - 0.1, rouge + shift + 0.1)),
            "cider": Score(value, real, fake),
            "verdict_accuracy": Score(0.6, real, fake, (0.5, 0.7)),
            "verdict_none_rate": Score(0.1, real, fake),
            "meteor": Score(None, 0, 0, reason="Java is not installed <b>"),
        }

    return Result(
        detector=detector,
        dataset="toy",
        split="test",
        protocol="explain-blind",
        metrics=scores(0.0, 24, 24),
        methods={"Deepfakes": scores(0.1, 0, 24)},
        labels={"real": scores(-0.1, 24, 0), "fake": scores(0.1, 0, 24)},
        regions={region: scores(i / 100, 6, 6) for i, region in enumerate(REGIONS)},
        coverage=46 / 48,
        statuses={"ok": 46, "missing": 1, "error": 1},
        signature="data:toy|det:judge",
        measured={"data": "toy", "det": detector},
        clusters={"by": "identity", "n": 12, "independent": False},
        protocol_card={"bootstrap": {"resamples": 1000, "level": 0.95, "seed": 0}},
        details={
            "verdicts": {"real": {"real": 3, "none": 1}, "fake": {"real": 2, "none": 0}},
            "diversity": {"distinct": 9, "distinct_share": 0.1875, "commonest": SCRIPT},
            "image_dependence": {"within": {"n": 40, "cider": {"kept": 0.91, "ci": [0.85, 0.97]}}},
        },
    )


def toy_images(frame: str) -> Any:
    """A picture for every frame but one."""
    if frame == "f3":
        return None
    rng = np.random.default_rng(int(frame[1:]))
    return rng.integers(0, 255, (320, 240, 3)).astype(np.uint8)


def toy_heat(frame: str) -> Any:
    """A map for every second frame."""
    if int(frame[1:]) % 2:
        return None
    return np.linspace(0.0, 1.0, 49, dtype=np.float32).reshape(7, 7), (0.1, 0.1, 0.9, 0.9)


def toy_page(count: int = 24, detector: str = SCRIPT) -> str:
    """The page of all this."""
    from m2f2bench.reporting.pages.explanation import explanation_page

    answers, items, verdicts = toy_answers()
    controls = [
        ("frequent-hidden", toy_result("c", 0.6, 1.0)),
        ("frequent-label", toy_result("c", 0.5, None)),
        (SCRIPT, replace(toy_result("c", 0.1, 0.1), labels={})),
    ]
    return explanation_page(toy_result(detector), answers, items, verdicts, toy_images, toy_heat, controls, count)
