"""From a call to a task: packed here, handed to the master, its future given back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from masterslave.errors import FarmClosed, NotPicklable
from masterslave.farm.functions import FunctionPacker
from masterslave.farm.futures import FarmFuture
from masterslave.farm.handles import Packed, hold, notes
from masterslave.farm.masters import AnyMaster
from masterslave.farm.options import CallOptions, TaskTerms
from masterslave.farm.packing import pack_arguments, pack_named
from masterslave.farm.results import Results
from masterslave.farm.room import Room
from masterslave.farm.spans import ItemSpan
from masterslave.farm.travelling import LocalCode
from masterslave.master.carrier import Carrier
from masterslave.master.duties import Duty
from masterslave.master.submission import Function, Single
from masterslave.memory import reuse_large_blocks
from masterslave.packed import PICKLED
from masterslave.protocol.hand_outs import RUN_BITS
from masterslave.settings import FarmSettings

if TYPE_CHECKING:
    from masterslave.farm.cached import Cached
    from masterslave.farm.keep_going import Failures
    from masterslave.farm.resuming import Resuming

__all__ = ["Submitter"]

_LARGE_BYTES = 128 * 1024


class Submitter:
    """Submits calls to the master.  Threads: any.

    Args:
        handlers: Digest of those that the farm has.

    Attributes:
        failed: Tasks that were settled with an exception.
        results: Of tasks that were given to others.
        data_only: Whether results that only pickle can read are refused.
        code: The script's modules that travel.
        cancel_singles: Drops tasks in one step.
        resuming: What earlier runs have left; None: there is no journal.
        failures: Takes in what has failed, while the others go on; None: the first one ends a map.
        cached: What they have left of tasks that are cached, where there is no journal.
    """

    def __init__(
        self,
        master: AnyMaster,
        carrier: Carrier,
        label: str,
        settings: FarmSettings,
        *,
        data_only: bool,
        code: LocalCode,
        handlers: bytes,
    ) -> None:
        self.failed = 0
        self.resuming: Resuming | None = None
        self.cached: Cached | None = None
        self.failures: Failures | None = None
        self.data_only = data_only
        self.carry = carrier.carry
        self.room = Room.of(settings)
        self.results = Results(master.blobs, master.origin, data_only=data_only)
        self.max_open_bytes = settings.max_open_bytes
        self._master = master
        self.cancel_singles = master.cancel
        self._label = label
        self.code = code
        self._packer = FunctionPacker(code, handlers)
        self._gate = threading.Lock()
        self._closing = False
        self._is_of_parent = False
        self._reuses_blocks = False

    def submit(
        self, options: CallOptions, fn: Callable[..., Any] | str, args: Any, kwargs: dict[str, Any]
    ) -> FarmFuture[Any]:
        """Submit one call; arguments that cannot be sent fail its future.

        Raises:
            NotPicklable: The function cannot be sent.
            FarmClosed: The farm was shut down.
            FarmBroken: The initializer has failed.
        """
        function = self._packer.pack(fn)
        terms = options.terms_of(function)
        after = options.after
        keys = b""
        earlier = self._earlier(is_cached=options.cache)
        if earlier is not None:
            keys = earlier.key(fn, function, args, kwargs, options.key)
            known = earlier.find(keys)
            if known is not None:
                self.check_open()
                return FarmFuture(self, function, terms, b"").answered(keys, *known)
            earlier.wait_for_room(None)
        try:
            if (args and FarmFuture in map(type, args)) or (
                kwargs and FarmFuture in map(type, kwargs.values())
            ):
                args, kwargs, given = self.results.stand_in(self, args, kwargs)
                after = (*after, *given)
            arguments = self.pack_arguments(function, args, kwargs)
        except NotPicklable as error:
            self.check_open()
            unsent: FarmFuture[Any] = FarmFuture(self, function, terms, b"")
            unsent.fail(error)
            return unsent
        if function.is_named and arguments.startswith(PICKLED):
            terms = options.terms_of(function, is_pickled=True)
        if len(arguments) >= _LARGE_BYTES and not self._reuses_blocks:
            self._reuses_blocks = True
            reuse_large_blocks()
        if self.room is not None:
            self.room.enter(len(arguments))
        future: FarmFuture[Any] = FarmFuture(self, function, terms, arguments)
        if after:
            future.after = after
        if keys:
            future.keys = keys
            if earlier is not None and earlier.keep is not None:
                future.keep = earlier.keep
        try:
            with self._gate:
                if self._closing:
                    self.check_open()
                self._master.put(future)
        except BaseException:
            if self.room is not None:
                self.room.leave(len(arguments))
            raise
        self._master.look(future)
        return future

    def note_failed(self, future: FarmFuture[Any], error: BaseException) -> None:
        """A single task has an error for its answer."""
        self.failed += 1
        if self.failures is not None and self.failures.are(error):
            number = future.number
            which = "" if number < 0 else f"task {number & (1 << RUN_BITS) - 1}"
            self.failures.note(future.function.name, which, error)

    def goes_on_after(self, kind: type[BaseException]) -> bool:
        """Tell whether what is open is to be done though the farm's block is left by an exception:
        by one that is no interrupt, after a task has failed.
        """
        return bool(self.failures and self.failures.count) and issubclass(kind, Exception)

    def _hold(self, arguments: bytes) -> bytes:
        """Have arguments keep what they refer to.

        Raises:
            NotPicklable: It is of another farm.
        """
        blobs = hold(arguments, self._master.origin)
        if blobs:
            arguments = Packed(arguments)
            arguments.blobs = blobs
        return arguments

    def make_future(
        self, function: Function, terms: TaskTerms, arguments: bytes
    ) -> FarmFuture[Any] | None:
        """Return the future of a task that the master itself puts in; None: no more are taken."""
        if self._closing:
            return None
        if self.room is not None:
            self.room.enter_anyway(len(arguments))
        return FarmFuture(self, function, terms, arguments)

    def add_duty(self, duty: Duty) -> None:
        """Have each slave given a task, also those that join later; raises as ``submit``."""
        with self._gate:
            self.check_open()
        self._master.add_duty(duty)

    def drop_duty(self, duty: Duty) -> None:
        """Slaves that join from now on are not given it."""
        if not self._is_of_parent:
            self._master.drop_duty(duty)

    def _earlier(self, *, is_cached: bool) -> Resuming | None:
        """Return what earlier runs have left, and what is kept for later ones."""
        if self.resuming is None and is_cached and self.cached is not None:
            self.check_open()
            return self.cached.open()
        return self.resuming

    def submit_span(
        self, span: ItemSpan, fn: Callable[..., Any] | str, options: CallOptions
    ) -> None:
        """Submit the items of a span; raises as ``submit``."""
        earlier = self._earlier(is_cached=options.cache)
        if earlier is not None:
            self.check_open()
            earlier.leave_rest(span, fn, options.key)
            earlier.wait_for_room(None)
        for member in span.members:
            with self._gate:
                self.check_open()
                self._master.put(member)
            self._master.look(member)

    def has_taken(self, span: ItemSpan) -> bool:
        """Tell whether a span was submitted: who was interrupted meanwhile cannot know."""
        return self._master.has_taken(span.members)

    def pack(self, fn: Callable[..., Any] | str) -> Function:
        """Pickle a function, or name a task.

        Raises:
            NotPicklable: It cannot be sent.
        """
        return self._packer.pack(fn)

    def refresh(self, function: Function) -> Function:
        """Return a function that was packed before, with the modules that travel now."""
        return self._packer.refresh(function)

    def pack_arguments(self, function: Function, args: Any, kwargs: dict[str, Any]) -> bytes:
        """Pickle a call's arguments, or pack those of a named task.

        Raises:
            NotPicklable: One of them cannot be sent.
        """
        pack = pack_named if function.is_named else pack_arguments
        arguments = pack(function.name, args, kwargs)
        return self._hold(arguments) if notes.blobs else arguments

    def check_open(self) -> None:
        """Check that tasks are still taken.

        Raises:
            FarmClosed: They are not.
        """
        if self._is_of_parent:
            raise FarmClosed(
                f"farm {self._label!r} belongs to the process of which this one is a fork: submit "
                "there, or make a farm here"
            )
        if self._closing:
            raise FarmClosed(
                f"cannot schedule new futures after shutdown: farm {self._label!r} was shut down, "
                "make a new one"
            )

    def take_no_more(self) -> None:
        """Refuse new tasks from now on."""
        with self._gate:
            self._closing = True
        if self.room is not None:
            self.room.open_wide()

    def leave_to_parent(self) -> None:
        """This process is a fork of the script: the farm has no threads here, and its locks may
        be held by those of the parent.
        """
        self._is_of_parent = self._closing = True
        self._gate = threading.Lock()
        self.room = None

    def cancel(self, futures: Sequence[Single]) -> None:
        """Drop tasks, in one step, so that no slave is handed a task that is dropped next."""
        if not self._is_of_parent:
            self.cancel_singles(futures)

    def cancel_spans_soon(self, spans: Sequence[ItemSpan]) -> None:
        """Drop spans from a destructor, which must not take a lock: the carrier does it."""
        members = [member for span in spans for member in span.members]
        self.carry(partial(self._master.cancel_spans, members))

    def is_out(self, future: Single) -> bool:
        """Tell whether a task is with a slave."""
        return self._master.is_out(future)
