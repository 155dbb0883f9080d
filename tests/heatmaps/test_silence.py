"""Silence never pays: whoever gives no map, score or answer fares as the missing rule says, and no better."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_faithfulness import Known, Looker, right
from test_localization import Maps, Squares
from toy_units import make_rows

from m2f2bench.cards.models import ProtocolCard
from m2f2bench.cards.protocols import DETECTION_METRICS, Bootstrap, ExplanationRules
from m2f2bench.core.answers import Answers, joined
from m2f2bench.core.errors import NothingJudged
from m2f2bench.core.records import Answer, Frame, Locator, Question, Score
from m2f2bench.heatmaps.faithfulness_report import MEASURES as FAITHFUL
from m2f2bench.heatmaps.faithfulness_report import Faithfulness
from m2f2bench.heatmaps.localization_report import Localization
from m2f2bench.heatmaps.measurement import faithfulness, localize
from m2f2bench.metrics.answer_metrics import answer_metrics
from m2f2bench.metrics.detection.intervals import score_units
from m2f2bench.metrics.detection.values import Cut
from m2f2bench.metrics.heatmaps import MEASURES, SILENT, measured, measured_curve, truth_on_grid
from m2f2bench.metrics.registry import at_threshold, known_metric, metric_of
from m2f2bench.results.units import to_units

NONE = Bootstrap(resamples=0)
WAYS = st.sampled_from(["zero", "nan", "raise"])


def no_better(silent: Mapping[str, Score], other: Mapping[str, Score]) -> None:
    """Each value of the first is null or not on the better side of the other's."""
    for name, score in silent.items():
        if score.value is not None and known_metric(name) is not None:
            theirs = other[name].value
            assert theirs is not None, f"{name}: silence has a value where an answer has none"
            assert (score.value - theirs) * metric_of(name).worse >= -1e-12, name


class Quiet(Maps):
    """Its map is the brightness turned about, which points away from half of the squares; on some frames nothing."""

    def __init__(self, quiet: frozenset[int], how: str, instead=None) -> None:
        super().__init__()
        self.quiet, self.how, self.instead = quiet, how, instead

    def heatmap(self, images):
        out = []
        for image in images:
            grey = image.mean(2)[:8, :8].astype(np.float32) / 255.0
            heat = 0.1 + 0.9 * grey[::-1]
            if grey.sum() > 0 and self.number(grey) in self.quiet and image.shape[0] == 8:
                if self.instead is not None:
                    heat = np.full((8, 8), self.instead, np.float32)
                elif self.how == "raise":
                    raise ValueError("no map of this one")
                else:
                    heat = np.full((8, 8), {"zero": 0.0, "nan": np.nan}[self.how], np.float32)
            out.append(heat)
        return np.stack(out)

    @staticmethod
    def number(grey: np.ndarray) -> int:
        """A fake's number, 0 … 23, by where its square begins and by its size."""
        top, left = np.argwhere(grey > 0)[0]
        return int(top * 8 + left) // 2 + (100 if (grey > 0).sum() > 4 else 0)


NUMBERS = sorted({Quiet.number(Squares().read(f).mean(2) / 255) for f in Squares().frames("test") if f.label})


def test_a5_silence_does_not_lift_pointing() -> None:
    """The fault as it was found: zeros wherever the map would miss lifted pointing to 1."""
    answering = localize(Quiet(frozenset(), "zero"), Squares(), bootstrap=NONE)
    own = {row.frame.id: row.values["detector"]["pointing"] for row in answering.frames if row.values}
    assert 0.0 < answering.metrics["pointing"].value < 1.0
    adapter = Squares()
    missed = [f for f in adapter.frames("test") if f.label and own[f.id] < 1.0]
    quiet = frozenset(Quiet.number(adapter.read(f).mean(2) / 255) for f in missed)
    for how in ("zero", "nan", "raise"):
        silent = localize(Quiet(quiet, how), Squares(), bootstrap=NONE)
        hits = sum(value for value in own.values() if value == 1.0)
        assert silent.metrics["pointing"].value == pytest.approx(hits / 24)
        assert silent.metrics["pointing"].value <= answering.metrics["pointing"].value
        assert silent.metrics["pointing"].n_fake == 24 and silent.coverage == (24 - len(missed)) / 24
        assert f"{len(missed)} {'zero_map' if how == 'zero' else 'error'}: they count as maps" in silent.markdown()


@cache
def mapped() -> Localization:
    """What the map that is turned about comes to on every frame."""
    return localize(Quiet(frozenset(), ""), Squares(), bootstrap=NONE)


@pytest.mark.slow
@settings(max_examples=8)
@given(st.frozensets(st.sampled_from(NUMBERS)), WAYS)
def test_a5_a_silent_map_is_worth_an_even_one_and_points_nowhere(quiet: frozenset[int], how: str) -> None:
    """Over the same frames as the controls; by hand from an even map's energy and pixel AUC, and 0 for the rest."""
    silent = localize(Quiet(quiet, how), Squares(), bootstrap=NONE)
    even = localize(Quiet(quiet, how, instead=0.5), Squares(), bootstrap=NONE)
    answering = mapped()
    for name in ("energy_in_mask", "mask_area", "energy_difference", "energy_ratio", "energy_above_area", "pixel_auc"):
        assert silent.metrics[name].value == pytest.approx(even.metrics[name].value, abs=1e-12), name
    no_better(silent.metrics, even.metrics)
    for name in ("pointing", "iou", "iou_best"):
        assert silent.metrics[name].value <= answering.metrics[name].value + 1e-12
    for control in silent.controls:
        for name in MEASURES:
            score = silent.controls[control][name]
            assert score == answering.controls[control][name], "controls are over the same frames, whoever is silent"
            assert score.n_fake == silent.metrics[name].n_fake == 24
    kept = {row.frame.id: row for row in answering.frames}
    for row in silent.frames:
        if row.frame.label and row.outcome != "ok":
            truth = truth_on_grid(Squares().square(row.frame), (8, 8))
            assert row.values["detector"] == {name: of(truth) for name, of in SILENT.items()}
            assert not row.curves["detector"].any()
        elif row.frame.label:
            assert row.values["detector"] == kept[row.frame.id].values["detector"]


def test_a5_no_map_at_all() -> None:
    """It fails on everything, the trial too: there is no table of nothing."""

    class Broken(Maps):
        def heatmap(self, images):
            raise RuntimeError("never")

    with pytest.raises(NothingJudged, match=r"Broken, heat maps: none of 36 frames could be judged, first .*never"):
        localize(Broken(), Squares(), bootstrap=NONE)


def test_a5_a_mask_of_everything_tells_no_map_from_another() -> None:
    adapter = Squares()
    adapter.changed = {"masks": {f.id: np.ones((8, 8), bool) for f in adapter.frames("test") if f.label}}
    found = localize(Maps(), adapter, bootstrap=NONE)
    assert found.metrics["pixel_auc"].value is None and found.metrics["pointing"].value == 1.0
    one = {"small/00": np.ones((8, 8), bool)}
    adapter.changed = {"masks": one}
    assert localize(Maps(), adapter, bootstrap=NONE).metrics["pixel_auc"].n_fake == 23


def test_a5_every_measure_has_its_rule() -> None:
    assert set(SILENT) == set(MEASURES), "add what a frame without a map counts as"
    truth = truth_on_grid(np.eye(4, dtype=bool), (2, 2))
    zero = np.zeros((2, 2))
    assert measured(None, truth) == measured(zero, truth)
    assert measured(zero, truth) == {
        "energy_in_mask": 0.25,
        "mask_area": 0.25,
        "energy_above_area": 0.0,
        "pointing": 0.0,
        "iou": 0.0,
        "pixel_auc": 0.5,
    }
    assert measured_curve(zero, truth).tolist() == measured_curve(None, truth).tolist() == [0.0] * 101


class Hush(Looker):
    """The right map, or the wrong one; on some people's frames none."""

    def __init__(self, heat: np.ndarray, quiet: frozenset[int], how: str) -> None:
        super().__init__(heat)
        self.quiet, self.how = quiet, how

    def heatmap(self, images):
        out = []
        for image in images:
            people = [i for i in range(12) if image.shape[0] == 16 and (Known().read(frame_of(i)) == image).all()]
            if people and people[0] in self.quiet:
                if self.how == "raise":
                    raise ValueError("no map of this one")
                out.append(np.full((16, 16), {"zero": 0.0, "nan": np.nan}[self.how], np.float32))
            else:
                out.append(self.heat)
        return np.stack(out)


def frame_of(person: int) -> Frame:
    return next(f for f in Known().frames("test") if f.label and f.locator.index == person)


@cache
def answered(good: bool) -> Faithfulness:
    """What the right or the wrong map comes to on every frame."""
    return faithfulness(Hush(right() if good else 1.0 - right(), frozenset(), ""), Known(), steps=3, bootstrap=NONE)


@settings(max_examples=4)
@given(st.frozensets(st.integers(0, 11), min_size=1), WAYS, st.booleans())
def test_a5_faithfulness_of_silence_is_that_of_the_random_map(quiet: frozenset[int], how: str, good: bool) -> None:
    heat = right() if good else 1.0 - right()
    silent = faithfulness(Hush(heat, quiet, how), Known(), steps=3, bootstrap=NONE)
    answering = answered(good)
    assert silent.coverage == pytest.approx(1.0 - len(quiet) / 24)
    word = "zero_map" if how == "zero" else "error"
    assert f"{len(quiet)} {word}: they count as with the random map" in silent.markdown()
    theirs = {row.frame.id: row.values for row in answering.frames}
    for name in FAITHFUL:
        less = []
        for row in silent.frames:
            values = theirs[row.frame.id]
            gone = row.frame.label == 1 and row.frame.locator.index in quiet
            less.append(0.0 if gone else values["detector"][name] - values["random"][name])
        found = silent.controls["random"]["all"][f"{name}_less_control"]
        assert found.value == pytest.approx(np.mean(less), abs=1e-12) and found.n_fake == 12
        for control in silent.controls:
            score = silent.controls[control]["all"][name]
            assert score.value == pytest.approx(answering.controls[control]["all"][name].value, abs=1e-12)
    if good:
        no_better(
            {name: silent.metrics["fake"][name] for name in FAITHFUL},
            {name: answering.metrics["fake"][name] for name in FAITHFUL},
        )


def test_a5_scores_that_fail_do_not_pay_either() -> None:
    """A detector that fails on frames where its map is no better than noise: the difference there is 0."""

    def spoil(scores, ids):
        return np.where(np.array(ids) == "bright/03", np.nan, scores)

    whole = faithfulness(Looker(right()), Known(), steps=3, bootstrap=NONE)
    less = faithfulness(Looker(right(), spoil=spoil), Known(), steps=3, bootstrap=NONE)
    key = "deletion_blur_less_control"
    own = {row.frame.id: row.values for row in whole.frames}
    kept = [v["detector"]["deletion_blur"] - v["random"]["deletion_blur"] for k, v in own.items() if k != "bright/03"]
    found = less.controls["random"]["all"][key]
    assert found.value == pytest.approx(sum(kept) / 24) and found.n_real + found.n_fake == 24
    assert less.metrics["all"]["deletion_blur"].n_fake == 11
    with pytest.raises(NothingJudged, match="none of 24 frames"):
        faithfulness(Looker(right(), spoil=lambda s, i: s * np.nan), Known(), steps=3, bootstrap=NONE)


unit = st.tuples(st.integers(0, 5), st.integers(0, 1), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1))
drawn_rows = st.lists(st.tuples(unit, st.booleans()), min_size=2, max_size=25)
CUTS = [Cut(), Cut("fixed", 0.3), Cut("eer"), Cut("best"), Cut("best", maximise="f1")]


def rows_of(drawn: list, answer) -> object:
    """Rows of videos; of the silent ones the score that `answer` makes of the label, None for none."""
    lines = []
    for (video, label, score), silent in drawn:
        name = f"{'rf'[label]}{video}"
        lines.append((name, ("original", "m")[label], label, answer(label) if silent else score))
    return make_rows(*lines)


@settings(max_examples=150)
@given(drawn_rows, st.sampled_from(["frame", "video"]), st.sampled_from(["half", "wrong"]), st.sampled_from(CUTS))
def test_silence_in_detection_is_what_the_rule_says(drawn: list, level: str, rule: str, cut: Cut) -> None:
    """Half: the very numbers of answering .5. Wrong: no metric better than by the worst answers, 1 and 0."""
    card = ProtocolCard.model_validate({"name": "p", "level": level, "missing": rule})
    given_answers = {"half": lambda label: 0.5, "wrong": lambda label: 1.0 - label}[rule]
    silent, answering = (to_units(rows_of(drawn, a), card) for a in (lambda label: None, given_answers))  # type: ignore[arg-type]
    found, other = (
        score_units(units, DETECTION_METRICS, cut, Bootstrap(resamples=0)).overall for units in (silent, answering)
    )
    if rule == "half":
        assert {k: s.value for k, s in found.items()} == {k: s.value for k, s in other.items()}
    else:
        # At a threshold that is picked for one metric the others are whatever they come out as.
        told = {k: s for k, s in found.items() if not (cut.oracle and at_threshold(k) and k != best_of(cut))}
        no_better(told, other)
        name = "calibration_debiased"  # an estimate, which need not fall with every answer: it is the very number
        assert level == "video" or found[name].value == pytest.approx(other[name].value, abs=1e-12)
    assert silent.coverage <= 1.0 == answering.coverage


def best_of(cut: Cut) -> str:
    """The decision metric that a cut's threshold is picked for; none at the EER."""
    return cut.maximise if cut.how == "best" else ""


@pytest.mark.parametrize("rule", ["drop", "half", "wrong"])
def test_who_never_answers_is_at_chance_or_worse(rule: str) -> None:
    card = ProtocolCard.model_validate({"name": "p", "level": "frame", "missing": rule})
    units = to_units(make_rows(*((f"v{i}", ("original", "m")[i % 2], i % 2, None) for i in range(20))), card)
    found = score_units(units, DETECTION_METRICS, Cut(), Bootstrap(resamples=0)).overall
    assert units.coverage == 0.0
    for name, score in found.items():
        chance = metric_of(name).chance
        if rule == "drop":
            assert score.value is None and score.reason
        elif chance is not None and score.value is not None:
            assert (score.value - chance) * metric_of(name).worse >= 0.0


METRICS = ("bleu1", "bleu4", "bleu", "rouge_l", "cider", "verdict_accuracy", "verdict_balanced_accuracy", "verdict_f1",
           "verdict_none_rate", "consistency", "region_precision", "region_recall", "region_f1")  # fmt: skip
KINDS = ("blind", "judge", "released")
SAID = ["It is fake, the mouth is blurred.", "It is real.", "The eyes look fake and the nose, too.", "Well.", ""]


def answers_of(drawn: list, answer) -> Answers:
    """Two frames with a question of each kind about the image; of the silent ones what `answer` gives."""
    frames, questions, found = {}, [], {}
    for i, (text, kind, score, silent) in enumerate(drawn):
        label = i % 2
        frames[f"f{i}"] = Frame(f"f{i}", f"f{i}", label, ("original", "m")[label], "test", (), Locator(""))
        reference = ("It is real.", "It is fake, the mouth is blurred.")[label]
        one = Question(f"q{i}", f"f{i}", "Well?", (reference, f"Answer {i % 3}."), "image", label, kind)
        questions.append(one)
        given_answer = answer(one) if silent else Answer(one.id, one.frame, text, score=score)
        if given_answer is not None:
            found[one.id] = given_answer
    return joined(questions, frames, found)


def values_of(answers: Answers, missing: str) -> dict[str, Score]:
    rules = ExplanationRules.model_validate(
        {"task": "explanation", "questions": KINDS, "tokenizer": "none", "metrics": METRICS, "missing": missing}
    )
    altered = {f: frozenset({"mouth"} if label else ()) for f, label in zip(answers.frame, answers.label, strict=True)}
    found = answer_metrics(answers, rules, altered)
    n = len(answers)
    out = {}
    for name, one in found.statistics.items():
        value = float(one.over(np.ones(n, bool), np.zeros(n, np.int64), 1)(np.ones((1, 1)))[0])
        out[name] = Score(None if np.isnan(value) else value, 0, 0)
    return out


one_answer = st.tuples(st.sampled_from(SAID), st.sampled_from(KINDS), st.none() | st.floats(0, 1), st.booleans())
FAILED = [lambda q: None, lambda q: Answer(q.id, q.frame, "", "error"), lambda q: Answer(q.id, q.frame, "", "missing")]


@pytest.mark.slow
@settings(max_examples=100)
@given(st.lists(one_answer, min_size=3, max_size=14), st.sampled_from(FAILED))
def test_silence_in_answers_is_an_empty_answer(drawn: list, how) -> None:
    """A whole kind of questions left out counts like single ones; nothing answered at all has no value."""
    pytest.importorskip("pycocoevalcap.bleu.bleu")
    silent = values_of(answers_of(drawn, how), "wrong")
    empty = values_of(answers_of(drawn, lambda q: Answer(q.id, q.frame, "")), "wrong")
    no_better({k: s for k, s in silent.items() if s.value is not None}, empty)
    by_verdict = ("verdict_accuracy", "consistency", "verdict_balanced_accuracy")
    full = values_of(answers_of([(*one[:3], False) for one in drawn], how), "wrong")
    for name in by_verdict:
        if silent[name].value is not None and full[name].value is not None:
            assert silent[name].value <= full[name].value + 1e-12, name
    nothing = values_of(answers_of([(*one[:3], True) for one in drawn], how), "wrong")
    assert all(score.value is None for score in nothing.values())


def test_an_image_without_a_score_is_not_consistent() -> None:
    drawn = [("It is real.", "judge", 0.1, False), ("It is fake.", "judge", 0.9, False),
             ("It is real.", "judge", None, False), ("It is fake.", "judge", 0.2, False)]  # fmt: skip
    assert values_of(answers_of(drawn, None), "wrong")["consistency"].value == 0.5
    without = [(*one[:2], None, False) for one in drawn]
    assert values_of(answers_of(without, None), "wrong")["consistency"].value is None


def test_a_kind_of_questions_left_out_counts() -> None:
    """Right on the blind questions and silent on all that ask for the verdict: half of the verdicts are right."""
    drawn = [("It is real.", "blind", None, False), ("It is fake.", "blind", None, False),
             ("", "judge", None, True), ("", "judge", None, True)]  # fmt: skip
    found = values_of(answers_of(drawn, FAILED[0]), "wrong")
    assert found["verdict_accuracy"].value == found["verdict_none_rate"].value == 0.5
    assert values_of(answers_of(drawn, FAILED[0]), "drop")["verdict_accuracy"].value == 1.0
