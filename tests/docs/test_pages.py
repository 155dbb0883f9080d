"""The pages in `docs/`: every example is run, in the order in which a reader would, and every link leads somewhere.

In a page, a fenced block that begins with a comment `# NAME.py` or `# NAME.yaml` is a file; another block of `python`
is a script; a block of `sh` is run line by line; a block of `text` after it is the output of its last line, where `…`
stands for any text.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from paths import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w-]+\.(?:py|yaml|csv))$")
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)[^)]*\)")


@dataclass
class Block:
    """A fenced block of a page, and the file that it is, if it is one."""

    kind: str
    text: str

    @property
    def file(self) -> str:
        found = FILE.match(self.text.partition("\n")[0])
        return found[1] if found else ""


def blocks(text: str) -> list[Block]:
    return [Block(kind, body) for kind, body in FENCE.findall(text)]


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment in which `m2f2bench` and `python` are those of the tests."""
    for name, words in (("m2f2bench", "-m m2f2bench"), ("python", "")):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        script.chmod(0o755)
    outside = {name: value for name, value in os.environ.items() if name != "M2F2BENCH_CARDS"}
    path = {"PATH": os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])}
    return outside | path | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def execute(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{words[-1]}\n{done.stdout}{done.stderr}"
    return done.stdout


def agrees(expected: str, found: str) -> bool:
    """Whether an output is the one that a page shows."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, found.strip(), re.DOTALL) is not None


def run_page(text: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """Write a page's files and run its commands and scripts; returns what was run."""
    ran: list[str] = []
    output = ""
    for block in blocks(text):
        if block.file:
            assert not (folder / block.file).exists(), f"{block.file} is there twice"
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.kind == "sh":
            for line in block.text.splitlines():
                output = execute(["bash", "-c", line], folder, environment)
                ran.append(line)
        elif block.kind == "python":
            output = execute([sys.executable, "-c", block.text], folder, environment)
            ran.append(block.text)
        else:
            assert block.kind == "text", f"a block of '{block.kind}' is neither a file, a command nor an output"
            assert agrees(block.text, output), f"shown:\n{block.text}\nfound:\n{output}"
    return ran


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PAGES)
def test_every_example_of_a_page_runs(name: str, tmp_path: Path, shell: dict[str, str]) -> None:
    (tmp_path / "work").mkdir()
    ran = run_page((DOCS / name).read_text(encoding="utf-8"), tmp_path / "work", shell)
    assert ran or not name.startswith("add-")


@pytest.mark.parametrize("place", [*(f"docs/{name}" for name in PAGES), "README.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(place: str) -> None:
    text = (ROOT / place).read_text(encoding="utf-8")
    links = [link for link in LINK.findall(text) if "://" not in link]
    assert [link for link in links if not ((ROOT / place).parent / link).exists()] == []


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("```sh\nfalse\n```\n", "false"),
        ("```python\nraise SystemExit(3)\n```\n", "SystemExit"),
        ("```sh\necho one\n```\n\n```text\ntwo\n```\n", "shown:"),
        ("```bash\necho one\n```\n", "neither a file"),
        ("```python\n# a.py\n```\n\n```python\n# a.py\n```\n", "there twice"),
    ],
)
def test_a_wrong_example_fails(page: str, why: str, tmp_path: Path, shell: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match=why):
        run_page(page, tmp_path, shell)


def test_a_right_example_passes(tmp_path: Path, shell: dict[str, str]) -> None:
    page = "```python\n# a.py\nprint('one, two, three')\n```\n\n```sh\npython a.py\n```\n\n```text\none…three\n```\n"
    assert run_page(page, tmp_path, shell) == ["python a.py"]
