"""What is Java's: tokens that keep their places, METEOR that adds up as its own program does, SPICE not there."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from text_answers import BY_HAND, PeersTokenizer, published
from text_rules import text_rules

from m2f2bench.metrics.text import items, java, meteor
from m2f2bench.metrics.text.items import make_items
from m2f2bench.metrics.text.java import Unavailable
from m2f2bench.metrics.text.meteor import meteor_counts, meteor_statistic, sentence_meteor
from m2f2bench.metrics.text.metrics import text_statistics

pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer")
try:
    java.java()
except Unavailable as error:
    pytest.skip(f"the whole module {error}", allow_module_level=True)
pytestmark = pytest.mark.usefixtures("java")


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text goes through Java, however often it is met."""
    monkeypatch.setattr(items, "KEPT", 0)


BREAKS = "\x00\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def by_package(text: str) -> str:
    """pycocoevalcap's tokens of one text alone."""
    return PeersTokenizer().tokenize({0: [{"caption": text}]})[0][0]


def test_published_answers_have_the_packages_tokens(real_data: Path) -> None:
    texts = list(dict.fromkeys(published(real_data).texts))
    theirs = PeersTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
    ours = items.tokenize(texts, "ptb")
    assert [ours[text] for text in texts] == [theirs[i][0] for i in range(len(texts))]
    assert len(texts) > 100


@pytest.mark.slow
def test_no_character_moves_a_row() -> None:
    hostile = [
        *(f"The eyes{c}look{c}Fake." for c in BREAKS),
        *(c * n for c in BREAKS for n in (1, 2)),
        *("", " ", "\t", "...", "zqzqzq", "\nzqzqzq\n", "<a\nhref='x'>", "<s> real </s>", "\ufeff", "\u00a0"),
        *("🙂 real 👩‍👩‍👧", "העיניים מזויפות", "العينان مزيفتان 123", "\u202ereal\u202c", "eyes\ud800nose", "\udfff"),
        *("1\n1/2", "+1\n555\n1234", "a ||| b", "\\", '"', "don't; it's (fake)!", "I İ ı ß"),
    ]
    plain = [f"row {i}" for i in range(len(hostile))]
    mixed = [text for pair in zip(hostile, plain, strict=True) for text in pair]
    found = items.tokenize(mixed, "ptb")
    assert [found[text] for text in plain] == plain
    assert {found[f"The eyes{c}look{c}Fake."] for c in BREAKS} == {"the eyes look fake"}
    assert {found[text] for text in ("", " ", "\t", "...", *BREAKS)} == {""}
    assert found["zqzqzq"] == "zqzqzq" and found["\nzqzqzq\n"].strip() == "zqzqzq"
    # The package leaves -LRB- out, which is never met: all is in lower case by then.
    assert found["don't; it's (fake)!"] == "do n't it 's -lrb- fake -rrb-"
    assert found["العينان مزيفتان 123"].split()[-1] == "123"
    assert found["I İ ı ß"].split()[0] == "i"
    assert not any(set(words) & set(BREAKS) for words in found.values())
    for text in ("🙂 real 👩‍👩‍👧", "העיניים מזויפות", "don't; it's (fake)!", "<s> real </s>", "1 1/2"):
        assert items.tokenize([text], "ptb")[text] == by_package(text)


@pytest.mark.slow
def test_a_text_does_not_depend_on_the_next() -> None:
    # The package's own wrapper, given both, keeps the point: the tokenizer reads "No. 5" over the line's end.
    both = PeersTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(["No.", "5 eyes"])})
    assert both[0][0] == "no." and by_package("No.") == "no"
    endings = ["No.", "see the U.S.", "Acme Corp.", "J.", "p.m.", "etc.", "1", "<a", "wait . .", "Jan."]
    for following in ("5 eyes", "The nose", "'s", ". ."):
        mixed = items.tokenize([text for one in endings for text in (one, following)], "ptb")
        assert mixed[following] == items.tokenize([following], "ptb")[following]
        assert [mixed[one] for one in endings[:3]] == ["no", "see the u.s.", "acme corp."]


@pytest.mark.slow
def test_rows_are_told_apart_even_where_the_tokenizer_joins_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "BETWEEN", "two words.")  # comes back as other words: nothing between fits
    assert items._treebank(["A nose", "", "The eyes", "Fake"]) == ["a nose", "", "the eyes", "fake"]


def test_a_text_that_was_met_before_starts_no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    whole = items._treebank

    def treebank(texts: list[str]) -> list[str]:
        asked.append(texts)
        return whole(texts)

    monkeypatch.setattr(items, "_treebank", treebank)
    monkeypatch.setattr(items, "KEPT", 100)
    monkeypatch.setattr(items, "_kept", ((), {}))
    first = items.tokenize(["A nose.", "The Eyes"], "ptb")
    again = items.tokenize(["The Eyes", "A mouth", "A nose."], "ptb")
    assert asked == [["A nose.", "The Eyes"], ["A mouth"]]
    assert first == {"A nose.": "a nose", "The Eyes": "the eyes"} and again == {**first, "A mouth": "a mouth"}
    assert list(again) == ["The Eyes", "A mouth", "A nose."]
    items.tokenize(["x" * 100], "ptb")  # as much as is kept: all of it goes before the next
    assert items.tokenize(["A nose."], "ptb") == {"A nose.": "a nose"} and asked[-1] == ["A nose."]
    monkeypatch.setattr(java, "jar", lambda part, name: Path(__file__))  # another tokenizer
    monkeypatch.setattr(items, "_treebank", lambda texts: ["other" for _ in texts])
    assert items.tokenize(["A nose."], "ptb") == {"A nose.": "other"}
    monkeypatch.setattr(items, "_kept", ((), {}))


def test_tokens_that_are_kept_stand_in_for_no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> str:
        raise Unavailable("needs Java")

    monkeypatch.setattr(items, "KEPT", 100)
    items.tokenize(["The eyes look fake."], "ptb")
    monkeypatch.setattr(java, "java", gone)
    with pytest.raises(Unavailable, match="the tokenizer ptb needs Java"):
        items.tokenize(["The eyes look fake."], "ptb")


def test_long_answers() -> None:
    text = "The eyes look fake. " * 25_000
    words = items.tokenize([text, "nose"], "ptb")
    assert len(words[text].split()) == 100_000 and words["nose"] == "nose"
    found = text_statistics(["bleu", "rouge_l", "cider"], [text], [("the eyes look fake",)], text_rules())
    assert found.items["rouge_l"][0] == pytest.approx(2.44 * 4e-5 / (1 + 1.44 * 4e-5), abs=1e-12)


def test_white_space_alone() -> None:
    found = items.tokenize(["The  eyes,\u2028look\tFake. ", "\n"], "none")
    assert list(found.values()) == ["The eyes, look Fake.", ""]


def test_nothing_is_written_into_the_package() -> None:
    folder = java.package_folder("tokenizer")
    before = sorted(folder.iterdir()), folder.stat().st_mtime_ns
    items.tokenize(["A nose."], "ptb")
    assert (sorted(folder.iterdir()), folder.stat().st_mtime_ns) == before


HOSTILE = ["a ||| b", "|||", "a\nb", "a\u2028b", "a\x85b", "\x00", "\ud800", "EVAL ||| 1", "real 🙂", "x" * 50_000]


@dataclass(frozen=True)
class Matched:
    """One start of METEOR for all tests: its counts of the answers by hand, of hostile ones and of those published."""

    by_hand: np.ndarray
    hostile: np.ndarray
    published: np.ndarray


# What pycocoevalcap 1.2's Meteor gives of the answers by hand: each alone, and lists of them, repeated ones included.
ALONE = [1.0, 0.3349396833303956, 0.7166666666666668, 0.8760855750900234, 0.0, 0.06876790830945559, 0.25, 0.2, 1.0, 0.0]
TOGETHER = [
    (range(10), 0.30484326431155456),
    ([0, 1, 1, 2], 0.4272302426148207),
    ([0, 0, 3, 8, 8, 8], 0.9753777280358141),
    ([1, 2, 3, 5, 6, 7, 9], 0.2583013011932258),
    ([4, 9], 0.0),
]


@pytest.fixture(scope="module")
def matched() -> Matched:
    rows = [*BY_HAND, *((text, ("the nose",)) for text in HOSTILE), *(("the nose", (text,)) for text in HOSTILE)]
    rows += [("the nose", ("", "the nose")), ("without references", ())]
    first, second = len(BY_HAND), len(rows)
    if base := os.environ.get("M2F2BENCH_DATA"):
        answers = published(Path(base))
        rows += zip(answers.texts, answers.references, strict=True)
    counts = meteor_counts(make_items([text for text, _ in rows], [own for _, own in rows]))
    return Matched(counts[:first], counts[first:second], counts[second:])


@pytest.mark.slow
def test_meteor_is_its_programs_to_the_last_digits(matched: Matched) -> None:
    n = len(BY_HAND)
    np.testing.assert_allclose(sentence_meteor(matched.by_hand), ALONE, rtol=0.0, atol=1e-12)
    values = meteor_statistic(matched.by_hand).over(np.ones(n, dtype=bool), np.arange(n), n)
    for chosen, expected in TOGETHER:
        weights = np.bincount(chosen, minlength=n).astype(float)[:, None]
        assert values(weights)[0] == pytest.approx(expected, abs=1e-12)


def test_meteor_of_hostile_texts(matched: Matched) -> None:
    *values, last, none = sentence_meteor(matched.hostile)
    assert values == [0.0] * (2 * len(HOSTILE)) and last > 0.99 and np.isnan(none)


@pytest.mark.slow
def test_c3_one_answer_of_24_000_words_leaves_all_others_their_meteor(caplog: pytest.LogCaptureFixture) -> None:
    """Given whole to the program it ends for want of memory; its value is then all but what the program says of one
    that it can still match whole."""
    plain, reference = "the eyes look fake", "the eyes look fake because of the blurred iris"
    times = (1, 400, 8000)
    texts = [plain, *(" ".join(["eyes are fake"] * n) for n in times)]
    with caplog.at_level("WARNING"):
        found = text_statistics(["meteor"], texts, [(plain,), *[(reference,)] * 3], text_rules("none"))
    assert not found.missing
    values = found.items["meteor"]
    assert values[0] == 1.0 and values[1] > values[2] > values[3] > 0.0
    whole = np.array(meteor._matched([f"SCORE ||| {reference} ||| {texts[2]}"]))
    assert values[2] == pytest.approx(meteor.sentence_meteor(whole)[0], rel=0.02)
    assert "METEOR: 2 of 4 answers have more than 1000 words" in caplog.text


def test_meteor_of_the_published_answers(real_data: Path, matched: Matched) -> None:
    assert len(matched.published) == 1070
    one = np.zeros(1070, dtype=np.int64)
    value = meteor_statistic(matched.published).over(one == 0, one, 1)(np.ones((1, 1)))[0]
    assert value == pytest.approx(0.30947157244413165, abs=1e-12)  # pycocoevalcap 1.2's Meteor on the same texts


def test_a_dead_program_is_one_line_and_no_hang() -> None:
    outcome: list[object] = []

    def work() -> None:
        found = text_statistics(["meteor", "bleu"], ["a nose"], [("the nose",)], text_rules("none"))
        outcome.append(found)

    children = Path(f"/proc/{os.getpid()}/task")
    if not children.is_dir():
        pytest.skip("there is no /proc here")
    thread = threading.Thread(target=work)
    thread.start()
    killed = False
    while thread.is_alive():
        for child in {int(p) for task in children.glob("*/children") for p in _read(task).split()}:
            if b"meteor" in _read_bytes(Path(f"/proc/{child}/cmdline")) and not killed:
                os.kill(child, signal.SIGKILL)
                killed = True
        time.sleep(0.02)
    assert killed
    (found,) = outcome
    assert found.missing["meteor"].startswith("its Java process ended with status -9")
    assert "\n" not in found.missing["meteor"] and list(found.statistics) == ["bleu"]


def _read(path: Path) -> str:
    return _read_bytes(path).decode()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has just ended
        return b""


def test_spice_without_its_parser_downloads_nothing() -> None:
    folder = java.package_folder("spice")
    if (folder / "lib" / "stanford-corenlp-3.6.0.jar").exists():
        pytest.skip("the parser is there")
    before = sorted(folder.rglob("*"))
    found = text_statistics(["spice", "bleu"], ["a"], [("a",)], text_rules("none"))
    assert sorted(folder.rglob("*")) == before
    line = found.missing["spice"]
    assert list(found.statistics) == ["bleu"] and "\n" not in line
    for part in ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar", "pycocoevalcap/spice/lib"):
        assert part in line
