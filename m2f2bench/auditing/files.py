"""Facts about files without their pixels: kind, size, JPEG settings."""

from __future__ import annotations

import hashlib
import io
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

HEAD = 64
"""Bytes at a file's start that show its kind."""
BLOCK = 1 << 20
_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"GIF8", "GIF"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"\x93NUMPY", "NPY"),
    (b"\x1aE\xdf\xa3", "Matroska"),
)
_PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey+alpha", 6: "RGBA"}


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file that is one image or one video; an image may lie in a tar, an LMDB file or a table.

    `kind` is read from its bytes, not its name (`JPEG`, `PNG RGB`, `WebP lossy`, `MP4`); `size` is in bytes; `digest`
    is the hash of all bytes (hex). Of a JPEG file: `tables`, the 64 steps of each quantisation table in the order of
    their numbers; `sampling`, the chroma subsampling (`4:2:0`); `progressive`. None, "" and False otherwise.
    """

    kind: str
    size: int
    digest: str
    tables: tuple[int, ...] | None = None
    sampling: str = ""
    progressive: bool = False

    def to_json(self) -> list[Any]:
        """Return the fields in order, as JSON."""
        return list(astuple(self))

    @classmethod
    def from_json(cls, data: Any) -> FileFacts:
        """Return the facts that `to_json` wrote. Raises TypeError or ValueError for anything else."""
        kind, size, digest, tables, sampling, progressive = data
        steps = None if tables is None else tuple(int(step) for step in tables)
        return cls(str(kind), int(size), str(digest), steps, str(sampling), bool(progressive))


def read_facts(path: Path) -> FileFacts:
    """Return the facts of a file. Raises OSError if it cannot be read.

    A JPEG file is read whole; other files (a video may be large) are read block by block.
    """
    digest, size, head = hashlib.blake2b(digest_size=8), 0, b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            head = head or block[:HEAD]
            size += len(block)
            digest.update(block)
    kind = kind_of(head)
    if kind != "JPEG":
        return FileFacts(kind, size, digest.hexdigest())
    return FileFacts(kind, size, digest.hexdigest(), *_jpeg(path.read_bytes()))


def facts_of(data: bytes) -> FileFacts:
    """Return the facts of an image file by its bytes, as `read_facts` does of a file on its own."""
    kind, digest = kind_of(data[:HEAD]), hashlib.blake2b(data, digest_size=8).hexdigest()
    return FileFacts(kind, len(data), digest, *(_jpeg(data) if kind == "JPEG" else ()))


def kind_of(head: bytes) -> str:
    """Return the kind of file that starts with these bytes (`HEAD` of them), or `unknown`."""
    if head[:4] == b"RIFF":
        if head[8:12] == b"WEBP":
            return "WebP lossless" if head[12:16] == b"VP8L" else "WebP lossy"
        return "AVI" if head[8:11] == b"AVI" else "unknown"
    if head[4:8] == b"ftyp":
        return "MP4"
    if head[:1] == b"P" and head[1:2] in tuple(b"%d" % n for n in range(1, 7)):
        return "PNM"
    name = next((name for magic, name in _MAGIC if head.startswith(magic)), "unknown")
    if name == "PNG" and len(head) > 25:
        depth, colour = head[24], _PNG_COLOURS.get(head[25], "odd")
        return f"PNG {colour}" if depth == 8 else f"PNG {colour} {depth} bit"
    return name


def _jpeg(data: bytes) -> tuple[tuple[int, ...] | None, str, bool]:
    """Return quantisation steps, chroma subsampling and whether progressive, from a JPEG's header."""
    from PIL import JpegImagePlugin

    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as opened:
            image: Any = opened  # Pillow 12's types know it as an image of no format
            tables = tuple(int(step) for number in sorted(image.quantization) for step in image.quantization[number])
            return tables or None, _sampling(image.layer), bool(image.info.get("progressive"))
    except Exception:  # a damaged header can raise anything: then nothing is known
        return None, "", False


def _sampling(layers: Any) -> str:
    """Return `4:2:0` and similar, from the components' sampling factors (id, horizontal, vertical, table)."""
    factors = [(int(layer[1]), int(layer[2])) for layer in layers]
    if len(factors) == 1:
        return "grey"
    known = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (4, 1): "4:1:1", (1, 2): "4:4:0"}
    if len(factors) == 3 and factors[1] == factors[2] == (1, 1) and factors[0] in known:
        return known[factors[0]]
    return " ".join(f"{across}x{down}" for across, down in factors)
