"""The notebook in `examples/`: it runs from an empty folder and shows every result, and the docs page has its code."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from paths import ROOT

NOTEBOOK = ROOT / "examples" / "quick-tour.ipynb"
PAGE = ROOT / "docs" / "notebook.md"


def code_cells() -> list[str]:
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]


def test_the_page_has_the_code_of_the_notebook() -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert script == "\n\n".join(code_cells()) + "\n"


def test_the_notebook_is_committed_without_outputs() -> None:
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in book["cells"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_notebook_runs_and_shows_every_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("nbclient", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (pip install 'm2f2bench[test]')")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=":")
    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(book, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [cell.outputs for cell in book.cells if cell.cell_type == "code"]
    kinds = [{kind for output in outputs for kind in output.get("data", {})} for outputs in shown]
    assert all("text/html" in own for own in kinds), kinds
    html = ["".join(o.get("data", {}).get("text/html", "") for o in outputs) for outputs in shown]
    assert all("<table" in one or "<img" in one for one in html if one) and sum("<svg" in one for one in html) >= 3
    assert (tmp_path / "board.html").is_file() and (tmp_path / "roc.svg").is_file()
    assert not [o for outputs in shown for o in outputs if o.output_type == "error"]
