"""Workers on a Ray cluster: each has a state of its own, such as a detector, and works on groups of items.

What a worker finds comes back group by group. A group whose worker is lost (killed, out of memory, or with its whole
machine) is worked on again by another; what was finished before stays. So the results are those of one process, as long
as the work on a group depends on nothing outside it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from .cluster import Cluster, machines, shares
from .errors import M2F2BenchError, MachineError, first_line

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[S, Sequence[T], int], Iterator[list[R]]]
"""Work on consecutive items, with the state and the number of items before them: it yields one result for each item, in
order, in lists that end where a group ends."""

MOST_LOST = 3
"""Workers that may be lost one after the other with one group, and nothing finished meanwhile: the group is then taken
to be the cause."""
SHARES = 4
"""A worker gets its share of the groups in about as many pieces, so that slow and fast workers end together."""
PATIENCE = 30.0
"""Seconds without any worker after which it is said that there is none."""
log = logging.getLogger("m2f2bench")


@dataclass(frozen=True)
class _Group(Generic[T]):
    items: Sequence[T]
    start: int
    """Number of items before it."""


@dataclass
class _Piece(Generic[T, R]):
    """Consecutive groups that a worker has now, and what it has found of the first of them."""

    worker: Any
    groups: deque[_Group[T]]
    found: list[R] = field(default_factory=list)

    def take(self, rows: list[R]) -> Iterator[list[R]]:
        """Add what was found, and yield what is known of each group that is finished by it."""
        self.found += rows
        while self.groups and len(self.found) >= len(self.groups[0].items):
            n = len(self.groups.popleft().items)
            done, self.found = self.found[:n], self.found[n:]
            yield done


class Worker:
    """One worker, in a process of its own."""

    def __init__(self) -> None:
        """Make a worker that is given its state later: an error can then be told from the loss of the process."""
        self.state: Any = None
        self._works: dict[int, Any] = {}
        self._said: deque[tuple[int, str]] = deque()

    def begin(
        self, folder: str, paths: Sequence[str], before: Callable[[], None], made: bytes
    ) -> tuple[Any, list[tuple[int, str]]]:
        """Make the state as `Pool` was told; return what is known about it, and what was logged meanwhile."""
        if Path(folder).is_dir():
            os.chdir(folder)  # relative paths are the driver's
        sys.path += [path for path in paths if path not in sys.path and Path(path).is_dir()]
        log.setLevel(logging.INFO)
        log.propagate = False
        log.addHandler(_Told(self._said))
        before()
        from ray import cloudpickle

        make, about = cloudpickle.loads(made)
        self.state = make()
        return about(self.state), [one for one in self._new() if one[0] >= logging.WARNING]

    def work(
        self, number: int, held: Sequence[Any], items: Sequence[Any], start: int
    ) -> Iterator[tuple[list[Any], list[tuple[int, str]]]]:
        """Yield what the work of this number finds, and what was logged meanwhile."""
        if number not in self._works:
            import ray
            from ray import cloudpickle

            self._works = {number: cloudpickle.loads(ray.get(held[0]))}
        for rows in self._works[number](self.state, items, start):
            yield rows, self._new()

    def _new(self) -> list[tuple[int, str]]:
        said = list(self._said)
        self._said.clear()
        return said


class _Told(logging.Handler):
    """Keeps what a worker logs, for the driver to log it."""

    def __init__(self, kept: deque[tuple[int, str]]) -> None:
        super().__init__(logging.INFO)
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append((record.levelno, record.getMessage()))


class Pool(Generic[S]):
    """The workers of a cluster, started when they are first needed.

    `make` returns a worker's state, and `about` says what all workers must have in common; both are pickled. `before`
    is called in each worker before these are read, and must be pickled by its name.
    """

    def __init__(
        self, cluster: Cluster, make: Callable[[], S], about: Callable[[S], Any], before: Callable[[], None]
    ) -> None:
        """Take the cluster that this process is connected to (see `connected`). Raises CardError if no worker fits."""
        import ray

        self.ray: Any = ray
        self.workers, self.cpus, self.gpus = shares(cluster, machines(self.ray))
        self._made = (str(Path.cwd()), list(sys.path), before, _pickled((make, about)))
        self._starting: dict[Any, Any] = {}
        self._idle: deque[Any] = deque()
        self._running: dict[Any, _Piece[Any, Any]] = {}
        self._known: list[Any] = []
        self._told: set[str] = set()
        self._works = self._unstarted = self._finished = 0

    def about(self) -> Any:
        """Return what a worker says about its state."""
        while not self._known:
            self._staff(1)
            self._wait()
        return self._known[0]

    def each(self, work: Work[S, T, R], groups: Sequence[Sequence[T]]) -> Iterator[list[R]]:
        """Yield what is found of each group, one result for each of its items, in the order in which they end.

        Raises what the work raises, and MachineError where workers are lost again and again.
        """
        left: deque[_Group[T]] = deque()
        before = 0
        for items in groups:
            left.append(_Group(items, before))
            before += len(items)
        held = self.ray.put(_pickled(work)) if left else None
        self._works += 1
        lost: dict[int, tuple[int, int]] = {}
        while left or self._running:
            self._staff(len(left) + len(self._running))
            while left and self._idle:
                self._hand_out(self._idle.popleft(), left, held)
            yield from self._wait(left, lost)

    def close(self) -> None:
        """End the workers."""
        with contextlib.suppress(Exception):
            busy = [piece.worker for piece in self._running.values()]
            for worker in [*self._idle, *self._starting.values(), *busy]:
                self.ray.kill(worker)
        self._idle.clear()
        self._starting, self._running = {}, {}

    def _staff(self, wanted: int) -> None:
        """Start workers, so that there are as many as fit and can be used."""
        held = len(self._idle) + len(self._starting) + len(self._running)
        for _ in range(min(self.workers, wanted) - held):
            actor = self.ray.remote(Worker).options(num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=0)
            worker = actor.remote()
            self._starting[worker.begin.remote(*self._made)] = worker

    def _hand_out(self, worker: Any, left: deque[_Group[T]], held: Any) -> None:
        """Give a worker its next piece: groups that follow each other, fewer and fewer as the work ends."""
        count = max(1, len(left) // (SHARES * self.workers))
        own = deque([left.popleft()])
        while left and len(own) < count and left[0].start == own[-1].start + len(own[-1].items):
            own.append(left.popleft())
        items = [item for group in own for item in group.items]
        call = worker.work.options(num_returns="streaming")
        self._running[call.remote(self._works, [held], items, own[0].start)] = _Piece(worker, own)

    def _wait(
        self, left: deque[_Group[Any]] | None = None, lost: dict[int, tuple[int, int]] | None = None
    ) -> Iterator[list[Any]]:
        """Wait for what comes first, and return what is finished by it."""
        try:
            ready, _ = self.ray.wait([*self._starting, *self._running], num_returns=1, timeout=PATIENCE)
        except self.ray.exceptions.RayError as error:
            raise MachineError(f"the Ray cluster is lost ({_short(error)}): repeat the command to go on") from None
        if not ready:
            self._complain()
            return iter(())
        if ready[0] in self._starting:
            self._welcome(ready[0])
            return iter(())
        assert left is not None and lost is not None
        return self._receive(ready[0], left, lost)

    def _welcome(self, begun: Any) -> None:
        """Take a worker that has made its state. Raises M2F2BenchError if it could not, or is unlike the others."""
        worker = self._starting.pop(begun)
        try:
            about, said = self.ray.get(begun)
        except self.ray.exceptions.RayTaskError as error:
            raise _cause(error) from (None if isinstance(error.cause, M2F2BenchError) else error)
        except self.ray.exceptions.RayError as error:
            self._unstarted += 1
            if self._unstarted >= MOST_LOST:
                raise MachineError(f"no worker of Ray starts: {first_line(error)}") from None
            log.warning("a worker of Ray was lost while it started, another is started (%s)", _short(error))
            return
        self._unstarted = 0
        self._say(said)
        if self._known and about != self._known[0]:
            raise MachineError(f"the workers of Ray are not alike: {_differing(self._known[0], about)}")
        self._known.append(about)
        self._idle.append(worker)

    def _receive(self, call: Any, left: deque[_Group[Any]], lost: dict[int, tuple[int, int]]) -> Iterator[list[Any]]:
        """Yield the groups that are finished by what a worker sends; put back what a lost one had."""
        piece = self._running[call]
        try:
            rows, said = self.ray.get(next(call))
        except StopIteration:
            del self._running[call]
            self._idle.append(piece.worker)
            if piece.groups:
                n = len(piece.groups[0].items)
                raise MachineError(f"a worker of Ray ended with {len(piece.found)} of {n} results") from None
            return
        except self.ray.exceptions.RayTaskError as error:
            raise _cause(error) from (None if isinstance(error.cause, M2F2BenchError) else error)
        except self.ray.exceptions.RayError as error:
            del self._running[call]
            self._lose(piece, error, left, lost)
            return
        self._say(said)
        for done in piece.take(rows):
            self._finished += 1
            yield done

    def _lose(
        self, piece: _Piece[Any, Any], error: Exception, left: deque[_Group[Any]], lost: dict[int, tuple[int, int]]
    ) -> None:
        with contextlib.suppress(Exception):
            self.ray.kill(piece.worker)
        if not piece.groups:
            return
        first = piece.groups.popleft()
        times, finished = lost.get(first.start, (0, self._finished))
        times = times + 1 if finished == self._finished else 1
        lost[first.start] = (times, self._finished)
        if times >= MOST_LOST:
            raise MachineError(
                f"{MOST_LOST} workers of Ray were lost while they worked on the {len(first.items)} items from number "
                f"{first.start + 1} on: {_short(error)}; is there too little memory?"
            )
        log.warning("a worker of Ray was lost, and its work is done again (%s)", _short(error))
        left.extendleft(reversed(piece.groups))
        left.append(first)  # the last of all: if it is the cause, the others are finished before

    def _say(self, said: Sequence[tuple[int, str]]) -> None:
        """Log what workers logged, each line once."""
        for level, line in said:
            if line not in self._told:
                self._told.add(line)
                log.log(level, "%s", line)

    def _complain(self) -> None:
        if not self._running and not self._idle:
            need = f"{self.cpus:g} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")
            free = {name: self.ray.available_resources().get(name, 0.0) for name in ("CPU", "GPU")}
            log.warning(
                "no worker of Ray has started yet: each needs %s, and %g CPUs and %g GPUs are free",
                *(need, free["CPU"], free["GPU"]),
            )


def _pickled(value: Any) -> bytes:
    """Return an object as bytes. Raises M2F2BenchError if it cannot be sent to another process."""
    from ray import cloudpickle

    try:
        return cast(bytes, cloudpickle.dumps(value))  # type: ignore[no-untyped-call]
    except Exception as error:
        raise M2F2BenchError(
            f"the engine ray cannot send this to its workers: {first_line(error)}; name a class or a card in place of "
            f"an object"
        ) from None


def _cause(error: Any) -> BaseException:
    """Return the exception that a worker raised."""
    return error.cause if isinstance(error.cause, Exception) else MachineError(f"a worker failed: {_short(error)}")


def _short(error: BaseException) -> str:
    return first_line(error)[:200]


def _differing(one: Any, other: Any) -> str:
    """Return how two workers differ, where that is known by name."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
        return "; ".join(f"{key} {_differing(one.get(key), other.get(key))}" for key in keys)
    return f"is {one} and {other}"
