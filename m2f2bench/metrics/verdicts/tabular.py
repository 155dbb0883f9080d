"""Verdicts in tables: a column asks for real or fake ("Edited?"), a row is a part or the whole."""

from __future__ import annotations

import re

from .polar import polarity, truth, verdict_of

_ROW = re.compile(r"^\s*\|(.+)\|\s*$", re.MULTILINE)
_RULE = re.compile(r"[\s|:-]+")
_WHOLE = re.compile(r"\b(?:whole|overall|image|photo|picture|total|all|verdict|conclusion|final|entire|result)\b")


def from_table(text: str) -> str:
    """Return the verdict of the first table with such a column: of the whole's row, else fake if any row is fake."""
    rows = [[cell.strip(" *_`") for cell in row.split("|")] for row in _ROW.findall(text) if not _RULE.fullmatch(row)]
    if len(rows) < 2:
        return ""
    head = rows[0]
    columns = [place for place, cell in enumerate(head) if place and polarity(cell)]
    if len(columns) != 1:
        return ""
    asked = columns[0]
    said = [(row[0], row[asked]) for row in rows[1:] if len(row) == len(head) and truth(row[asked])]
    whole = [one for one in said if _WHOLE.search(one[0])] or said
    found = [verdict_of([(head[asked], value)]) for _, value in whole]
    return "fake" if "fake" in found else next((one for one in found if one), "")
