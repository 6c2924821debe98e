"""How tasks are submitted: what a farm, and a view of it with other options, have in common."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from types import ModuleType
from typing import Any, ParamSpec, TypeVar, overload

from masterslave.farm.each import EachSlave
from masterslave.farm.followers import predecessors_of
from masterslave.farm.futures import FarmFuture
from masterslave.farm.options import CallOptions, RetryPolicy, whole
from masterslave.farm.progress import show_progress
from masterslave.farm.projects import sources_of
from masterslave.farm.requests import Requests, Retrieved
from masterslave.farm.spans import Arrival, ItemSpan
from masterslave.farm.stream import OrderedStream, Progress, Stream, map_results
from masterslave.farm.submitting import Submitter
from masterslave.master.submission import Function
from masterslave.packed import is_data
from masterslave.protocol.hand_outs import EACH, EACH_STARRED

__all__ = ["Calls", "FarmView"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


class Calls(Executor):
    """Submits tasks of a farm, on some terms."""

    _submitter: Submitter
    _options: CallOptions
    _title: Callable[[], tuple[str, Callable[[], str]]]
    _requests: Requests

    @overload
    def submit(
        self,
        fn: Callable[Parameters, Result],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> FarmFuture[Result]: ...

    @overload
    def submit(self, fn: str, /, *args: Any, **kwargs: Any) -> FarmFuture[Any]: ...

    def submit(self, fn: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> FarmFuture[Any]:
        """Have ``fn(*args, **kwargs)`` run on a slave, and return its future at once.

        The future is the standard library's, and may be awaited; cancelling it stops a task that
        runs. An argument may be a future of this farm: the task runs after that one, and is given
        its result, which goes to each slave once. If *fn* is a generator function,
        ``future.parts()`` gives what it yields.

        Args:
            fn: A function; or the name of a task, for slaves that have a handler for it
                (``masterslave.Slave``).
        Raises:
            NotPicklable: The function cannot be sent. (Arguments that cannot be sent make the
                future raise it, so that a bad item costs no other.)
            FarmClosed: The farm was shut down.
            FarmBroken: The farm's initializer has failed.

        Blocks: not at all; but on room, where the farm's settings limit what is open.
        """
        return self._submitter.submit(self._options, fn, args, kwargs)

    def map(
        self,
        fn: Callable[..., Result] | str,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        cache: bool | None = None,
    ) -> Iterator[Result]:
        """Return an iterator of ``fn``'s results for the items, in their order.

        As in the standard library, all items are taken at once, and the first exception ends it
        (but see ``FarmSettings.keep_going``). Items of an endless iterable are for ``imap``.

        Args:
            timeout: Seconds from now after which ``TimeoutError`` is raised; None: never.
            chunksize: Items that travel together; None: as many as suit the time they take.
            cache: True: results that an earlier run of the script has had are not had again, and
                those of this run are kept for later ones; see ``options``.
        Raises:
            NotPicklable: The function cannot be sent.
            FarmClosed: The farm was shut down.
        """
        options = self._options if cache is None else self._options.changed(cache=cache)
        chunk = 0 if chunksize is None else whole(chunksize, "chunksize")
        if chunksize is not None and chunk < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunk > 1 and options.has_limit:
            raise ValueError(
                f"chunksize={chunk}: items with a timeout_s travel one by one, each with its own "
                "limit; leave chunksize out"
            )
        end_s = None if timeout is None else time.monotonic() + timeout
        form = EACH if len(iterables) == 1 else EACH_STARRED
        items: list[Any] = list(iterables[0] if form == EACH else zip(*iterables, strict=False))
        function = self._submitter.pack(fn)
        self._submitter.check_open()
        if not items:
            return iter(())
        arrivals: SimpleQueue[Arrival] = SimpleQueue()
        is_pickled = function.is_named and not is_data(items)
        terms = options.terms_of(function, chunk, is_pickled=is_pickled)
        span = ItemSpan(function, terms, form, items, arrivals.put)
        span.after = options.after
        self._submitter.submit_span(span, fn, options)
        submitter = self._submitter
        return map_results(
            span, arrivals, end_s, submitter.cancel_spans_soon, submitter.data_only,
            submitter.failures,
        )  # fmt: skip

    def imap(
        self,
        fn: Callable[[Item], Result] | str,
        items: Iterable[Item],
        *,
        limit: int = 1000,
        progress: bool = False,
        cache: bool | None = None,
    ) -> OrderedStream[Result]:
        """Return an iterator of results in the order of the items; else as ``imap_unordered``."""
        return OrderedStream(
            self._sink(fn, cache), items, **self._of_stream(items, limit, progress), ordered=True
        )

    def imap_unordered(
        self,
        fn: Callable[[Item], Result] | str,
        items: Iterable[Item],
        *,
        limit: int = 1000,
        progress: bool = False,
        cache: bool | None = None,
    ) -> Stream[Item, Result]:
        """Return an iterator of ``(item, result)`` in the order of completion.

        Args:
            items: May be endless: they are taken as there is room.
            limit: Most tasks under way or finished and not taken yet.
            progress: Show a bar where standard output is a terminal.
            cache: As of ``map``.
        Raises:
            NotPicklable: The function cannot be sent.
            FarmClosed: The farm was shut down.
        """
        return Stream(
            self._sink(fn, cache), items, **self._of_stream(items, limit, progress), ordered=False
        )

    def request(self, task: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> str:
        """Have a task run, as ``submit`` does, and return its id: ``retrieve`` gives the result.

        The style of ScientificPython's ``requestTask`` and ``retrieveResult``, for scripts that
        collect results elsewhere than where they ask for them.
        """
        future = self.submit(task, *args, **kwargs)
        return self._requests.add(future.function.name, future)

    def retrieve(self, name: str | None = None, *, timeout_s: float | None = None) -> Retrieved:
        """Take the result of the requested task that was finished first.

        Args:
            name: Of the task, or of its function; None: of any.
            timeout_s: Longest time to wait for one, in seconds; None: for ever.
        Returns:
            ``(task_id, name, result)``. Each is given once.
        Raises:
            TimeoutError: None was finished in time.
            LookupError: None is under way: nothing was requested, or all of it was retrieved.
            Exception: What the task has raised; its ``task_id`` and ``task_name`` say which one.

        Threads: any; requests are those of the farm, and all of its views share them.
        """
        return self._requests.retrieve(name, timeout_s)

    def send_module(self, module: ModuleType | str | os.PathLike[str]) -> None:
        """Have a module, a package or a project's directory travel to slaves with the tasks.

        What a script imports of its own travels anyway. This is for what cannot be seen: modules
        that are imported by names that are made up, those that are installed here and not at the
        slaves, and data files in packages.

        Args:
            module: It, its name, or the path of its file or directory; of a directory that is no
                package, all that is in it. It is read now.
        Raises:
            BadModule: It is nowhere, it is compiled, it is too large, or it is never sent.
        """
        self._submitter.code.add(sources_of(module))

    @overload
    def each_slave(
        self,
        fn: Callable[Parameters, Result],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> EachSlave[Result]: ...

    @overload
    def each_slave(self, fn: str, /, *args: Any, **kwargs: Any) -> EachSlave[Any]: ...

    def each_slave(
        self, fn: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> EachSlave[Any]:
        """Have a function, or a named task, run once on each slave that can run it.

        A slave that joins later is given it as its first task of this farm, until ``close()`` of
        what is returned, or the farm's end. It runs in one process of the slave, whose other slots
        do not wait for it: what each process needs is for ``Farm(initializer=)``, or a handler's
        ``setup``.

        Returns:
            A mapping: by the slave's name, its future. ``results(timeout_s)`` waits for all.
        Raises:
            NotPicklable: The function, or an argument, cannot be sent.
            FarmClosed: The farm was shut down.
            FarmBroken: The farm's initializer has failed.
        """
        function = self._submitter.pack(fn)
        arguments = self._submitter.pack_arguments(function, args, kwargs)
        return EachSlave(self._submitter, function, self._options.terms_of(function), arguments)

    def _sink(self, fn: Callable[..., Any] | str, cache: bool | None) -> _Sink:
        function = self._submitter.pack(fn)
        self._submitter.check_open()
        options = self._options if cache is None else self._options.changed(cache=cache)
        return _Sink(self._submitter, fn, function, options)

    def _of_stream(self, items: Iterable[Any], limit: int, progress: bool) -> dict[str, Any]:
        limit = whole(limit, "limit")
        if limit < 1:
            raise ValueError(f"limit is the number of tasks under way, at least 1, not {limit}")
        bar = Progress()
        if progress:
            label, slaves = self._title()
            bar = show_progress(label, len(items) if isinstance(items, Sized) else None, slaves)
        return {
            "limit": limit,
            "progress": bar,
            "max_bytes": self._submitter.max_open_bytes,
            "data_only": self._submitter.data_only,
            "failures": self._submitter.failures,
        }

    def options(
        self,
        *,
        priority: int | None = None,
        retries: int | RetryPolicy | None = None,
        repeatable: bool | None = None,
        max_attempts: int | None = None,
        timeout_s: float | None = None,
        needs: Mapping[str, float] | None = None,
        on: str | None = None,
        after: Iterable[Future[Any]] | Future[Any] | None = None,
        key: object = None,
        cache: bool | None = None,
    ) -> FarmView:
        """Return a view of the farm on whose tasks these options apply.

        >>> farm.options(priority=5, retries=2).submit(fn)      # doctest: +SKIP

        Args:
            priority: Higher ones are handed out first; 0 where nothing is said.
            retries: How often a task that raised is run again: a number, or a ``RetryPolicy``.
            repeatable: False: the task is never run twice at the same time, to be faster than a
                slow slave. (It is still run again when its slave is lost.)
            max_attempts: Hand-outs that may be lost with their slave or child before the task is
                given up.
            timeout_s: Seconds that a task may run, each item of a ``map`` on its own, from when
                it is started; then its process is ended, and it raises ``TaskTimedOut``.
                ``math.inf`` takes back what the view had.
            needs: What a task uses up of its slave's offers while it runs, by name:
                ``{"gpu": 1}`` for slaves that were started with ``--offer gpu=1``.
            on: Name of the slave, or of the host, that is to run it; "" is any.
            after: Futures of this farm's tasks that have to succeed before it is run. If one of
                them fails or is cancelled, it raises ``DependencyFailed``.
            key: With a journal, or cached: by what the task is known in other runs of the script,
                such as a text, in the place of its function and arguments; of a ``map`` a function
                that returns it for an item.
            cache: True: a task that an earlier run of the script has done is not done again: its
                value comes from a file of this user, in which those of this run are kept. With a
                journal, that is where they are, and this says nothing.
        Raises:
            TypeError: One of *after* is no future of this farm.
            BadOffer: A need is not a name and an amount.
        """
        changed = self._options.changed(
            priority=priority,
            retries=retries,
            repeatable=repeatable,
            max_attempts=max_attempts,
            timeout_s=timeout_s,
            needs=needs,
            on=on,
            after=None if after is None else predecessors_of(after, self._submitter),
            key=key,
            cache=cache,
        )
        return FarmView(self, changed)


class _Sink:
    """Takes the items of a stream, for one function."""

    def __init__(
        self,
        submitter: Submitter,
        fn: Callable[..., Any] | str,
        function: Function,
        options: CallOptions,
    ) -> None:
        self._function = function
        self._options = options
        self.submit = partial(submitter.submit_span, fn=fn, options=options)
        self.has_taken = submitter.has_taken
        self.drop = submitter.cancel_spans_soon
        self._refresh = submitter.refresh

    def make_span(self, items: list[Any], put: Callable[[Arrival], None]) -> ItemSpan:
        self._function = self._refresh(self._function)  # items may be of modules just imported
        is_pickled = self._function.is_named and not is_data(items)
        terms = self._options.terms_of(self._function, is_pickled=is_pickled)
        span = ItemSpan(self._function, terms, EACH, items, put)
        span.after = self._options.after
        return span


class FarmView(Calls):
    """A farm with other options; made by ``farm.options(...)``. It ends with its farm."""

    def __init__(self, farm: Calls, options: CallOptions) -> None:
        self._farm: Calls = farm._farm if isinstance(farm, FarmView) else farm
        self._submitter = farm._submitter
        self._title = farm._title
        self._requests = farm._requests
        self._options = options

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut the farm down."""
        self._farm.shutdown(wait, cancel_futures=cancel_futures)

    def __reduce__(self) -> str | tuple[Any, ...]:
        return self._farm.__reduce__()  # a task that names it is told as one that names the farm

    def __repr__(self) -> str:
        return f"<{self._farm!r} with {self._options!r}>"
