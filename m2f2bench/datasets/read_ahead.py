"""Frames read ahead of their use: the one place that decides what an unreadable frame is.

Threads read in order, at most a given number of frames and `AHEAD_BYTES` of memory ahead. A fault of one frame becomes
that frame's status; a fault of the machine, and an error that concerns the whole dataset, ends the work.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ..core.clips import ClipFrame
from ..core.cores import usable_cores
from ..core.errors import DataError, FrameError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.frame_lists import FrameList
from ..core.guests import bounded
from ..core.records import STATUSES, Frame
from .base import Adapter
from .calls import stamp_of
from .limits import AHEAD_BYTES, BATCH_BYTES, DECODING, check_size
from .turns import Turn, Turns, having

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..core.records import Image

T = TypeVar("T")
R = TypeVar("R")
_Outcome = tuple[R | None, BaseException | None, int]
"""A result or what was raised, and the result's bytes."""
MOST_THREADS = 8
"""Most reading threads by default: of more, Python's own work in each leaves too little."""
LOT = 0.005
"""Seconds after which a thread hands over what it has; what takes longer is handed over alone."""
QUICK = 0.001
"""Seconds below which an item is mostly Python's own work: a second thread would make it slower."""
REST = 0.1
"""Seconds after which a thread that rests looks whether it is needed now."""
OK = "ok"
FAILED = tuple(status for status in STATUSES if status != OK)


@dataclass(slots=True)
class Loaded:
    """A frame as it was read: `image` is RGB uint8 [H, W, 3]; None where `status` is not `ok`, and `reason` says why.

    `digest` is the adapter's digest of the pixels, empty if there are none. `stamp` is the adapter's stamp from before
    they were read. `prepared` is what a detector made of the image, which is then not kept.
    """

    frame: Frame
    image: Image | None = None
    prepared: Any = None
    digest: str = ""
    stamp: str = ""
    status: str = OK
    reason: str = ""


def load_frame(adapter: Adapter, frame: Frame, prepare: Callable[[Image], Any] | None = None, who: str = "") -> Loaded:
    """Read one frame with its digest and stamp, and prepare it for `who`; its faults go to `status` and `reason`.

    The status is `error` where `prepare` raises, unless it raises a FrameError with a status of its own. Raises
    MachineError for a fault of the machine, DataError if the adapter gives something that is not an image, and any
    other M2F2BenchError that the adapter or `prepare` raises.
    """
    with bounded():  # calls inside it then cost less
        return _load(adapter, frame, prepare, who)


def _load(adapter: Adapter, frame: Frame, prepare: Callable[[Image], Any] | None, who: str) -> Loaded:
    # The stamp is taken before the pixels: a file that is written in between is then read again. A frame that is drawn
    # by code has a file only after it was read.
    stamp = stamp_of(adapter, frame)
    loaded = Loaded(frame)
    try:
        image = read_pixels(adapter.read, frame)
        loaded.digest = _digest(adapter, frame, image)
        loaded.image = image
    except FrameError as error:
        loaded.status, loaded.reason = error.status, error.reason
    loaded.stamp = stamp or stamp_of(adapter, frame)
    if prepare is not None and loaded.image is not None:
        taken, loaded.image = loaded.image, None
        try:
            with DECODING.taking(taken.nbytes):
                loaded.prepared = about_frame(partial(prepare, taken), frame, "error", who)
        except FrameError as error:
            loaded.status, loaded.reason = error.status, error.reason
    return loaded


def _digest(adapter: Adapter, frame: Frame, image: Image) -> str:
    digest: Any = about_frame(lambda: adapter.digest(frame, image), frame)
    if not isinstance(digest, str):
        raise DataError(f"the dataset gave a digest of {type(digest).__name__} for frame '{frame.id}': it is a text")
    return digest


def read_pixels(read: Callable[[Frame], Image], frame: Frame) -> Image:
    """Return a frame's pixels, RGB uint8 [H, W, 3] and of a clip [T, H, W, 3], within the limits of `limits`.

    Raises FrameError for a frame that cannot be read, whatever `read` raises, and otherwise errors as `load_frame`.
    """
    image: Any = about_frame(lambda: read(frame), frame)
    dims = 4 if isinstance(frame, ClipFrame) else 3
    if getattr(image, "ndim", 0) != dims or image.shape[-1] != 3 or image.dtype != "uint8":
        found = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
        raise DataError(f"the dataset gave {found} for frame '{frame.id}': an image is RGB, uint8, [H, W, 3]")
    check_size(image.shape[-3], image.shape[-2], frame.id)
    return cast("Image", image)


def read_mask(adapter: Adapter, frame: Frame, image: Image) -> npt.NDArray[np.bool_] | None:
    """Return a frame's mask, bool [H, W], as large as its `image`; None if there is no mask.

    Raises FrameError if it cannot be read, and DataError for a mask of another size or type.
    """
    mask: Any = about_frame(lambda: adapter.mask(frame), frame)
    return None if mask is None else checked_mask(mask, frame, image.shape[:2])


def checked_mask(mask: Any, frame: Frame, size: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return a frame's mask. Raises DataError unless it is bool [H, W] of this `size`, that of its picture."""
    shape, kind = getattr(mask, "shape", ()), getattr(mask, "dtype", type(mask).__name__)
    if str(kind) != "bool" or shape != size:
        raise DataError(
            f"the dataset gave a mask of {kind} {list(shape)} for frame '{frame.id}' of {list(size)} "
            f"pixels: a mask is bool [H, W], as large as its image"
        )
    return cast("npt.NDArray[np.bool_]", mask)


def about_frame(ask: Callable[[], R], frame: Frame, status: str = "unreadable", who: str = "") -> R:
    """Return the answer of an adapter, or of another `who`, about a frame.

    Raises FrameError for a fault of this frame alone, with `status` where the fault has no status of its own, and
    MachineError for a fault of the machine.
    """
    try:
        with bounded():
            return ask()
    except FrameError as error:
        if error.status in FAILED:
            raise
        raise FrameError(frame.id, error.reason, status) from None  # a status that this package does not know
    except M2F2BenchError:
        raise
    except Exception as error:  # in a user's class: one bad frame does not end the work
        refuse_machine_fault(error, f"{who} on frame '{frame.id}'" if who else f"frame '{frame.id}'")
        raise FrameError(frame.id, first_line(error), status) from None


def held_bytes(value: Any) -> int:
    """Return the bytes of the arrays and tensors in a value, also inside lists, tuples and dictionaries."""
    if isinstance(value, (list, tuple)):
        return sum(map(held_bytes, value))
    if isinstance(value, dict):
        return sum(map(held_bytes, value.values()))
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0


def thread_count(workers: int = 0) -> int:
    """Return the number of reading threads; 0 means one per core, at most MOST_THREADS."""
    return workers or min(MOST_THREADS, usable_cores())


class ReadAhead(Generic[T, R]):
    """Results of `work` on each item, in order, computed by threads ahead of their use.

    At most `count` items are in work or finished before they are used, and no item is started while the finished
    results and those in work (each counted as large as the largest so far) take more than `AHEAD_BYTES`; one item is
    always allowed. `size` returns a result's bytes. Frames of one video file are read in order (see `turns`).

    What is done at once is Python's own work, of which threads can do only one at a time: they then hand over several
    results together, and all but one thread rest.
    """

    def __init__(
        self, work: Callable[[T], R], items: Iterable[T], *, count: int, size: Callable[[R], int], threads: int = 0
    ) -> None:
        """Prepare to work on `items` with at most `threads` threads; 0 means one per core, at most MOST_THREADS."""
        self._work, self._count, self._size = work, max(1, count), size
        self._items: Sequence[T] = items if isinstance(items, FrameList) else list(items)  # type: ignore[assignment]
        self._threads = max(1, min(thread_count(threads), len(self._items), self._count))
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._arrived, self._room = threading.Condition(self._lock), threading.Condition(self._lock)
        """What the user waits for, and what the threads wait for. They wake only if they can go on: to wake a thread
        takes longer than to decode a small picture."""
        self._turns = Turns()
        self._done: dict[int, _Outcome[R]] = {}
        self._begun = self._taken = self._running = self._finished = self._held = self._largest = 0
        self._wanted, self._mean = -1, math.inf
        """The number that the user waits for, and the seconds that an item took lately."""

    def each(self) -> Generator[R, None, None]:
        """Yield one result after the other; each is kept until the next is requested. Raises what `work` raised."""
        with closing(self._sized()) as results:
            for result, size in results:
                yield result
                del result
                self._release(size)

    def batches(self, length: int, kept: int = 1) -> Generator[list[R], None, None]:
        """Yield lists of at most `length` results, shorter if these take more than `BATCH_BYTES`.

        The last `kept` lists are the user's; an older one is emptied when the next is requested. If `work` raises,
        results before it are yielded first.
        """
        given: deque[tuple[list[R], int]] = deque()
        for batch, held in self._batches(length):
            given.append((batch, held))
            del batch
            yield given[-1][0]
            if len(given) == kept:
                old, freed = given.popleft()
                old.clear()
                self._release(freed)

    def _batches(self, length: int) -> Generator[tuple[list[R], int], None, None]:
        """Yield lists, as `batches` does, and the bytes of each."""
        batch: list[R] = []
        held = 0
        with closing(self._sized()) as results:
            try:
                for result, size in results:
                    if batch and held + size > BATCH_BYTES:
                        yield batch, held
                        batch, held = [], 0
                    batch.append(result)
                    del result
                    held += size
                    if len(batch) == length:
                        yield batch, held
                        batch, held = [], 0
            except Exception:
                if batch:
                    yield batch, held
                raise
            if batch:
                yield batch, held

    def _sized(self) -> Generator[tuple[R, int], None, None]:
        # Daemons: a generator that is never closed must not keep the process alive.
        threads = [
            threading.Thread(target=self._loop, args=(i,), name=f"read-{i}", daemon=True) for i in range(self._threads)
        ]
        for thread in threads:
            thread.start()
        try:
            for number in range(len(self._items)):
                yield self._take(number)
        finally:
            with self._lock:
                self._closed.set()
                self._room.notify_all()
            for thread in threads:
                thread.join()

    def _take(self, number: int) -> tuple[R, int]:
        """Wait for a result. Raises what `work` raised."""
        with self._lock:
            self._wanted = number
            self._arrived.wait_for(lambda: number in self._done)
            result, failure, size = self._done.pop(number)
            self._taken += 1
            self._finished -= 1
            self._room.notify()
        if failure is not None:
            raise failure
        return cast(R, result), size

    def _release(self, size: int) -> None:
        with self._lock:
            self._held -= size
            self._room.notify_all()

    def _over(self) -> bool:
        return self._closed.is_set() or self._begun == len(self._items)

    def _ready(self) -> bool:
        """Return whether a thread may start the next item, or has to end."""
        if self._over():
            return True
        if self._begun - self._taken >= self._count:
            return False
        idle = not self._running and not self._finished
        return idle or self._held + (self._running + 1) * self._largest <= AHEAD_BYTES

    def _loop(self, thread: int) -> None:
        lot: dict[int, _Outcome[R]] = {}
        began = 0.0
        while True:
            with self._lock:
                spent = time.perf_counter() - began
                if lot and (spent > LOT or self._over() or not self._ready()):
                    self._hand_over(lot, spent)
                rests = thread > 0 and not lot and self._mean < QUICK and not self._over()
                if not rests:
                    self._room.wait_for(self._ready)
                    if self._over():
                        return
                    began = began if lot else time.perf_counter()
                    number, item, started = self._begin()
                    if started is not None and lot:  # it may have to wait for its turn
                        self._hand_over(lot, spent)
            if rests:
                self._closed.wait(REST)
                continue
            outcome = self._made(item, started[1] if started is not None else None)
            with self._lock:
                self._end(number, outcome, started, lot)
            del item, outcome  # otherwise they are kept while this thread waits

    def _begin(self) -> tuple[int, T, tuple[str, Turn] | None]:
        """Return the number of the next item, the item, and its turn if it has one."""
        number = self._begun
        self._begun += 1
        self._running += 1
        item = self._items[number]
        return number, item, self._turns.start(item)

    def _end(
        self, number: int, outcome: _Outcome[R], started: tuple[str, Turn] | None, lot: dict[int, _Outcome[R]]
    ) -> None:
        """Put an item's result into the thread's lot, which is handed over later."""
        self._turns.end(started)
        self._running -= 1
        self._finished += 1
        self._held += outcome[2]
        self._largest = max(self._largest, outcome[2])
        lot[number] = outcome

    def _hand_over(self, lot: dict[int, _Outcome[R]], spent: float) -> None:
        """Let the user have results that took so many seconds together."""
        self._mean = spent / len(lot)
        self._done |= lot
        if self._wanted in lot:
            self._arrived.notify()
        if self._begun - self._taken < self._count or self._over():
            self._room.notify_all()
        lot.clear()

    def _made(self, item: T, turn: Turn | None) -> _Outcome[R]:
        """Return the result of one item or what was raised, and the result's bytes."""
        try:
            with having(turn):
                result = self._work(item)
            return result, None, self._size(result)
        except BaseException as error:
            return None, error, 0


def frames_ahead(
    adapter: Adapter,
    frames: Sequence[Frame],
    count: int,
    threads: int = 0,
    prepare: Callable[[Image], Any] | None = None,
    who: str = "",
) -> ReadAhead[Frame, Loaded]:
    """Return a dataset's frames, read ahead and prepared by `load_frame`."""
    return ReadAhead(
        lambda frame: load_frame(adapter, frame, prepare, who),
        frames,
        count=count,
        size=lambda loaded: held_bytes((loaded.image, loaded.prepared)),
        threads=threads,
    )
