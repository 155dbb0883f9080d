"""Hostile rows (CSV, JSON lines, Parquet) and answers, as `score` meets them."""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hostile import Case, Check, Outcome, both, either, put, refused

HEAD = "id,label,score\n"
GOOD = HEAD + "a,0,0.25\nb,1,0.75\nc,0,0.5\nd,1,0.9\n"


def scored(outcome: Outcome, *, auc: float | None = 1.0) -> str:
    if outcome.status != 0:
        return f"good rows are refused: {outcome.err!r}"
    found = outcome.json()["metrics"]["auc"]["value"]
    same = found is auc if auc is None or found is None else abs(found - auc) < 1e-12
    return "" if same else f"an AUC of {found}, not {auc}"


WHOLE: Check = scored


def table(columns: dict[str, Any], **how: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **how)
    return buffer.getvalue()


def parquet(n: int = 4, drop: tuple[str, ...] = (), **columns: Any) -> bytes:
    """Good rows, fakes above reals, with columns put in or replaced."""
    plain = {
        "id": [f"f{i}" for i in range(n)],
        "label": [i % 2 for i in range(n)],
        "score": [0.2 + 0.6 * (i % 2) for i in range(n)],
    }
    return table({name: value for name, value in {**plain, **columns}.items() if name not in drop})


def typed(kind: str, values: list[Any]) -> Any:
    import pyarrow as pa

    return pa.array(values, getattr(pa, kind)() if isinstance(kind, str) else kind)


def endless() -> bytes:
    """A hundred million rows of one value, which are a few kilobytes packed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    n = 10_000_000
    part = pa.table(
        {
            "id": pa.array(np.zeros(n, np.int8)),
            "label": pa.array(np.zeros(n, np.int8)),
            "score": pa.array(np.zeros(n, np.float32)),
        }
    )
    with pq.ParquetWriter(buffer, part.schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(part)
    return buffer.getvalue()


def large_texts() -> bytes:
    """Four ids, each of which is 60 MB, packed to almost nothing."""
    return parquet(id=[c * 60_000_000 for c in "abcd"])


def lines(*rows: Any) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def row(**more: Any) -> dict[str, Any]:
    return {"id": "a", "label": 0, "score": 0.5, **more}


OTHER = {"id": "b", "label": 1, "score": 0.75}

CSV: list[tuple[str, str | bytes | Callable[[], str | bytes], Check]] = [
    ("plain", GOOD, WHOLE),
    ("windows", GOOD.replace("\n", "\r\n"), WHOLE),
    ("old-macintosh", GOOD.replace("\n", "\r"), either),
    ("mark", "\ufeff" + GOOD, WHOLE),
    ("semicolons", GOOD.replace(",", ";"), WHOLE),
    ("no-last-newline", GOOD.strip(), WHOLE),
    ("blank-lines", GOOD.replace("\n", "\n\n"), WHOLE),
    ("quoted", GOOD.replace("a,", '"a",'), WHOLE),
    ("spaces", GOOD.replace(",0.25", ", 0.25 "), WHOLE),
    ("other-columns", GOOD.replace("\n", ",x\n"), WHOLE),
    ("id-of-a-formula", GOOD.replace("a,", "=cmd|'/c calc'!A1,"), WHOLE),
    ("id-of-a-megabyte", lambda: GOOD.replace("a,", "a" * 1_000_000 + ","), either),
    ("id-of-three-megabytes", lambda: GOOD.replace("a,", "a" * 3_000_000 + ","), refused),
    ("ids-that-differ-in-form", HEAD + "\u00e9,0,0.2\ne\u0301,1,0.9\n", WHOLE),
    ("ids-that-differ-in-case", HEAD + "a,0,0.2\nA,1,0.9\n", WHOLE),
    ("exact-numbers", HEAD + "a,0,0.1\nb,1,0.1000000000000000056\n", partial(scored, auc=0.5)),
    ("denormal-numbers", HEAD + "a,0,5e-324\nb,1,1e-323\n", WHOLE),
    ("minus-zero", HEAD + "a,0,-0.0\nb,1,0.0\n", partial(scored, auc=0.5)),
    ("one-class", HEAD + "a,0,0.1\nb,0,0.2\n", partial(scored, auc=None)),
    ("missing-scores", GOOD + "e,0,\nf,1,NA\n", WHOLE),
    ("empty", "", refused),
    ("header-alone", HEAD, refused),
    ("no-scores-at-all", HEAD + "a,0,\nb,1,nan\n", refused),
    ("null-bytes", GOOD.replace("a,", "a\0,"), either),
    ("zeros", bytes(10_000), refused),
    ("utf-16", GOOD.encode("utf-16"), refused),
    ("latin-1", GOOD.replace("a,", "é,").encode("latin-1"), refused),
    ("half-a-character", GOOD.encode() + b"\xe2\x82", refused),
    ("a-picture", b"\x89PNG\r\n\x1a\n" + bytes(200), refused),
    ("gzip", b"\x1f\x8b\x08" + bytes(50), refused),
    ("parquet-named-csv", lambda: parquet(), refused),
    ("html", "<html><table><tr><td>id</td></tr></table></html>", refused),
    ("percentages", HEAD + "a,0,25\nb,1,75\n", refused),
    ("percent-signs", HEAD + "a,0,25%\nb,1,75%\n", refused),
    ("logits", HEAD + "a,0,-2.5\nb,1,3.1\n", refused),
    ("decimal-commas", HEAD.replace(",", ";") + "a;0;0,25\nb;1;0,75\n", refused),
    ("over-one", HEAD + "a,0,0.5\nb,1,1.0000001\n", refused),
    ("infinity", HEAD + "a,0,inf\nb,1,0.5\n", refused),
    ("1e400", HEAD + "a,0,1e400\nb,1,0.5\n", refused),
    ("hexadecimal", HEAD + "a,0,0x1p-1\nb,1,0.5\n", refused),
    ("other-digits", HEAD + "a,0,٠.٥\nb,1,0.5\n", either),
    ("tensors", HEAD + "a,0,tensor(0.5)\nb,1,0.5\n", refused),
    ("lists", HEAD + "a,0,[0.5]\nb,1,0.5\n", refused),
    ("truth-values", HEAD + "a,0,False\nb,1,True\n", refused),
    ("label-2", HEAD + "a,0,0.1\nb,2,0.5\n", refused),
    ("label-yes", HEAD + "a,no,0.1\nb,yes,0.5\n", refused),
    ("no-label", HEAD + "a,,0.1\nb,1,0.5\n", refused),
    ("twice-an-id", HEAD + "a,0,0.1\na,1,0.5\n", refused),
    ("no-id", HEAD + ",0,0.1\nb,1,0.5\n", refused),
    ("twice-a-column", "id,label,score,score\na,0,0.1,0.2\n", refused),
    ("no-such-column", "name,truth,p\na,0,0.1\n", refused),
    ("status-of-ones-own", "id,label,score,status\na,0,0.1,fine\n", refused),
    ("too-few-cells", HEAD + "a,0\nb,1,0.5\n", refused),
    ("too-many-cells", HEAD + "a,0,0.1,9\nb,1,0.5\n", refused),
    ("open-quote", HEAD + '"a,0,0.1\nb,1,0.5\n', refused),
    ("quote-within", HEAD + 'a"b,0,0.1\nb,1,0.5\n', either),
    ("100000-columns", lambda: "id,label,score," + ",".join(f"c{i}" for i in range(100_000)) + "\n", refused),
    ("million-quotes", lambda: HEAD + '"' * 1_000_001 + ",0,0.1\n", refused),
    ("million-commas", lambda: HEAD + "," * 1_000_000 + "\n", refused),
    ("no-newline-in-20-megabytes", lambda: "a" * 20_000_000, refused),
    ("40-methods", lambda: "id,label,score,method\n" + "".join(f"{i},{i % 2},0.{i % 10},m{i % 80}\n" for i in range(2000)), either),
    ("a-video-under-two-labels", "id,label,score,video,method\na,0,0.1,v,m\nb,1,0.5,v,m\n", either),
]  # fmt: skip

JSON: list[tuple[str, str | Callable[[], str], Check]] = [
    ("plain", lines(row(), OTHER), WHOLE),
    ("numbers-as-texts", lines(row(score="0.5", label="real"), OTHER), WHOLE),
    ("ids-of-numbers", lines(row(id=1), OTHER), WHOLE),
    ("other-keys", lines(row(more={"deep": [1, [2]]}), OTHER), WHOLE),
    ("id-with-a-newline", lines(row(id="a\nb"), OTHER), WHOLE),
    ("id-with-a-null-byte", lines(row(id="a\0b"), OTHER), either),
    ("array-of-rows", json.dumps([row(), OTHER]), refused),
    ("one-object-over-lines", json.dumps(row(), indent=1), refused),
    ("not-json", "{'id': 'a'}\n", refused),
    ("cut", lines(row(), OTHER)[:-9], refused),
    ("nested-deep", '{"id": ' + "[" * 200_000 + "\n", refused),
    ("nested-deep-and-whole", lines('{"id": "a", "label": 0, "score": 0.5, "x": ' + "[" * 90_000 + "]" * 90_000 + "}", OTHER), refused),
    ("huge-number", '{"id": "a", "label": 0, "score": ' + "1" * 100_000 + "}\n", refused),
    ("huge-exponent", '{"id": "a", "label": 0, "score": 1e999999999}\n', refused),
    ("not-a-number", '{"id": "a", "label": 0, "score": NaN}\n', refused),
    ("key-twice", '{"id": "a", "id": "b", "label": 0, "score": 0.5}\n', refused),
    ("id-null", lines(row(id=None)), refused),
    ("id-object", lines(row(id={"a": 1})), refused),
    ("id-surrogate", lines('{"id": "\\ud800", "label": 0, "score": 0.5}'), refused),
    ("score-list", lines(row(score=[0.5])), refused),
    ("score-truth", lines(row(score=True)), refused),
    ("label-truth", lines(row(label=True)), refused),
    ("label-half", lines(row(label=0.5)), refused),
    ("video-object", lines(row(video={"a": 1})), refused),
    ("identity-list", lines(row(identity=["a", "b"])), refused),
    ("line-separators-in-texts", lines('{"id": "a\u2028b", "label": 0, "score": 0.5}', OTHER), WHOLE),
]  # fmt: skip

PARQUET: list[tuple[str, Callable[[], bytes], Check]] = [
    ("plain", parquet, WHOLE),
    ("half-precision", lambda: parquet(score=np.array([0.25, 0.75, 0.25, 0.75], np.float16)), WHOLE),
    ("dictionary", lambda: parquet(id=typed("string", list("abcd")).dictionary_encode()), WHOLE),
    ("large-texts", lambda: parquet(id=typed("large_string", list("abcd"))), WHOLE),
    ("ids-of-numbers", lambda: parquet(id=[1, 2, 3, 4]), WHOLE),
    ("empty-file", lambda: b"", refused),
    ("magic-alone", lambda: b"PAR1", refused),
    ("magic-twice", lambda: b"PAR1PAR1", refused),
    ("cut-in-footer", lambda: parquet()[:-9], refused),
    ("cut-in-half", lambda: parquet()[: len(parquet()) // 2], refused),
    ("footer-of-4-gb", lambda: parquet()[:-8] + b"\xff\xff\xff\x7fPAR1", refused),
    ("footer-of-zero", lambda: parquet()[:-8] + b"\0\0\0\0PAR1", refused),
    ("footer-of-noise", lambda: parquet()[:-60] + b"\xff" * 52 + parquet()[-8:], refused),
    ("pages-of-noise", lambda: parquet(2000)[:100] + b"\xff" * 400 + parquet(2000)[500:], refused),
    ("encrypted", lambda: parquet()[:-4] + b"PARE", refused),
    ("csv-named-parquet", lambda: GOOD.encode(), refused),
    ("no-rows", lambda: parquet(0), refused),
    ("no-columns", lambda: table({}), refused),
    ("no-score", lambda: parquet(drop=("score",)), refused),
    ("ids-of-bytes", lambda: parquet(id=[b"\xff", b"b", b"c", b"d"]), refused),
    ("ids-of-structs", lambda: parquet(id=[{"a": i} for i in range(4)]), refused),
    ("ids-of-nulls", lambda: parquet(id=typed("null", [None] * 4)), refused),
    ("ids-not-text", lambda: parquet().replace(b"f0", b"\xff\xfe"), refused),
    ("scores-of-lists", lambda: parquet(score=[[0.5]] * 4), refused),
    ("scores-of-times", lambda: parquet(score=np.array([1, 2, 3, 4], "datetime64[s]")), refused),
    ("scores-of-texts-not-numbers", lambda: parquet(score=["a", "b", "c", "d"]), refused),
    ("scores-of-null", lambda: parquet(score=typed("null", [None] * 4)), refused),
    ("scores-of-infinity", lambda: parquet(score=[float("inf"), 0.5, 0.5, 0.5]), refused),
    ("labels-of-floats", lambda: parquet(label=[0.0, 0.5, 1.0, 1.0]), refused),
    ("labels-of-2-to-64", lambda: parquet(label=np.array([0, 1, 1, 2**64 - 1], np.uint64)), refused),
    ("a-hundred-million-rows", endless, refused),
    ("ids-of-60-megabytes", large_texts, refused),
]  # fmt: skip

PLACES: list[tuple[str, str, Check]] = [
    ("ending-txt", "rows.txt", refused),
    ("ending-xlsx", "rows.xlsx", refused),
    ("ending-pickle", "rows.pkl", refused),
    ("ending-of-two", "rows.csv.gz", refused),
    ("ending-in-capitals", "ROWS.CSV", WHOLE),
]


def score(name: str, content: Any, check: Check, file: str) -> Case:
    return Case(name, put(file, content), ("score", file, "--json"), check)


CASES = [
    *[score(f"csv-{name}", content, check, "rows.csv") for name, content, check in CSV],
    *[score(f"jsonl-{name}", content, check, "rows.jsonl") for name, content, check in JSON],
    *[score(f"parquet-{name}", content, check, "rows.parquet") for name, content, check in PARQUET],
    *[score(name, GOOD, check, file) for name, file, check in PLACES],
    Case("compare-other-labels", both(put("a.csv", GOOD), put("b.csv", GOOD.replace("a,0", "a,1"))),
         ("compare", "a.csv", "b.csv"), refused),
    Case("compare-other-frames", both(put("a.csv", GOOD), put("b.csv", HEAD + "x,0,0.5\ny,1,0.5\n")),
         ("compare", "a.csv", "b.csv"), refused),
    Case("compare-identities-of-one", both(put("a.csv", GOOD), put("b.csv", "id,label,score,identity\na,0,0.1,p\nb,1,0.5,q\nc,0,0.5,r\nd,1,0.9,s\n")),
         ("compare", "a.csv", "b.csv"), either),
    Case("compare-with-itself", put("a.csv", GOOD), ("compare", "a.csv", "a.csv"), either),
    Case("column-of-nothing", put("rows.csv", GOOD), ("score", "rows.csv", "--column", "id"), refused),
    Case("column-of-no-name", put("rows.csv", GOOD), ("score", "rows.csv", "--column", "id=gone"), refused),
    Case("column-twice", put("rows.csv", GOOD), ("score", "rows.csv", "--column", "score=label", "--json"), either),
    Case("protocol-of-no-name", put("rows.csv", GOOD), ("score", "rows.csv", "-p", "fram"), refused),
    Case("validation-missing", put("rows.csv", GOOD), ("score", "rows.csv", "-p", "frame-val"), refused),
]  # fmt: skip
