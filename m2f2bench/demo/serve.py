"""Serving of the demo's page: a local address, no telemetry, no tunnel, and a folder for uploads that goes away."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.errors import DataError, DetectorError, first_line
from .examples import made
from .judging import Panel

log = logging.getLogger("m2f2bench")
LOCAL = "127.0.0.1"
UPLOAD = "100mb"
"""Largest file that is taken."""
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""Set before Gradio is imported, so that nothing is sent anywhere."""
FOLDER = "GRADIO_TEMP_DIR"
SMALL = "small-cnn"
"""Without --detector: the quickstart's, or trained once on the drawn faces, in half a minute."""


def imported() -> Any:
    """Return Gradio with its telemetry off. Raises DetectorError, with the extra, if it is not installed."""
    os.environ.update(QUIET)
    try:
        import gradio
    except ImportError as error:
        raise DetectorError(
            f"the demo needs the package gradio ({first_line(error)}): run `pip install 'm2f2bench[demo]'`"
        ) from None
    return gradio


def default_detector(device: str = "auto") -> Path:
    """Return the folder of the small detector that the quickstart trained, or one that is trained now, once."""
    for folder in (Path("runs/quickstart/trained", SMALL), Path("runs/demo", SMALL)):
        if (folder / "card.yaml").is_file():
            return folder
    log.info("no --detector: training %s on the drawn faces, once, in about half a minute", SMALL)
    from ..runs.train import train

    return train(SMALL, "synthetic", out=Path("runs/demo", SMALL), resume=True, device=device).parent


@contextmanager
def served(
    detectors: Sequence[Any],
    *,
    host: str = LOCAL,
    port: int | None = None,
    finder: str = "centerface",
    crop: str = "",
    device: str = "auto",
    precision: str | None = None,
) -> Iterator[str]:
    """Serve the demo while the block runs; gives its address. Everything that was uploaded is deleted afterwards.

    `port` None is the first free one from 7860 on, `precision` None that of each detector's card. Raises M2F2BenchError
    in one line if a detector, the finder or the crop cannot be loaded, Gradio is not installed, or the port is taken.
    """
    gradio = imported()
    from .page import CSS, Page

    given = list(detectors) or [default_detector(device)]
    panel = Panel.of(given, finder=finder, crop=crop, device=device, precision=precision)
    before = os.environ.get(FOLDER)
    with tempfile.TemporaryDirectory(prefix="m2f2bench-demo-") as folder:
        os.environ[FOLDER] = folder
        page = None
        try:
            panel.warm()
            page = Page(panel, made(Path(folder) / "examples")).build()
            try:
                _, address, _ = page.launch(
                    server_name=host,
                    server_port=port,
                    share=False,
                    inbrowser=False,
                    quiet=True,
                    show_error=True,
                    prevent_thread_lock=True,
                    max_file_size=UPLOAD,
                    footer_links=["api"],
                    ssr_mode=False,
                    enable_monitoring=False,
                    theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
                    css=CSS,
                )
            except OSError as error:
                raise DataError(f"the demo cannot be served at {host}, port {port}: {first_line(error)}") from None
            yield address
        finally:
            if page is not None:
                page.close(verbose=False)
            os.environ.pop(FOLDER)
            if before is not None:
                os.environ[FOLDER] = before
