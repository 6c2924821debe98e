"""Following one master: ask, write, ask."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from masterslave.journal.copying import Copy
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.following import FOLLOW_ID, Met, Poll, Rows
from remoteobj import URI, Identity, ObjectUnknown, Proxy, RemoteObjError, Settings, options

__all__ = ["Follower", "NoCopies", "follow_uri"]

_CONNECT_S = 1.0
_ANSWER_S = 1.5
"""A master that owes an answer for so long is gone, as far as anybody here can tell."""

_MEET_S = 120.0  # it reads all that there is
_LOOK_S = 0.25
_NO_SESSION = Poll(0, "", 0, 0)
"""Asked meanwhile: a master that is there answers at once that it does not know this session."""


_Verb = Callable[[bytes], bytes]


class NoCopies(Exception):
    """A farm is there that serves no copies: a script's own."""


def follow_uri(door: URI) -> URI:
    """Return where copies are served, beside a master's door."""
    return URI(str(door).replace(f":{door.object}@", f":{FOLLOW_ID}@", 1))


class Follower:
    """Has a copy follow a master until that is lost.

    Args:
        master: Where it serves copies; see ``follow_uri``.
        identity: Who this machine is.
        on_change: Called after each answer.
        stopped: Once it is set, it follows no more, and tells the master; None: never.

    Threads: one.
    """

    def __init__(
        self,
        copy: Copy,
        master: URI,
        *,
        identity: Identity | None = None,
        on_change: Callable[[], None] = lambda: None,
        stopped: threading.Event | None = None,
    ) -> None:
        self._copy = copy
        self._on_change = on_change
        self._stopped = stopped or threading.Event()
        self._proxy = Proxy(
            master,
            identity=identity,
            settings=Settings(connect_timeout_s=_CONNECT_S, call_timeout_s=_MEET_S),
        )

    def run(self) -> None:
        """Follow until it is stopped.

        Raises:
            NoCopies: It is a script's own farm.
            RemoteObjError: The master is gone, or does not answer.
            JournalUnusable: The copy cannot follow it; the message says why, and what to do.

        Blocks: on the network and the disk; for two seconds or so once it is stopped.
        """
        copy = self._copy
        with self._proxy as master:
            quick = options(master, timeout_s=_ANSWER_S)
            try:
                follow, meet = quick.follow, master.meet
            except (ObjectUnknown, AttributeError) as error:
                raise NoCopies(str(error)) from error
            while not self._stopped.is_set():
                has_met = False
                while not has_met and not self._stopped.is_set():
                    met = self._meet(meet, follow)
                    has_met = met is not None and copy.met(met)
                is_unknown = False
                while not is_unknown and not self._stopped.is_set():
                    rows = decode(follow(encode(copy.poll())), Rows)
                    is_unknown = copy.take(rows)
                    self._on_change()
            with contextlib.suppress(RemoteObjError):
                follow(encode(copy.poll(is_leaving=True)))

    def _meet(self, meet: _Verb, follow: _Verb) -> Met | None:
        """Say hello; returns what the master makes of this copy; None: it was stopped meanwhile.

        A master that has much to read answers late, and one that is gone never does: so it is asked
        beside it whether it is there.
        """
        answer: Future[bytes] = Future()
        hello = encode(self._copy.hello())

        def ask() -> None:
            try:
                answer.set_result(meet(hello))
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=ask, name="standby meets", daemon=True).start()
        while not self._stopped.is_set():
            wait([answer], _LOOK_S)
            if answer.done():
                return decode(answer.result(), Met)
            follow(encode(_NO_SESSION))
        return None
