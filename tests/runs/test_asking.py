"""Asking about several pictures at once: assignment, failures of single pictures, stored replies, and the result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import HELPERS
from rows_held import rows_held
from toy_asking import Crashes, Together, Unscored
from toy_questions import FACES, TOY, Faces, Looker, Torn, run_toy

import m2f2bench
from m2f2bench.cards.models import DetectorCard
from m2f2bench.core.errors import DetectorError, StoreError
from m2f2bench.core.records import Answer, Frame, Question, Reply
from m2f2bench.detectors.base import PlainDetector
from m2f2bench.leaderboards.report import describe_result
from m2f2bench.results.parts import Parts
from m2f2bench.results.result import Result
from m2f2bench.results.row_files import KEY, key_of, read_answers, read_key, write_parquet
from m2f2bench.results.store import ANSWERS, AnswerStore
from m2f2bench.runs.ask import AHEAD, ExplainerClient, answer

ASKING = HELPERS / "toy_asking.py"


def asker(own: Any) -> ExplainerClient:
    detector = PlainDetector(own)
    detector.card = DetectorCard(name="toy", backend="constant")
    return ExplainerClient(detector)


def questions(data: Faces) -> list[tuple[Frame, list[Question]]]:
    by: dict[str, list[Question]] = {}
    for question in data.questions("test"):
        by.setdefault(question.frame, []).append(question)
    return [(frame, by[frame.id]) for frame in data.frames("test")]


def rows(own: Any, data: Faces | None = None, scores: dict[str, float | None] | None = None) -> list[list[Answer]]:
    data = data or Faces()
    return list(answer(asker(own), data, questions(data), scores or {}))


def test_pictures_are_given_together_and_stay_whole() -> None:
    """Three questions a picture and ten at once: four pictures, of 24, six times."""
    own = Together()
    found = rows(own)
    assert own.seen == [[3, 3, 3, 3]] * 6
    assert [row.question for own_rows in found for row in own_rows] == [
        q.id for _, qs in questions(Faces()) for q in qs
    ]
    assert [len(one) for one in found] == [3] * 24 and own.predicted == 0
    dark = found[0]  # of brightness 50
    assert {(row.status, row.text, row.message, row.score) for row in dark} == {("error", "", "refused: too dark", 0.1)}
    mouth = found[1][2]
    assert len(mouth.wording) == 16 and len(mouth.digest) == 16 and mouth.wording != found[1][1].wording
    assert replace(mouth, wording="", digest="") == Answer(
        "test01_mouth", "test01", "The mouth looks fake. The mouth is misaligned.", "ok", 0.9,
        "cut off after 7 new tokens", 0.5, 100, 7, 0.25,
    )  # fmt: skip
    assert found[1][0].message == ""


def test_plain_texts_are_given_picture_by_picture() -> None:
    class Counts(Looker):
        calls = 0

        def explain(self, images: Any, questions: Any) -> list[str]:
            self.calls += 1
            assert len({id(image) for image in images}) == 1
            return super().explain(images, questions)

    own = Counts()
    known = {frame.id: 0.25 for frame in Faces().frames("test")}
    found = rows(own, scores=known)
    assert own.calls == 24 and {row.score for one in found for row in one} == {0.25}
    assert {(row.status, row.message, row.seconds, row.tokens_in) for one in found for row in one} == {
        ("ok", "", None, None)
    }


@settings(max_examples=25)
@given(st.integers(0, 80), st.booleans())
def test_an_answer_never_depends_on_what_is_asked_with_it(at_once: int, torn: bool) -> None:
    data = Torn() if torn else Faces()
    own, alone = Together(), Together()
    own.questions_at_once, alone.questions_at_once = at_once, 0
    found = rows(own, data)
    assert found == rows(alone, data)
    called, planned = [0], 0
    for (
        one
    ) in found:  # an unreadable picture has its place in a group, so that groups are the same wherever they are asked
        planned += len(one)
        called[-1] += len(one) * (one[0].status != "unreadable")
        if planned >= at_once:
            called, planned = [*called, 0], 0
    assert [sum(call) for call in own.seen] == [n for n in called if n]
    assert {(row.status, row.message) for row in found[3]} >= ({("unreadable", "torn")} if torn else {("ok", "")})


def test_one_bad_picture_costs_its_own_rows_alone() -> None:
    own = Crashes()
    found = rows(own)
    failed = [row for one in found for row in one if row.message.startswith("RuntimeError")]
    assert {row.frame for row in failed} == {"test04"} and len(failed) == 3
    assert {(row.status, row.text, row.message) for row in failed} == {("error", "", "RuntimeError: out of memory")}
    # The second four fail together and are asked again each alone; the others once
    assert own.seen == [[3] * 4] * 2 + [[3]] * 4 + [[3] * 4] * 4
    good = rows(Together())
    assert [one for one in found if one[0].frame != "test04"] == [one for one in good if one[0].frame != "test04"]


def test_failing_on_the_first_picture_ends_it() -> None:
    class First(Together):
        def check(self, images: Any) -> None:
            if any(image.mean() == 50 for image in images):
                raise RuntimeError("no key")

    with pytest.raises(DetectorError, match="failed on the first image asked about, 'test00': RuntimeError: no key"):
        rows(First())

    class Misused(Together):
        def check(self, images: Any) -> None:
            raise DetectorError("set the card's model")

    with pytest.raises(DetectorError, match="set the card's model"):
        rows(Misused())


def test_memory_stays_bounded() -> None:
    """At each call only the chunk's pictures and AHEAD further ones are decoded."""
    lock = threading.Lock()
    done: list[int] = []

    class Counting(Faces):
        def read(self, frame: Frame) -> np.ndarray:
            with lock:
                done.append(1)
            return super().read(frame)

    class Watching(Together):
        given = 0

        def check(self, images: Any) -> None:
            time.sleep(0.02)
            self.given += len({id(image) for image in images})
            assert len(done) <= self.given + AHEAD

    assert len(rows(Watching(), Counting())) == 24 and len(done) == 24


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply("x", score=1.5), "P\\(fake\\) is in"),
        (Reply("x", score=float("nan")), "whose score is nan"),
        (Reply("x", tokens_in=-1), "whose tokens_in is -1"),
        (Reply("x", cost="free"), "whose cost is 'free'"),  # type: ignore[arg-type]
        (Reply(None), "is not a string"),  # type: ignore[arg-type]
        (None, "some are not texts"),
    ],
)
def test_what_is_no_reply_is_refused_in_one_line(reply: Any, told: str) -> None:
    class Bad(Together):
        def reply(self, image: Any, question: str, text: str) -> Reply:
            return reply

    with pytest.raises(DetectorError, match=told) as caught:
        rows(Bad())
    assert "\n" not in str(caught.value)


def test_two_scores_of_one_picture_are_refused() -> None:
    class Wavering(Together):
        def reply(self, image: Any, question: str, text: str) -> Reply:
            return Reply(text, score=len(question) / 100)

    with pytest.raises(DetectorError, match="with answers about one image: a score is P"):
        rows(Wavering())
    Wavering.scores_with_answers = False  # then they are none
    assert {row.score for one in rows(Wavering()) for row in one} == {None}


def test_odd_texts_and_numbers_of_other_kinds() -> None:
    class Odd(Together):
        def reply(self, image: Any, question: str, text: str) -> Reply:
            return Reply("a\ud800", "b\udfff", np.float32(0.5), np.float64(1), np.int64(3), 4.0, 0)  # type: ignore[arg-type]

    row = rows(Odd())[0][0]
    assert (row.text, row.message, row.score, row.seconds, row.tokens_in) == ("a?", "b?", 0.5, 1.0, 3)
    assert [type(v) for v in (row.score, row.tokens_in, row.tokens_out, row.cost)] == [float, int, int, float]


def run(rules: Path, out: Path, name: str) -> tuple[Result, Path]:
    found = m2f2bench.run(detectors=f"{ASKING}:{name}", datasets=FACES, protocols=str(rules), out=out)
    place = found.folders[0]
    assert place.name.startswith("toy_asking")
    return found[0], place


@pytest.mark.slow
def test_a_run_says_what_was_cut_off_and_what_it_took(cli, rules: Path, tmp_path: Path) -> None:
    result, place = run(rules, tmp_path / "out", "Together")
    # 24 pictures, the darkest (50) refused: 23 of 24 mouths were cut off
    assert result.statuses == {"ok": 69, "error": 3}
    assert result.details["answers_remarked"] == 23
    assert result.details["remarks"] == {"cut off after 7 new tokens": {"answers": 23}}
    assert result.details["usage"] == {
        "seconds": {"total": 34.5, "questions": 69},
        "tokens_in": {"total": 6900, "questions": 69},
        "tokens_out": {"total": 483, "questions": 69},
        "cost": {"total": 17.25, "questions": 69},
    }
    assert result.metrics["consistency"].value == 23 / 24, "the scores came with the replies"
    text = describe_result(result)
    assert "- 23 answers have remarks: cut off after 7 new tokens (23)\n" in text
    assert "34.5 s (69), 6,900 tokens read (69), 483 tokens written (69), 17.25 US dollars (69)" in text
    page = (place / "report.html").read_text()
    assert page.count("cut off after 7 new tokens") > 2 and "refused: too dark" in page
    scored = json.loads(cli("score", place, "-s", FACES, "--json").out)
    assert scored == json.loads((place / "result.json").read_text())
    again, other = run(rules, tmp_path / "again", "Together")
    assert again == result and read_answers(other / ANSWERS) == read_answers(place / ANSWERS)
    # Scored into a folder of their own, the rows still hold everything
    assert cli("score", place, "-s", FACES, "--out", tmp_path / "s", "--no-controls").status == 0
    (copy,) = (tmp_path / "s").glob("*/answers.parquet")
    assert read_answers(copy) == read_answers(place / ANSWERS)


def test_the_commonest_five_remarks_and_the_rest() -> None:
    from m2f2bench.leaderboards.report import remarks

    told = {f"remark {i}\nof it": {"answers": 9 - i} for i in range(5)}
    line = remarks({"answers_remarked": 40, "remarks": told})
    assert line.startswith("40 answers have remarks: remark 0 of it (9), ") and line.endswith(", others (5)")
    assert remarks({"answers_remarked": 1, "remarks": {"x": {"answers": 1}}}) == "1 answer has a remark: x (1)"
    assert remarks({}) == ""


@pytest.mark.slow
def test_an_explainer_without_scores_is_not_asked_for_any(rules: Path, tmp_path: Path) -> None:
    result, place = run(rules, tmp_path / "out", "Unscored")
    assert result.statuses == {"ok": 72} and result.metrics["consistency"].value is None
    assert {row.score for row in read_answers(place / ANSWERS)} == {None}
    assert "usage" not in result.details and "remarks" not in result.details
    assert isinstance(rows(Unscored()), list)


def test_details_of_plain_texts_are_as_they_were(rules: Path, tmp_path: Path) -> None:
    result = run_toy(rules, tmp_path / "out", "Looker")["toy_questions.Looker"]
    assert not {"remarks", "answers_remarked", "usage"} & set(result.details)


@pytest.mark.slow
def test_a_killed_run_with_chunks_ends_with_the_same_rows(rules: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(TOY.parent)!r})\n"
        "from toy_asking import Crashes\n"
        "class Slow(Crashes):\n"
        "    def check(self, images):\n"
        "        time.sleep(0.15)\n"
        "        super().check(images)\n"
    )
    command = [sys.executable, "-m", "m2f2bench", "run", "-d", f"{slow}:Slow", "-s", FACES, "-p", str(rules)]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "a")])
    partial = tmp_path / "a" / "slow.Slow--toy_questions.Faces--toy" / "answers.partial.arrows"
    deadline = time.monotonic() + 60
    while len(rows_held(partial)) < 12:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held = rows_held(partial)
    assert not (partial.parent / "result.json").exists() and 12 <= len(held) < 72
    # As if the kill had come in the middle of a picture, and of a part
    with AnswerStore(partial.parent, key := key_of(pa.ipc.open_stream(partial).schema)) as store:
        whole = list(store.rows.values())
    partial.unlink()
    with AnswerStore(partial.parent, key) as store:
        store.append(whole[:10])
        store.append(whole[10:12])
    os.truncate(partial, partial.stat().st_size - 40)
    assert rows_held(partial) == held[:10]
    for out in ("a", "b"):
        subprocess.run([*command, "--out", str(tmp_path / out)], check=True, capture_output=True)
    first, second = (tmp_path / out / partial.parent.name for out in ("a", "b"))
    found = read_answers(first / ANSWERS)
    assert found == read_answers(second / ANSWERS) and len(found) == 72
    assert sum(row.status == "error" for row in found) == 6  # the darkest, and the one that it crashes on
    assert (first / "result.json").read_bytes() == (second / "result.json").read_bytes()


@pytest.mark.slow
def test_a_score_that_is_known_stays(rules: Path, tmp_path: Path) -> None:
    """A picture whose questions were interrupted by a kill has one score, even if a later score differs slightly."""
    _, place = run(rules, tmp_path / "out", "Together")
    held = read_answers(place / ANSWERS)
    key = read_key(place / ANSWERS)
    (place / ANSWERS).unlink()
    with AnswerStore(place, key) as store:
        store.append([replace(row, score=0.1234) for row in held if row.question == "test02_eyes"])
    run(rules, tmp_path / "out", "Together")
    assert {row.score for row in read_answers(place / ANSWERS) if row.frame == "test02"} == {0.1234}
    assert {row.score for row in read_answers(place / ANSWERS) if row.frame == "test03"} == {0.9}


def test_older_files_are_read(tmp_path: Path) -> None:
    """Answers as 0.4 wrote them have six columns; rows of a run that was not finished were lines of JSON."""
    old = [f.name for f in fields(Answer)][:6]
    table = pa.table({name: ["a"] for name in old} | {"status": ["ok"], "score": pa.array([0.5], pa.float64())})
    pq.write_table(table.select(old).replace_schema_metadata({KEY: b'{"detector": "k"}'}), tmp_path / ANSWERS)
    before = Answer("a", "a", "a", "ok", 0.5, "a")
    assert read_answers(tmp_path / ANSWERS) == [before]
    with AnswerStore(tmp_path, {"detector": "k"}) as store:
        assert store.rows == {"a": before}
        new = Answer("c", "c", "c", seconds=1.5, tokens_in=2, tokens_out=3, cost=0.25)
        store.append([new])
        store.finish("ac")
    assert read_answers(tmp_path / ANSWERS) == [before, new]
    (older := tmp_path / "answers.partial.jsonl").write_text(json.dumps({"key": {"detector": "k"}}) + "\n")
    with pytest.raises(StoreError, match="begun by another version"), AnswerStore(tmp_path, {"detector": "k"}):
        pass
    older.unlink()
    with closing(Parts(tmp_path / "answers.partial.arrows", dict.fromkeys(old, "string"), {"detector": "k"})) as parts:
        parts.recover(print, print)
    with pytest.raises(StoreError, match="begun by another version"), AnswerStore(tmp_path, {"detector": "k"}):
        pass
    types = {field.name: str(field.type) for field in pq.read_schema(tmp_path / ANSWERS)}
    assert (types["seconds"], types["tokens_in"], types["tokens_out"], types["cost"]) == (
        "double", "int64", "int64", "double",
    )  # fmt: skip
    write_parquet(tmp_path / "none.parquet", [], row=Answer)
    assert read_answers(tmp_path / "none.parquet") == []


def test_importing_it_needs_no_torch() -> None:
    code = "import sys, m2f2bench.runs.answers\n"
    code += "import m2f2bench.inference.questions; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "False"
