"""The pages in `docs/`: every example is run, in the order in which a reader would, and every link leads somewhere.

In a page, a fenced block that begins with a comment `# NAME.py` or `# NAME.yaml` is a file; another block of `python`
is a script; a block of `sh` is run line by line; a block of `text` after it is the output of its last line, where `…`
stands for any text.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from paths import ROOT
from warm_commands import warm_commands

from m2f2bench.cards.registry import BACKENDS
from m2f2bench.cli.main import app

DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w./-]+\.(?:py|yaml|csv))$")
COMMAND = re.compile(r"^    (?:accelerate launch .* -m )?m2f2bench ([a-z].*?)(?:\s+#.*)?$", re.MULTILINE)
FINDINGS = sorted(path.name for path in (DOCS / "findings").glob("*.md"))
SHOWN = [
    *(f"docs/{name}" for name in PAGES),
    *(f"docs/findings/{name}" for name in FINDINGS),
    "README.md",
    "CONTRIBUTING.md",
]
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)[^)]*\)")


@dataclass
class Block:
    """A fenced block of a page, and the file that it is, if it is one."""

    kind: str
    text: str

    @property
    def known(self) -> bool:
        """Whether it is a file, a script, commands or an output: what is none of them would not be run."""
        return bool(self.file) or self.kind in ("python", "sh", "text")

    @property
    def file(self) -> str:
        found = FILE.match(self.text.partition("\n")[0])
        return found[1] if found else ""


def blocks(text: str) -> list[Block]:
    return [Block(kind, body) for kind, body in FENCE.findall(text)]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with warm_commands(tmp_path_factory.mktemp("warm")) as program:
        yield program


@pytest.fixture
def shell(tmp_path: Path, warm: Path) -> dict[str, str]:
    """An environment in which `m2f2bench` and `python` are those of the tests.

    What a page runs first is a process of its own; commands and scripts after it are forks of a process that has
    imported its share.
    """
    first = f'mkdir "{tmp_path}/begun" 2>/dev/null || exec "{warm}" "$@"\n'
    code = f'if [ "$1" = -c ]; then {first.rstrip()}; fi\n'
    for name, before, words in (("m2f2bench", first, "-m m2f2bench"), ("python", code, "")):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\n{before}exec "{sys.executable}" {words} "$@"\n')
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
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.kind == "sh":
            for line in block.text.splitlines():
                output = execute(["bash", "-c", line], folder, environment)
                ran.append(line)
        elif block.kind == "python":
            output = execute(["python", "-c", block.text], folder, environment)
            ran.append(block.text)
        else:
            assert block.known, f"a block of '{block.kind}' is neither a file, a command nor an output"
            assert agrees(block.text, output), f"shown:\n{block.text}\nfound:\n{output}"
    return ran


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PAGES)
def test_every_example_of_a_page_runs(name: str, tmp_path: Path, shell: dict[str, str]) -> None:
    (tmp_path / "work").mkdir()
    ran = run_page((DOCS / name).read_text(encoding="utf-8"), tmp_path / "work", shell)
    assert ran or not name.startswith("add-")


@pytest.mark.parametrize("name", PAGES)
def test_every_block_of_a_page_is_a_file_a_script_commands_or_an_output(name: str) -> None:
    unknown = [block.text for block in blocks((DOCS / name).read_text(encoding="utf-8")) if not block.known]
    assert unknown == []


@pytest.mark.parametrize("place", SHOWN)
def test_every_link_leads_to_a_file(place: str) -> None:
    """What is made when the site is built (the reference, the map of the rooms) is checked by building it."""
    text = (ROOT / place).read_text(encoding="utf-8")
    links = [
        link for link in LINK.findall(text) if "://" not in link and "reference/" not in link and link != "rooms.svg"
    ]
    assert [link for link in links if not ((ROOT / place).parent / link).exists()] == []


@pytest.mark.parametrize("place", SHOWN)
def test_every_command_that_is_shown_and_not_run_has_options_that_exist(place: str) -> None:
    """Commands in indented lines need data, weights or a GPU: their options are parsed, and nothing is run."""
    text = re.sub(r"\\\n\s+", "", (ROOT / place).read_text(encoding="utf-8"))
    root = typer.main.get_command(app)
    for line in COMMAND.findall(text):
        name, *words = shlex.split(line.replace("[", "").replace("]", ""))
        command = root.get_command(typer.Context(root), name)  # type: ignore[attr-defined]
        assert command is not None, f"no command {name}: {line}"
        command.make_parser(typer.Context(command)).parse_args(args=words)


@pytest.mark.slow
def test_the_page_of_cards_has_each_backend_its_own_options_in_words() -> None:
    page = runpy.run_path(str(DOCS / "_made" / "reference.py"))["PAGES"]["cards"]()
    parts = {part.partition("`")[0]: part for part in page.split("#### backend `")[1:]}
    assert sorted(parts) == sorted(BACKENDS.builtin)
    assert "`seed`" in parts["random"] and "`value`" not in parts["random"]
    assert "`clip`" in parts["m2f2det"] and "`llm`" not in parts["m2f2det"]
    assert (
        "all others have `lr`. | `dict[str, float]` |  |" in page and "it is not sent. | `float` or nothing |" in page
    )
    assert (
        "| `model_kwargs` | Passed to `timm.create_model`. | `dict[str, Any]` |  |" in page and "##### `clip`" in page
    )
    assert "Above 0.0, at most 1.0. |" in page and "#######" not in page
    assert "all trained weights. | `matrices` or `all` | `matrices` |" in page and "Literal" not in page
    assert [line for line in page.splitlines() if line.startswith("| `") and "` |  | " in line] == [], "no words"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Every link and anchor leads somewhere, every page is in the navigation, every value of the findings is there."""
    pytest.importorskip("mkdocstrings_handlers.python", reason="the site needs pip install 'm2f2bench[docs]'")
    pytest.importorskip("material", reason="the site needs pip install 'm2f2bench[docs]'")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.name for path in (tmp_path / "site" / "reference").iterdir() if path.is_dir()}
    assert made == {"commands", "python", "cards", "metrics", "signatures", "names"}
    board = (tmp_path / "site" / "findings" / "detectors" / "index.html").read_text(encoding="utf-8")
    score = json.loads((ROOT / "leaderboards/results/m2f2det-small--ddvqa-c40--frame.json").read_text())["metrics"][
        "auc"
    ]
    assert f"{score['value']:.3f}".removeprefix("0") in board and "{{" not in board


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_right_example_passes(tmp_path: Path, shell: dict[str, str]) -> None:
    page = "```python\n# a.py\nprint('one, two, three')\n```\n\n```sh\npython a.py\n```\n\n```text\none…three\n```\n"
    assert run_page(page, tmp_path, shell) == ["python a.py"]
