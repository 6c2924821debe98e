"""Into bytes and back: arguments on their way out, answers on their way in.

Arguments go by pickle where that suffices, which is ten times as fast; what lives
in ``__main__`` goes by value, because a slave's ``__main__`` is another one.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import cloudpickle
import msgspec

from masterslave.errors import (
    FarmError,
    NotData,
    NotPicklable,
    NotShared,
    SetupFailed,
    SlaveTraceback,
    TaskError,
    TaskFailed,
    TaskLost,
    TaskOutOfMemory,
    TaskTimedOut,
    TaskUnknown,
)
from masterslave.farm.here.tracebacks import give_back
from masterslave.master.submission import GivenUp
from masterslave.packed import NotData as NotDataOnly
from masterslave.packed import pack_value, unpack_value
from masterslave.printed import show_text
from masterslave.protocol.hand_outs import MAX_PAYLOAD_BYTES
from masterslave.protocol.outcomes import (
    NOT_DATA,
    NOT_PICKLABLE,
    NOT_SHARED,
    OUT_OF_MEMORY,
    RAISED,
    SETUP_FAILED,
    TASK_UNKNOWN,
    TIMED_OUT,
    Outcome,
    Raised,
)
from remoteobj import codec
from remoteobj.unreadable import UNREADABLE

__all__ = [
    "lost_too_often",
    "pack_arguments",
    "pack_items",
    "pack_named",
    "reason_of",
    "small_enough",
    "unpack",
    "unpack_exception",
    "why_not_item",
]


_LARGE_BYTES = 64 * 1024

Loads = Callable[[bytes], Any]


def pack_arguments(function: str, args: Any, kwargs: dict[str, Any]) -> bytes:
    """Pickle a call's arguments.

    Args:
        function: The function's name, for people.
    Raises:
        NotPicklable: One of them cannot leave this process.
    """
    try:
        packed = pickle.dumps((args, kwargs), 5)
        if not _names_main(packed, (args, kwargs)):
            if len(packed) > MAX_PAYLOAD_BYTES:
                small_enough(packed, f"the arguments of {function}()")
            return packed
    except NotPicklable:
        raise
    except Exception:  # cloudpickle can do more, and says what it cannot
        pass
    try:
        by_value: bytes = cloudpickle.dumps((args, kwargs), protocol=5)
    except Exception as error:
        culprit = _first_unpicklable(args, kwargs)
        raise NotPicklable(
            f"argument {culprit} of {function}() cannot be sent to a slave: {reason_of(error)}; "
            "send plain data instead"
        ) from error
    return small_enough(by_value, f"the arguments of {function}()")


def pack_named(function: str, args: Any, kwargs: dict[str, Any]) -> bytes:
    """Pack the arguments of a named task: as data where that is possible, else pickled.

    Raises:
        NotPicklable: One of them cannot leave this process.
    """
    try:
        packed = pack_value((args, kwargs))
    except Exception as error:
        culprit = _first_unpicklable(args, kwargs)
        raise NotPicklable(
            f"argument {culprit} of task {function!r} cannot be sent to a slave: "
            f"{reason_of(error)}; send plain data instead"
        ) from error
    return small_enough(packed, f"the arguments of task {function!r}")


def pack_items(items: list[Any], *, is_named: bool = False) -> bytes:
    """Pickle the items of a span, or pack those of a named task.

    Raises:
        Exception: One of them cannot leave this process; ``why_not_item`` says why.
    """
    if is_named:
        return small_enough(pack_value(items), "the items")
    try:
        packed = pickle.dumps(items, 5)
        is_done = not _names_main(packed, items)
    except Exception:  # cloudpickle can do more: functions made in a function, for one
        is_done = False
    if not is_done:
        packed = cloudpickle.dumps(items, protocol=5)
    return small_enough(packed, "the items")


def _names_main(packed: bytes, value: Any) -> bool:
    """Tell whether something of ``__main__`` is pickled by its name: a slave's is another one."""
    if len(packed) > _LARGE_BYTES:  # arrays are not searched
        aside: list[pickle.PickleBuffer] = []
        packed = pickle.dumps(value, 5, buffer_callback=aside.append)
    return b"__main__" in packed


def why_not_item(function: str, item: Any) -> NotPicklable | None:
    """Return why an item cannot be sent, or None if it can."""
    try:
        small_enough(cloudpickle.dumps(item, protocol=5), f"the bytes of an item for {function}()")
    except NotPicklable as error:
        return error
    except BaseException as error:  # exit() in what an item does when it is pickled
        return NotPicklable(
            f"an item for {function}() cannot be sent to a slave: {reason_of(error)}; "
            "send plain data instead"
        )
    return None


def unpack(
    answer: Outcome | GivenUp,
    slave: str,
    function: str,
    *,
    data_only: bool = False,
    loads: Loads = pickle.loads,
) -> tuple[Any, BaseException | None]:
    """Return a task's value, or the exception to raise in its place.

    Never raises, whatever the code does that unpickling runs: a future waits for it.

    Args:
        data_only: Refuse what only pickle can read.
        loads: Unpickles exceptions.
    """
    if isinstance(answer, GivenUp):
        return None, lost_too_often(answer, function)
    if answer.kind == RAISED:
        error = unpack_exception(answer.payload, slave, function, data_only=data_only, loads=loads)
        return None, error
    try:
        return unpack_value(answer.payload, data_only=data_only), None
    except NotDataOnly as error:
        return None, NotData(f"the result of {function}() from slave {slave} was refused: {error}")
    except BaseException as error:
        return None, NotPicklable(
            f"the result of {function}() from slave {slave} cannot be rebuilt here: "
            f"{type(error).__name__}: {reason_of(error)}"
        )


def lost_too_often(answer: GivenUp, function: str) -> TaskLost:
    """Return the error of a task that was given up."""
    story = "; ".join(answer.story)
    return TaskLost(
        f"a task of {function}() was given up after {len(answer.story)} hand-outs: {story}",
        answer.story,
    )


def unpack_exception(
    payload: bytes,
    slave: str,
    function: str = "a task",
    *,
    data_only: bool = False,
    loads: Loads = pickle.loads,
) -> BaseException:
    """Return the exception that a task has raised, with the slave's traceback as its cause; where
    the task ran in a thread of this process, with its own traceback.

    Args:
        slave: Which one; empty if only a look at the exception is wanted.
        loads: Unpickles it.

    Never raises: what cannot be rebuilt here is a ``TaskFailed`` that says what it was.
    """
    try:
        raised = msgspec.msgpack.decode(payload, type=Raised)
    except UNREADABLE as fault:
        return TaskFailed("an exception", f"slave {slave} sent it unreadable: {fault}")
    cause = SlaveTraceback(slave, raised.traceback)
    try:
        error = _rebuild_data(raised) if data_only else _rebuild(raised, loads)
        if isinstance(error, Exception):
            if not give_back(error, payload, is_last=bool(slave)):
                error.__cause__ = cause
            return error
    except BaseException:  # its class is not to be had here, or is no good: then in words
        pass
    stopped = _OF_STOPPED.get(raised.type_name)
    if stopped is not None:
        ended = stopped(f"{function}() on slave {slave}: {show_text(raised.message)}")
        if raised.post_mortem is not None and raised.post_mortem.stacks:
            ended.__cause__ = SlaveTraceback(slave, show_text(raised.traceback))
        return ended
    kind = _OF_RESULTS.get(raised.type_name)
    in_words = kind(raised.message) if kind else TaskFailed(raised.type_name, raised.message)
    if not give_back(in_words, payload, is_last=bool(slave)):
        in_words.__cause__ = cause
    return in_words


_OF_STOPPED: dict[str, type[TaskError]] = {
    TIMED_OUT: TaskTimedOut,
    OUT_OF_MEMORY: TaskOutOfMemory,
}
_OF_RESULTS: dict[str, type[FarmError]] = {
    NOT_PICKLABLE: NotPicklable,
    NOT_DATA: NotData,
    NOT_SHARED: NotShared,
    SETUP_FAILED: SetupFailed,
    TASK_UNKNOWN: TaskUnknown,
}


def _rebuild_data(raised: Raised) -> Any:
    return codec.decode(raised.data) if raised.data else None


def _rebuild(raised: Raised, loads: Loads) -> Any:
    if raised.pickled:
        return loads(raised.pickled)
    if not raised.parts:
        return _rebuild_data(raised)
    kind, args, attributes = loads(raised.parts)
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


def small_enough(packed: bytes, what: str) -> bytes:
    """Return what was pickled, unless it is too large to travel.

    Raises:
        NotPicklable: It is.
    """
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


def reason_of(error: BaseException) -> str:
    """Return the text of an error in one line, whatever its class does."""
    try:
        text = " ".join(str(error).split())
    except BaseException:
        text = ""
    return text or type(error).__name__
