"""``Pool``: the methods of ``multiprocessing.Pool``, on a farm."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sized
from concurrent.futures import CancelledError, Future
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from masterslave.errors import NotPicklable
from masterslave.farm.farm import Farm
from masterslave.pool.chunks import call_each, chunk_length, chunks_of, star_each
from masterslave.pool.results import AsyncResult, MapResult
from masterslave.pool.stream import ResultIterator, Settle

__all__ = ["Pool"]

Result = TypeVar("Result")

_LIMIT = 1000  # items of an imap under way or not taken, as in Farm.imap_unordered
_NO_KEYWORDS: Mapping[str, Any] = {}


class _State(Enum):
    RUNNING = "running"
    CLOSED = "closed"
    TERMINATED = "terminated"


class Pool:
    """Runs functions on the slaves of a farm, with the methods of ``multiprocessing.Pool``.

    ::

        with Pool(4) as pool:
            print(pool.map(fn, range(100)))
            result = pool.apply_async(fn, (12,))
            print(result.get(timeout=10))

    Leaving the block terminates the pool: what was not waited for is dropped. Other than there, a
    slave or a child that dies costs nothing; what ``terminate()`` drops raises ``CancelledError``
    where it is waited for; functions may be lambdas.

    Args:
        processes: Slaves of one slot each on this machine; by default, as many as there are CPUs.
            Others join under the label.
        initializer: Called in each process before its first task.
        initargs: Arguments of *initializer*.
        maxtasksperchild: Tasks after which a process makes room for a fresh one.
        farm: A running farm to use instead of one of the pool's own. It decides about its slaves,
            so nothing of the above can be given; it goes on when the pool ends.
        label: What slaves may ask for: ``masterslave slave LABEL``.

    Raises:
        ValueError: A number is not positive, or a farm was given and something that it decides.
        TypeError: *initializer* cannot be called.

    Threads: any. Callbacks run in a thread of the farm, and delay other results while they run.
    """

    _state = _State.TERMINATED  # for __del__, should what follows fail

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        *,
        farm: Farm | None = None,
        label: str = "pool",
    ) -> None:
        if processes is not None and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and (
            not isinstance(maxtasksperchild, int) or maxtasksperchild < 1
        ):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if farm is not None and (processes, initializer, maxtasksperchild) != (None, None, None):
            raise ValueError(
                "processes, initializer and maxtasksperchild belong to the farm: "
                "give them to Farm(...), or give the pool no farm"
            )
        self._changed = threading.Condition()
        self._open: dict[Future[Any], None] = {}
        self._streams: set[ResultIterator[Any]] = set()
        self._processes = processes or getattr(os, "process_cpu_count", os.cpu_count)() or 1
        self._is_owner = farm is None
        if farm is None:
            options: dict[str, Any] = {}
            if initializer is not None:
                options.update(initializer=initializer, initargs=tuple(initargs))
            if maxtasksperchild is not None:
                options.update(max_tasks_per_child=maxtasksperchild)
            farm = Farm(label, local_slaves=self._processes, **options)
        self._farm = farm
        self._state = _State.RUNNING

    @property
    def farm(self) -> Farm:
        """The farm that the pool runs on: its slaves, its statistics."""
        return self._farm

    def apply(
        self,
        func: Callable[..., Result],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = _NO_KEYWORDS,
    ) -> Result:
        """Return ``func(*args, **kwds)``, called on a slave.

        Blocks: until the result is there.
        """
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Result],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = _NO_KEYWORDS,
        callback: Callable[[Result], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[Result]:
        """Have ``func(*args, **kwds)`` called on a slave, and return its result to come.

        Args:
            callback: Called with the result when it is there.
            error_callback: Called with the exception when the call failed.

        Raises:
            ValueError: The pool was closed or terminated.
        """
        self._check_running()
        result = AsyncResult(callback, error_callback)
        self._send(func, tuple(args), kwds, result._settle)
        return result

    def map(
        self,
        func: Callable[[Any], Result],
        iterable: Iterable[Any],
        chunksize: int | None = None,
    ) -> list[Result]:
        """Return the results of *func* for each item, in their order.

        Args:
            chunksize: Items that make one task; by default, four tasks for each process.

        Blocks: until all results are there.
        """
        return self.map_async(func, iterable, chunksize).get()

    def map_async(
        self,
        func: Callable[[Any], Result],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Result]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[list[Result]]:
        """Start what ``map`` does, and return its result to come; callbacks as in apply_async."""
        return self._map(call_each(func), iterable, chunksize, callback, error_callback)

    def starmap(
        self,
        func: Callable[..., Result],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[Result]:
        """Return the results of ``func(*item)`` for each item, in their order, as ``map``."""
        return self.starmap_async(func, iterable, chunksize).get()

    def starmap_async(
        self,
        func: Callable[..., Result],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Result]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[list[Result]]:
        """Start what ``starmap`` does, and return its result to come; see map_async."""
        return self._map(star_each(func), iterable, chunksize, callback, error_callback)

    def imap(
        self, func: Callable[[Any], Result], iterable: Iterable[Any], chunksize: int = 1
    ) -> ResultIterator[Result]:
        """Return an iterator of the results of *func* for each item, in their order.

        Args:
            iterable: May be endless: items are taken as there is room.
            chunksize: Items that make one task.
        """
        return self._stream(func, iterable, chunksize, ordered=True)

    def imap_unordered(
        self, func: Callable[[Any], Result], iterable: Iterable[Any], chunksize: int = 1
    ) -> ResultIterator[Result]:
        """Return an iterator of the results of *func* for each item, as they come; see imap."""
        return self._stream(func, iterable, chunksize, ordered=False)

    def close(self) -> None:
        """Take no more calls; the processes end when those that were taken are done."""
        with self._changed:
            if self._state is not _State.RUNNING:
                return
            self._state = _State.CLOSED
            streams = list(self._streams)
        for stream in streams:
            stream._close()
        if not streams:
            self._end_farm()

    def terminate(self) -> None:
        """Drop what is not done, and end the processes at once.

        Blocks: until they have ended, a few seconds; not at all with a farm that goes on.
        """
        with self._changed:
            self._state = _State.TERMINATED
            streams, dropped = list(self._streams), list(self._open)
        for stream in streams:
            stream._stop()
        for future in reversed(dropped):  # what waits first, so that it does not start meanwhile
            future.cancel()
        if self._is_owner:
            self._farm.shutdown(cancel_futures=True)

    def join(self) -> None:
        """Wait for the end of what was taken, and of the processes.

        Raises:
            ValueError: The pool is still running: ``close()`` or ``terminate()`` it before.

        Blocks: as long as the calls take.
        """
        if self._state is _State.RUNNING:
            raise ValueError("Pool is still running")
        with self._changed:
            self._changed.wait_for(lambda: not self._open and not self._streams)
        if self._is_owner:
            self._farm.shutdown()

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.terminate()

    def __del__(self) -> None:
        if self._state is _State.RUNNING and self._is_owner:
            warnings.warn(f"unclosed running pool {self!r}", ResourceWarning, 2, source=self)
            self._end_farm()

    def __reduce__(self) -> NoReturn:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __repr__(self) -> str:
        return f"<Pool {self._farm.label!r}: {self._state.value}>"

    def _check_running(self) -> None:
        if self._state is not _State.RUNNING:
            raise ValueError("Pool not running")

    def _slots(self) -> int:
        return sum(slave.slots for slave in self._farm.slaves) or self._processes

    def _map(
        self,
        run: Callable[[Any], list[Result]],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[list[Result]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> AsyncResult[list[Result]]:
        self._check_running()
        items = iterable if isinstance(iterable, Sized) else list(iterable)
        length = chunk_length(len(items), self._slots()) if chunksize is None else chunksize
        chunks = list(chunks_of(items, _checked(length)))
        result = MapResult(len(chunks), callback, error_callback)
        for number, chunk in enumerate(chunks):
            self._send(run, (chunk,), _NO_KEYWORDS, partial(result._add, number))
        return result

    def _stream(
        self, func: Callable[[Any], Result], iterable: Iterable[Any], chunksize: int, ordered: bool
    ) -> ResultIterator[Result]:
        self._check_running()
        chunks = chunks_of(iterable, _checked(chunksize))
        limit = max(_LIMIT // chunksize, 2 * self._slots())
        stream: ResultIterator[Result] = ResultIterator(ordered=ordered, limit=limit)
        run = call_each(func)

        def send(chunk: tuple[Any, ...], settle: Settle) -> None:
            self._send(run, (chunk,), _NO_KEYWORDS, settle)

        def feed() -> None:
            try:
                stream._feed(chunks, send)
            finally:
                self._forget(stream)

        with self._changed:
            self._check_running()
            self._streams.add(stream)
        threading.Thread(target=feed, name="pool imap", daemon=True).start()
        return stream

    def _send(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        settle: Settle,
    ) -> None:
        """Submit a task, and have its outcome told to *settle*."""
        future: Future[Any]
        try:
            future = self._farm.submit(function, *args, **kwargs)
        except NotPicklable as error:  # there, it is the result that raises it
            future = Future()
            future.set_exception(error)
        with self._changed:
            self._open[future] = None
        future.add_done_callback(partial(self._settle, settle))
        if self._state is _State.TERMINATED:  # meanwhile
            future.cancel()

    def _settle(self, settle: Settle, future: Future[Any]) -> None:
        try:
            if future.cancelled():
                settle(None, CancelledError("the pool was terminated, or its farm ended"))
            elif (error := future.exception()) is not None:
                settle(None, error)
            else:
                settle(future.result(), None)
        finally:
            with self._changed:
                del self._open[future]
                self._changed.notify_all()

    def _forget(self, stream: ResultIterator[Any]) -> None:
        with self._changed:
            self._streams.discard(stream)
            is_last = self._state is _State.CLOSED and not self._streams
            self._changed.notify_all()
        if is_last:
            self._end_farm()

    def _end_farm(self) -> None:
        if self._is_owner:
            self._farm.shutdown(wait=False)


def _checked(chunksize: int) -> int:
    if chunksize < 1:
        raise ValueError(f"Chunksize must be 1+, not {chunksize!r}")
    return chunksize
