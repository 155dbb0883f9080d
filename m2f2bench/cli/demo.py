"""Command `demo`."""

from __future__ import annotations

import time
from typing import Annotated

from typer import Option

from .options import CardsOption, DataOption, DetectorNamed, DeviceOption, settle
from .output import say


def demo(
    detector: Annotated[
        list[str] | None,
        DetectorNamed(help="Repeatable. Default: the quickstart's small-cnn, trained first if need be."),
    ] = None,
    port: Annotated[
        int | None, Option("--port", min=1, max=65535, help="Default: the first free one from 7860 on.")
    ] = None,
    host: Annotated[
        str, Option("--host", metavar="ADDRESS", help="Address to serve at; 0.0.0.0 is all of this machine's.")
    ] = "127.0.0.1",
    finder: Annotated[str, Option("--finder", metavar="NAME", help="What finds faces, such as yunet:FILE.")] = (
        "centerface"
    ),
    crop: Annotated[str, Option("--crop", metavar="NAME", help="Default: the crop that each detector knows.")] = "",
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    data: DataOption = None,
) -> None:
    """Serve a page on which photos and videos are judged, face by face, and an explainer answers questions."""
    settle(cards, data)
    from ..demo.serve import served

    with served(detector or (), host=host, port=port, finder=finder, crop=crop, device=device) as address:
        say(f"open {address} in a browser; Ctrl-C ends it, and deletes what was uploaded")
        while True:
            time.sleep(3600)
