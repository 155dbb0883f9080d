"""Command `demo`."""

from __future__ import annotations

import signal
import time
from typing import Annotated

from typer import Option

from .options import CardsOption, DataOption, DetectorNamed, DeviceOption, PrecisionOption, settle
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
    precision: PrecisionOption = None,
    cards: CardsOption = None,
    data: DataOption = None,
) -> None:
    """Serve a page on which photos and videos are judged, face by face, and an explainer answers questions."""
    settle(cards, data)
    from ..demo.serve import served

    end_as_by_ctrl_c()
    judging = {"finder": finder, "crop": crop, "device": device}
    with served(detector or (), host=host, port=port, **judging, precision=precision) as address:
        say(f"open {address} in a browser; Ctrl-C ends it, and deletes what was uploaded")
        while True:
            time.sleep(3600)


def end_as_by_ctrl_c() -> None:
    """Let a service manager, or a terminal that closes, end the demo as Ctrl-C does: uploads are deleted then."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, signal.default_int_handler)
