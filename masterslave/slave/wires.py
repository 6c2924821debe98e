"""What connects an agent and a child: pipes and a bit of common memory; by system."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from masterslave.slave.capacity import thread_limits
from masterslave.slave.child.frames import MARK_BYTES
from masterslave.slave.processes import starting
from masterslave.slave.scratch import make_scratch, remove_scratch
from masterslave.slave.stacks import Stacks

__all__ = ["ANY", "CHILD_PROGRAM", "Conditions", "Wires", "hold_standard_streams", "start_child"]

CHILD_PROGRAM = str(Path(__file__).parent / "child" / "__main__.py")
_PIPE_BYTES = 1024 * 1024
_FOLDERS = ("TMPDIR",) if os.name != "nt" else ("TMP", "TEMP")
_SET_SIZE = 1031  # fcntl.F_SETPIPE_SZ, of Linux


@dataclass(frozen=True, slots=True)
class Conditions:
    """What holds for each child of a slave.

    Attributes:
        memory_bytes: What its task may take, with all that it starts; 0: what there is.
        nice: By how much its priority is lowered.
        threads: How many threads numerical libraries run, where the user has not said; 0: they
            choose.
    """

    memory_bytes: int = 0
    nice: int = 0
    threads: int = 0


@dataclass(slots=True)
class Wires:
    """The agent's ends.

    Attributes:
        mark: Two numbers: the call that runs in the child, and the item of it.
        output: What the child prints.
        lanes: Takes connections to the child; None where the system cannot hand them over.
        life: Nothing is written to it: the child's group is killed when it closes.
        scratch: The child's folder for temporary files.
        stacks: Where it writes them.
    """

    tasks: int
    control: int
    results: BinaryIO
    output: BinaryIO
    lanes: socket.socket | None
    mark: memoryview
    life: int
    scratch: Path
    stacks: Stacks

    def hang_up(self, *, now: bool = True) -> None:
        """Close what is written to: the child ends, or if not *now*, when it has done its tasks."""
        for name in ("tasks", "control", "life") if now else ("tasks",):
            descriptor = getattr(self, name)
            setattr(self, name, -1)
            if descriptor >= 0:
                os.close(descriptor)

    def close(self) -> None:
        """Close all of them."""
        self.hang_up()
        self.results.close()
        if self.lanes is not None:
            self.lanes.close()
        self.mark.release()
        self.stacks.close()


def hold_standard_streams() -> None:
    """Open what is closed of the descriptors 0, 1 and 2, on nothing.

    Else pipes and sockets that are made later get these numbers, and what tasks print goes there.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    while nothing <= 2:
        nothing = os.dup(nothing)
    os.close(nothing)


ANY = Conditions()
"""Nothing holds but for what the system says."""


def start_child(
    conditions: Conditions = ANY,
) -> tuple[subprocess.Popen[bytes], Wires]:
    """Start a child's process.

    Raises:
        OSError: There is no memory, or there are too many processes or files.
    """
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:

        def pipe_to_child() -> tuple[int, int]:
            reading, writing = os.pipe()
            theirs.callback(os.close, reading)
            ours.callback(os.close, writing)
            return reading, writing

        def pipe_from_child() -> tuple[int, int]:
            reading, writing = os.pipe()
            ours.callback(os.close, reading)
            theirs.callback(os.close, writing)
            return reading, writing

        tasks, our_tasks = pipe_to_child()
        control, our_control = pipe_to_child()
        life, our_life = pipe_to_child()
        our_results, results = pipe_from_child()
        our_output, output = pipe_from_child()
        _enlarge(our_tasks, our_results)
        our_lanes, lanes = _make_lanes()
        if our_lanes is not None and lanes is not None:
            theirs.callback(lanes.close)
            ours.callback(our_lanes.close)
        memory, shared, name = _make_mark()
        if memory >= 0:
            theirs.callback(os.close, memory)
        handed = str(lanes.fileno() if lanes is not None else -1)
        scratch = make_scratch()
        ours.callback(remove_scratch, scratch)
        stacks = Stacks()
        ours.callback(stacks.close)
        inherited = [*_inherit(tasks, results, control), handed, name, *_inherit(life)]
        inherited.append(str(stacks.descriptor))
        with starting() as known:
            process = subprocess.Popen(
                [sys.executable, "-P", CHILD_PROGRAM, *inherited, *_terms(conditions)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=own_session(),
                env=_environment(conditions, scratch),
                **_passing(tasks, results, control, int(handed), memory, life, stacks.descriptor),
                **_lowered(conditions.nice),
            )
            known.add(process.pid)
        ours.pop_all()
    if sys.platform != "win32":
        os.set_blocking(our_control, False)
    return process, Wires(
        our_tasks,
        our_control,
        os.fdopen(our_results, "rb", 65536),
        os.fdopen(our_output, "rb", 0),
        our_lanes,
        memoryview(shared).cast("q"),
        our_life,
        scratch,
        stacks,
    )


def _environment(conditions: Conditions, scratch: Path) -> dict[str, str]:
    environment = {**os.environ, **dict.fromkeys(_FOLDERS, str(scratch))}
    if conditions.threads:
        environment |= thread_limits(conditions.threads, os.environ)
    return environment


def _terms(conditions: Conditions) -> list[str]:
    return [str(conditions.memory_bytes), str(conditions.nice)]


def _lowered(nice: int) -> dict[str, Any]:
    """Return what tells ``Popen`` to start a child with a lower priority, on Windows."""
    if sys.platform == "win32" and nice > 0:  # untried
        return {"creationflags": subprocess.BELOW_NORMAL_PRIORITY_CLASS}
    return {}


def own_session() -> bool:
    """Tell whether ``Popen(start_new_session=)`` keeps the terminal's Ctrl-C from a child here.

    On Windows, where it means nothing, a child gets Ctrl-C like everybody in its console.
    """
    return os.name != "nt"


def _enlarge(*pipes: int) -> None:
    """Let pipes hold as much as is allowed, so that less is waited for (Linux)."""
    if sys.platform == "linux":
        import fcntl

        for each in pipes:
            with contextlib.suppress(OSError):
                fcntl.fcntl(each, _SET_SIZE, _PIPE_BYTES)


def _make_lanes() -> tuple[socket.socket | None, socket.socket | None]:
    """Make what connections are handed over by: the agent's end and the child's."""
    if sys.platform == "win32" or not hasattr(socket, "send_fds"):  # untried
        return None, None
    return socket.socketpair()


def _make_mark() -> tuple[int, mmap.mmap, str]:
    """Make memory that a child shares: its descriptor, or its name on Windows."""
    if sys.platform == "win32":  # untried
        name = f"remoteobj-mark-{os.getpid()}-{os.urandom(8).hex()}"
        return -1, mmap.mmap(-1, MARK_BYTES, tagname=name), name
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mark")
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, MARK_BYTES)
    shared = mmap.mmap(descriptor, MARK_BYTES)
    shared[:] = b"\xff" * MARK_BYTES
    return descriptor, shared, str(descriptor)


def _inherit(*descriptors: int) -> list[str]:
    """Return by which names a child knows descriptors that it inherits."""
    if sys.platform == "win32":  # untried
        import msvcrt

        handles = [msvcrt.get_osfhandle(each) for each in descriptors]
        for handle in handles:
            os.set_handle_inheritable(handle, True)
        return [str(handle) for handle in handles]
    return [str(each) for each in descriptors]


def _passing(*descriptors: int) -> dict[str, Any]:
    """Return what tells ``Popen`` to let a child have descriptors."""
    if sys.platform == "win32":  # untried
        import msvcrt

        startup = subprocess.STARTUPINFO()
        handles = [msvcrt.get_osfhandle(each) for each in descriptors if each >= 0]
        startup.lpAttributeList = {"handle_list": handles}
        return {"close_fds": True, "startupinfo": startup}
    return {"pass_fds": [each for each in descriptors if each >= 0]}
