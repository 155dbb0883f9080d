"""Hooks of mkdocs: the reference pages, made from the code, the tables of datasets, from their cards, and the
values of the findings, from committed results."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))  # the checkout's own package


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the reference and the map of the rooms."""
    for name, make in runpy.run_path(str(HERE / "reference.py"))["PAGES"].items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    files.append(File.generated(config, "rooms.svg", content=runpy.run_path(str(HERE / "rooms.py"))["draw"]()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in the values of a page of findings, and the tables of the page of datasets."""
    if page.file.src_uri == "datasets.md":
        tables: str = runpy.run_path(str(HERE / "datasets.py"))["fill"](markdown)
        return tables
    if not page.file.src_uri.startswith("findings/"):
        return markdown
    text: str = runpy.run_path(str(HERE / "findings.py"))["fill"](markdown)
    return text
