"""Boards made from folders of results, and written to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cards.models import LeaderboardCard, card_folders, iter_cards
from ..core.errors import DataError
from ..core.files import write_text
from ..loading import load_leaderboard
from ..results.result import Result
from ..results.stored import read_stored
from .board import Board, build_board
from .published import load_published
from .render import FORMATS, render, table_markdown
from .text import coverage

BOARD = "leaderboard"
HOMES = ("results", "explanations")
"""Folders of results in the folders of leaderboard cards."""


def gather(places: Sequence[str], published: bool = False) -> Board:
    """Return the board of a leaderboard card, of folders with results, or of a card with such folders.

    Without folders, a card takes the results of its columns from HOMES. `published`: with published figures of others.
    Raises DataError if there is nothing to show.
    """
    card: LeaderboardCard | None = None
    folders: list[Path] = []
    for place in places:
        path = Path(place).expanduser()
        if path.is_dir() or path.suffix == ".json":
            folders.append(path)
        elif card is None:
            card = load_leaderboard(place)
        else:
            raise DataError(f"'{place}' is a second leaderboard: give one leaderboard, and folders of results")
    if not folders:
        homes = [f / name for f in card_folders("leaderboards") for name in HOMES]
        folders = [place for place in homes if any(place.glob("*.json"))]
        if card is None:
            known = ", ".join(path.stem for path in iter_cards("leaderboards"))
            raise DataError(f"give a folder of results, for instance runs/, or a leaderboard: {known}")
    stored = read_stored(folders) if folders else []
    if card is not None:
        wanted = {(column.dataset, column.protocol) for column in card.columns}
        stored = [one for one in stored if (one.result.dataset, one.result.protocol) in wanted]
    board = build_board(stored, card, load_published() if published else ())
    if card is not None and not board.table.rows:
        raise DataError(_no_result(card, folders))
    return board


def _no_result(card: LeaderboardCard, folders: Sequence[Path]) -> str:
    """Return the error message for a leaderboard without any result."""
    places = ", ".join(f"'{folder}'" for folder in folders)
    columns = ", ".join(dict.fromkeys(f"{column.dataset} ({column.protocol})" for column in card.columns))
    where = places or "the folders beside the leaderboard cards"
    return (
        f"leaderboard '{card.name}' has no row: no result in {where} is on {columns}; also give a folder that run "
        f"wrote with --out"
    )


def write_board(board: Board, folder: Path) -> list[Path]:
    """Write a board into a run's folder in every format."""
    files = []
    for format in FORMATS:
        path = folder / f"{BOARD}.{format}"
        write_text(path, render(board, format))
        files.append(path)
    return files


def describe_run(board: Board, results: Sequence[Result], folder: Path, files: Sequence[Path]) -> str:
    """Return what `run` prints: the table, AUC by manipulation, coverage below 1, and the files."""
    parts = [table_markdown(board.table), *(table_markdown(table) for table in board.methods[:1])]
    for result in [one for one in results if min(one.coverage, one.frame_coverage or one.coverage) < 1.0]:
        parts.append(f"{result.detector} on {result.dataset} ({result.protocol}): coverage {coverage(result)}")
    parts.append(f"written to {folder}: {', '.join(path.name for path in files)}, and a folder for each run")
    return "\n".join(parts)
