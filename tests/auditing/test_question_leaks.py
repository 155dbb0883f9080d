"""Questions that give their answer away: stated labels, example answers, wording, and the audit that tells of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from m2f2bench.auditing.audit import audit
from m2f2bench.auditing.questions import (
    example_answers,
    findings,
    of_dataset,
    question_leaks,
    section,
    stated_verdict,
    to_json,
)
from m2f2bench.core.errors import DataError
from m2f2bench.core.records import Frame, Locator, Question
from m2f2bench.datasets.base import Adapter
from m2f2bench.datasets.synthetic.adapter import SyntheticAdapter
from m2f2bench.datasets.synthetic.draw import SyntheticOptions
from m2f2bench.loading import load_dataset

if TYPE_CHECKING:
    from m2f2bench.core.records import Image

LABELS = [0, 1] * 20
GROUPS = [i // 2 for i in range(40)]  # each of 20 people has a real and a fake


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))


def test_stated_labels_are_counted_right_or_wrong() -> None:
    texts = [f"The image is {'fake' if value else 'real'}. Why?" for value in LABELS]
    texts[0] = "The image is fake. Why?"
    texts[1] = "Is the image real or fake?"
    leak = question_leaks(texts, LABELS, GROUPS)
    assert (leak.n, leak.n_fake, leak.stated, leak.stated_right) == (40, 20, 39, 38)
    assert leak.auc is not None and leak.auc > 0.9 and leak.severity == "leak"
    assert leak.groups == 20 and leak.echoes is None


@pytest.mark.parametrize(
    ("question", "stated"),
    [
        ("Why does the image look fake?", "fake"),
        ("What makes this person real?", "real"),
        ("Which regions have been manipulated?", "fake"),
        ("The nose is fake, tell me why.", "fake"),
        ("Explain why this is not real.", "fake"),
        ("How can you tell that it is fake?", "fake"),
        ("Look at it! Why is it real? Answer in one sentence.", "real"),
        ("Why does the image look real/fake?", "none"),
        ("Is the image fake?", "none"),
        ("Do the person's eyes look real/fake?", "none"),
        ("Determine the authenticity. Is the image real or fake?", "none"),
        ("Describe the nose.", "none"),
        ("Explain whether the image is fake.", "none"),
    ],
)
def test_what_a_question_states(question: str, stated: str) -> None:
    assert stated_verdict(question) == stated


def test_neutral_questions_leak_nothing() -> None:
    texts = [("Do the eyes look real/fake?", "Does the nose look real/fake?")[(i // 2) % 2] for i in range(40)]
    leak = question_leaks(texts, LABELS, GROUPS)
    assert leak.stated == 0 and leak.auc == 0.5 and leak.severity == ""
    same = question_leaks(["Is the image real or fake?"] * 40, LABELS, GROUPS)
    assert (same.auc, same.ci, same.reason, same.severity) == (0.5, None, "all questions are the same", "")


def test_wording_alone_is_told() -> None:
    """No verdict word, but questions about fakes end in a full stop."""
    texts = [f"Describe the {('nose', 'eyes')[i % 3 > 0]}{'.' if value else ''}" for i, value in enumerate(LABELS)]
    leak = question_leaks(texts, LABELS, GROUPS)
    assert leak.stated == 0 and leak.auc == 1.0 and leak.severity == "leak"


def test_a_hint_is_a_note() -> None:
    rng = np.random.default_rng(0)
    labels = [0, 1] * 200
    hinted = [value if rng.random() < 0.8 else 1 - value for value in labels]
    leak = question_leaks([("Eyes?", "Nose?")[value] for value in hinted], labels, [i // 2 for i in range(400)])
    assert leak.auc is not None and leak.auc == pytest.approx(0.8, abs=0.05) and leak.severity == "note"


def test_what_one_person_gives_away_is_no_cue_for_another() -> None:
    """The texts name the person, and each person has one label: nothing holds for people held out."""
    texts = [f"Does person{i // 4} look real or fake?" for i in range(160)]
    leak = question_leaks(texts, [(i // 4) % 2 for i in range(160)], [i // 4 for i in range(160)])
    assert leak.auc is not None and leak.auc < 0.6 and leak.severity == ""


def test_what_cannot_be_told_has_a_reason() -> None:
    leak = question_leaks(["a", "b", "c"], [0, 1, 1], [0, 1, 1])
    assert leak.auc is None and leak.reason == "fewer than two groups have questions of one label"
    empty = question_leaks([], [], [])
    assert empty.n == 0 and empty.auc is None and empty.severity == ""
    with pytest.raises(ValueError, match="one entry for each question"):
        question_leaks(["a"], [0, 1], [0, 1])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=12), st.integers(0, 1), st.integers(0, 4)), max_size=25))
@example([("", 0, 0), ("", 0, 1), ("", 1, 0), ("0", 1, 1)])  # no word in what is learned from
def test_any_questions_can_be_looked_at(rows: list[tuple[str, int, int]]) -> None:
    texts, labels, groups = ([row[i] for row in rows] for i in range(3))
    leak = question_leaks(texts, labels, groups, resamples=20)
    assert leak.stated_right <= leak.stated <= leak.n == len(rows)
    assert leak.auc is None or 0.0 <= leak.auc <= 1.0
    assert question_leaks(texts, labels, groups, resamples=20) == leak


def test_example_answers() -> None:
    asked = 'Answer in the format"The eyes ……" like. Instead of "The eyes are fake because" say "The eyes look odd. "'
    assert example_answers(asked) == ["The eyes look odd."]
    assert example_answers('in the format"The person has naturally …… eyes."') == []
    assert example_answers("Say “The nose is bent.”!") == ["The nose is bent."]
    assert example_answers('Is it "real."?') == []
    assert example_answers("Do the eyes look real/fake?") == []


def test_trap_15_the_released_questions_give_the_answer_away(real_data: Path) -> None:
    """All 1,070 state the label; 372 of the 474 about fakes quote an answer, which is a reference in 92 (19.4%)."""
    asked = of_dataset(load_dataset("ddvqa-c40").adapter, ["test"], ["blind", "released", "judge"], resamples=100)
    released, blind = asked.found["test", "released"], asked.found["test", "blind"]
    assert (released.n, released.n_fake, released.stated, released.stated_right) == (1070, 474, 1070, 1070)
    assert (released.examples, released.echoes) == (372, 92)
    assert released.echoes is not None and released.echoes / released.n_fake == pytest.approx(0.194, abs=5e-4)
    assert released.auc is not None and released.auc > 0.999 and released.severity == "leak"
    assert (blind.n, blind.stated, blind.examples, blind.severity) == (752, 0, 0, "")
    assert blind.auc is not None and blind.auc == pytest.approx(0.5, abs=0.05)
    assert asked.found["test", "judge"].severity == "" and asked.found["test", "judge"].stated == 0


def _synthetic(place: Path) -> SyntheticAdapter:
    sizes: dict[str, int] = {"train": 4, "val": 2, "test": 4, "size": 64, "videos_per_identity": 1}
    return SyntheticAdapter(options=SyntheticOptions(**sizes, methods=("swap", "relight"), cache=str(place), workers=1))


def test_the_audit_tells_of_questions(tmp_path: Path) -> None:
    report = audit(_synthetic(tmp_path / "s"), splits="test", resamples=100, probe=False)
    leaks = [finding.text for finding in report.leaks]
    assert len(leaks) == 1 and "released questions of test state a label" in leaks[0]
    sets = report.details["questions"]["sets"]["test"]
    assert sets["released"]["stated"] == sets["released"]["stated_right"] == sets["released"]["n"]
    assert sets["blind"]["stated"] == 0
    assert "## Questions: the label without the image" in report.markdown()
    json.dumps(report.to_json())
    without = audit(_synthetic(tmp_path / "s"), splits="test", probe=False, kinds=())
    assert without.details["questions"] is None and "## Questions" not in without.markdown()
    assert without.settings["questions"] == "none"


def test_the_command_line_picks_kinds(cli, one_line, real_data: Path) -> None:
    words = ("audit", "ddvqa-c40", "--split", "test", "--limit", 4, "--no-probe", "--strict")
    outcome = cli(*words)
    assert outcome.status == 1 and "leaks (1 finding), first questions: 1,070 of 1,070 released" in outcome.err
    assert cli(*words, "--questions", "blind", "--questions", "judge").status == 0
    assert "## Questions" not in cli(*words, "--questions", "none").out
    assert "did you mean 'blind'" in one_line(cli(*words, "--questions", "blnd"))


class _Own(Adapter):
    """Six frames; blind questions that quote an answer, and an annotation file that is not there."""

    def frames(self, split: str) -> list[Frame]:
        names = ("original", "Swap")
        return [Frame(f"{i}", f"v{i}", i % 2, names[i % 2], split, (f"p{i}",), Locator("")) for i in range(6)]

    def read(self, frame: Frame) -> Image:
        return np.full((8, 8, 3), 40 * int(frame.id), dtype=np.uint8)

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        if kind == "released":
            raise DataError("no released questions: looked for 'questions.json'")
        text = 'Describe it, such as "The eyes look odd."'
        known = [
            Question(f.id, f.id, text, ("The eyes look odd.",), "image", f.label, kind) for f in self.frames(split)
        ]
        return known if kind == "blind" else []


def test_what_could_not_be_had_is_told() -> None:
    asked = of_dataset(_Own(), ["test"], ["blind", "released", "judge"])
    assert set(asked.found) == {("test", "blind")}
    assert asked.found["test", "blind"].echoes == 6
    (warning,) = findings(asked)
    assert warning.severity == "warning" and "6 of 6 blind questions of test quote an example answer" in warning.text
    line = "test released: none (no released questions: looked for 'questions.json')"
    assert line in section(asked).lines
    assert to_json(asked)["refused"] == {"test": {"released": "no released questions: looked for 'questions.json'"}}
    only = of_dataset(_Own(), ["test"], ["released"])
    assert section(only).lines == (line,) and section(only).rows == ()
