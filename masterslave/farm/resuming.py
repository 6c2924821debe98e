"""What earlier runs of the script have left: each task is looked up by its key.

::

    submit --> key --> it has a value in the journal: that is the answer, and no slave hears of it
                   --> it is out with a slave still:  waits for it (``master.inherited``)
                   --> else:                          handed out

A key is made of what the function computes, of the arguments, and of how often the same call came
before in this run. What has raised, or was given up, is run again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from masterslave.farm.futures import FarmFuture
from masterslave.farm.recognising.identifying import Identities
from masterslave.farm.recorded import has_value
from masterslave.farm.spans import ItemSpan, RestOfSpan
from masterslave.farm.travelling import LocalCode
from masterslave.journal.canonical import NoIdentity
from masterslave.journal.facts import KEY_BYTES, Place, SlaveKnown
from masterslave.journal.finished import Finish, Finished
from masterslave.journal.keys import Occurrences, explicit_key
from masterslave.master.submission import Answer, Function, Recorded
from masterslave.protocol.hand_outs import EACH_STARRED
from masterslave.protocol.outcomes import VALUE
from remoteobj import BadInput

__all__ = ["Resuming", "Source", "never"]


class Source(NamedTuple):
    """A file of what earlier runs have had.

    Attributes:
        finished: What has a result.
        slaves: By their numbers.
        read: Returns a payload. Blocks: on the disk.
    """

    finished: Finished
    slaves: Mapping[int, SlaveKnown]
    read: Callable[[Place], bytes]


def never(_: bytes) -> bool:
    """Tell that no slave may bring what has this key."""
    return False


class Resuming:
    """Finds what earlier runs have left.  Threads: any.

    Args:
        sources: Where it is looked for, in this order.
        code: The script's modules.
        handlers: The classes that do named tasks, by their names.
        may_come: Tells whether a slave may bring what has this key.

    Attributes:
        found: Tasks of this run whose answer was there.
        wait_for_room: Waits until more can be written.
        keep: Is told the answers of single tasks that were not there; None: nobody is.
    """

    keep: Callable[[FarmFuture[Any], Answer], None] | None = None

    def __init__(
        self,
        sources: Sequence[Source],
        code: LocalCode,
        handlers: Mapping[str, type[Any]],
        *,
        may_come: Callable[[bytes], bool] = never,
        wait_for_room: Callable[[float | None], bool],
    ) -> None:
        self.found = 0
        self.wait_for_room = wait_for_room
        self._sources = sources
        self._may_come = may_come
        self._identities = Identities(code, handlers=handlers, key_of=_key_of)
        self._occurrences = Occurrences()
        self._lock = threading.Lock()

    def key(
        self,
        fn: Callable[..., Any] | str,
        function: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        given: object = None,
    ) -> bytes:
        """Return the key of a call: of what the user has *given* for it, if that is not None.

        Raises:
            BadInput: What was given is no plain data.
        """
        identity = self._identities.of(fn, function.digest) if given is None else None
        with self._lock:
            if given is not None:
                return self._occurrences.key(_explicit(given))
            return self._identities.key(fn, identity, args, kwargs, self._occurrences)

    def find(self, key: bytes) -> tuple[Recorded, str] | None:
        """Return the value that a task has had, and who brought it; None if it has none."""
        source, finish = self._look_up(key)
        answer = None if finish is None else self._value_of(source, finish)
        if finish is None or answer is None:
            return None
        self.found += 1
        return answer, _name_of(source, finish.slave)

    def leave_rest(self, span: ItemSpan, fn: Callable[..., Any] | str, given: object) -> None:
        """Answer those items of a span that have a value; its members are what is left."""
        span.keys = keys = self._keys(span, fn, given)
        rest: list[int] = []
        members: list[ItemSpan] = []
        row = _Row(span)
        for place in range(span.count):
            key = keys[KEY_BYTES * place : KEY_BYTES * (place + 1)]
            source, finish = self._look_up(key)
            if finish is None:
                if self._may_come(key):
                    members.append(self._rest_of(span, [place], key))
                else:
                    rest.append(place)
                continue
            if not row.goes_on(place, source, finish):
                row.put()
                answer = self._value_of(source, finish)
                if answer is None:
                    row = _Row(span)
                    rest.append(place)
                    continue
                name = _name_of(source, finish.slave)
                row = _Row(span, place, source, finish.place, answer, name)
            row.count += 1
        row.put()
        self.found += span.count - len(rest) - len(members)
        if len(rest) == span.count:
            span.members = self._whole_of(span)
            return
        if rest:
            of_rest = b"".join([keys[KEY_BYTES * at : KEY_BYTES * (at + 1)] for at in rest])
            members.append(self._rest_of(span, rest, of_rest))
        span.members = members

    def _rest_of(self, span: ItemSpan, places: Sequence[int], keys: bytes) -> RestOfSpan:
        return RestOfSpan(span, places, keys)

    def _whole_of(self, span: ItemSpan) -> Sequence[ItemSpan]:
        """Return what is submitted for a span of which nothing was there."""
        return (span,)

    def _keys(self, span: ItemSpan, fn: Callable[..., Any] | str, given: object) -> bytes:
        if callable(given):
            explicit = [_explicit(given(item)) for item in span.items]
            with self._lock:
                return b"".join(map(self._occurrences.key, explicit))
        if given is not None:
            raise BadInput(
                "the items of a map need a key each: give key= a function that returns it for an "
                f"item, not {given!r}"
            )
        identity = self._identities.of(fn, span.function.digest)
        with self._lock:
            return self._identities.keys(
                fn, identity, span.items, self._occurrences, starred=span.form == EACH_STARRED
            )

    def _look_up(self, key: bytes) -> tuple[Source, Finish | None]:
        for source in self._sources:
            finish = source.finished.get(key)
            if finish is not None:
                return source, finish
        return _NOWHERE, None

    def _value_of(self, source: Source, finish: Finish) -> Recorded | None:
        answer = Recorded(finish.kind, finish.skip, partial(source.read, finish.place))
        return answer if has_value(answer) else None


def _read_nothing(_: Place) -> bytes:
    return b""


_NOWHERE = Source(Finished(), {}, _read_nothing)


def _name_of(source: Source, slave: int) -> str:
    known = source.slaves.get(slave)
    return "" if known is None else known.name


class _Row:
    """Items in a row whose values lie in a row."""

    def __init__(
        self,
        span: ItemSpan,
        first: int = 0,
        source: Source | None = None,
        place: Place | None = None,
        answer: Recorded | None = None,
        slave: str = "",
    ) -> None:
        self.count = 0
        self._span = span
        self._first = first
        self._source = source
        self._place = place
        self._answer = answer
        self._slave = slave

    def goes_on(self, item: int, source: Source, finish: Finish) -> bool:
        """Tell whether this item is the next one."""
        return (
            self._answer is not None
            and source is self._source
            and finish.place == self._place
            and item == self._first + self.count
            and finish.skip == self._answer.skip + self.count
            and self._answer.skip >= 0
            and self._answer.kind == VALUE
        )

    def put(self) -> None:
        """Hand the answers over."""
        if self._answer is not None:
            self._span.settle(self._first, self.count, self._answer, 0, self._slave)


def _key_of(value: Any) -> bytes | None:
    return value.keys or None if isinstance(value, FarmFuture) else None


def _explicit(given: object) -> bytes:
    try:
        return explicit_key(given)
    except NoIdentity as none:
        raise BadInput(f"key={given!r} cannot be a task's key: {none}; give a text") from None
