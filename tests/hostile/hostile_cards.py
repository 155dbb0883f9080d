"""Hostile cards: YAML that is a bomb, that names code, or that says what no card can say."""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hostile import Case, Check, Outcome, either, refused, works
from hostile_materials import saved

PLAIN = "name: {name}\nbackend: constant\n"
ROWS = "id,label,score\n" + "".join(f"f{i},{i % 2},0.{i:02d}\n" for i in range(40))


def hides_no_other(outcome: Outcome) -> str:
    """The bad card is one line, and the good one beside it is listed."""
    return refused(outcome) or ("" if "good" in outcome.out and "bad.yaml" in outcome.err else f"{outcome.out[:300]!r}")


def listed(name: str, text: Any, check: Check = hides_no_other) -> Case:
    """A detector's card among others."""

    def draw(folder: Path) -> None:
        made = text() if callable(text) else text
        place = folder / "cards" / "detectors"
        place.mkdir(parents=True)
        (place / "good.yaml").write_text(PLAIN.format(name="good"))
        (place / "zoo.yaml").write_text(PLAIN.format(name="zoo"))
        (place / "bad.yaml").write_bytes(made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass"))

    return Case(name, draw, ("list", "detectors", "--cards", "cards"), check)


def judging(name: str, text: str, check: Check = refused, kind: str = "detector") -> Case:
    """A detector's, dataset's, protocol's or suite's card, used."""
    words = {
        "detector": ("run", "-d", "./card.yaml", "-s", "data", "--out", "o", "--json"),
        "dataset": ("run", "-d", "constant", "-s", "./card.yaml", "--out", "o", "--json"),
        "protocol": ("score", "rows.csv", "-p", "./card.yaml", "--json"),
        "suite": ("run", "./card.yaml", "--out", "o", "--json"),
        "board": ("leaderboard", "./card.yaml"),
    }[kind]

    def draw(folder: Path) -> None:
        (folder / "card.yaml").write_text(text)
        (folder / "rows.csv").write_text(ROWS)
        for label in ("real", "fake"):
            (folder / "data" / label).mkdir(parents=True)
            for i in range(2):
                (folder / "data" / label / f"{i}.png").write_bytes(saved("PNG"))

    return Case(name, draw, words, check)


def laughs(levels: int = 30) -> str:
    """Each list holds the one before ten times."""
    lines = ["name: bad", "backend: constant", "options:", "  a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


def merges(levels: int = 30) -> str:
    """Each mapping merges the one before ten times."""
    lines = ["name: bad", "backend: constant", "options:", "  a0: &a0 {x: 1}"]
    lines += [f"  a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}], k{i}: 1}}" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


def with_options(text: str) -> str:
    return PLAIN.format(name="bad") + f"options: {text}\n"


def nested(depth: int) -> str:
    return with_options("\n" + "".join(" " * (i + 1) + f"k{i}:\n" for i in range(depth)))


CARDS: list[tuple[str, str | bytes | Callable[[], str | bytes]]] = [
    ("aliases-of-aliases", laughs),
    ("merges-of-merges", merges),
    ("alias-of-itself", "name: bad\nbackend: constant\noptions: &a {b: *a}\n"),
    ("alias-of-the-whole", "&a\nname: bad\nbackend: constant\noptions: *a\n"),
    ("list-of-itself", with_options("{a: &a [*a]}")),
    ("merge-of-itself", with_options("&a {<<: *a}")),
    ("alias-of-nothing", with_options("*gone")),
    ("deep-lists", lambda: with_options("[" * 50_000)),
    ("deep-lists-closed", lambda: with_options("{a: " + "[" * 3000 + "]" * 3000 + "}")),
    ("deep-mappings", lambda: with_options("{a: " * 3000 + "1" + "}" * 3000)),
    ("deep-blocks", lambda: nested(1000)),
    ("deep-dashes", lambda: with_options("\n  " + "- " * 5000 + "x")),
    ("30-megabytes", lambda: with_options("\n" + "".join(f"  key{i}: value\n" for i in range(1_500_000)))),
    ("one-text-of-20-megabytes", lambda: "name: bad\nbackend: constant\ndescription: " + "x" * 20_000_000),
    ("a-megabyte-of-spaces", lambda: " " * 1_000_000 + "x: y\n - z"),
    ("a-megabyte-of-quotes", lambda: 'name: "' + "\\" * 1_000_001),
    ("a-megabyte-of-questions", lambda: "? " * 100_000),
    ("python-call", with_options("!!python/object/apply:os.system ['touch EXECUTED']")),
    ("python-new", with_options("!!python/object/new:os.system ['touch EXECUTED']")),
    ("python-name", with_options("!!python/name:os.system")),
    ("python-module", with_options("!!python/module:antigravity")),
    ("python-tuple", with_options("!!python/tuple [1, 2]")),
    ("foreign-tag", with_options("!secret {a: 1}")),
    ("include-tag", with_options("!include /etc/passwd")),
    ("tag-directive", "%TAG ! tag:yaml.org,2002:python/object/apply:\n---\nname: bad\noptions: !os.system ['touch EXECUTED']\n"),
    ("version-directive", "%YAML 9.9\n---\nname: bad\nbackend: constant\nx: 1\n"),
    ("set", with_options("!!set {a, b}")),
    ("ordered-mapping", with_options("!!omap [a: 1]")),
    ("date", "name: 2024-01-01\nbackend: constant\n"),
    ("huge-number", lambda: with_options("{a: " + "9" * 100_000 + "}")),
    ("tagged-no-number", with_options("{a: !!int x}")),
    ("tagged-no-float", with_options("{a: !!float x}")),
    ("list-as-key", with_options("{[a, b]: 1}")),
    ("mapping-as-key", with_options("{{a: b}: 1}")),
    ("null-as-key", with_options("{null: 1}")),
    ("number-as-key", PLAIN.format(name="bad") + "7: 1\n"),
    ("key-twice", PLAIN.format(name="bad") + "backend: random\nx: 1\n"),
    ("not-utf-8", b"name: bad\nbackend: \xff\xfe\n"),
    ("utf-16-of-half", b"\xff\xfen\0a\0m"),
    ("null-bytes", "name: bad\0\nbackend: constant\n"),
    ("control-characters", "name: bad\x07\nbackend: constant\n"),
    ("surrogate", b"name: bad\nbackend: constant\ndescription: \xed\xa0\x80\n"),
    ("escaped-surrogate", 'name: bad\nbackend: constant\ndescription: "\\ud800"\nx: 1\n'),
    ("tabs", "name: bad\n\tbackend: constant\n"),
    ("two-documents", "name: bad\n---\nname: other\n"),
    ("empty", ""),
    ("comment-alone", "# nothing\n"),
    ("one-word", "bad"),
    ("list", "- name: bad\n"),
    ("null", "~"),
    ("html", "<html><body>404: not found</body></html>"),
    ("json-cut", '{"name": "bad", '),
    ("picture", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    ("merge-conflict", "<<<<<<< HEAD\nname: bad\n=======\nname: worse\n>>>>>>> other\n"),
    ("no-name", "backend: constant\n"),
    ("no-backend", "name: bad\n"),
    ("name-of-another", "name: other\nbackend: constant\n"),
    ("name-upwards", "name: ../../bad\nbackend: constant\n"),
    ("name-of-a-number", "name: 7\nbackend: constant\n"),
    ("name-of-no-text", "name: no\nbackend: constant\n"),
    ("name-list", "name: [bad]\nbackend: constant\n"),
    ("name-of-a-megabyte", lambda: f"name: {'x' * 1_000_000}\nbackend: constant\n"),
    ("backend-number", "name: bad\nbackend: 7\n"),
    ("backend-null", "name: bad\nbackend:\n"),
    ("unknown-key", "name: bad\nbackend: constant\nwieghts: x\n"),
    ("unknown-keys-100000", lambda: "name: bad\nbackend: constant\n" + "".join(f"x{i}: 1\n" for i in range(20_000))),
    ("options-list", "name: bad\nbackend: constant\noptions: [1]\n"),
    ("input-text", "name: bad\nbackend: constant\ninput: large\n"),
    ("input-negative", "name: bad\nbackend: constant\ninput: {size: -5}\n"),
    ("training-number", "name: bad\nbackend: constant\ntraining: 5\n"),
    ("base-of-itself", "name: bad\nbase: bad\n"),
    ("base-missing", "name: bad\nbase: gone\n"),
    ("base-upwards", "name: bad\nbase: ../../../../etc/passwd\n"),
    ("base-list", "name: bad\nbase: [good]\n"),
    ("base-null", "name: bad\nbase: null\n"),
    ("base-with-a-null-byte", 'name: bad\nbase: "a\\0b"\n'),
    ("base-of-a-megabyte", lambda: f"name: bad\nbase: {'x' * 1_000_000}\n"),
]  # fmt: skip

UNCLEAR: list[tuple[str, str | Callable[[], str]]] = [
    ("no-date", with_options("{a: 2024-99-99}")),
    ("no-time", with_options("{a: 2024-01-01 99:99:99}")),
    ("zone-of-99-hours", with_options("{a: 2024-01-01 00:00:00 +99:99}")),
    ("10000-aliases", lambda: with_options("{a: &a x, b: [" + ", ".join(["*a"] * 10_000) + "]}")),
    ("bytes", with_options("{a: !!binary R0lGODlh}")),
    ("damaged-bytes", with_options("{a: !!binary '%%%'}")),
    ("huge-hexadecimal", lambda: with_options("{a: 0x" + "f" * 100_000 + "}")),
    ("sexagesimal", lambda: with_options("{a: 1" + ":59" * 50_000 + "}")),
    ("no-octal", with_options("{a: 0o9, b: 09}")),
]
"""Options are checked when a detector is built, and not by `list`."""

GOOD_CARDS: list[tuple[str, str]] = [
    ("a-few-aliases", "name: bad\nbackend: constant\ntraining_datasets: [&a one]\ntraining_sources: [*a]\n"),
    ("base", "name: bad\nbase: good\n"),
    ("base-of-base", "name: bad\nbase: zoo\ndescription: on a base\n"),
    ("mark", "\ufeffname: bad\nbackend: constant\n"),
    ("windows", "name: bad\r\nbackend: constant\r\n"),
    ("json", '{"name": "bad", "backend": "constant"}'),
    ("description-of-a-formula", "name: bad\nbackend: constant\ndescription: '=1+1'\n"),
]


def card(**keys: Any) -> str:
    import json

    return json.dumps(keys)


def protocol(**keys: Any) -> str:
    return card(**{"name": "card", "level": "frame", "bootstrap": {"resamples": 0}, **keys})


USED: list[tuple[str, str, str, Check]] = [
    ("detector-plain", "detector", card(name="card", backend="constant"), works),
    ("detector-backend-of-no-name", "detector", card(name="card", backend="gone"), refused),
    ("detector-backend-of-a-module", "detector", card(name="card", backend="os:system"), refused),
    ("detector-backend-missing-file", "detector", card(name="card", backend="gone.py:X"), refused),
    ("detector-option-unknown", "detector", card(name="card", backend="constant", options={"x": 1}), refused),
    ("detector-option-text", "detector", card(name="card", backend="constant", options={"score": "high"}), refused),
    ("detector-option-over-one", "detector", card(name="card", backend="constant", options={"score": 1.5}), refused),
    ("detector-option-nan", "detector", '{"name": "card", "backend": "constant", "options": {"score": .nan}}', refused),
    ("detector-endpoint-without-model", "detector", card(name="card", backend="openai", options={}), refused),
    ("detector-endpoint-of-a-file", "detector", card(name="card", backend="openai", options={"model": "m", "base_url": "file:///etc/passwd"}), refused),
    ("detector-endpoint-with-a-password", "detector", card(name="card", backend="openai", options={"model": "m", "base_url": "http://a:b@localhost/v1"}), refused),
    ("detector-endpoint-of-no-port", "detector", card(name="card", backend="openai", options={"model": "m", "base_url": "http://localhost:99999/v1"}), refused),
    ("detector-endpoint-of-brackets", "detector", card(name="card", backend="openai", options={"model": "m", "base_url": "http://[::1"}), refused),
    ("dataset-plain", "dataset", card(name="card", adapter="folder", root="./data"), works),
    ("dataset-adapter-of-no-name", "dataset", card(name="card", adapter="gone", root="./data"), refused),
    ("dataset-root-missing", "dataset", card(name="card", adapter="folder", root="./gone"), refused),
    ("dataset-root-of-zeros", "dataset", card(name="card", adapter="folder", root="/dev/zero"), refused),
    ("dataset-root-a-picture", "dataset", card(name="card", adapter="folder", root="./data/real/0.png"), refused),
    ("dataset-root-null-byte", "dataset", card(name="card", adapter="folder", root="./a\0b"), refused),
    ("dataset-root-of-a-megabyte", "dataset", card(name="card", adapter="folder", root="./" + "x" * 1_000_000), refused),
    ("dataset-without-data-folder", "dataset", card(name="card", adapter="folder", root="data"), refused),
    ("dataset-manifest-missing", "dataset", card(name="card", adapter="folder", root="./data", options={"manifest": "gone.csv"}), refused),
    ("dataset-manifest-of-zeros", "dataset", card(name="card", adapter="folder", root="./data", options={"manifest": "/dev/zero"}), refused),
    ("dataset-splits-of-no-name", "dataset", card(name="card", adapter="folder", root="./data", splits=["tset"]), refused),
    ("dataset-no-splits", "dataset", card(name="card", adapter="folder", root="./data", splits=[]), either),
    ("dataset-synthetic-of-a-billion", "dataset", card(name="card", adapter="synthetic", options={"videos": 10**9}), refused),
    ("protocol-plain", "protocol", protocol(), works),
    ("protocol-level-of-no-name", "protocol", protocol(level="pixel"), refused),
    ("protocol-metric-of-no-name", "protocol", protocol(metrics=["auk"]), refused),
    ("protocol-no-metrics", "protocol", protocol(metrics=[]), either),
    ("protocol-metric-twice", "protocol", protocol(metrics=["auc", "auc"]), either),
    ("protocol-threshold-of-5", "protocol", protocol(threshold=5), refused),
    ("protocol-threshold-of-no-name", "protocol", protocol(threshold="good"), refused),
    ("protocol-a-trillion-resamples", "protocol", protocol(bootstrap={"resamples": 10**12}), refused),
    ("protocol-minus-one-resamples", "protocol", protocol(bootstrap={"resamples": -1}), refused),
    ("protocol-level-of-two", "protocol", protocol(bootstrap={"resamples": 100, "level": 2.0}), refused),
    ("protocol-seed-of-2-to-200", "protocol", protocol(bootstrap={"resamples": 100, "seed": 2**200}), either),
    ("protocol-seed-negative", "protocol", protocol(bootstrap={"resamples": 100, "seed": -5}), either),
    ("protocol-frames-of-zero", "protocol", protocol(frames={"which": "uniform", "count": 0}), refused),
    ("protocol-frames-of-10-to-18", "protocol", protocol(frames={"which": "uniform", "count": 10**18}), either),
    ("protocol-task-of-no-name", "protocol", protocol(task="cook"), refused),
    ("protocol-a-detectors-card", "protocol", card(name="card", backend="constant"), refused),
    ("suite-plain", "suite", card(name="card", detectors=["constant"], columns=[{"dataset": "./data", "protocol": "frame"}]), works),
    ("suite-no-columns", "suite", card(name="card", detectors=["constant"], columns=[]), refused),
    ("suite-no-detectors", "suite", card(name="card", columns=[{"dataset": "./data"}]), refused),
    ("suite-of-itself", "suite", card(name="card", detectors=["./card.yaml"], columns=[{"dataset": "./data"}]), refused),
    ("suite-that-names-code", "suite", card(name="card", detectors=["evil.py:X"], columns=[{"dataset": "./data"}]), refused),
    ("suite-rank-by-column-99", "suite", card(name="card", detectors=["constant"], columns=[{"dataset": "./data"}], rank_by=99), refused),
    ("board-no-metric", "board", card(name="card", columns=[{"dataset": "x", "metric": "auk"}]), refused),
    ("board-of-a-detectors-card", "board", card(name="card", backend="constant"), refused),
]  # fmt: skip

CASES = [
    *[listed(f"card-{name}", text) for name, text in CARDS],
    *[listed(f"card-{name}", text, either) for name, text in UNCLEAR],
    *[listed(f"good-card-{name}", text, partial(works)) for name, text in GOOD_CARDS],
    *[judging(name, text, check, kind) for name, kind, text, check in USED],
]
