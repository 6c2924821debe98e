"""A name server's rules in the place of a name server, which a test can take away."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any, cast

from nameserver import Leadership, NameServerClient
from nameserver.changes import Registrant
from nameserver.leadership import Claim, Leaderships, Manner
from remoteobj import ConnectionLost, DeadlinePassed

__all__ = ["Rules"]

ANYBODY = Registrant("", "member")


class Rules:
    """Stands for a client, and for its server.

    Attributes:
        is_away: Whether nobody answers.
        hangs: Until this is set, calls wait as long as their callers have time.
        asked: The claims that came.
        waiting: How many calls wait for that.
        loses_answer: Whether the next claim takes effect, and its answer is lost.
    """

    def __init__(self) -> None:
        self.leaderships = Leaderships((), time.monotonic() - 100.0)
        self.is_away = False
        self.loses_answer = False
        self.hangs = threading.Event()
        self.hangs.set()
        self.asked: list[Claim] = []
        self.waiting = 0
        self._turns = itertools.count(1)
        self._lock = threading.Lock()

    def find(self) -> NameServerClient:
        return cast(NameServerClient, self)

    def forget(self) -> None:
        """It was started anew, some time ago, and knows nothing."""
        self.leaderships = Leaderships((), time.monotonic() - 100.0)

    def lead(
        self,
        name: str,
        holder: str,
        *,
        manner: Manner,
        timeout_s: float,
        **claim: Any,
    ) -> Leadership:
        asked = Claim(name, holder, manner=manner, turn=next(self._turns), **claim)
        self._answer(timeout_s)
        with self._lock:
            self.asked.append(asked)
            now = time.monotonic()
            decided = self.leaderships.ask(asked, ANYBODY, now)
            told = self.leaderships.apply(decided, now)
        if self.loses_answer:
            self.loses_answer = False
            raise ConnectionLost("the answer was lost")
        return told

    def leader(self, name: str, timeout_s: float = 1.0) -> Leadership | None:
        self._answer(timeout_s)
        with self._lock:
            return self.leaderships.leader(name, time.monotonic())

    def left_s(self, name: str) -> float:
        """Return how long a lease runs on, whether anybody answers or not."""
        with self._lock:
            leader = self.leaderships.leader(name, time.monotonic())
        assert leader is not None
        return leader.left_s

    def resign(self, name: str, holder: str, epoch: int, *, run: str, timeout_s: float) -> bool:
        self._answer(timeout_s)
        with self._lock:
            decided = self.leaderships.resigned(
                name, holder, epoch, ANYBODY, run=run, turn=next(self._turns)
            )
            if decided is not None:
                self.leaderships.apply(decided, time.monotonic(), runs=False)
            return decided is not None

    def close(self) -> None:
        pass

    def _answer(self, timeout_s: float) -> None:
        if self.is_away:
            raise ConnectionLost("nobody there")
        self.waiting += 1
        try:
            if not self.hangs.wait(timeout_s):
                raise DeadlinePassed("no answer")
        finally:
            self.waiting -= 1
