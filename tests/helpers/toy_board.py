"""A small leaderboard with everything that can stand in one, for the page's tests; and big ones of made-up numbers."""

from __future__ import annotations

import random
from dataclasses import replace

from m2f2bench.core.records import Score
from m2f2bench.leaderboards.board import Board, RocCurve
from m2f2bench.leaderboards.published import Figure
from m2f2bench.leaderboards.table import Cell, Row, Table, TableColumn

SCRIPT_NAME = "<script>alert(1)</script>"
IMAGE_NAME = '"><img src=x onerror=alert(1)>'
NO_REAL = "no real unit has a score"
NO_FALSE_POSITIVE = "no interval: 72 real units are too few for this rate; measured at zero false positives"


def measure(dataset: str, level: str = "frame", thr: str = "0.5") -> str:
    """A column's part of a signature."""
    return f"data:{dataset}|split:test|hash:abc123|n:144|level:{level}|thr:{thr}|ci:95%-identity-1000-seed0|v:0.2.0"


def by(detector: str, seed: int = 0) -> str:
    """A row's part of a signature."""
    return f"det:{detector}|weights:00ff|prep:224px|prec:fp32|seed:{seed}"


COLUMNS = (
    TableColumn("crops", "test", "frame", "auc", measure("crops")),
    TableColumn("crops", "test", "frame", "eer", measure("crops")),
    TableColumn("faces", "val", "video", "mcc", measure("faces", "video", "best-ORACLE")),
    TableColumn("faces", "val", "frame", "tpr_at_fpr1", measure("faces")),
)
VALUES = {
    "alpha": (0.9, 0.2, 0.55, 0.4),
    "beta": (0.8, 0.1, 0.65, 0.3),
    SCRIPT_NAME: (0.7, 0.3, -0.25, 0.2),
    IMAGE_NAME: (0.6, 0.4, -0.0001, 0.1),
}


def made_cell(detector: str, column: TableColumn, value: float | None, own: bool = False) -> Cell:
    ci = None if value is None else (value - 0.05, value + 0.05)
    reason = NO_REAL if value is None else NO_FALSE_POSITIVE if column.metric == "tpr_at_fpr1" else None
    return Cell(Score(value, 72, 72, ci, reason), 1.0, "dataset" if own else "", f"{column.signature}|{by(detector)}")


def toy_table() -> Table:
    """Four whole rows and one, `gamma`, that is not ranked: a null and a hole."""
    rows = []
    for rank, (name, values) in enumerate(VALUES.items(), 1):
        trained = ("crops",) if name == "alpha" else ("faces", "more") if name == "beta" else ()
        cells = [made_cell(name, c, v, c.dataset in trained) for c, v in zip(COLUMNS, values, strict=True)]
        if name == "alpha":
            cells[0] = replace(cells[0], best=True)
        if name == "beta":
            cells[0] = replace(cells[0], score=Score(0.8, 70, 71, (0.75, 0.85)), coverage=0.9999)
        rows.append(Row(name, trained, by(name), tuple(cells), rank))
    hole = (made_cell("gamma", COLUMNS[0], 0.95), None, made_cell("gamma", COLUMNS[2], None), None)
    rows.append(Row("gamma", (), by("gamma"), hole, None))
    return Table("toy", "A toy & its board", COLUMNS, tuple(rows))


def toy_methods() -> Table:
    columns = tuple(TableColumn("crops", "test", "frame", "auc", measure("crops"), m) for m in ("average", "Swap"))
    rows = []
    for i, name in enumerate([*VALUES, "gamma"]):
        cells = [made_cell(name, c, 0.9 - 0.1 * i) for c in columns]
        rows.append(Row(name, (), by(name), (cells[0], None if name == "gamma" else cells[1]), None))
    return Table("methods", "AUC by manipulation", columns, tuple(rows))


def figure(where: str = "https://example.org/paper?a=1&b=2", **changes: object) -> Figure:
    values = {"detector": "Other", "dataset": "DFD", "metric": "auc", "value": 0.8163, "level": "frame"}
    values |= {"trained_on": "FF++ c23", "selection": "best on test", "source": "A paper", "where": where, "note": ""}
    return Figure.model_validate(values | changes)


def toy_curve(detector: str, auc: float, knee: float) -> RocCurve:
    """Up to (`knee`, 1 - `knee`) and on to the end."""
    points = ((0.0, knee, 1.0), (0.0, 1.0 - knee, 1.0))
    return RocCurve(
        "crops", "test", "frame", measure("crops"), detector, *points, Score(auc, 72, 72, (auc - 0.05, 1.0))
    )


def toy_board() -> Board:
    curves = (toy_curve("alpha", 0.9, 0.1), toy_curve("beta", 0.8, 0.2))
    published = (figure(), figure("the appendix", detector=SCRIPT_NAME, source="Another"))
    return Board(toy_table(), (toy_methods(),), curves, published)


def big_board(n_rows: int, n_columns: int, seed: int = 0) -> Board:
    """Made-up numbers: four columns a dataset, a tenth of the cells missing in the last fifth of the rows."""
    rng = random.Random(seed)
    metrics = ("auc", "eer", "accuracy", "mcc")
    columns = tuple(
        TableColumn(f"set{i // 4}", "test", "frame", metrics[i % 4], measure(f"set{i // 4}")) for i in range(n_columns)
    )
    rows = []
    for i in range(n_rows):
        name, skill = f"detector-{i:03d}", rng.uniform(0.5, 0.95)
        trained = (f"set{i % 5}",) if i % 3 else ()
        cells: list[Cell | None] = []
        for column in columns:
            gone = i >= 0.8 * n_rows and rng.random() < 0.1
            value = min(0.94, max(0.06, rng.gauss(skill, 0.04)))
            cells.append(None if gone else made_cell(name, column, value, column.dataset in trained))
        rows.append(Row(name, trained, by(name), tuple(cells), None if None in cells else i + 1))
    rows.sort(key=lambda row: row.rank is None)
    methods = []
    curves = []
    for dataset in dict.fromkeys(column.dataset for column in columns):
        own = tuple(TableColumn(dataset, "test", "frame", "auc", measure(dataset), f"m{j}") for j in range(5))
        made = [(r, tuple(made_cell(r.detector, c, rng.uniform(0.5, 0.9)) for c in own)) for r in rows]
        methods.append(
            Table("methods", "AUC by manipulation", own, tuple(replace(r, cells=c, rank=None) for r, c in made))
        )
        fpr = tuple((i / 199.0) ** 2 for i in range(200))
        for row in rows:
            power = rng.uniform(0.1, 0.9)
            score = Score(1.0 / (1.0 + power), 72, 72)
            names = (dataset, "test", "frame", measure(dataset), row.detector)
            curves.append(RocCurve(*names, fpr, tuple(f**power for f in fpr), score))
    return Board(Table("big", "A big board", columns, tuple(rows)), tuple(methods), tuple(curves), (figure(),))
