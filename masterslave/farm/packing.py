"""Into bytes and back: functions and arguments on their way out, answers on their way in.

A function travels by cloudpickle each time that it is submitted, so that it takes along what its
globals are now. Arguments go by pickle where that suffices, which is ten times as fast; what lives
in ``__main__`` goes by value, because a slave's ``__main__`` is another one.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any

import cloudpickle
import msgspec

from masterslave.errors import NotPicklable, SlaveTraceback, TaskFailed, TaskLost
from masterslave.master.shell import GivenUp
from masterslave.protocol import MAX_PAYLOAD_BYTES, NOT_PICKLABLE, RAISED, Outcome, Raised

__all__ = ["name_of_function", "pack_arguments", "pack_function", "unpack"]


def name_of_function(function: Callable[..., Any]) -> str:
    """Return what a function is called, for people."""
    while isinstance(function, functools.partial):  # its repr() holds the arguments
        function = function.func
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return name if isinstance(name, str) else type(function).__qualname__


def pack_function(function: Callable[..., Any]) -> bytes:
    """Pickle a function.

    Raises:
        NotPicklable: It uses something that cannot leave this process, such as an open file or a
            lock: make that inside the function instead.
    """
    if not callable(function):
        raise NotPicklable(f"a task is a function, not {function!r}")
    try:
        packed: bytes = cloudpickle.dumps(function, protocol=5)
    except Exception as error:
        raise NotPicklable(
            f"function {name_of_function(function)}() cannot be sent to a slave: {_reason(error)}; "
            "make files, locks and connections inside the function"
        ) from error
    return _small_enough(packed, f"function {name_of_function(function)}()")


def pack_arguments(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> bytes:
    """Pickle a call's arguments.

    Raises:
        NotPicklable: One of them cannot leave this process.
    """
    what = f"the arguments of {name_of_function(function)}()"
    try:
        packed = pickle.dumps((args, kwargs), protocol=5)
        if b"__main__" not in packed:
            return _small_enough(packed, what)
    except NotPicklable:
        raise
    except Exception:  # cloudpickle can do more, and says what it cannot
        pass
    try:
        by_value: bytes = cloudpickle.dumps((args, kwargs), protocol=5)
    except Exception as error:
        culprit = _first_unpicklable(args, kwargs)
        raise NotPicklable(
            f"argument {culprit} of {name_of_function(function)}() cannot be sent to a slave: "
            f"{_reason(error)}; send plain data instead"
        ) from error
    return _small_enough(by_value, what)


def unpack(
    answer: Outcome | GivenUp, slave: str, function: str
) -> tuple[Any, BaseException | None]:
    """Return a task's value, or the exception to raise in its place.

    Never raises, whatever the code does that unpickling runs: a future waits for it.
    """
    if isinstance(answer, GivenUp):
        story = "; ".join(answer.story)
        return None, TaskLost(
            f"a task of {function}() was given up after {len(answer.story)} hand-outs: {story}",
            answer.story,
        )
    if answer.kind == RAISED:
        return None, _unpack_exception(answer.payload, slave)
    try:
        return pickle.loads(answer.payload), None
    except BaseException as error:
        return None, NotPicklable(
            f"the result of {function}() from slave {slave} cannot be rebuilt here: "
            f"{type(error).__name__}: {_reason(error)}"
        )


def _unpack_exception(payload: bytes, slave: str) -> BaseException:
    raised = msgspec.msgpack.decode(payload, type=Raised)
    cause = SlaveTraceback(slave, raised.traceback)
    try:
        error = _rebuild(raised)
        if isinstance(error, Exception):
            error.__cause__ = cause
            return error
    except BaseException:  # its class is not to be had here, or is no good: then in words
        pass
    in_words = (
        NotPicklable(raised.message)
        if raised.type_name == NOT_PICKLABLE
        else TaskFailed(raised.type_name, raised.message)
    )
    in_words.__cause__ = cause
    return in_words


def _rebuild(raised: Raised) -> Any:
    if raised.pickled:
        return pickle.loads(raised.pickled)
    if not raised.parts:
        return None
    kind, args, attributes = pickle.loads(raised.parts)
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


def _small_enough(packed: bytes, what: str) -> bytes:
    if len(packed) > MAX_PAYLOAD_BYTES:
        raise NotPicklable(
            f"{what} take {len(packed) / 2**20:.0f} MiB, at most {MAX_PAYLOAD_BYTES // 2**20} "
            "travel: send the name of a file that the slaves can read instead"
        )
    return packed


def _first_unpicklable(args: Any, kwargs: dict[str, Any]) -> str:
    named = [*((str(number + 1), value) for number, value in enumerate(args)), *kwargs.items()]
    for name, value in named:
        try:
            cloudpickle.dumps(value)
        except Exception:
            return f"{name!r}" if name in kwargs else name
    return "?"


def _reason(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except BaseException:
        text = ""
    return text or type(error).__name__
