"""Runs calls: one, or one for each item of a span; generators tell their parts while they run."""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Callable, Mapping
from types import GeneratorType
from typing import Any

from ...codeset import without_code
from .answers import (
    TakenBack,
    Unable,
    Unsendable,
    describe,
    encode,
    hidden,
    pack_result,
    small_enough,
)
from .arguments import arguments_of, items_of
from .farm import Farm, globals_of
from .frames import (
    BROKEN,
    BUNDLED_STARRED,
    CALL,
    EACH_STARRED,
    GIVEN_BACK,
    LARGE_BYTES,
    MARK_SINCE,
    MAX_PAYLOAD_BYTES,
    MIXED,
    NAMED,
    NOT_DATA,
    NOT_PICKLABLE,
    PART,
    PROGRESS,
    RAISED,
    UNABLE,
    VALUE,
    Call,
    ItemOutcome,
    Outcome,
    Prepare,
)
from .handlers import Handlers
from .outbox import Outbox
from .shared import SharedObjects
from .tidy import Tidier

__all__ = ["Caller"]

_PROGRESS_S = 0.1
_clock = time.perf_counter
_NONE = b"D\xc0"
_TOO_LARGE = (
    f"results of items that travel together take more than {MAX_PAYLOAD_BYTES // 2**20} MiB: use a "
    "smaller chunksize, or write them to files and return their names"
)


class _Broken(BaseException):
    """The farm's initializer has raised; what, is noted with the farm."""


class Caller:
    """Runs calls; keeps the functions that it was sent.

    Args:
        outbox: Where outcomes go.
        mark: Two numbers that the agent sees: the call that runs, and the item.
        describe: Writes exceptions.
        tidier: Puts back what tasks change.
    """

    def __init__(
        self,
        outbox: Outbox,
        mark: memoryview,
        *,
        describe: Callable[[BaseException, bool], bytes] = describe,
        tidier: Tidier | None = None,
    ) -> None:
        self.tidier = tidier or Tidier()
        self.handlers = Handlers(self.tidier.keep)
        self._given: list[Handlers] = []
        self.functions: dict[bytes, Callable[..., Any]] = {}
        self.pickled: dict[bytes, bytes] = {}
        self._finder: Any = None
        self.shared = SharedObjects(outbox, lambda: self._farm)
        self._users: dict[bytes, set[bytes]] = {}
        """Functions with shared objects in them, by the hash of such an object."""
        self._farm = -1
        self._outbox = outbox
        self._mark = mark
        self._describe = describe
        self.now: tuple[int, Call, int] | None = None
        """What runs: its number, and that of its farm."""
        self._told_at = 0.0
        self._untold: Outcome | None = None
        self._parts = -1  # how many the call that runs has yielded; -1: it is no generator

    def meet(self, told: Prepare, classes: Mapping[str, Any] | None = None) -> Farm:
        """Get to know a farm, and what this slave offers it.

        Args:
            classes: Of the handlers that it gives, where they are the script's own; None: they have
                travelled.
        """
        farm = Farm(told)
        self.handlers.offer(told.tasks, told.folder)
        if told.given and not told.no_code:
            load = (lambda: pickle.loads(told.classes)) if classes is None else (lambda: classes)
            farm.handlers = Handlers(self.tidier.keep, told.given, load)
            self._given.append(farm.handlers)
        return farm

    def close(self) -> None:
        """No more is called: let handlers clean up."""
        for handlers in (self.handlers, *self._given):
            handlers.close()

    def equip(self, entries: bytes, sources: dict[bytes, bytes]) -> None:
        """Let functions import modules of the script's."""
        if self._finder is None:
            from .finder import Finder

            self._finder = Finder()
        self._finder.take(entries, sources)

    def run(self, number: int, call: Call, farm: Farm) -> float:
        """Run a call and post its outcome; returns when it was done."""
        mark = self._mark
        start = _clock()
        mark[MARK_SINCE] = int(start * 1e6)
        mark[1] = 0
        mark[0] = number
        self._parts = -1
        self._farm = farm.number
        self.now = number, call, farm.number
        try:
            if farm.initializer or farm.broken:
                self._initialize(farm)
            function = self.functions.get(call.function) or self._load(call.function, farm)
            if farm.globals:
                farm.join(call.function, function)
            if call.form == CALL:
                args, kwargs = arguments_of(call, farm.no_code)
                value = function(*args, **kwargs)
                if type(value) is GeneratorType:
                    value = self._tell_parts(value, function, farm.data_only)
                kind = VALUE
                payload = _NONE if value is None else pack_result(value, function, farm.data_only)
            else:
                kind, payload = self._run_each(call, function, farm)
        except BaseException as error:
            kind, payload = self._end_of(error, farm)
        end = _clock()
        self.now = None
        if self.tidier.is_changed:
            self.tidier.restore()
        if self._untold is not None:
            self._outbox.post((number, self._untold))
            self._untold = None
        outcome = Outcome(
            call.task, call.attempt, call.count, kind, payload, end - start, self._parts
        )
        if len(payload) < LARGE_BYTES:
            self._outbox.post((number, outcome))
        else:
            self._outbox.post_large(number, outcome)
        return end

    def _end_of(self, error: BaseException, farm: Farm) -> tuple[int, bytes]:
        """Return what a call has come to that has raised this, or was not run for it."""
        if isinstance(error, TakenBack):
            return GIVEN_BACK, b""
        if isinstance(error, _Broken):
            return BROKEN, farm.broken
        kind = UNABLE if isinstance(error, Unable) else RAISED
        return kind, self._describe(error, farm.data_only)

    def report_progress(self, done: float, total: float) -> None:
        """Tell how far the call that runs has come; at most ten times a second, and at its end."""
        now = self.now
        if now is None:
            return
        number, call, _ = now
        payload = encode((float(done), float(total)))  # any numbers: numpy's, or very large ones
        outcome = Outcome(call.task, call.attempt, call.count, PROGRESS, payload)
        time_now = _clock()
        if time_now - self._told_at < _PROGRESS_S:
            self._untold = outcome
            return
        self._told_at = time_now
        self._untold = None
        self._outbox.post((number, outcome))
        self._outbox.flush()

    def _load(self, digest: bytes, farm: Farm) -> Callable[..., Any]:
        body = without_code(self.pickled[digest])
        taken: list[bytes] = []
        function: Callable[..., Any]
        if body[:1] == NAMED:
            function = self._named(bytes(body[1:]).decode(), farm)
        elif farm.no_code:
            raise Unable(NOT_DATA, f"this slave takes no functions: it {farm.no_code}")
        else:
            self.shared.noted = taken
            try:
                function = pickle.loads(body)
            finally:
                self.shared.noted = None
        self.functions[digest] = function
        if not taken:
            del self.pickled[digest]
        for each in taken:
            self._users.setdefault(each, set()).add(digest)
        return function

    def _named(self, name: str, farm: Farm) -> Callable[..., Any]:
        given = farm.handlers
        if given is None or (name in self.handlers and name not in given):
            return self.handlers.function_of(name)
        return given.function_of(name)

    def forget(self, digest: bytes) -> None:
        """A function is not called any more, or will be defined again."""
        self.pickled.pop(digest, None)
        self.functions.pop(digest, None)

    def drop_shared(self, farm: int, digests: list[bytes]) -> None:
        """Let go of shared objects, and have the functions that hold them unpickled anew."""
        self.shared.drop(farm, digests)
        for digest in digests or list(self._users):
            for function in self._users.pop(digest, ()):
                if function in self.pickled:
                    self.functions.pop(function, None)

    def _initialize(self, farm: Farm) -> None:
        """Run a farm's initializer, once; each of its calls hears that it has raised."""
        if farm.initializer:
            self._run_initializer(farm)
        if farm.broken:
            raise _Broken

    def _run_initializer(self, farm: Farm) -> None:
        pickled, farm.initializer = farm.initializer, b""
        try:
            function, args = pickle.loads(pickled)
            seen = globals_of(function)
            before = dict(seen or ())
            function(*args)
            nothing = object()
            farm.globals = {
                name: value
                for name, value in (seen or {}).items()
                if before.get(name, nothing) is not value
            }
        except BaseException as error:
            farm.broken = self._describe(error, farm.data_only)
        self.tidier.keep()

    def _tell_parts(
        self, generator: GeneratorType[Any, Any, Any], function: Any, data_only: bool
    ) -> Any:
        """Send what a generator yields, at once; return what it returns."""
        assert self.now is not None
        number, call, _ = self.now
        self._parts = part = 0
        try:
            while True:
                try:
                    value = next(generator)
                except StopIteration as stop:
                    return stop.value
                payload = pack_result(value, function, data_only)
                outcome = Outcome(call.task, call.attempt, call.count, PART, payload, 0.0, part)
                self._outbox.post_large(number, outcome)
                self._parts = part = part + 1
        finally:
            generator.close()

    def _run_each(self, call: Call, function: Callable[..., Any], farm: Farm) -> tuple[int, bytes]:
        """Call the function for each item; what some raise is told of those alone."""
        data_only = farm.data_only
        mark, tidier = self._mark, self.tidier
        values: list[Any] = []
        errors: dict[int, bytes] = {}
        add = values.append
        numbered = items_of(call, farm.no_code)
        is_starred = call.form in (EACH_STARRED, BUNDLED_STARRED)
        while True:
            try:
                if not is_starred:
                    for mark[1], item in numbered:
                        add(function(item))
                        if tidier.is_changed:
                            tidier.restore()
                else:
                    for mark[1], item in numbered:
                        add(function(*item))
                        if tidier.is_changed:
                            tidier.restore()
                break
            except TakenBack:
                raise
            except BaseException as error:
                errors[len(values)] = self._describe(error, data_only)
                add(None)
                if tidier.is_changed:
                    tidier.restore()
        if not errors:
            with contextlib.suppress(Unsendable):  # which one, is found out below
                return VALUE, pack_result(values, function, data_only)
        return MIXED, self._pack_each(values, errors, function, data_only)

    def _pack_each(
        self,
        values: list[Any],
        errors: dict[int, bytes],
        function: Callable[..., Any],
        data_only: bool,
    ) -> bytes:
        outcomes = []
        room = MAX_PAYLOAD_BYTES - 1024 * 1024  # what is said of those that do not fit is short
        for index, value in enumerate(values):
            kind, payload = RAISED, errors.get(index, b"")
            if not payload:
                try:
                    kind, payload = VALUE, pack_result(value, function, data_only)
                except Unsendable as error:
                    payload = self._describe(error, data_only)
            if len(payload) > room:
                kind, payload = (
                    RAISED,
                    self._describe(Unsendable(NOT_PICKLABLE, _TOO_LARGE), data_only),
                )
            room -= len(payload)
            outcomes.append(ItemOutcome(kind, payload))
        return small_enough(encode(outcomes))


hidden |= {Caller.run.__code__, Caller._run_each.__code__, Caller._tell_parts.__code__}
