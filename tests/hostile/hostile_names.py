"""Hostile names: of files that are judged, of rows and their manipulations, of what a table and a report print."""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

import json
import os
from pathlib import Path

from hostile import Case, Draw, Outcome, both, either, put, refused, works
from hostile_materials import CORNER, saved

NAMES: list[tuple[str, str | bytes]] = [
    ("space", "a b.png"),
    ("space-before", " a.png"),
    ("newline", "a\nb.png"),
    ("carriage-return", "a\rb.png"),
    ("tab", "a\tb.png"),
    ("escape-sequence", "\x1b[31ma\x1b]0;owned\x07.png"),
    ("bell", "a\x07.png"),
    ("right-to-left", "a\u202egnp.exe.png"),
    ("zero-width", "a\u200b\u2060.png"),
    ("line-separator", "a\u2028b.png"),
    ("formula", "=cmd|'calc'!A1.png"),
    ("plus", "+1.png"),
    ("at", "@sum.png"),
    ("dash", "-rf.png"),
    ("two-dashes", "--json.png"),
    ("percent", "%s%n%x.png"),
    ("braces", "{0}{name}.png"),
    ("dollar", "$HOME$(touch EXECUTED).png"),
    ("backticks", "`touch EXECUTED`.png"),
    ("semicolon", "a;touch EXECUTED;.png"),
    ("quotes", "a'b\"c.png"),
    ("backslash", "a\\b.png"),
    ("star", "*.png"),
    ("brackets", "[a-z].png"),
    ("markup", "<script>alert(1)<script>.png"),
    ("markdown-link", "[x](javascript:alert(1)).png"),
    ("hash", "a#1.png"),
    ("colon", "file:a.png"),
    ("address", "http:a.png"),
    ("tilde", "~a.png"),
    ("255-bytes", "a" * 251 + ".png"),
    ("255-bytes-of-others", "\u00e9" * 125 + ".png"),
    ("decomposed", "e\u0301.png"),
    ("emoji", "\U0001f600.png"),
    ("not-utf-8", b"\xff\xfe.png"),
    ("half-a-character", b"a\xe2\x82.png"),
    ("latin-1", b"\xe9.png"),
    ("surrogates-in-utf-8", b"\xed\xa0\x80.png"),
]


def drawn(name: str | bytes, folder: str = "in") -> Draw:
    def draw(place: Path) -> None:
        (place / "corner.py").write_text(CORNER)
        top = os.fsencode(place / folder)
        os.makedirs(top, exist_ok=True)  # noqa: PTH103
        with open(os.path.join(top, os.fsencode(name)), "wb") as file:  # noqa: PTH118, PTH123
            file.write(saved("PNG"))

    return draw


def clean(outcome: Outcome) -> str:
    """What a terminal would obey is not printed."""
    bad = [c for c in "\x1b\x07\r\u202e" if c in outcome.out or c in outcome.err]
    return f"{bad} is printed" if bad else ""


def judged(outcome: Outcome) -> str:
    if outcome.status != 0:
        return f"a good picture is refused: {outcome.err!r}"
    return "" if outcome.json()[0]["score"] == 1.0 else f"{outcome.out}"


def shown(outcome: Outcome) -> str:
    """A line for a picture."""
    return works(outcome) or clean(outcome) or ("" if len(outcome.out.splitlines()) <= 3 else f"{outcome.out!r}")


def row_names(name: str) -> str:
    """Rows whose ids, videos, manipulations and people have the name in them."""
    keys = ("id", "video", "method", "identity")
    told = [dict.fromkeys(keys, f"{name}{i}") | {"label": i % 2, "score": 0.3 + 0.4 * (i % 2)} for i in range(8)]
    for row in told:
        row["method"] = "original" if row["label"] == 0 else name
    return "".join(json.dumps(row) + "\n" for row in told)


def printed(outcome: Outcome) -> str:
    return clean(outcome) if outcome.status == 0 else refused(outcome)


OF_ROWS: list[tuple[str, str]] = [
    ("newline", "a\nb"),
    ("escape-sequence", "\x1b[2J"),
    ("right-to-left", "\u202eabc"),
    ("null-byte", "a\0b"),
    ("formula", "=1+1"),
    ("bar", "a|b|c"),
    ("markup", "<img src=x onerror=alert(1)>"),
    ("markdown-link", "[x](javascript:alert(1))"),
    ("latex", "\\input{/etc/passwd}"),
    ("percent", "%s%n"),
    ("a-megabyte", "x" * 1_000_000),
    ("blank", " "),
    ("empty", ""),
    ("surrogate", "\ud800"),
    ("plus-of-people", "a+b+a"),
    ("original", "original"),
]

PREDICT = ("predict", "--no-faces", "in", "-d", "corner.py:Corner")
DEEP = "/".join(["d" * 100] * 30)

CASES = [
    *[Case(f"predict-{name}", drawn(file), (*PREDICT, "--json"), judged, code=("corner.py",)) for name, file in NAMES],
    *[Case(f"print-{name}", drawn(file), PREDICT, shown, code=("corner.py",)) for name, file in NAMES],
    *[Case(f"heatmap-{name}", drawn(file), ("predict", "--no-faces", "in", "-d", "frequency", "--heatmap", "maps"), either)
      for name, file in NAMES if isinstance(file, bytes) or len(file) > 200],
    *[Case(f"rows-{name}", put("r.jsonl", row_names(text)), ("score", "r.jsonl"), printed) for name, text in OF_ROWS],
    *[Case(f"methods-{name}", put("r.jsonl", row_names(text)), ("plot", "methods", "r.jsonl", "--out", "x.png"), either)
      for name, text in OF_ROWS],
    Case("column-of-a-formula", put("r.csv", "id,label,score\n=1,0,0.5\n"), ("score", "r.csv", "--column", "id==1"), refused),
    Case("name-of-a-run", put("r.csv", "id,label,score\na,0,0.5\nb,1,0.6\n"), ("score", "r.csv", "--name", "\x1b[2J"), printed),
    Case("name-of-no-detector", put("x.png", saved("PNG")), ("predict", "--no-faces", "x.png", "-d", "\x1b[2J"), refused),
    Case("name-of-a-detector-of-a-megabyte", put("x.png", saved("PNG")), ("predict", "--no-faces", "x.png", "-d", "x" * 100_000), refused),
    Case("name-of-a-detector-upwards", put("x.png", saved("PNG")), ("predict", "--no-faces", "x.png", "-d", "../../etc/passwd"), refused),
    Case("name-of-a-dataset-newline", both(put("corner.py", CORNER)), ("run", "-d", "constant", "-s", "a\nb"), refused),
    Case("name-of-a-surrogate", put("x.png", saved("PNG")), ("predict", "--no-faces", "x.png", "-d", "\udcff"), refused),
    Case("name-of-a-protocol-empty", put("r.csv", "id,label,score\na,0,0.5\n"), ("score", "r.csv", "-p", ""), refused),
    *[Case(f"ending-{name}", drawn(file), (*PREDICT, "--json"), refused, code=("corner.py",))
      for name, file in (("none", "picture"), ("alone", ".png"), ("space", "a.png "), ("of-a-text", "a.txt"))],
    Case("folder-of-3000-letters", put(f"{DEEP}/x.png", saved("PNG")), ("predict", "--no-faces", f"{DEEP}/x.png", "-d", "constant", "--json"), works),
    Case("path-of-5000-letters", drawn("a.png"), ("predict", "--no-faces", "x" * 5000, "-d", "constant"), refused),
    Case("path-empty", drawn("a.png"), ("predict", "--no-faces", "", "-d", "constant"), either),
]  # fmt: skip
