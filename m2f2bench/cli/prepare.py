"""The command `prepare`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from typer import Option

from .options import (
    AddressOption,
    CardsOption,
    CropOption,
    DataOption,
    DatasetArgument,
    EngineOption,
    FacesOption,
    FinderOption,
    JsonOption,
    RedrawOption,
    settle,
)
from .output import echo_json, say_wrapped, say_written


def prepare(
    dataset: Annotated[str, DatasetArgument(help="Of videos or pictures of scenes: name, card, folder or manifest.")],
    out: Annotated[Path, Option(metavar="ROOT", help="The folder of the crops; it is then a dataset.")],
    crop: CropOption = "m2f2det",
    form: Annotated[
        str, Option(help="folder (pictures and a manifest), deepfakebench (frames and JSON) or hdf5 (FF++ alone).")
    ] = "folder",
    frames: Annotated[str, Option(metavar="N|all", help="Frames taken evenly from a video.")] = "32",
    split: Annotated[list[str] | None, Option(help="Repeatable. Default: all that there are.")] = None,
    finder: FinderOption = "centerface",
    faces: FacesOption = "largest",
    workers: Annotated[int, Option(min=0, help="Processes; 0: one per core, at most 8.")] = 0,
    engine: EngineOption = "local",
    address: AddressOption = None,
    redraw: RedrawOption = False,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find faces in videos or pictures, and write their crops as a dataset. An interrupted preparation goes on."""
    settle(cards, data, redraw=redraw)
    from ..core.errors import DataError
    from ..runs.prepare import prepare as cut

    if frames != "all" and not (frames.isascii() and frames.isdigit()):
        raise DataError(f"--frames {frames}: give a number of frames, or all")
    found = cut(
        dataset,
        out=out,
        crop=crop or "m2f2det",
        finder=finder,
        faces=faces,
        form=form,
        frames=None if frames == "all" else int(frames),
        splits=split or (),
        workers=workers,
        engine=engine,
        address=address,
    )
    if as_json:
        echo_json(found.report)
        return
    say_wrapped(found.text())
    say_written(found.root, f"run -s {shlex.quote(str(found.root))}")
