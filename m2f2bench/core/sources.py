"""Source files that a user's class depends on: its own, those of imported modules, and the files they name.

Only user code is followed. Installed packages (and the standard library) are identified by their version, and this
package by its own version.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import sysconfig
import types
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
LONGEST_NAME = 512
"""Characters of a text that may still name a file."""
WRITTEN = frozenset({"", ".py", ".log", ".out", ".err", ".tmp", ".md"})
"""Endings of files that are code, which is followed elsewhere, or that programs write while they run."""
FROM_FILE = "m2f2bench_file_"
"""Start of the names of modules that were loaded from a file by its path; they end in a hash of the path."""


class Unidentified(Exception):
    """An object or file that cannot be identified, and the reason, in one line."""


@dataclass(frozen=True)
class Source:
    """One source file as it was when this process first looked at it.

    `imports` are (dotted name, level) pairs, `texts` the literals that may name a file.
    """

    digest: bytes
    imports: tuple[tuple[str, int], ...]
    texts: tuple[str, ...]


_FIRST_SEEN: dict[Path, Source] = {}


@dataclass(frozen=True)
class Closure:
    """User files with their digests, files that these name, and versions of installed packages."""

    sources: tuple[tuple[Path, bytes], ...]
    named: tuple[Path, ...]
    packages: tuple[str, ...]


def forget(path: Path) -> None:
    """Forget a file's first state; for a module that has just been executed again."""
    _FIRST_SEEN.pop(path.resolve(), None)


def look_at(path: Path) -> Source:
    """Return a source file's digest and what it names.

    Raises Unidentified if it has changed since this process first looked: it is unknown which state was imported.
    """
    place = path.resolve()
    try:
        data = place.read_bytes()
    except OSError as error:
        raise Unidentified(f"'{path}' cannot be read: {error.strerror}") from None
    digest = hashlib.blake2b(data, digest_size=16).digest()
    known = _FIRST_SEEN.get(place)
    if known is None:
        known = _FIRST_SEEN[place] = Source(digest, *_names(data))
    elif known.digest != digest:
        raise Unidentified(f"'{place.name}' has changed since Python imported it: start Python again")
    return known


def closure(classes: tuple[type, ...]) -> Closure:
    """Return the files that classes depend on, through all their imports. Raises Unidentified."""
    waiting = [path for cls in classes for path in _own_file(cls)]
    sources: dict[Path, bytes] = {}
    named: set[Path] = set()
    packages: set[str] = set()
    here = Path.cwd()
    while waiting:
        path = waiting.pop()
        if path in sources:
            continue
        found = look_at(path)
        sources[path] = found.digest
        for name, level in found.imports:
            files, package = _located(path, name, level)
            waiting += files
            packages |= {package} if package else set()
        for text in found.texts:
            waiting += [file for file in _module_files(path.parent, text.split(".")) if is_user_code(file)]
            named |= set(named_files(text, (path.parent, here)))
    versions = sorted(f"{name} {_version(name)}" for name in packages)
    return Closure(tuple(sorted(sources.items())), tuple(sorted(named - set(sources))), tuple(versions))


def modules_of(paths: list[Path]) -> list[tuple[str, types.ModuleType]]:
    """Return the modules, with their names, that Python has imported from these files."""
    names = {path.name for path in paths}
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        # Resolving the names of all modules would take longer than everything else here.
        if isinstance(file, str) and os.path.basename(file) in names and Path(file).resolve() in paths:  # noqa: PTH119
            found.append((name, module))
    return sorted(found, key=lambda one: one[0])


def is_user_code(path: Path) -> bool:
    """Return whether a source file is neither installed, nor Python's, nor this package's."""
    place = path.resolve()
    if PACKAGE in place.parents or {"site-packages", "dist-packages"} & set(place.parts):
        return False
    return not any(folder in place.parents for folder in _python_folders())


def user_classes(cls: type) -> tuple[type, ...]:
    """Return those of a class and its bases that are user code (or were typed into a session)."""
    return tuple(one for one in cls.__mro__ if _own_file(one) or is_typed(one))


def class_name(cls: type) -> str:
    """Return `module.Class`, without the folder for a class that was loaded from a file by its path."""
    module = module_name(cls)
    if module.startswith(FROM_FILE):
        module = module.removeprefix(FROM_FILE).rpartition("_")[0]
    return f"{module}.{cls.__qualname__}"


def module_name(cls: type) -> str:
    """Return the name of a class's module; "" for a type compiled by Cython that hides it behind a descriptor."""
    name = cls.__module__
    return name if isinstance(name, str) else ""


def installed(cls: type) -> tuple[str, ...]:
    """Return name and version of the package that installed a class; empty for this package and for user code."""
    top = module_name(cls).partition(".")[0]
    if top in ("", "builtins", "__main__", PACKAGE.name) or top.startswith(FROM_FILE) or _own_file(cls):
        return ()
    return (f"{top} {_version(top)}",)


def named_files(text: str, folders: tuple[Path, ...]) -> list[Path]:
    """Return the files that a text names: the file itself, or all files of a folder with weights directly in it.

    Relative names are looked up in each of `folders`; files with an ending of WRITTEN are skipped.
    """
    if not 0 < len(text) <= LONGEST_NAME or "\n" in text or "\0" in text or not ("." in text or "/" in text):
        return []
    found = []
    for folder in folders:
        try:
            place = folder / Path(text).expanduser()
            # Most texts name nothing, and to resolve a path takes longest.
            if ".." not in text and not os.access(place, os.F_OK):
                continue
            place = place.resolve()
            if place.is_file() and place.suffix not in WRITTEN:
                found.append(place)
            elif place.is_dir():
                found += _model_files(place)
        except (OSError, ValueError, RuntimeError):  # RuntimeError: an unknown user's home folder
            continue
    return list(dict.fromkeys(found))


WEIGHTS = frozenset(
    {".pt", ".pth", ".bin", ".safetensors", ".ckpt", ".onnx", ".npz", ".npy", ".pkl", ".joblib", ".gguf", ".keras"}
)
"""Endings of files that mark their folder as the folder of a model."""


def _model_files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return files if any(path.suffix in WEIGHTS for path in files) else []


def is_typed(cls: type) -> bool:
    """Return whether a class was typed into a session, so that it has no file."""
    module = sys.modules.get(module_name(cls))
    return module_name(cls) == "__main__" and getattr(module, "__file__", None) is None


def _own_file(cls: type) -> list[Path]:
    module = sys.modules.get(module_name(cls))
    file = getattr(module, "__file__", None)
    if not isinstance(module, types.ModuleType) or not isinstance(file, str):
        return []
    path = Path(file)
    return [path.resolve()] if path.suffix == ".py" and path.is_file() and is_user_code(path) else []


def _names(data: bytes) -> tuple[tuple[tuple[str, int], ...], tuple[str, ...]]:
    """Return all imports of a source, and its short literals."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return (), ()
    imports: dict[tuple[str, int], None] = {}
    texts: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {(alias.name, 0): None for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            imports |= {(f"{base}.{alias.name}".strip("."), node.level): None for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) <= LONGEST_NAME:
            texts[node.value] = None
    return tuple(imports), tuple(texts)


@lru_cache(maxsize=4096)
def _located(path: Path, name: str, level: int) -> tuple[list[Path], str]:
    """Return the user's files behind an import, or the name of an installed package. Cached: the search is slow."""
    parts = [part for part in name.split(".") if part != "*"]
    if level:
        base = path.parent
        for _ in range(level - 1):
            base = base.parent
        return [file for file in _module_files(base, parts) if is_user_code(file)], ""
    if not parts or parts[0] in sys.stdlib_module_names or parts[0] == PACKAGE.name:
        return [], ""
    roots = [path.parent, *(Path(place or ".") for place in sys.path)]
    for files in (_imported(parts), *(_module_files(root, parts) for root in roots)):
        if files:
            own = [file for file in files if is_user_code(file)]
            return own, "" if own else parts[0]
    return [], parts[0]


def _imported(parts: list[str]) -> list[Path]:
    """Return the files of a dotted name's modules that Python has already imported."""
    modules = [sys.modules.get(".".join(parts[: i + 1])) for i in range(len(parts))]
    files = [getattr(module, "__file__", None) for module in modules]
    return [Path(file).resolve() for file in files if isinstance(file, str) and file.endswith(".py")]


def _module_files(root: Path, parts: list[str]) -> list[Path]:
    """Return the files of a dotted name below a folder: the packages on the way and the module; else nothing.

    The last part may be a name inside the module.
    """
    found: list[Path] = []
    here = root
    for part in parts:
        if not part.isidentifier():
            break
        package, module = here / part / "__init__.py", here / f"{part}.py"
        if package.is_file():
            found.append(package.resolve())
            here = here / part
        elif module.is_file():
            found.append(module.resolve())
            break
        elif (here / part).is_dir() and here is not root:
            here = here / part
        else:
            break
    return found


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = _installed(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=512)
def _installed(name: str) -> str:
    """Return a package's version. Kept: to read it takes milliseconds, and each result names fifteen."""
    return metadata.version(name)


@lru_cache(maxsize=512)
def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        module = sys.modules.get(name)
        return str(getattr(module, "__version__", "unknown"))


@lru_cache(maxsize=1)
def _python_folders() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib")
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in names)
