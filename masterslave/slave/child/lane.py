"""Tasks that come one by one: the child asks the master itself, over a lane.

A lane is a connection to the master that the agent has handed to its child. As long as each answer
brings one call and nothing else, the agent is not on the way: the outcome goes out with the
question for the next call.

::

    agent --OpenLane, connection--> child --Ask, outcome--> master --Instructions--> child ...
    agent <--LaneClosed: how far it is-- child

It is closed when something else comes, or when the agent says so, because a call takes long or it
wants to have the say; then what runs becomes a call of the agent's like any other. The mark shows
how far the lane is, for an agent whose child has died.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

import msgspec

from .calls import Caller
from .farm import Farm
from .frames import (
    CALL,
    MARK_ATTEMPT,
    MARK_BATCH,
    MARK_RUNS,
    MARK_SEQUENCE,
    MARK_TASK,
    Ask,
    Call,
    Instructions,
    LaneClosed,
    OpenLane,
)
from .limits import lift
from .outbox import Outbox

__all__ = ["Lanes"]

_RECEIVE_BYTES = 64 * 1024
_encode = msgspec.msgpack.Encoder().encode
_decode_bytes = msgspec.msgpack.Decoder(bytes).decode
_decode_answer = msgspec.msgpack.Decoder(Instructions).decode
# As remoteobj's, which a child does not import.
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
_SIMPLE = struct.Struct("!HII")
_TIME = struct.Struct("@ll")


class Lanes:
    """Opens lanes, one at a time.

    Args:
        handed: Where connections come from; None where the system cannot hand them over.
    """

    def __init__(
        self, handed: socket.socket | None, caller: Caller, outbox: Outbox, mark: memoryview
    ) -> None:
        self._handed = handed
        self._caller, self._outbox, self._mark = caller, outbox, mark
        self._lane: _Lane | None = None
        self._closed = -1
        """Up to this number, lanes are to be closed, also those that were not read yet."""

    def open(self, told: OpenLane, farm: Farm) -> None:
        """Serve a lane until it is closed. Called in the thread that runs tasks."""
        assert self._handed is not None
        _, descriptors, _, _ = socket.recv_fds(self._handed, 1, 1)
        with socket.socket(fileno=lift(descriptors[0])) as sock:
            lane = self._lane = _Lane(told, sock, self._outbox, self._mark)
            if told.number <= self._closed:
                lane.close()
            self._outbox.before_flush = lane.close
            lane.serve(self._caller, farm)
            with contextlib.suppress(OSError):  # a process that a task forked may hold it, too
                sock.shutdown(socket.SHUT_RDWR)
            self._outbox.before_flush = None
        self._outbox.flush()

    def close(self, number: int) -> None:
        """Close the lane that began with this number. Threads: any."""
        self._closed = number
        lane = self._lane
        if lane is not None and lane.first == number:
            lane.close()


class _Lane:
    def __init__(
        self, told: OpenLane, sock: socket.socket, outbox: Outbox, mark: memoryview
    ) -> None:
        self._told, self._sock, self._outbox, self._mark = told, sock, outbox, mark
        self._lock = threading.Lock()
        self._is_closed = self._is_to_close = False
        self._acknowledged, self._sequence = told.acknowledged, told.sequence
        self._outcomes = told.outcomes
        self.first = self._number = told.number
        self._calls = told.calls
        self._running: Call | None = None
        self._answer = b""
        sock.settimeout(None)
        seconds = int(told.patience_s)
        micros = int((told.patience_s - seconds) * 1e6)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIME.pack(seconds, micros))

    def serve(self, caller: Caller, farm: Farm) -> None:
        mark = self._mark
        while True:
            call = self._ask(caller)
            with self._lock:
                if call is None or self._is_to_close:
                    self._close()
                    return
                # In this order: who finds the mark half written repeats a call, but loses none.
                mark[MARK_SEQUENCE] = self._sequence
                mark[MARK_TASK], mark[MARK_ATTEMPT] = call.task, call.attempt
                self._acknowledged = mark[MARK_BATCH] = self._batch
                self._answer = b""
                self._running = call
                number, self._number = self._number, self._number + 1
                mark[MARK_RUNS] = number
            caller.run(number, call, farm)
            with self._lock:
                mark[MARK_RUNS] = -1
                if self._is_closed:
                    return
                output = self._outbox.output  # the agent delivers that before the outcome
                has_printed = output is not None and output.has_printed
                outcome = None if has_printed else self._outbox.take_only()
                if outcome is not None:
                    self._running = None
                    self._outcomes = [outcome]
                    continue
                self._close()
                return

    def close(self) -> None:
        """Close it: at once while a call runs, else when the master has answered or is cut off."""
        with self._lock:
            if self._running is not None:
                self._close()
            elif not self._is_to_close:
                self._is_to_close = True
                self._sock.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = self._is_to_close = True
            self._outbox.say(
                LaneClosed(
                    self._acknowledged,
                    self._sequence,
                    self._outcomes,
                    self._number,
                    self._running,
                    self._answer,
                )
            )

    def _ask(self, caller: Caller) -> Call | None:
        """Deliver and ask; return the call that has come, if it is one alone."""
        told, outcomes = self._told, self._outcomes
        sequence = self._sequence + len(outcomes)
        ask = Ask(told.slave, 1, self._acknowledged, sequence, outcomes)
        answer = self._exchange(ask, caller.tidier.look_briefly)
        if answer is None:
            return None
        try:
            instructions = _decode_answer(answer)
        except _UNREADABLE:
            return None
        self._answer = answer
        if instructions.delivered >= sequence:
            self._sequence, self._outcomes = sequence, []
        tasks = instructions.tasks
        if (
            len(tasks) != 1
            or self._outcomes
            or instructions.batch <= self._acknowledged
            or instructions.functions
            or instructions.stops
            or instructions.recalls
            or instructions.limits
            or instructions.dropped
            or instructions.errands
            or tasks[0].form != CALL
            or tasks[0].function not in caller.functions
        ):
            return None
        self._batch = instructions.batch
        return tasks[0]

    def _exchange(self, ask: Ask, meanwhile: Callable[[], None]) -> bytes | None:
        """Make the call, and do something while it is under way; None: it has failed, and may have
        run.
        """
        told, message = self._told, _encode(_encode(ask))
        self._calls = number = self._calls + 1 & 0xFFFF
        payload = told.before + message + told.after
        try:
            self._sock.sendall(
                told.prefix + _SIMPLE.pack(number, len(payload), 0) + told.suffix + payload
            )
            meanwhile()
            answer = self._sock.recv(_RECEIVE_BYTES)
        except OSError:
            return None
        at = len(told.answer_prefix)
        start = at + _SIMPLE.size + len(told.suffix)
        if not answer.startswith(told.answer_prefix) or len(answer) < start:
            return None
        if _SIMPLE.unpack_from(answer, at) != (number, len(answer) - start, 0):
            return None  # it is an error, or large: the master says it again to who asks anew
        try:
            return _decode_bytes(answer[start:])
        except _UNREADABLE:
            return None
