"""Kinds of weight files, recognised by their content before anything reads them."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Literal

from ...core.errors import DetectorError, first_line

LARGEST_HEADER = 16 << 20
"""Bytes of a safetensors header: that of 100,000 tensors."""
SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".onnx", ".h5", ".gguf", ".tar", ".npz", ".pkl")
"""File name endings of weights, in any format."""
LFS = b"version https://git-lfs.github.com/"
POINTER = "a Git LFS pointer, not the file itself: run `git lfs pull` in its folder, or download it"
PAGE = "a web page (HTML), such as one for a login, a licence or a quota, instead of the file; download it again"
PACKED = "an archive: unpack it and give the file inside"
MARKS = {
    LFS: POINTER,
    b"GGUF": "a GGUF file, which holds an LLM: name it as `llm` on an explainer's card",
    b"\x89HDF\r\n": "an HDF5 file, as Keras writes: convert it to .safetensors",
    b"\x1f\x8b": PACKED,
    b"BZh": PACKED,
    b"\xfd7zXZ": PACKED,
    b"7z\xbc\xaf": PACKED,
    b"Rar!": PACKED,
}
"""First bytes of files that are not weights for a torch network, and how an error describes them."""


def recognise(path: Path) -> Literal["safetensors", "checkpoint"]:
    """Return the kind of a weights file: safetensors, or otherwise a possible checkpoint of `torch.save`.

    Raises DetectorError for a file that is missing, not a regular file, empty, or of another kind; it says which.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise DetectorError(
                f"weights '{path}' cannot be read: it is {what}; give a .safetensors file, or one of torch.save"
            )
        with path.open("rb") as stream:
            head = stream.read(512)
    except (OSError, ValueError) as error:
        raise DetectorError(f"weights '{path}' cannot be read: {first_line(error)}") from None
    what = _stranger(head)
    if what:
        raise DetectorError(f"weights '{path}' cannot be read: it is {what}")
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{":
        if 8 + length > found.st_size:
            raise incomplete(path, found.st_size, None)
        if length > LARGEST_HEADER:
            raise DetectorError(
                f"weights '{path}' cannot be read: its header has {length:,} bytes, {LARGEST_HEADER:,} at most"
            )
        return "safetensors"
    if path.suffix == ".safetensors" and not head.startswith((b"PK", b"\x80")):
        raise DetectorError(
            f"weights '{path}' cannot be read: it is not a safetensors file (damaged?); download it again"
        )
    return "checkpoint"


def incomplete(path: Path, size: int, wanted: int | None) -> DetectorError:
    """Return the error for a file that ends too early, as one does whose download was broken off; sizes in bytes."""
    of = f" of {wanted:,}" if wanted is not None else ""
    return DetectorError(f"weights '{path}' cannot be read: it is incomplete ({size:,}{of} bytes); download it again")


def refuse_incomplete(path: Path) -> None:
    """Raise DetectorError if a safetensors file is shorter than its header says; any other damage is left alone."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            tensors = json.loads(stream.read(min(length, LARGEST_HEADER)))
        ends = [one["data_offsets"][1] for name, one in tensors.items() if name != "__metadata__"]
        wanted = 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return
    if size < wanted:
        raise incomplete(path, size, wanted)


def is_pointer(path: Path) -> bool:
    """Return whether a file is a pointer that git keeps in place of a file in Git LFS."""
    try:
        return path.is_file() and path.stat().st_size <= 1024 and path.read_bytes().startswith(LFS)
    except OSError:
        return False


def _stranger(head: bytes) -> str:
    """Return a description of a file of another kind, by its first bytes, and what to do; "" if it may hold weights."""
    if not head:
        return "an empty file: download it again"
    for mark, what in MARKS.items():
        if head.startswith(mark):
            return what
    if head[257:262] == b"ustar":
        return PACKED
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return PAGE
    try:
        text = head.decode()
    except UnicodeDecodeError:
        return ""
    plain = all(letter.isprintable() or letter in "\r\n\t" for letter in text)
    return "a text file, not weights: give a .safetensors file, or one that torch.save wrote" if plain else ""
