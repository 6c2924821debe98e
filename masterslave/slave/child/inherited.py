"""What a child has from its agent: three pipes, the mark, and standard streams; by system."""

from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import sys
from functools import partial
from typing import BinaryIO, NamedTuple

from .frames import MARK_BYTES
from .limits import end_with, lift, limit_memory

__all__ = ["Inherited", "end_group", "has_more", "open_inherited"]


class Inherited(NamedTuple):
    """The child's ends."""

    tasks: BinaryIO
    control: BinaryIO
    results: int
    lanes: socket.socket | None
    mark: memoryview
    memory_bytes: int
    stacks: int


def open_inherited(arguments: list[str]) -> Inherited:
    """Open what the command line names, and keep it from the processes that tasks start."""
    if sys.platform == "win32":  # untried
        import msvcrt

        tasks = msvcrt.open_osfhandle(int(arguments[1]), os.O_RDONLY | os.O_BINARY)
        results = msvcrt.open_osfhandle(int(arguments[2]), os.O_BINARY)
        control = msvcrt.open_osfhandle(int(arguments[3]), os.O_RDONLY | os.O_BINARY)
        shared, lanes = mmap.mmap(-1, MARK_BYTES, tagname=arguments[5]), None
        memory_bytes, stacks = 0, -1
    else:
        *numbers, memory, life, stacks, memory_bytes, nice = map(int, arguments[1:10])
        tasks, results, control, handed, stacks = map(lift, (*numbers, stacks))
        shared = mmap.mmap(memory, MARK_BYTES)
        os.close(memory)
        end_with(lift(life))
        os.register_at_fork(
            after_in_child=partial(_disown, tasks, results, control, handed, stacks)
        )
        lanes = socket.socket(fileno=handed)
        os.nice(nice)
        if memory_bytes:
            limit_memory(memory_bytes)
    sys.argv[1:] = []
    return Inherited(
        os.fdopen(tasks, "rb", 65536),
        os.fdopen(control, "rb"),
        results,
        lanes,
        memoryview(shared).cast("q"),
        memory_bytes,
        stacks,
    )


def has_more(pipe: BinaryIO) -> bool:
    """Tell whether something waits in a pipe; no, where the system does not tell."""
    if sys.platform == "win32":  # select() takes sockets only there
        return False
    poll = _polls.get(pipe)
    if poll is None:
        poll = _polls[pipe] = select.poll()
        poll.register(pipe, select.POLLIN)
    return bool(poll.poll(0))


_polls: dict[BinaryIO, select.poll] = {}


def end_group() -> None:
    """End this process and those that tasks have started, but for sessions of their own."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _disown(*descriptors: int) -> None:
    """In a process that a task forked: let go of the pipes, or the agent would not see us end."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)
