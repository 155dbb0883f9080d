"""Where boards are gathered from and written to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cards import LeaderboardCard, card_folders, iter_cards
from ..errors import DataError
from ..files import write_text
from ..loading import load_leaderboard
from ..records import Result
from ..results import read_results
from .render import FORMATS, render
from .table import Table, build_table, method_table

BOARD = "leaderboard"


def gather(places: Sequence[str]) -> Table:
    """The table of one leaderboard card, of folders with results, or of a card over given folders.

    A card by itself is filled from the `results/` folders beside the leaderboard cards.
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
            raise DataError(f"'{place}' is a second leaderboard: give one, and folders of results")
    if not folders:
        folders = [f / "results" for f in card_folders("leaderboards") if any((f / "results").glob("*.json"))]
        if card is None:
            known = ", ".join(path.stem for path in iter_cards("leaderboards"))
            raise DataError(f"give a folder of results, for instance runs/, or a leaderboard: {known}")
    return build_table(read_results(folders), card)


def write_board(results: Sequence[Result], card: LeaderboardCard | None, folder: Path) -> list[Path]:
    """Write the results' table into a run's folder in every format."""
    table = build_table(results, card)
    files = []
    for format in FORMATS:
        path = folder / f"{BOARD}.{format}"
        write_text(path, render(table, format))
        files.append(path)
    return files


def describe_run(results: Sequence[Result], card: LeaderboardCard | None, folder: Path, files: Sequence[Path]) -> str:
    """What `run` prints: the table, AUC by manipulation, coverage where it is not whole, and where things are."""
    parts = [render(build_table(results, card), "md")]
    if any(len(result.methods) > 1 for result in results):
        first_protocol = [r for r in results if r.protocol == results[0].protocol]
        parts.append(render(method_table(first_protocol), "md"))
    holes = [r for r in results if r.coverage < 1.0]
    for result in holes:
        counts = ", ".join(f"{n} {status}" for status, n in result.statuses.items() if status != "ok")
        place = f"{result.detector} on {result.dataset} ({result.protocol})"
        parts.append(f"{place}: coverage {result.coverage:.4f}: {counts}")
    parts.append(f"written to {folder}: {', '.join(path.name for path in files)}, and a folder per run")
    return "\n".join(parts)
