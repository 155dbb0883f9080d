"""Videos in an HDF5 file: no other file is opened, and frames that were never written are refused."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import DataError, FrameError, M2F2BenchError, first_line, refuse_machine_fault
from ..limits import MAX_BYTES, MAX_FRAMES, check_size

if TYPE_CHECKING:
    from ...core.records import Image

EXPECTED = "uint8, frames x height x width x 3"
MAX_LINKS = 16
"""Soft links that are followed from one name, as many as the library follows itself."""
MAX_PIECES = 65_536
"""Chunks that one frame may lie in."""
LEAST = 4
"""Bytes of a checksum: a compressed chunk has more."""
NEVER_WRITTEN = "it was never written: the file has only room for it (the fill value)"


class MissingVideo(Exception):
    """The reason why a video cannot be opened, to follow its name in a message ("is not in 'x.h5'")."""


def open_file(path: Path) -> Any:
    """Open a file for reading, if possible without a lock: data often lie on read-only mounts.

    Raises DataError for a file that is missing, cut short or not HDF5.
    """
    import h5py

    if not path.is_file():
        raise DataError(f"'{path}' does not exist (any more)")
    # no chunk cache: frames are read in random order, and each of the many open videos would have its own cache
    try:
        try:
            return h5py.File(path, "r", locking=False, rdcc_nbytes=0)
        except (OSError, TypeError, ValueError):
            # the library is too old for this setting, or this process has opened the file without it
            return h5py.File(path, "r", rdcc_nbytes=0)
    except Exception as error:  # of a damaged file the library raises OSError, RuntimeError, KeyError, ...
        refuse_machine_fault(error, f"'{path}'")
        raise DataError(f"'{path}' is cut short or not an HDF5 file: {first_line(error)}; fetch it again") from None


def video_names(file: Any, path: Path) -> set[str]:
    """Return the names at the top of a file. Raises DataError if its table of names is damaged."""
    try:
        return set(file)
    except Exception as error:
        refuse_machine_fault(error, f"'{path}'")
        raise DataError(
            f"'{path}' is damaged: its table of videos cannot be read ({first_line(error)}); fetch it again"
        ) from None


def open_video(file: Any, path: Path, key: str) -> Any:
    """Return the object `key` at the top of a file. Raises MissingVideo if it does not exist or is a broken link.

    Raises DataError for data in another file (an external link, external or virtual storage): only named files are
    read, not those that they point to.
    """
    try:
        found = file[_target(file, path, key)]
        elsewhere = getattr(found, "external", None) or getattr(found, "is_virtual", False)
    except (M2F2BenchError, MissingVideo):
        raise
    except Exception as error:
        refuse_machine_fault(error, f"'{path}' video '{key}'")
        raise MissingVideo(f"cannot be opened in '{path.name}': {first_line(error)}") from None
    if elsewhere:
        raise _outside(path, key)
    return found


def _outside(path: Path, key: str) -> DataError:
    return DataError(
        f"'{path}' video '{key}' lies in another file, and only data in the file itself are read: copy them into it "
        f"(with h5repack)"
    )


def _target(file: Any, path: Path, key: str) -> str:
    """Return the place of a name, with soft links followed. Raises DataError if it lies in another file."""
    import h5py

    if "/" in key or not _has(file, key):
        raise MissingVideo(f"is not in '{path.name}'")
    left, done = [key], ""
    for _ in range(MAX_LINKS + 1):
        while left:
            if not _there(file, done, left[0]):
                raise MissingVideo(f"is a link in '{path.name}' that leads nowhere")
            place = f"{done}/{left.pop(0)}"
            link = file.get(place, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _outside(path, key)
            if isinstance(link, h5py.SoftLink):
                parts = [part for part in link.path.split("/") if part not in ("", ".")]
                left, done = parts + left, "" if link.path.startswith("/") else done
                break
            done = place
        else:
            if not done:
                raise MissingVideo(f"is a link in '{path.name}' that leads nowhere")
            return done
    raise MissingVideo(f"is a link in '{path.name}' that leads back to itself")


def _there(file: Any, place: str, name: str) -> bool:
    """Return whether a place in the file is a group with this name in it."""
    group = file[place] if place else file
    return hasattr(group.id, "links") and _has(group, name)


def _has(group: Any, name: str) -> bool:
    return bool(group.id.links.exists(name.encode("utf-8", "surrogateescape")))


def frame_count(dataset: Any, path: Path, key: str) -> int | None:
    """Return a dataset's number of frames, None for 0. Raises `DataError` if its shape or type is wrong."""
    shape, kind = getattr(dataset, "shape", None), getattr(dataset, "dtype", None)
    if shape is None or kind is None:
        found = f"a {type(dataset).__name__.lower()}"
    else:
        found = f"{kind}, {' x '.join(map(str, shape)) or 'a single value'}"
    if shape is None or kind != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape[1:]:
        raise DataError(f"'{path}' video '{key}': found {found}; expected {EXPECTED}")
    if shape[0] > MAX_FRAMES:
        raise DataError(f"'{path}' video '{key}': found {found}; a video of over {MAX_FRAMES:,} frames is not read")
    return int(shape[0]) or None


def check_table(dataset: Any, path: Path) -> None:
    """Raise MissingVideo for a video whose table has two chunks at one place.

    The library finds the one and reads the other. Checked once per video, before its frames are read.
    """
    if dataset.chunks is None:
        return
    handle, found = dataset.id, list[Any]()
    if hasattr(handle, "chunk_iter"):
        handle.chunk_iter(found.append)
    else:
        found = [handle.get_chunk_info(i) for i in range(handle.get_num_chunks())]
    if len({one.chunk_offset for one in found}) < len(found):
        raise MissingVideo(f"is damaged in '{path.name}': two of its chunks have the same place")


def read_frame(dataset: Any, index: int | None, frame_id: str) -> Image:
    """Return one frame, RGB uint8 [H, W, 3]. Raises FrameError if it is over the limits or was never written."""
    shape, chunks = dataset.shape, dataset.chunks
    if len(shape) != 4:
        raise ValueError(f"{len(shape)} dimensions")
    check_size(shape[1], shape[2], frame_id)
    if chunks is not None and math.prod(chunks) > MAX_BYTES:
        raise FrameError(
            frame_id, f"its file has chunks of {math.prod(chunks):,} bytes, over the limit of {MAX_BYTES:,}"
        )
    if chunks is not None and index is not None:
        _check_chunks(dataset, index, frame_id)
    image: Image = np.asarray(dataset[index], dtype=np.uint8)
    if not _written(dataset, image):
        raise FrameError(frame_id, NEVER_WRITTEN)
    return image


def _check_chunks(dataset: Any, index: int, frame_id: str) -> None:
    """Raise FrameError unless all chunks of a frame are in the file, with a possible size.

    The library unpacks a chunk whatever its size, and a damaged chunk of 0 bytes ends the process.
    """
    shape, chunks = dataset.shape, dataset.chunks
    if not 0 <= index < shape[0]:
        raise IndexError(f"frame {index} of {shape[0]}")
    steps = [range(0, size, step) for size, step in zip(shape[1:], chunks[1:], strict=True)]
    if math.prod(map(len, steps)) > MAX_PIECES:
        raise FrameError(frame_id, f"its file stores it in more than {MAX_PIECES:,} pieces")
    plain, filters = math.prod(chunks), dataset.id.get_create_plist().get_nfilters()
    room = plain + plain // 8 + (1 << 16) if filters else plain  # a filter can also make a chunk larger
    length = dataset.file.id.get_filesize()
    for corner in itertools.product(*steps):
        found = dataset.id.get_chunk_info_by_coord((index - index % chunks[0], *corner))
        if found.byte_offset is None:
            raise FrameError(frame_id, NEVER_WRITTEN)
        whole = LEAST < found.size <= room if filters else found.size == plain
        if not whole or not 0 < found.byte_offset <= length - found.size:
            raise FrameError(frame_id, f"its file is damaged: a chunk of {found.size:,} bytes, of {plain:,} unpacked")


def _written(dataset: Any, image: Image) -> bool:
    """Return whether a frame's pixels were probably written.

    The library reads unwritten pixels as the fill value. A chunk takes space when it is written, unless the file
    reserves all space at once; then, without chunks, and in chunks of several frames, a frame that is all fill value
    counts as not written.
    """
    from h5py import h5d

    fill, chunks = int(dataset.fillvalue), dataset.chunks
    if image[0, 0, 0] != fill or not (image == fill).all():
        return True
    early = dataset.id.get_create_plist().get_alloc_time() == h5d.ALLOC_TIME_EARLY
    return not (chunks is None or chunks[0] > 1 or early)
