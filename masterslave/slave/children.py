"""Child processes: started, given calls, killed, and their deaths told in words."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from masterslave.protocol.hand_outs import WireTask
from masterslave.protocol.outcomes import Outcome, PostMortem, Raised
from masterslave.slave.child.frames import (
    CLOSED_EXIT,
    MARK_RUNS,
    MARK_SINCE,
    MARK_TASK,
    CloseLane,
    Flush,
    Found,
    OpenLane,
    Ready,
    Reclaim,
    Unstarted,
    Want,
    read_frame,
    write_frame,
)
from masterslave.slave.child.stacks import ASK
from masterslave.slave.equipment import Equipment
from masterslave.slave.lines import Said
from masterslave.slave.load import Load
from masterslave.slave.out_of_memory import kills_so_far, who_killed
from masterslave.slave.output import Output
from masterslave.slave.processes import end_strays, ends_soon, wait_for
from masterslave.slave.scratch import remove_scratch
from masterslave.slave.wires import ANY, Conditions, Wires, own_session, start_child
from remoteobj.unreadable import UNREADABLE

__all__ = ["Child", "Frame", "LaneClosed", "Told", "Verdict", "describe_exit", "raised_for"]

_RECLAIM_AT_ONCE = 400  # a frame of PIPE_BUF bytes is written whole, or not at all
_MOST_WORDS = 500
_LAST_WORDS_S = 0.2
_ENDS_S = 0.1
"""A process whose pipe has closed ends within this, in seconds, or it has closed the pipe alone."""
_SIGKILL = getattr(signal, "SIGKILL", 9)
_FOR_MEMORY = "; give the slave fewer --slots, or each slot a limit with --memory"
_BY_SOMEBODY = "the system kills so when memory runs out (dmesg shows it), and whoever runs kill -9"


class LaneClosed(msgspec.Struct, tag="X", array_like=True):
    """``child.frames.LaneClosed``, in words of the protocol."""

    acknowledged: int
    sequence: int
    outcomes: list[Outcome]
    number: int
    running: WireTask | None
    answer: bytes


class Told(msgspec.Struct, tag="T", array_like=True):
    """``child.frames.Told``, in words of the protocol."""

    numbers: list[int]
    outcomes: list[Outcome]


Frame = Ready | Told | Unstarted | LaneClosed | Want
_read = msgspec.msgpack.Decoder(Frame).decode


class LaneMark(NamedTuple):
    """What a lane has noted last: a hand-out that it has taken in, how far it is, and the number of
    the call that runs, or -1.
    """

    task: int
    attempt: int
    batch: int
    sequence: int
    runs: int


class Verdict(NamedTuple):
    """Why a child is killed for a call of its own, in the words of what that is to raise.

    Attributes:
        type_name: As in ``protocol.Raised``.
        seconds: How long it has run.
    """

    number: int
    type_name: str
    words: str
    seconds: float


def raised_for(verdict: Verdict, post_mortem: PostMortem) -> Raised:
    """Return what the call raises: where it was as its traceback, and the last that it printed."""
    output = post_mortem.output[-_MOST_WORDS:]
    words = f"{verdict.words}; its last output: {output}" if output else verdict.words
    return Raised(verdict.type_name, words, post_mortem.stacks or words, post_mortem=post_mortem)


class Child:
    """One process that runs tasks, one at a time.

    Args:
        on_frame: Called with the child and a frame that came from it, in a thread of the child's.
        on_death: Called once, with the child and how it died, in the same thread.
        on_lines: As ``Output`` wants it, with the child.
        conditions: What holds for it.
        started: Its process, if that was started before.
    """

    verdict: Verdict | None = None
    """Why it is being killed, if it is for what it runs."""

    def __init__(
        self,
        on_frame: Callable[[Child, Frame], None],
        on_death: Callable[[Child, PostMortem], None],
        on_lines: Callable[[Child, list[Said], int], int] = lambda child, found, left_out: 1,
        *,
        conditions: Conditions = ANY,
        started: tuple[subprocess.Popen[bytes], Wires] | None = None,
    ) -> None:
        self.is_ready = False
        self.is_doomed = False
        """Whether it is given nothing more: it is being killed, or replaced."""
        self.load = Load()
        self.equipment = Equipment()
        self.heard_at = 0.0
        """When it last told of a call, or was given one when it had nothing to do."""
        self.is_overdue = False
        """Whether it has told nothing for so long that it was asked; it is given nothing ahead."""
        self.waits = False
        """Whether its call waits for a shared object."""
        self._on_frame = on_frame
        self._on_death = on_death
        self._to_write: deque[tuple[list[msgspec.Struct], bytes]] = deque()
        self._write_lock = threading.Lock()
        self._end_lock = threading.Lock()
        self._has_ended = self._is_killed = False
        self.printed_last = (-1, -1)
        """Of which farm and task it has printed something last."""
        self._kills_before = kills_so_far()
        self._process, self._wires = started or start_child(conditions)
        self._output = Output(self._wires.output, self.runs_now, partial(on_lines, self))
        self._attend_lock = threading.Lock()
        self._listeners: list[threading.Thread] = []
        """Those that may still run; the last one is the one that listens."""
        self._is_attended = True
        self._start_listener()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def runs_now(self) -> tuple[int, int]:
        """Return the number of the call that it has started last, and the item of it."""
        mark = self._wires.mark
        return mark[0], mark[1]

    def last_words(self, task: int) -> str:
        """Return the last that it printed for a task, by its number at the master; or at all."""
        return self._output.last_of(task)

    def kill_and_ask(self) -> None:
        """Kill it, and have it write before where its threads are. Blocks for a moment."""
        with self._end_lock:
            if self.is_ready and not self._has_ended:
                self._is_killed = True
                self._wires.stacks.ask(self.pid)
        self.kill()

    def post(self, frames: list[msgspec.Struct], tail: bytes = b"") -> None:
        """Note frames that ``flush`` is to write, in the order in which it is called.

        Args:
            tail: Arguments of the last call in the last frame, which has none in itself.
        """
        self._to_write.append((frames, tail))

    def flush(self) -> None:
        """Write what was posted, or leave it to the thread that is at it.

        One that has died meanwhile is told by ``on_death``.
        """
        while self._to_write:
            if not self._write_lock.acquire(blocking=False):
                return  # who holds it looks again
            try:
                while self._to_write:
                    frames, tail = self._to_write.popleft()
                    with contextlib.suppress(OSError):
                        write_frame(self._wires.tasks, frames, tail)
            finally:
                self._write_lock.release()
        if not self._is_attended:
            self._attend()

    def step_away(self) -> None:
        """The thread that listens does something else, while the child has nothing to say."""
        self._is_attended = False

    def step_back(self) -> None:
        """It listens again, unless another one does meanwhile: then it ends."""
        with self._attend_lock:
            if threading.current_thread() is self._listeners[-1]:
                self._is_attended = True

    def _attend(self) -> None:
        """Have somebody listen: the child was given something, and the listener is away."""
        with self._attend_lock:
            if not self._is_attended:
                self._is_attended = True
                self._start_listener()

    def _start_listener(self) -> None:
        self._listeners = [thread for thread in self._listeners if thread.is_alive()]
        thread = threading.Thread(target=self._listen, name=f"child {self.pid}", daemon=True)
        self._listeners.append(thread)
        thread.start()

    @property
    def lane_mark(self) -> LaneMark:
        """How far its lane is."""
        return LaneMark(*self._wires.mark[MARK_TASK : MARK_RUNS + 1])

    @property
    def takes_lanes(self) -> bool:
        """Whether it can be handed a connection."""
        return self._wires.lanes is not None

    def open_lane(self, frame: OpenLane, connection: socket.socket) -> bool:
        """Hand it a connection to the master, for calls that come one by one; False: it cannot be.

        The child ``takes_lanes``, and has nothing to do. It tells when that is over.
        """
        lanes = self._wires.lanes
        assert lanes is not None
        mark = LaneMark(-1, 0, frame.acknowledged, frame.sequence, -1)
        for place, number in enumerate(mark, MARK_TASK):
            self._wires.mark[place] = number
        try:
            socket.send_fds(lanes, [b"\0"], [connection.fileno()])
        except OSError:  # it has died: that is told elsewhere
            return False
        self.post([frame])
        self.flush()
        return True

    def close_lane(self, number: int) -> None:
        """Have it close the lane that began with this number, in a moment."""
        self._control(CloseLane(number))

    def nudge(self) -> None:
        """Have it say what it knows, though it runs a long call."""
        self._control(Flush())

    def reclaim(self, numbers: Sequence[int]) -> None:
        """Take calls back that it has not started; it says which those are."""
        for start in range(0, len(numbers), _RECLAIM_AT_ONCE):
            self._control(Reclaim(list(numbers[start : start + _RECLAIM_AT_ONCE])))

    def tell_found(self, found: Found) -> None:
        """Tell it where a shared object is that it waits for."""
        self.waits = False
        self._control(found)

    def kill(self) -> None:
        """End the process at once, and what its task has started."""
        with self._end_lock:
            if not self._has_ended:
                self._is_killed = True
                _kill_group(self._process)

    def finish(self) -> None:
        """Have a process that has nothing to do end by itself: its handlers clean up."""
        if self._write_lock.acquire(blocking=False):  # else it is being given something
            self._wires.hang_up(now=False)
            self._write_lock.release()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until the process is gone and its last words are told, at most so long."""
        end_s = time.monotonic() + (timeout_s or 0.0)
        for thread in self._listeners:
            thread.join(None if timeout_s is None else max(0.0, end_s - time.monotonic()))

    def _control(self, frame: msgspec.Struct) -> None:
        # It never blocks: a child that does not listen has a call that holds Python's lock.
        with self._end_lock, contextlib.suppress(OSError):
            if not self._has_ended:
                write_frame(self._wires.control, [frame])

    def _listen(self) -> None:
        results = self._wires.results
        try:
            while (read := read_frame(results)) is not None:
                frame = _read(read[0])
                if read[1]:
                    assert isinstance(frame, Told)
                    frame.outcomes[-1] = msgspec.structs.replace(
                        frame.outcomes[-1], payload=read[1]
                    )
                if type(frame) is Told:
                    self._output.catch_up(frame.outcomes)
                self._on_frame(self, frame)
                if threading.current_thread() is not self._listeners[-1]:
                    return
        except (*UNREADABLE, MemoryError, OverflowError):
            self.kill()
        has_hung_up = not (self._is_killed or ends_soon(self.pid, _ENDS_S))
        with self._end_lock:  # while it is not waited for, its id means nobody else
            _kill_group(self._process)
            code, peak_bytes = wait_for(self._process)
            code = -_SIGKILL if self._is_killed and code == -ASK < 0 else code
            self._has_ended = True
        since_s = self._wires.mark[MARK_SINCE] / 1e6
        seconds = max(0.0, time.perf_counter() - since_s) if since_s > 0 else 0.0
        end_strays(self.pid)
        self._output.wait(_LAST_WORDS_S)  # what it has left in a session of its own may print on
        how, memory = describe_exit(CLOSED_EXIT if has_hung_up else code), ""
        if code == -_SIGKILL and not (self._is_killed or has_hung_up):
            memory = who_killed(self.pid, self._kills_before, kills_so_far())
            by_whom = memory + _FOR_MEMORY if memory else _BY_SOMEBODY
            how += f", not by this slave: {by_whom}"
        stacks, pid = self._wires.stacks.read(), self.pid
        self._on_death(
            self, PostMortem(how, "", code, memory, peak_bytes, stacks, -1, seconds, pid)
        )
        with self._write_lock:
            self._wires.close()
        remove_scratch(self._wires.scratch)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a child, and with it what its task has forked or started and left behind."""
    if own_session():
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says so of a zombie
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def describe_exit(code: int) -> str:
    """Say how a process ended, from its exit code as ``subprocess`` tells it."""
    if code == CLOSED_EXIT:
        return "its task has closed the descriptors by which its process is told of tasks"
    if code >= 0:
        return f"its process ended itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"its process was killed by {name}"
