"""The way between a slave and the masters: messages take time, are late, lost, or come twice.

A call is a request and its answer. What is lost is lost with its connection, which one of the two
ends notices at once and the other perhaps never, as with TCP.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from masterslave.testing.faulty.loop import Loop
from remoteobj import DeferredReply

__all__ = ["Callee", "NobodyListens", "Wire"]

_TRAVEL_S = (0.0002, 0.002)
_LATE_S = (0.05, 1.5)
_LOST_SHARE = 0.08


class NobodyListens(Exception):
    """There is no process at that address."""


class Callee(Protocol):
    """A master, as a slave calls it."""

    is_dead: bool
    stopped_until: float

    def call(self, verb: str, message: bytes) -> bytes | DeferredReply:
        """Do what is asked."""

    def lose(self, token: str) -> None:
        """The connection of a slave has closed."""


class Wire:
    """One slave's.

    Attributes:
        cut_until: Nothing comes through; nobody is told.
        slow_until, lossy_until, double_until, short_until: What travels is late, lost, comes twice,
            or without its end.
    """

    def __init__(self, loop: Loop, random: Random) -> None:
        self.cut_until = self.slow_until = self.lossy_until = 0.0
        self.double_until = self.short_until = 0.0
        self._loop, self._random = loop, random

    def _travel_s(self) -> float:
        seconds = self._random.uniform(*_TRAVEL_S)
        if self._loop.now < self.slow_until:
            seconds += self._random.uniform(*_LATE_S)
        return seconds

    def _is_lost(self) -> bool:
        now = self._loop.now
        is_bad = now < self.lossy_until or now < self.short_until
        return is_bad and self._random.random() < _LOST_SHARE

    def call(
        self,
        callee: Callee | None,
        token: str,
        verb: str,
        message: bytes,
        timeout_s: float,
        then: Callable[[bytes | Exception], None],
    ) -> None:
        """Call a master; *then* is called once: with the answer, or with why there is none."""
        loop = self._loop
        is_open = [True]

        def end(result: bytes | Exception) -> None:
            if is_open[0]:
                is_open[0] = False
                then(result)

        loop.after(timeout_s, lambda: end(TimeoutError("no answer")))
        if self._loop.now < self.cut_until:
            return
        if callee is None or callee.is_dead:
            loop.after(self._travel_s(), lambda: end(NobodyListens("refused")))
            return
        if self._is_lost():
            loop.after(self._travel_s(), lambda: end(ConnectionError("lost")))
            if self._random.random() < 0.7:
                loop.after(self._travel_s(), lambda: callee.lose(token))
            return
        times = 2 if loop.now < self.double_until and verb != "join" else 1
        for _ in range(times):
            loop.after(self._travel_s(), lambda: self._arrive(callee, token, verb, message, end))

    def _arrive(
        self,
        callee: Callee,
        token: str,
        verb: str,
        message: bytes,
        end: Callable[[bytes | Exception], None],
    ) -> None:
        loop = self._loop
        if callee.is_dead:
            self._back(lambda: end(ConnectionError("closed")))
            return
        if loop.now < callee.stopped_until:
            wait_s = callee.stopped_until - loop.now
            loop.after(wait_s, lambda: self._arrive(callee, token, verb, message, end))
            return
        answer = callee.call(verb, message)
        if isinstance(answer, DeferredReply):
            answer.when_set(lambda value: self._answer(callee, token, value, end))
        else:
            self._answer(callee, token, answer, end)

    def _answer(
        self, callee: Callee, token: str, answer: bytes, end: Callable[[bytes | Exception], None]
    ) -> None:
        if callee.is_dead:
            return
        if self._is_lost():
            self._back(lambda: end(ConnectionError("lost")))
            if self._random.random() < 0.7:
                self._loop.after(self._travel_s(), lambda: callee.lose(token))
            return
        self._back(lambda: end(answer))

    def _back(self, act: Callable[[], None]) -> None:
        if self._loop.now >= self.cut_until:
            self._loop.after(self._travel_s(), act)
