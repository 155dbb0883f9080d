"""Hooks of mkdocs: the reference pages, made from the code, and the values of the findings, from committed results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import findings
import reference
import rooms
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the reference."""
    for name, make in reference.PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    files.append(File.generated(config, "rooms.svg", content=rooms.draw()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in the values of a page of findings."""
    return findings.fill(markdown) if page.file.src_uri.startswith("findings/") else markdown
