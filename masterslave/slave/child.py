"""The process that runs tasks, one at a time. Runs as a script of its own: it imports nothing of
this project, so that it starts fast and a task's modules meet none of ours.

Frames come in on what was standard input, and go out on what was standard output; a task's own
prints go to standard error. The process ends when its input does, even in the middle of a task;
what the task has forked or started ends with it, unless it has made a session of its own.

::

    agent -> child   Prepare (once a farm), Define (once a function), Forget, Run
    child -> agent   Ready, Finished
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, BinaryIO

import msgspec

__all__ = ["Define", "Finished", "Forget", "Prepare", "Ready", "Run", "read_frame", "write_frame"]

_LENGTH = struct.Struct("!Q")


class Prepare(msgspec.Struct, tag=True):
    """Where modules are looked for besides the usual places."""

    search_path: tuple[str, ...]


class Define(msgspec.Struct, tag=True):
    """A function, by the hash of its pickled form."""

    function: bytes
    pickled: bytes


class Forget(msgspec.Struct, tag=True):
    """This function is not called any more, or will be defined again."""

    function: bytes


class Run(msgspec.Struct, tag=True):
    """A call: the pickled (args, kwargs)."""

    task: int
    attempt: int
    function: bytes
    arguments: bytes


class Ready(msgspec.Struct, tag=True):
    """The child is up."""


class Finished(msgspec.Struct, tag=True):
    """What became of a call: a pickled value, or a description of what was raised."""

    task: int
    attempt: int
    raised: bool
    payload: bytes
    seconds: float


class Described(msgspec.Struct):
    """An exception in words, and pickled where that works; the wire's ``Raised``."""

    type_name: str
    message: str
    traceback: str
    pickled: bytes = b""
    parts: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_to_child = msgspec.msgpack.Decoder(Prepare | Define | Forget | Run)
_from_child = msgspec.msgpack.Decoder(Ready | Finished)


def write_frame(stream: BinaryIO, frame: msgspec.Struct) -> None:
    """Write one frame, with its length before it."""
    body = _encode(frame)
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def read_frame(stream: BinaryIO) -> Ready | Finished | None:
    """Read what a child says; None at the end of the stream, also in mid-frame."""
    body = _read_body(stream)
    return None if body is None else _from_child.decode(body)


def _read_body(stream: BinaryIO) -> bytes | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return body if len(body) == length else None


class _NotPicklableError(Exception):
    """A result cannot be sent; the wire's name for it is below."""


_NOT_PICKLABLE = "masterslave.errors.NotPicklable"


class _Caller:
    """Runs calls; keeps the functions that it was sent."""

    def __init__(self) -> None:
        self._pickled: dict[bytes, bytes] = {}
        self._functions: dict[bytes, Callable[..., Any]] = {}

    def define(self, frame: Define) -> None:
        self._pickled[frame.function] = frame.pickled

    def forget(self, frame: Forget) -> None:
        self._pickled.pop(frame.function, None)
        self._functions.pop(frame.function, None)

    def run(self, call: Run) -> Finished:
        start = time.perf_counter()
        try:
            function = self._function(call.function)
            args, kwargs = pickle.loads(call.arguments)
            value = function(*args, **kwargs)
            payload, raised = _pickle_value(value, function), False
        except BaseException as error:
            payload, raised = _encode(_describe(error)), True
        seconds = time.perf_counter() - start
        return Finished(call.task, call.attempt, raised, payload, seconds)

    def _function(self, digest: bytes) -> Callable[..., Any]:
        if digest not in self._functions:
            self._functions[digest] = pickle.loads(self._pickled[digest])
            del self._pickled[digest]
        return self._functions[digest]


def _pickle(value: Any) -> bytes:
    """Pickle by reference where the script can follow it, by value what lives in ``__main__``."""
    try:
        data = pickle.dumps(value, protocol=5)
        if b"__main__" not in data:
            return data
    except Exception:
        pass
    import cloudpickle

    by_value: bytes = cloudpickle.dumps(value, protocol=5)
    return by_value


def _pickle_value(value: Any, function: Callable[..., Any]) -> bytes:
    try:
        return _pickle(value)
    except Exception as error:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise _NotPicklableError(
            f"the result of {name}() cannot be sent back: {_one_line(error)}; "
            "return plain data, such as numbers, texts, lists or arrays"
        ) from None


def _describe(error: BaseException) -> Described:
    kind = type(error)
    frames = error.__traceback__
    if frames is not None and frames.tb_frame.f_code is _Caller.run.__code__:
        frames = frames.tb_next
    text = "".join(traceback.format_exception(kind, error, frames))
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    described = Described(f"{module}{kind.__qualname__}", _one_line(error), text)
    if isinstance(error, _NotPicklableError):
        described.type_name = _NOT_PICKLABLE
        return described
    if isinstance(error, SystemExit):
        described.message = f"the task called sys.exit({error.code!r}): return a value or raise"
    if isinstance(error, Exception):
        bare = error.with_traceback(None)
        described.pickled = _pickle_proved(bare)
        if not described.pickled:
            described.parts = _pickle_proved((kind, error.args, vars(error)))
    return described


def _pickle_proved(value: Any) -> bytes:
    """Pickle, and prove that it can be made again: exceptions whose ``__init__`` wants other
    arguments than ``args`` cannot. Empty where it fails.
    """
    try:
        pickled = _pickle(value)
        pickle.loads(pickled)
    except BaseException:  # it may run any code
        return b""
    return pickled


def _one_line(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())
    except BaseException:
        return "an error whose text cannot be made"


def _pump(stream: BinaryIO, frames: SimpleQueue[Any]) -> None:
    """Read frames beside the running task: when the agent is gone, so is this process."""
    while (body := _read_body(stream)) is not None:
        frames.put(_to_child.decode(body))
    if hasattr(os, "getpgrp") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _take_over_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the agent's pipes for frames, and let a task read nothing and print to the terminal."""
    frames_in, frames_out = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    sys.stdout = io.TextIOWrapper(
        io.FileIO(1, "w", closefd=False), line_buffering=True, write_through=True
    )
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=partial(_disown, frames_in, frames_out))
    return os.fdopen(frames_in, "rb"), os.fdopen(frames_out, "wb")


def _disown(*descriptors: int) -> None:
    """In a process that a task forked: let go of the pipes, or the agent would not see us end."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


def main() -> None:
    """Run tasks until the agent closes the pipe."""
    source, sink = _take_over_standard_streams()
    frames: SimpleQueue[Prepare | Define | Forget | Run] = SimpleQueue()
    threading.Thread(target=_pump, args=(source, frames), name="frames", daemon=True).start()
    caller = _Caller()
    write_frame(sink, Ready())
    while True:
        frame = frames.get()
        match frame:
            case Prepare():
                sys.path[0:0] = [path for path in frame.search_path if path not in sys.path]
            case Define():
                caller.define(frame)
            case Forget():
                caller.forget(frame)
            case Run():
                write_frame(sink, caller.run(frame))


if __name__ == "__main__":
    main()
