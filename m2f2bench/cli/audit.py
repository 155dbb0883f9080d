"""The commands `audit` and `sheet`: a dataset before anything is measured on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import CardsOption, DataOption, JsonOption, print_report, require_report_ending, say, settle


def audit(
    dataset: Annotated[str, typer.Argument(help="Name, card, folder or manifest.")],
    split: Annotated[list[str] | None, typer.Option("--split", help="Repeatable. Default: all splits.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Read only N frames of each split, evenly spread.")
    ] = None,
    frames_per_video: Annotated[
        int, typer.Option("--frames-per-video", min=0, help="Frames taken evenly from a video; 0: all.")
    ] = 8,
    near: Annotated[
        int, typer.Option("--near", min=0, max=64, help="Bits of 64 in which the hashes of near duplicates may differ.")
    ] = 8,
    probe: Annotated[bool, typer.Option("--probe/--no-probe", help="Measure shortcuts to the label.")] = True,
    questions: Annotated[
        list[str] | None,
        typer.Option("--questions", help="Kinds of questions to probe: blind, released, judge, or none. Default: all."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the report: .json or .md.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 1 if anything leaks.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Decoding threads; 0: one per core.")] = 0,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report what leaks the label or counts twice: duplicates, people in two splits, shortcuts, revealing questions."""
    settle(cards, data)
    from ..auditing.audit import audit as look
    from ..auditing.questions import KINDS
    from ..auditing.report import plural
    from ..core.errors import CheckFailed

    require_report_ending(out)
    report = look(
        dataset,
        splits=split or (),
        limit=limit,
        frames_per_video=frames_per_video,
        near=near,
        probe=probe,
        kinds=() if questions == ["none"] else questions or KINDS,
        workers=workers,
    )
    print_report(report, out, as_json)
    if strict and report.leaks:
        first = report.leaks[0]
        raise CheckFailed(
            f"'{report.dataset}' leaks ({plural(len(report.leaks), 'finding')}), first {first.topic}: {first.text}"
        )


def sheet(
    dataset: Annotated[str, typer.Argument(help="Name, card, folder or manifest.")],
    out: Annotated[Path, typer.Option("--out", help="A PNG file.")] = Path("sheet.png"),
    split: Annotated[str, typer.Option("--split")] = "test",
    per_method: Annotated[int, typer.Option("--per-method", min=1, help="Pictures for each manipulation.")] = 8,
    masks: Annotated[bool, typer.Option("--masks", help="Draw the masks' outlines below each row.")] = False,
    cards: CardsOption = None,
    data: DataOption = None,
) -> None:
    """Draw a contact sheet: a row for each manipulation, a column for each person."""
    settle(cards, data)
    from ..datasets.sheet import contact_sheet
    from ..loading import load_dataset

    place = load_dataset(dataset)
    place.check_split(split)
    contact_sheet(place.adapter, split, out, per_method=per_method, masks=masks)
    say(f"wrote {out}")
