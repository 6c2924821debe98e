"""A child's main thread, which reads and runs, and the watchdog beside it."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from ...memory import reuse_large_blocks
from .answers import say_of_memory
from .calls import Caller
from .farm import Farm
from .frames import (
    CLOSED_EXIT,
    Call,
    CloseLane,
    Define,
    DropShared,
    Equip,
    Flush,
    Forget,
    Found,
    OpenLane,
    Prepare,
    Ready,
    Reclaim,
    Run,
    Unstarted,
    read_frame,
)
from .inherited import end_group, has_more, open_inherited
from .lane import Lanes
from .limits import become_reaper
from .outbox import Outbox
from .output import Output
from .stacks import write_to
from .tidy import Tidier

__all__ = ["main"]

_read_task = msgspec.msgpack.Decoder(
    Prepare | Equip | Define | Forget | Run | OpenLane | DropShared
).decode
_read_control = msgspec.msgpack.Decoder(Reclaim | Flush | CloseLane | Found).decode


class Pending:
    """Calls that were read and not started; whoever pops one decides about it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._calls: dict[int, Call] = {}
        self._reclaimed: set[int] = set()

    @property
    def is_contested(self) -> bool:
        """Whether calls are to be taken back that were not read yet."""
        return bool(self._reclaimed)

    def add(self, first: int, calls: list[Call]) -> Callable[[int, None], Call | None]:
        """Note calls that were read; returns what takes one of them to run it."""
        self._calls.update(zip(range(first, first + len(calls)), calls, strict=True))
        if self._reclaimed:
            self._give_back(self._reclaimed.copy(), before=first)
        return self._calls.pop

    def reclaim(self, numbers: list[int]) -> None:
        """Take calls back that were not started, and those that will be read, when they are."""
        self._reclaimed.update(numbers)
        self._give_back(set(numbers))

    def _give_back(self, numbers: set[int], before: int = 0) -> None:
        taken = [number for number in sorted(numbers) if self._calls.pop(number, None)]
        self._reclaimed.difference_update(taken)
        for number in numbers:
            if number < before:  # it was started before it was taken back
                self._reclaimed.discard(number)
        if taken:
            self._outbox.say(Unstarted(taken))


def main(arguments: list[str]) -> None:
    """Run tasks until the agent closes the pipes."""
    reuse_large_blocks()
    pipes = open_inherited(arguments)
    if pipes.stacks >= 0:
        write_to(pipes.stacks)
    outbox = Outbox(pipes.results)
    tidier = Tidier()
    tidier.install()
    caller = Caller(outbox, pipes.mark, tidier=tidier)
    output = outbox.output = Output(caller, pipes.mark)
    tidier.renew_streams = output.renew
    pending = Pending(outbox)
    lanes = Lanes(pipes.lanes, caller, outbox, pipes.mark)
    _show_to_tasks(caller)
    watchdog = threading.Thread(
        target=_watch,
        args=(pipes.control, pending, outbox, lanes, caller),
        name="watchdog",
        daemon=True,
    )
    watchdog.start()
    outbox.say(Ready())
    if pipes.memory_bytes:
        say_of_memory(pipes.memory_bytes)
    _warm_up(output)
    try:
        _serve(pipes.tasks, caller, pending, outbox, lanes, output)
    except BrokenPipeError:  # nobody hears us any more
        pass
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        os._exit(CLOSED_EXIT)  # the agent ends the rest of the group
    caller.close()
    end_group()


def _show_to_tasks(caller: Caller) -> None:
    """Set what arguments and functions find by the name of this package."""

    def take_shared(digest: bytes, origin: str) -> Any:
        return caller.shared.take(digest, origin)

    take_shared.__module__, take_shared.__qualname__ = "_masterslave", "take_shared"
    here: Any = sys.modules["_masterslave"]
    here.take_shared = take_shared
    here.report_progress = caller.report_progress


def _warm_up(output: Output) -> None:
    """Do what takes a moment, while nothing else is to be done: import what functions of a script
    are pickled with, and see to it that what tasks start stays below this process.
    """
    output.take_log_records()
    become_reaper()
    with contextlib.suppress(ImportError):
        import cloudpickle  # noqa: F401


def _serve(
    tasks: BinaryIO,
    caller: Caller,
    pending: Pending,
    outbox: Outbox,
    lanes: Lanes,
    output: Output,
) -> None:
    farms: dict[int, Farm] = {}
    is_to_tell = False
    while (read := read_frame(tasks)) is not None:
        body, tail = read
        frame = _read_task(body)
        if type(frame) is Run:
            if tail:
                frame.calls[-1].arguments = tail
            _run(frame, farms[frame.farm], caller, pending, outbox)
            is_to_tell = True
        elif type(frame) is OpenLane:
            lanes.open(frame, farms[frame.farm])
        else:
            _note(frame, tail, farms, caller, output)
        if is_to_tell and not has_more(tasks):  # else it is told with what comes of that
            outbox.flush()
            caller.tidier.look()
            is_to_tell = False


def _note(
    frame: Prepare | Equip | Define | Forget | DropShared,
    tail: bytes,
    farms: dict[int, Farm],
    caller: Caller,
    output: Output,
) -> None:
    match frame:
        case Define():
            caller.pickled[frame.function] = tail or frame.pickled
        case Forget():
            for function in frame.functions:
                caller.forget(function)
        case Equip():
            caller.equip(frame.entries, frame.sources)
        case DropShared():
            caller.drop_shared(frame.farm, frame.digests)
        case Prepare():
            farms[frame.farm] = caller.meet(frame)
            output.set_log_levels(frame.log_levels)
            sys.path[0:0] = [path for path in frame.search_path if path not in sys.path]


def _run(frame: Run, farm: Farm, caller: Caller, pending: Pending, outbox: Outbox) -> None:
    first, calls = frame.first, frame.calls
    run = caller.run
    if len(calls) == 1 and not pending.is_contested:  # it is started in this moment
        if run(first, calls[0], farm) > outbox.due:
            outbox.flush()
        return
    take = pending.add(first, calls)
    for number in range(first, first + len(calls)):
        call = take(number, None)
        if call is not None and run(number, call, farm) > outbox.due:
            outbox.flush()
            caller.tidier.look()


def _watch(
    control: BinaryIO, pending: Pending, outbox: Outbox, lanes: Lanes, caller: Caller
) -> None:
    """Hear the agent beside the running task: when it is gone, so is this process."""
    try:
        while (read := read_frame(control)) is not None:
            match _read_control(read[0]):
                case Reclaim() as reclaim:
                    pending.reclaim(reclaim.numbers)
                case Flush():
                    outbox.flush()
                case CloseLane() as close:
                    lanes.close(close.number)
                case Found() as answer:
                    caller.shared.found(answer)
    except BrokenPipeError:
        pass
    finally:
        end_group()
