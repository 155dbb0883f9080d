"""The Java programs that captioning's metrics come from: where their jars lie, and one run of one of them."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import ScoreError

PACKAGE = "pycocoevalcap"
FIXED = ("-Dfile.encoding=UTF-8", "-Duser.language=en")
"""What else would follow the machine's locale: the encoding of the texts, and what is the lower case of I."""


class Unavailable(ScoreError):
    """A text metric that cannot be had here. Its line says why and what mends it."""


def counting(module: str) -> Any:
    """A module of pycocoevalcap, as `bleu.bleu_scorer`. Raises `Unavailable` where the package is not installed."""
    try:
        return importlib.import_module(f"{PACKAGE}.{module}")
    except ImportError as error:
        raise Unavailable(f"needs the package '{PACKAGE}' ({error}): run `pip install {PACKAGE}`") from None


def package_folder(part: str) -> Path:
    """The folder of a part of pycocoevalcap, as `meteor`. Raises `Unavailable` where the package is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise Unavailable(f"needs the package '{PACKAGE}', which is not installed: run `pip install {PACKAGE}`")
    return Path(places[0]) / part


def jar(part: str, name: str) -> Path:
    """A jar that comes with pycocoevalcap. Raises `Unavailable` where it is not there."""
    path = package_folder(part) / name
    if not path.is_file():
        raise Unavailable(f"needs '{path}', which is not there: reinstall {PACKAGE}")
    return path


def java() -> str:
    """The Java program. Raises `Unavailable` where there is none on the path."""
    found = shutil.which("java")
    if found is None:
        raise Unavailable("needs Java, and there is no `java` on the path: install a JRE (8 or newer)")
    return found


def run(words: Sequence[str | Path], text: str = "", folder: Path | None = None) -> str:
    """Run Java once with `text` as its input and give what it prints. Both are UTF-8.

    It is in a process of its own that ends with its input. Raises `Unavailable` where it cannot be started, or ends
    with another status than 0, a kill included.
    """
    command = [java(), *FIXED, *map(str, words)]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, cwd=folder, check=False)
    except OSError as error:
        raise Unavailable(f"Java at '{command[0]}' cannot be started ({error.strerror}): reinstall the JRE") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = f": {said[0]}" if said else ""
        mend = "run it again with more memory" if done.returncode < 0 else "give it more memory, or another JRE"
        raise Unavailable(f"its Java process ended with status {done.returncode}{why}; {mend}")
    return done.stdout.decode("utf-8", "replace")
