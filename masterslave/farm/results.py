"""Futures as arguments: the result goes to the task as a shared object, once to each slave.

A task that is given the future of another one waits for it (``after``). Its arguments are pickled
at once, with a reference in the place of the future; what that refers to, the result as its slave
has packed it, is kept when it comes, and is fetched by who unpickles the reference.
"""

from __future__ import annotations

import weakref
from typing import Any

from masterslave.errors import NotPicklable
from masterslave.farm.futures import FarmFuture
from masterslave.farm.handles import Handle
from masterslave.master.sharing import Blobs, Promised
from masterslave.master.submission import Answer, Recorded
from masterslave.packed import PICKLED, pack_value
from masterslave.protocol.outcomes import VALUE, Outcome

__all__ = ["Results"]

_INLINE_BYTES = 64 * 1024
"""Results that are here already, and smaller, travel in the arguments."""


class Results:
    """Results that tasks of one farm are given.  Threads: any.

    Args:
        data_only: What is pickled is no result, and goes to no other slave.

    Attributes:
        wanted: Futures that have no answer yet, and what is to become of their results.
    """

    def __init__(self, blobs: Blobs, origin: str, *, data_only: bool) -> None:
        self._data_only = data_only
        self.wanted: dict[FarmFuture[Any], Promised] = {}
        self._blobs, self._origin = blobs, origin
        self._promised: weakref.WeakKeyDictionary[FarmFuture[Any], Promised] = (
            weakref.WeakKeyDictionary()
        )

    def stand_in(
        self, owner: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], tuple[FarmFuture[Any], ...]]:
        """Return arguments with what is pickled in the place of futures, and those.

        Args:
            owner: What submits the tasks of this farm.
        Raises:
            NotPicklable: One is of another farm, or its result cannot be sent anew.
        """
        given = [each for each in (*args, *kwargs.values()) if type(each) is FarmFuture]
        for future in given:
            if future._owner is not owner:
                raise NotPicklable(f"{future!r} is of another farm: give the task its result()")
        places = {future: self._in_place_of(future) for future in given}
        named = {
            name: places[each] if type(each) is FarmFuture else each
            for name, each in kwargs.items()
        }
        row = [places[each] if type(each) is FarmFuture else each for each in args]
        return tuple(row), named, tuple(places)

    def _in_place_of(self, future: FarmFuture[Any]) -> Any:
        if future.has_failed:  # then so will the task
            return None
        promised = self._promised.get(future)
        if promised is None:
            if future.done() and len(_pack(future)) <= _INLINE_BYTES:
                return future.result()
            promised = self._promised[future] = self._blobs.promise()
            promised.of = weakref.ref(future)
            self.wanted[future] = promised  # before the look: who settles it looks after that
            if future.done() and self.wanted.pop(future, None) is not None:
                self._blobs.keep(promised, _pack(future))
        return Handle(promised, self._origin)

    def note(self, future: FarmFuture[Any], answer: Answer | None) -> None:
        """A future has its answer; called after it says so itself."""
        promised = self.wanted.pop(future, None)
        if promised is None:
            return
        if isinstance(answer, Recorded):
            answer = Outcome(0, 0, 1, VALUE, _pack(future))
        if not isinstance(answer, Outcome) or answer.kind != VALUE:
            return
        if self._data_only and answer.payload[:1] == PICKLED:
            self._blobs.refuse(promised, "it came pickled, and data only is taken")
        else:
            self._blobs.keep(promised, answer.payload)


def _pack(future: FarmFuture[Any]) -> bytes:
    try:
        return pack_value(future.result())
    except Exception as error:
        raise NotPicklable(
            f"the result of {future.function.name}() cannot be sent to another task: {error}"
        ) from error
