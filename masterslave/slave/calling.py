"""Calls of a master that are made again until it answers, or is gone for good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from masterslave.protocol.encoding import decode, encode
from remoteobj import ConnectionLost, DeadlinePassed, PeerRefused, Proxy, RemoteObjError

__all__ = ["Caller", "MasterGone"]

_FIRST_RETRY_S = 0.01
_RETRY_S = 0.2

_Answer = TypeVar("_Answer", bound=msgspec.Struct)
_Any = TypeVar("_Any")


class MasterGone(Exception):
    """The master has ended, or cannot be reached any more; the text says which."""


class Caller:
    """Calls one master.

    Args:
        patience_s: How long it is tried to reach a master that does not answer, in seconds.
    """

    def __init__(self, patience_s: float) -> None:
        self.over = threading.Event()
        """Set when no call is of use any more."""
        self.how = "has ended"
        """How it ended, in words."""
        self.lost_touch = False
        """Whether the master stopped answering, rather than ended: it may come back."""
        self.met_another = False
        """Whether somebody else than the master answered: that may be elsewhere, or later there."""
        self.trouble: tuple[float, str] | None = None
        """Since when (monotonic) the master does not answer, and how; None: it does."""
        self.patience_s = patience_s
        self._waits: dict[int, float] = {}
        """Since when threads wait for an answer, by their ids."""

    def waits_s(self, now: float) -> float:
        """Return how long an answer is waited for already, in seconds; 0: none is."""
        return now - min(self._waits.copy().values(), default=now)

    def begin(self) -> None:
        """This thread makes a call; ``end`` has to follow."""
        self._waits[threading.get_ident()] = time.monotonic()

    def end(self) -> None:
        """It has ended, however."""
        del self._waits[threading.get_ident()]

    def call(
        self, proxy: Proxy, verb: str, message: msgspec.Struct, kind: type[_Answer]
    ) -> _Answer:
        """Call the master until it answers; raises and blocks as ``insist``."""
        packed = encode(message)
        return self.insist(lambda: decode(getattr(proxy, verb)(packed), kind))

    def insist(self, call: Callable[[], _Any]) -> _Any:
        """Make a call of the master until it answers.

        Raises:
            MasterGone: It refuses connections, has not answered for ``patience_s``, or answers
                something else; or ``over`` is set.

        Blocks: for as long as that takes.  Threads: any.
        """
        self.begin()
        try:
            return self._insist(call)
        finally:
            self.end()

    def _insist(self, call: Callable[[], _Any]) -> _Any:
        give_up_at: float | None = None
        retry_s = _FIRST_RETRY_S
        while True:
            if self.over.is_set():
                raise MasterGone(self.how)
            try:
                answer = call()
                self.trouble = None
                return answer
            except PeerRefused as error:  # trying again at once is of no use
                self.met_another = True
                raise MasterGone(f"refuses this slave, or is refused by it ({error})") from error
            except Exception as error:  # lost, late, or a fault in the master: it may pass
                if _is_foreign(error):
                    self.met_another = True
                    raise MasterGone(f"does not speak as a farm does ({error})") from error
                if isinstance(error, RemoteObjError) and _nobody_listens(error):
                    raise MasterGone("has ended") from error
                now = time.monotonic()
                give_up_at = give_up_at or now + self.patience_s
                self.trouble = self.trouble or (now, str(error))
                if self.over.wait(retry_s):
                    raise MasterGone(self.how) from error
                retry_s = min(2 * retry_s, _RETRY_S)
                if now > give_up_at:
                    self.lost_touch = True
                    raise MasterGone(
                        f"did not answer for {self.patience_s:g} s ({error})"
                    ) from error


def _is_foreign(error: Exception) -> bool:
    lost = (ConnectionLost, DeadlinePassed)
    return isinstance(error, RemoteObjError) and not isinstance(error, lost)


def _nobody_listens(error: Any) -> bool:
    """Tell whether the connection was refused: then no process serves that address any more."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            return True
        error = error.__cause__
    return False
