"""Cache of crops on disk, bounded in size: the files that were used longest ago are dropped."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from ..core.errors import DataError, FrameError
from ..core.text import quoted
from ..datasets.files.images import read_image

if TYPE_CHECKING:
    from ..core.arrays import Image

log = logging.getLogger("m2f2bench")
VARIABLE = "M2F2BENCH_FACES_GB"
"""The environment variable with the limit, in gigabytes (10⁹ bytes); 0 keeps no crops."""
DEFAULT_GB = 20.0
GIGABYTE = 10**9
LEFT = 0.9
"""Share of the limit to which a full cache is brought down."""
AGAIN = 1 / 16
"""Share of the limit that a process may write before it looks at the folder again: others write there too."""


def limit_bytes() -> int:
    """Return the limit of the folder in bytes, by `VARIABLE`. Raises DataError for anything but a number from 0 on."""
    text = os.environ.get(VARIABLE, "").strip()
    try:
        found = float(text) if text else DEFAULT_GB
        return int(found * GIGABYTE) if found >= 0 else int("negative")
    except (ValueError, OverflowError):
        raise DataError(f"{VARIABLE} is {quoted(text)}: give a number of gigabytes, such as 20, or 0") from None


class CropCache:
    """Crops as PNG files in folders below `folder`, at most `limit` bytes of all files there; used from any thread.

    Each process counts what it writes, so that several together may go beyond the limit by a sixteenth each. A file
    that cannot be written, or is gone, only costs time.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        """Prepare; nothing is read yet. `limit` is by default that of `limit_bytes`."""
        self.folder, self.limit = folder, limit_bytes() if limit is None else limit
        self._lock = threading.Lock()
        self._total: int | None = None
        self._since = 0

    def get(self, path: Path, frame: str) -> Image | None:
        """Return a crop, RGB uint8 [S, S, 3]; None if it is not there, or was cut short by a kill."""
        if not self.limit or not path.is_file():
            return None
        try:
            image = read_image(path, frame)
        except FrameError:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # it was used now
        return image

    def put(self, path: Path, image: Image) -> None:
        """Write a crop, and drop the oldest files if the folder is full."""
        if not self.limit:
            return
        temporary = path.with_name(f".{path.stem}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(image).save(temporary, "PNG", compress_level=1)
            size = temporary.stat().st_size
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        self._written(size)

    def _written(self, size: int) -> None:
        with self._lock:
            self._since += size
            if self._total is None or self._since > AGAIN * self.limit:
                self._total, self._since = sum(one[1] for one in _files(self.folder)), 0
            else:
                self._total += size
            if self._total > self.limit:
                self._total, self._since = self._shrunk(), 0

    def _shrunk(self) -> int:
        """Remove the oldest files; return the bytes that are left."""
        found = sorted(_files(self.folder))
        total, gone = sum(one[1] for one in found), 0
        for _, size, path in found:
            if total <= LEFT * self.limit:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - of 50,000 files
                total, gone = total - size, gone + 1
        log.info("cache of faces: %d of %d files dropped, the oldest (%s)", gone, len(found), VARIABLE)
        return total


def _files(folder: Path) -> Iterator[tuple[int, int, str]]:
    """Yield time of use (ns), bytes and path of each file below a folder."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    with contextlib.suppress(OSError):  # dropped by another process
                        found = entry.stat(follow_symlinks=False)
                        yield found.st_mtime_ns, found.st_size, entry.path
        except OSError:
            continue
