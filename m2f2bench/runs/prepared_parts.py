"""Work on the parts of a preparation: one process at a time cuts out a part's faces and writes them.

A part's record is complete after its pictures: what has a record is finished, also after a kill.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow

from ..cards.registry import finding_here
from ..core.cluster import Cluster, connected
from ..core.errors import FrameError, MachineError
from ..core.files import cannot_write, replacing
from ..core.records import Frame
from ..core.workers import Pool
from ..datasets.calls import has_masks
from ..faces.adapter import FaceAdapter
from .prepared_forms import Form
from .prepared_records import Part

if TYPE_CHECKING:
    from ..core.records import Image

TEMPORARY = ".tmp"
COMPRESSION = 3
"""Of PNG files, 0 to 9: more makes them hardly smaller, and much slower to write."""


def make_part(adapter: FaceAdapter, form: Form, root: Path, part: Part, key: str) -> None:
    """Write the pictures of a part's faces, and its record.

    Raises StoreError for a disk that is full, and as `FaceAdapter.cut` what is not about one frame.
    """
    masks = has_masks(adapter)
    with replacing(part.record(root)) as temporary, temporary.open("w", encoding="ascii") as record:
        record.write(json.dumps({"key": key}) + "\n")
        for frame in adapter.expanded(part.frames):
            record.write(json.dumps(_make_frame(adapter, form, root, frame, masks), allow_nan=False) + "\n")


def _make_frame(adapter: FaceAdapter, form: Form, root: Path, frame: Frame, masks: bool) -> dict[str, Any]:
    """Write the pictures of a frame's face; return its row."""
    row: dict[str, Any] = {
        **{"id": frame.id, "video": frame.video, "label": frame.label, "method": frame.method},
        **{"split": frame.split, "identities": list(frame.identities), "index": frame.locator.index},
        **{"picture": frame.picture, "path": form.path(frame), "mask": ""},
    }
    try:
        crop = adapter.cut(frame)
    except FrameError as error:
        return {**row, "status": error.status, "message": error.reason}
    row |= {"status": "ok", "message": "", "face": crop.face.to_json(), "scene": list(crop.shape)}
    row["files"] = {row["path"]: _write_png(root / row["path"], crop.image)}
    try:
        mask = adapter.mask_of(frame, crop) if masks else None
    except FrameError as error:
        row["message"] = error.reason
        mask = None
    if mask is not None:
        row["mask"] = form.mask_path(frame)
        row["files"][row["mask"]] = _write_png(root / row["mask"], mask.astype(np.uint8) * 255)
    return row


def _write_png(path: Path, image: Image) -> int:
    """Write a picture atomically, and return its bytes; without the wait for the disk, see `is_finished`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(image).save(temporary, "PNG", compress_level=COMPRESSION)
        size = temporary.stat().st_size
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise cannot_write(path, error) from None
    return size


# --- processes

_own: tuple[FaceAdapter, Form, Path] | None = None
"""What a working process works with."""


def _begin(adapter: FaceAdapter, form: Form, root: Path) -> None:
    global _own
    adapter.use_threads(1)
    _own = (adapter, form, root)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process if its parent is killed: it would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _make(part: Part, key: str) -> int:
    assert _own is not None
    make_part(*_own, part, key)
    return len(part.frames)


def _by_workers(
    adapter: FaceAdapter, form: Form, root: Path, parts: Sequence[tuple[Part, str]], cluster: Cluster
) -> Iterator[int]:
    make = partial(_Place, adapter, form, root.resolve())
    with connected(cluster), contextlib.closing(Pool(cluster, make, _Place.about, finding_here())) as pool:
        key, seen = pool.about()
        if not seen or key != adapter.key():
            why = "have other versions of what finds faces" if seen else f"do not see the folder '{root.resolve()}'"
            raise MachineError(f"the workers of Ray {why}: all machines need the same packages and one disk")
        for (frames,) in pool.each(_Place.make, [[one] for one in parts]):
            yield frames


class _Place:
    """What a worker of a cluster works with."""

    def __init__(self, adapter: FaceAdapter, form: Form, root: Path) -> None:
        adapter.use_threads(1)
        self.adapter, self.form, self.root = adapter, form, root

    def about(self) -> tuple[str, bool]:
        """Return the versions that decide the faces, and whether the folder is seen."""
        return self.adapter.key(), self.root.is_dir()

    def make(self, parts: Sequence[tuple[Part, str]], start: int) -> Iterator[list[int]]:
        """Make parts; each gives the number of its frames."""
        for part, key in parts:
            make_part(self.adapter, self.form, self.root, part, key)
            yield [len(part.frames)]


def make_parts(
    adapter: FaceAdapter,
    form: Form,
    root: Path,
    parts: Sequence[tuple[Part, str]],
    processes: int,
    cluster: Cluster | None = None,
) -> Iterator[int]:
    """Make parts (each with its key), and yield the number of frames of each when it is finished.

    They are made by `processes` of this machine, or by the workers of a cluster, which write below the same `root`.
    """
    if cluster is not None and parts:
        yield from _by_workers(adapter, form, root, parts, cluster)
        return
    if processes < 2 or len(parts) < 2:
        adapter.use_threads(1)
        for part, key in parts:
            make_part(adapter, form, root, part, key)
            yield len(part.frames)
        return
    pool = ProcessPoolExecutor(
        min(processes, len(parts)), get_context("spawn"), initializer=_begin, initargs=(adapter, form, root)
    )
    try:
        left = iter(parts)
        running: set[Future[int]] = set()
        while True:
            for part, key in left:
                running.add(pool.submit(_make, part, key))
                if len(running) > 2 * processes:
                    break
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
