"""Hostile result files: every field of a wrong type, numbers that cannot be, and baselines that name code."""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile import Case, Check, Outcome, both, either, put, refused, works
from hostile_materials import material, result

EVIL = "open('EXECUTED', 'w').close()\nclass X:\n    def predict(self, images):\n        return [0.5 for _ in images]\n"
COMMANDS: dict[str, tuple[str, ...]] = {
    "board": ("leaderboard", "runs", "--format", "md"),
    "page": ("leaderboard", "runs", "--format", "html"),
    "latex": ("leaderboard", "runs", "--format", "tex"),
    "csv": ("leaderboard", "runs", "--format", "csv"),
    "validate": ("validate", "runs/x/result.json"),
    "check": ("check", "runs/x/result.json", "-d", "constant"),
    "ranks": ("plot", "ranks", "runs", "--out", "x.png"),
    "compare": ("compare", "runs"),
    "report": ("report", "runs/x", "--out", "x.html"),
    "score": ("score", "runs/x", "--json"),
}
Change = Callable[[dict[str, Any]], object]


def stored(content: Any, folder: str = "x") -> Callable[[Path], None]:
    """A run's folder, with rows; `content` is the result's text, or what is done to a sound result."""

    def draw(place: Path) -> None:
        told = result()
        if callable(content):
            changed = content(told)
            text = json.dumps(told if not isinstance(changed, dict) else changed)
        else:
            text = content
        run = place / "runs" / folder
        run.mkdir(parents=True, exist_ok=True)
        (run / "result.json").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        rows = material("runs/corner.Corner--faces--frame/predictions.parquet").read_bytes()
        (run / "predictions.parquet").write_bytes(rows)
        (place / "evil.py").write_text(EVIL)

    return draw


def put_in(*keys: Any, value: Any) -> Change:
    def change(told: dict[str, Any]) -> None:
        where: Any = told
        for key in keys[:-1]:
            where = where[key]
        where[keys[-1]] = value

    return change


def taken(*keys: Any) -> Change:
    def change(told: dict[str, Any]) -> None:
        where: Any = told
        for key in keys[:-1]:
            where = where[key]
        del where[keys[-1]]

    return change


def auc(**score: Any) -> Change:
    return lambda told: told["metrics"]["auc"].update(score)


def nested(depth: int) -> str:
    return '{"metrics": ' + '{"a": ' * depth + "1" + "}" * depth + "}"


WRONG: dict[str, list[Any]] = {
    "detector": [None, 7, ["a"], {"a": 1}, "", "x" * 100_000],
    "dataset": [None, 7, []],
    "split": [None, 7],
    "protocol": [None, 7, {}],
    "metrics": [None, [], "auc", 7, {"auc": None}, {"auc": 0.5}, {"auc": []}, {"auc": {}}],
    "methods": [None, [], {"m": None}, {"m": []}, {"m": {"auc": 0.5}}],
    "average": [None, [], {"auc": 7}],
    "coverage": [None, "1", [], -1, 2, True],
    "frame_coverage": ["1", [], -1],
    "statuses": [None, [], {"ok": "all"}, {"ok": -5}, {"ok": 1.5}],
    "signature": [None, 7, [], ""],
    "measured": [None, [], "x"],
    "threshold": [None, [], "0.5"],
    "clusters": [None, [], {"n": "many"}],
    "predicted": [None, []],
    "reliability": [None, {}, "x", [None], [{"n": "x"}]],
    "training_datasets": [None, "abc", [1], {"a": 1}],
    "source": [None, 7],
    "people": [None, "abc", [1], {"a": 1}],
    "predictions": [None, 7, "../../etc/passwd"],
    "protocol_card": [None, [], {"name": 7}],
    "detector_card": [None, [], {"name": "a", "backend": "evil.py:X"}],
    "versions": [None, [], {"a": 1}],
}
"""What each field is set to, one at a time."""
MEANING = {"predictions", "versions", "predicted", "clusters", "reliability", "detector_card", "signature", "source"}
"""Fields that a board does not need; a wrong value there may go unnoticed but may break nothing."""

TEXTS: list[tuple[str, Any]] = [
    ("empty", ""),
    ("cut", '{"detector": "a", '),
    ("not-json", "detector: a"),
    ("list", "[]"),
    ("null", "null"),
    ("number", "7"),
    ("text", '"a"'),
    ("empty-object", "{}"),
    ("not-utf-8", b'{"detector": "\xff"}'),
    ("utf-16", '{"detector": "a"}'.encode("utf-16")),
    ("gzip", b"\x1f\x8b\x08" + bytes(30)),
    ("picture", b"\x89PNG\r\n\x1a\n"),
    ("nested-deep", "[" * 200_000),
    ("nested-deep-in-metrics", nested(50_000)),
    ("a-huge-number", '{"coverage": ' + "9" * 100_000 + "}"),
    ("20-megabytes", '{"detector": "' + "x" * 20_000_000 + '"}'),
]

CHANGES: list[tuple[str, Change, Check]] = [
    ("sound", lambda told: None, works),
    ("auc-5", auc(value=5.0), refused),
    ("auc-minus-1", auc(value=-1.0), refused),
    ("auc-nan", auc(value=float("nan")), refused),
    ("auc-infinite", auc(value=float("inf")), refused),
    ("auc-text", auc(value="0.9"), refused),
    ("auc-list", auc(value=[0.9]), refused),
    ("auc-true", auc(value=True), refused),
    ("auc-formula", auc(value="=1+1"), refused),
    ("auc-html", auc(value="<script>alert(1)</script>"), refused),
    ("auc-missing", lambda told: told["metrics"]["auc"].pop("value"), refused),
    ("auc-null", auc(value=None, ci=None, reason="none"), either),
    ("interval-of-one-end", auc(ci=[0.5]), refused),
    ("interval-of-three-ends", auc(ci=[0.1, 0.5, 0.9]), refused),
    ("interval-turned-round", auc(ci=[0.99, 0.01]), refused),
    ("interval-elsewhere", auc(value=0.5, ci=[0.8, 0.9]), refused),
    ("interval-of-texts", auc(ci=["a", "b"]), refused),
    ("interval-of-nulls", auc(ci=[None, None]), refused),
    ("interval-text", auc(ci="ab"), refused),
    ("interval-of-nan", auc(ci=[float("nan"), 1.0]), refused),
    ("count-negative", auc(n_real=-5), refused),
    ("count-text", auc(n_real="many"), refused),
    ("count-half", auc(n_fake=0.5), refused),
    ("count-of-10-to-400", lambda told: told["metrics"]["auc"].update(n_fake=10**400), refused),
    ("reason-list", auc(reason=["a"]), refused),
    ("unknown-metric", lambda told: told["metrics"].update(auk=told["metrics"]["auc"]), either),
    ("unknown-key", lambda told: told.update(surprise=1), refused),
    ("unknown-key-in-a-score", auc(surprise=1), either),
    ("no-detector", taken("detector"), refused),
    ("no-metrics", taken("metrics"), refused),
    ("measured-empty", put_in("measured", value={}), either),
    ("no-measured", taken("measured"), refused),
    ("measured-hash-list", put_in("measured", "hash", value=[1]), refused),
    ("measured-n-text", put_in("measured", "n", value="many"), either),
    ("measured-value-object", put_in("measured", "det", value={"a": 1}), refused),
    ("3000-methods", lambda told: told.update(methods={f"m{i}": {"auc": told["metrics"]["auc"]} for i in range(3000)}), either),
    ("1000-metrics", lambda told: told["metrics"].update({f"m{i}": told["metrics"]["auc"] for i in range(1000)}), either),
]  # fmt: skip


def names_code(reference: str, kind: str = "detector") -> Change:
    def change(told: dict[str, Any]) -> None:
        told[kind] = reference
        told["detector_card" if kind == "detector" else "dataset_card"] = {"name": "x", "backend": reference}
        if kind != "detector":
            del told["dataset_card"]

    return change


CODE: list[tuple[str, Change, tuple[str, ...]]] = [
    ("detector-file", names_code("evil.py:X"), ()),
    ("detector-absolute-file", lambda told: told.update(detector=str(Path.cwd() / "evil.py") + ":X"), ()),
    ("detector-module", names_code("evil:X"), ()),
    ("detector-card-of-a-file", lambda told: told.update(detector="./card.yaml"), ()),
    ("dataset-file", names_code("evil.py:X", "dataset"), ("-d", "constant")),
    ("dataset-of-a-path", names_code("/etc", "dataset"), ("-d", "constant")),
    ("protocol-of-a-path", lambda told: told.update(protocol="../../etc/passwd"), ("-d", "constant")),
    ("detector-card-backend", put_in("detector_card", value={"name": "corner.Corner", "backend": "evil.py:X"}), ()),
]


def has_no(*texts: str) -> Check:
    def check(outcome: Outcome) -> str:
        shown = re.sub("`[^`]*`", "", outcome.out)  # what is code is shown as it is
        there = [text for text in texts if text in shown]
        return f"{there} is printed" if there else works(outcome)

    return check


MARKUP: list[tuple[str, str, str, Check]] = [
    ("html-script", "page", "<script>alert(1)</script>", has_no("<script>alert(1)")),
    ("html-attribute", "page", "\" onmouseover=\"alert(1)", has_no('" onmouseover="')),
    ("html-end-of-data", "page", "</script><script>alert(2)</script>", has_no("</script><script>alert(2)")),
    ("markdown-link", "board", "[x](javascript:alert(1))", has_no("[x](javascript:")),
    ("markdown-picture", "board", "![x](http://example.com/x.png)", has_no("![x](http")),
    ("markdown-end-of-code", "board", "a`[x](javascript:alert(1))`b", has_no("[x](javascript:")),
    ("markdown-bar", "board", "a|b", works),
    ("markdown-newline", "board", "a\nb", works),
    ("latex-input", "latex", "\\input{/etc/passwd}", has_no("\\input{/etc")),
    ("latex-comment", "latex", "a%b", has_no("a%b")),
    ("csv-formula", "csv", "=cmd|'/c calc'!A1", has_no("\n=cmd", "\n\"=cmd", ",=cmd", ",\"=cmd")),
    ("csv-at", "csv", "@SUM(1)", has_no("\n@SUM", ",@SUM")),
    ("csv-plus", "csv", "+1", has_no("\n+1,", ",+1,")),
    ("escape-sequence", "board", "\x1b]0;owned\x07\x1b[2J", has_no("\x1b")),
    ("right-to-left", "board", "a\u202egnp.exe", has_no("\u202e")),
    ("null-byte", "board", "a\0b", has_no("\0")),
    ("surrogate", "board", "a\ud800b", either),
    ("surrogate-page", "page", "a\ud800b", either),
]  # fmt: skip


def renamed(name: str) -> Change:
    """The detector's name, wherever a sound result has it."""

    def change(told: dict[str, Any]) -> dict[str, Any]:
        new = copy.deepcopy(told)
        new["detector"] = name
        new["measured"]["det"] = name
        new["signature"] = new["signature"].replace("corner.Corner", name)
        return new

    return change


def noticed(name: str, value: Any) -> Check:
    return either if name in MEANING else refused


def wrong_fields() -> list[Case]:
    kinds = ("board", "page", "latex", "csv", "validate", "check", "ranks", "compare", "report", "score")
    cases = []
    for i, (name, values) in enumerate(WRONG.items()):
        for j, value in enumerate(values):
            told = json.dumps(value)[:12].replace("/", "_")
            kind = ("validate", kinds[(i + 3 * j) % len(kinds)])[j % 2]
            for word in (kind,) if j else ("board", kind):
                check = either if word in ("report", "score", "ranks", "compare") else noticed(name, value)
                cases.append(Case(f"{name}-{told}-{word}", stored(put_in(name, value=value)), COMMANDS[word], check))
    return cases


CASES = [
    *[Case(f"text-{name}-{word}", stored(text), COMMANDS[word], refused)
      for i, (name, text) in enumerate(TEXTS) for word in ("board", ("validate", "check", "ranks")[i % 3])],
    *[Case(f"{name}-{word}", stored(change), COMMANDS[word], check)
      for name, change, check in CHANGES for word in ("board", "validate")],
    *wrong_fields(),
    *[Case(f"code-{name}", both(put("card.yaml", "name: card\nbackend: evil.py:X\n"), stored(change)),
           ("check", "runs/x/result.json", *words), refused) for name, change, words in CODE],
    *[Case(f"markup-{name}", stored(renamed(text)), COMMANDS[word], check) for name, word, text, check in MARKUP],
    Case("no-results", lambda folder: (folder / "runs").mkdir(), COMMANDS["board"], refused),
    Case("sound-page", stored(lambda told: None), COMMANDS["page"], works),
    Case("sound-score", stored(lambda told: None), COMMANDS["score"], works),
    Case("a-bad-one-among-good-ones", both(stored(lambda told: None), stored("{", "y")), COMMANDS["board"], refused),
]  # fmt: skip
