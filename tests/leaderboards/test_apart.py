"""What a board says on top: which rows the data tell apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from paths import ROOT
from toy_board import COLUMNS, toy_table

from m2f2bench.leaderboards.apart import MOST, Test, told_apart
from m2f2bench.leaderboards.board import gather
from m2f2bench.leaderboards.table import Row, Table, TableColumn
from m2f2bench.metrics.detection.paired import Difference
from m2f2bench.scoring.compare import compare


def made(values: Sequence[float], knows: Sequence[str] = ()) -> Table:
    """A table of rows `r1`, `r2`, … with these values in one column."""
    cell = toy_table().rows[0].cells[0]
    assert cell is not None
    rows = [
        Row(f"r{i}", (), "", (replace(cell, score=replace(cell.score, value=v)),), i, knows[i - 1] if knows else "")
        for i, v in enumerate(values, 1)
    ]
    return Table("t", "T", COLUMNS[:1], tuple(rows))


def judged(table: Table, p: dict[tuple[int, int], float | None]) -> Test:
    """A test that gives these p-values, and 0.001 for every other pair."""

    def give(column: TableColumn, pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Difference | None]:
        values = [row.values[0] or 0.0 for row in table.rows]
        found: dict[tuple[int, int], Difference | None] = {}
        for a, b in pairs:
            level = p.get((a, b), 0.001)
            both = (values[a], values[b], values[a] - values[b])
            found[a, b] = None if level is None else Difference("", column.metric, *both, p=level)
        return found

    return give


def test_pairs_are_counted_and_those_of_the_same_losers_are_together() -> None:
    table = made([0.9, 0.88, 0.6, 0.5])
    (text,) = told_apart(table, judged(table, {(0, 1): 0.7, (2, 3): 0.04}))
    assert text == (
        "Of 6 pairs of 4 detectors the data tell 4 apart in AUC (crops, frame): r1 and r2 are better than r3 and r4 "
        "(paired tests, p ≤ .05 after Holm's correction for 6 pairs)."
    ), "p = .04 is .08 after the correction"
    (text,) = told_apart(table, judged(table, {(0, 1): 0.7}))
    assert "tell 5 apart" in text and "r1 and r2 are better than r3 and r4; r3 is better than r4 (" in text


def test_nothing_told_apart_and_nothing_tested() -> None:
    table = made([0.9, 0.8, 0.7])
    every = dict.fromkeys([(0, 1), (0, 2), (1, 2)], 0.5)
    (text,) = told_apart(table, judged(table, every))
    assert text.startswith("Of 3 pairs of 3 detectors the data tell none apart in AUC (crops, frame)")
    (text,) = told_apart(table, judged(table, dict.fromkeys(every)))
    assert "is not known: no pair can be tested" in text
    (text,) = told_apart(table, judged(table, {(0, 1): None}))
    assert "for 2 pairs; 1 pair could not be tested" in text
    assert (
        told_apart(made([0.9]), judged(table, {})) == ()
        and told_apart(Table("e", "E", (), ()), judged(table, {})) == ()
    )


def test_of_errors_the_lower_is_better() -> None:
    table = replace(made([0.1, 0.3]), columns=COLUMNS[1:2])
    (text,) = told_apart(table, judged(table, {}))
    assert (
        text
        == "The data tell the 2 detectors apart in EER (crops, frame): r1 is better than r2 (paired tests, p ≤ .05)."
    )


def test_only_the_first_of_a_long_board_are_tested() -> None:
    table = made([1.0 - 0.01 * i for i in range(MOST + 5)])
    asked = []
    told_apart(table, lambda column, pairs: asked.extend(pairs) or judged(table, {})(column, pairs))
    assert len(asked) == MOST * (MOST - 1) // 2 and max(max(pair) for pair in asked) == MOST - 1


def test_explainers_are_set_against_controls() -> None:
    table = made([0.5, 0.9, 0.5, 0.2], ["", "the label", "the region", "nothing"])
    (text,) = told_apart(table, judged(table, {(0, 2): 0.9}))
    assert text == (
        "Of 3 controls without the image, r1 is better than 1, worse than 1 (r2) and not told apart from 1 in AUC "
        "(paired tests, p ≤ .05 after Holm's correction for 3 pairs)."
    )


def test_the_committed_boards() -> None:
    board = gather(["ddvqa-c40"])
    (text,) = board.lead
    found = re.match(r"Of 15 pairs of 6 detectors the data tell (\d+) apart in AUC \(ddvqa-c40, frame\): ", text)
    results = (ROOT / "leaderboards" / "results").glob("*--ddvqa-c40--frame.json")
    tested = [one for pair in compare(*results, metrics=["auc"]).pairs for one in pair.differences if not one.group]
    assert len(tested) == 15
    assert found is not None and int(found[1]) == sum(one.corrected <= 0.05 for one in tested) > 0
    blind = gather(["ddvqa-c40-blind"])
    assert [(row.rank, row.detector) for row in blind.table.rows if not row.knows] == [(1, "m2f2det-small-explainer")]
    controls = [row for row in blind.table.rows if row.knows]
    assert blind.table.rows[1:] == tuple(controls) and {row.rank for row in controls} == {None}
    known = {row.detector: row.knows for row in controls}
    assert known["control-medoid-label"].endswith("the true label")
    by = "control-frequent-verdict@m2f2det-small-explainer"
    assert known[by].endswith("the verdict of m2f2det-small-explainer")
    (text,) = blind.lead
    assert text.startswith("Of 8 controls without the image, m2f2det-small-explainer is better than 3, worse than 4 (")
