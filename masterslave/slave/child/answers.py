"""What a call's end looks like in bytes: values and exceptions."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from types import CodeType, GeneratorType, TracebackType
from typing import Any

import msgspec

from ...packed import NotData, TooLarge, pack_value, pickle_value
from .frames import MAX_PAYLOAD_BYTES, NOT_DATA, NOT_PICKLABLE, Raised

__all__ = [
    "TakenBack",
    "Unable",
    "Unsendable",
    "describe",
    "name_of",
    "one_line",
    "pack_result",
    "say_of_memory",
    "small_enough",
]

encode = msgspec.msgpack.Encoder().encode

hidden: set[CodeType] = set()
"""Code of ours that a traceback does not begin with."""


class Unsendable(Exception):
    """There is no result that can be sent, though nothing was raised by the task; a cause of it is
    shown as its traceback.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(message)
        self.type_name = type_name


class Unable(Unsendable):
    """This slave cannot run the call; others may be able to."""


class TakenBack(BaseException):
    """What the call needs is not there any more: somebody else runs it, or has."""


def pack_result(value: Any, function: Callable[..., Any], data_only: bool) -> bytes:
    """Return a result as bytes.

    Raises:
        Unsendable: It cannot be sent, or is too large.
    """
    try:
        return small_enough(pack_value(value, data_only=data_only))
    except Unsendable:
        raise
    except TooLarge as error:
        raise _too_large(error.args[0]) from None
    except NotData as error:
        raise Unsendable(
            NOT_DATA,
            f"the result of {name_of(function)}() is no data, and data only is taken "
            f'(Farm(results="data"), or a slave with --only or another Python): {one_line(error)}; '
            "return plain data, such as numbers, texts, lists or arrays",
        ) from None
    except Exception as error:
        what = "is a generator" if type(value) is GeneratorType else one_line(error)
        raise Unsendable(
            NOT_PICKLABLE,
            f"the result of {name_of(function)}() cannot be sent back: {what}; "
            "return plain data, such as numbers, texts, lists or arrays",
        ) from None


def small_enough(payload: bytes) -> bytes:
    """Return a payload that fits into a message.

    Raises:
        Unsendable: It does not.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise _too_large(len(payload))
    return payload


def _too_large(size: int) -> Unsendable:
    return Unsendable(
        NOT_PICKLABLE,
        f"the result takes {size / 2**20:.0f} MiB, at most {MAX_PAYLOAD_BYTES // 2**20} travel: "
        "write it to a file and return its name",
    )


def say_of_memory(limit_bytes: int) -> None:
    """From now on, a ``MemoryError`` says what there is."""
    note = (
        f"a task of this slave has {limit_bytes / 2**20:.0f} MiB: start it with fewer --slots or "
        "more --memory, or make smaller tasks"
    )
    _of_memory.append(note)


_of_memory: list[str] = []


def describe(error: BaseException, data_only: bool) -> bytes:
    """Return an exception as the wire's ``Raised``; this never fails."""
    kind = type(error)
    message = one_line(error)
    shown = error
    if _of_memory and isinstance(error, MemoryError):
        error.add_note(_of_memory[0])
    if isinstance(error, Unsendable):
        if error.__cause__ is None:
            return encode(Raised(error.type_name, message, message))
        shown = error.__cause__
    try:
        text = _traceback_of(shown)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        raised = Raised(f"{module}{kind.__qualname__}", _clean(message), text)
    except Exception as broken:  # it breaks whoever looks at it
        name = type.__dict__["__qualname__"].__get__(kind)
        raised = Raised(name, message, f"{name}, which cannot be shown: {type(broken).__name__}")
    if isinstance(error, Unsendable):
        raised.type_name = error.type_name
        return encode(raised)
    if isinstance(error, SystemExit):
        raised.message = f"the task called sys.exit({error.code!r}): return a value or raise"
    if isinstance(error, ModuleNotFoundError):
        raised.missing = _name_of_missing(error)
    if isinstance(error, Exception):
        bare = error.with_traceback(None)
        if data_only:
            raised.data = _as_data(bare)
        else:
            raised.pickled = _pickle_proved(bare)
            if not raised.pickled:
                raised.parts = _pickle_proved((kind, error.args, getattr(error, "__dict__", {})))
    if sum(map(len, (raised.pickled, raised.parts, raised.data))) > MAX_PAYLOAD_BYTES // 2:
        raised.pickled = raised.parts = raised.data = b""
    return encode(raised)


def _name_of_missing(error: ModuleNotFoundError) -> str:
    """Return the name of a module that is not to be had here; empty if it is."""
    name = getattr(error, "name", None)
    if type(name) is not str:
        return ""
    try:
        return "" if find_spec(name) is not None else name
    except Exception:  # its package is not found, or is none
        return name


def _traceback_of(error: BaseException) -> str:
    """Return the traceback without our part of it; raises what the error does where it is shown."""
    frames = without_ours(error.__traceback__)
    return _clean("".join(traceback.format_exception(type(error), error, frames)))


def without_ours(frames: TracebackType | None) -> TracebackType | None:
    """Return a traceback from the first frame on that is not ours."""
    while frames is not None and frames.tb_frame.f_code in hidden:
        frames = frames.tb_next
    return frames


def _as_data(error: Exception) -> bytes:
    """Write by the codec, which runs no code where it is read; empty where it cannot."""
    try:
        from remoteobj import codec

        return codec.encode(error)
    except Exception:
        return b""


def _pickle_proved(value: Any) -> bytes:
    """Pickle, and prove that it can be made again: exceptions whose ``__init__`` wants other
    arguments than ``args`` cannot. Empty where it fails.
    """
    try:
        pickled = pickle_value(value)
        pickle.loads(pickled)
    except BaseException:  # it may run any code
        return b""
    return pickled


def name_of(function: Callable[..., Any]) -> str:
    """Return what a function is called, for people."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name)


def one_line(error: BaseException) -> str:
    """Return the text of an error in one line, whatever its class does."""
    try:
        return _clean(" ".join(str(error).split()))
    except BaseException:
        return "an error whose text cannot be made"


def _clean(text: str) -> str:
    """Replace lone surrogates, which are no UTF-8."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
