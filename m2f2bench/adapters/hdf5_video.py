"""Videos in an HDF5 file: opened without a look into any other file, and read only where their frames were written."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, FrameError, M2F2BenchError, first_line, refuse_machine_fault
from .limits import MAX_BYTES, MAX_FRAMES, check_size

if TYPE_CHECKING:
    from ..records import Image

EXPECTED = "uint8, frames x height x width x 3"
MAX_LINKS = 16
"""Soft links that are followed from one name, as many as the library follows itself."""


class NotThere(Exception):
    """Why a video cannot be opened, to follow its name in a line ("is not in 'x.h5'")."""


def open_file(path: Path) -> Any:
    """Open for reading, without a lock file or lock where the library can: data often lie on read-only mounts.

    Raises DataError for a file that is not there, cut short or no HDF5.
    """
    import h5py

    if not path.is_file():
        raise DataError(f"'{path}' is not there (any more)")
    # no chunk cache: frames are drawn at random, and each of the many open videos would keep its own
    try:
        try:
            return h5py.File(path, "r", locking=False, rdcc_nbytes=0)
        except (OSError, TypeError, ValueError):
            # the library is too old to know the setting, or this process has the file open without it
            return h5py.File(path, "r", rdcc_nbytes=0)
    except Exception as error:  # of a damaged file the library raises OSError, RuntimeError, KeyError, ...
        refuse_machine_fault(error, f"'{path}'")
        raise DataError(f"'{path}' is cut short or no HDF5 file: {first_line(error)}; fetch it again") from None


def video_names(file: Any, path: Path) -> set[str]:
    """Return the names at the top of a file. Raises DataError where its table of them is damaged."""
    try:
        return set(file)
    except Exception as error:
        refuse_machine_fault(error, f"'{path}'")
        raise DataError(
            f"'{path}' is damaged: its table of videos cannot be read ({first_line(error)}); fetch it again"
        ) from None


def open_video(file: Any, path: Path, key: str) -> Any:
    """Return what has the name `key` at the top of a file. Raises NotThere for none, and for a link to nothing.

    Raises DataError for what lies in another file (an external link, external or virtual storage): a dataset is what
    is named, not what its files point to.
    """
    try:
        found = file[_target(file, path, key)]
        elsewhere = getattr(found, "external", None) or getattr(found, "is_virtual", False)
    except (M2F2BenchError, NotThere):
        raise
    except Exception as error:
        refuse_machine_fault(error, f"'{path}' video '{key}'")
        raise NotThere(f"cannot be opened in '{path.name}': {first_line(error)}") from None
    if elsewhere:
        raise _outside(path, key)
    return found


def _outside(path: Path, key: str) -> DataError:
    return DataError(
        f"'{path}' video '{key}' lies in another file, and only what is in the file itself is read: copy it there "
        f"(h5repack does)"
    )


def _target(file: Any, path: Path, key: str) -> str:
    """The place that a name stands for, its soft links followed; none of its parts lies in another file."""
    import h5py

    if "/" in key or not _has(file, key):
        raise NotThere(f"is not in '{path.name}'")
    left, done = [key], ""
    for _ in range(MAX_LINKS + 1):
        while left:
            if not _there(file, done, left[0]):
                raise NotThere(f"is a link in '{path.name}' that leads nowhere")
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
                raise NotThere(f"is a link in '{path.name}' that leads nowhere")
            return done
    raise NotThere(f"is a link in '{path.name}' that leads back to itself")


def _there(file: Any, place: str, name: str) -> bool:
    """Whether a place in the file is a group that has the name."""
    group = file[place] if place else file
    return hasattr(group.id, "links") and _has(group, name)


def _has(group: Any, name: str) -> bool:
    return bool(group.id.links.exists(name.encode("utf-8", "surrogateescape")))


def frame_count(dataset: Any, path: Path, key: str) -> int | None:
    """The number of frames of a checked dataset, None for 0. Raises `DataError` where the form is wrong."""
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


def read_frame(dataset: Any, index: int | None, frame_id: str) -> Image:
    """One frame of a dataset, RGB uint8 [H, W, 3]. Raises FrameError for one over the limits or never written."""
    shape, chunks = dataset.shape, dataset.chunks
    if len(shape) != 4:
        raise ValueError(f"{len(shape)} dimensions")
    check_size(shape[1], shape[2], frame_id)
    if chunks is not None and math.prod(chunks) > MAX_BYTES:
        raise FrameError(
            frame_id, f"its file has chunks of {math.prod(chunks):,} bytes, over the limit of {MAX_BYTES:,}"
        )
    image: Image = np.asarray(dataset[index], dtype=np.uint8)
    if not _written(dataset, index, image):
        raise FrameError(frame_id, "it was never written: the file has only room for it (the fill value)")
    return image


def _written(dataset: Any, index: Any, image: Image) -> bool:
    """Whether a frame's pixels were written, as far as it can be told.

    The library reads what was not as the fill value. A chunk takes room when it is written to, unless the file takes
    all at once; of other storage, and of chunks of several frames, a frame of the fill value alone counts as not
    written.
    """
    from h5py import h5d

    chunks, (height, width), fill = dataset.chunks, image.shape[:2], int(dataset.fillvalue)
    whole = chunks is None or (chunks[1] >= height and chunks[2] >= width and chunks[3] >= 3)
    empty = image[0, 0, 0] == fill and bool((image == fill).all())
    if whole and not empty:
        return True
    if empty and (
        chunks is None or chunks[0] > 1 or dataset.id.get_create_plist().get_alloc_time() == h5d.ALLOC_TIME_EARLY
    ):
        return False
    corners = itertools.product(range(0, height, chunks[1]), range(0, width, chunks[2]), range(0, 3, chunks[3]))
    return all(dataset.id.get_chunk_info_by_coord((index, *corner)).size for corner in corners)
