"""Following one master: ask, write, ask."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from masterslave.journal.copying import Copy
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.following import FOLLOW_ID, Met, Rows
from remoteobj import URI, Identity, ObjectUnknown, Proxy, RemoteObjError, Settings, options

__all__ = ["Follower", "NoCopies", "follow_uri"]

_CONNECT_S = 1.0
_ANSWER_S = 1.5
"""A master that owes an answer for so long is gone, as far as anybody here can tell."""

_MEET_S = 120.0  # it reads all that there is


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

    Threads: ``run`` one; ``stop`` any.
    """

    def __init__(
        self,
        copy: Copy,
        master: URI,
        *,
        identity: Identity | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._copy = copy
        self._on_change = on_change
        self._stopped = threading.Event()
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

        Blocks: on the network and the disk.
        """
        copy = self._copy
        with self._proxy as master:
            quick = options(master, timeout_s=_ANSWER_S)
            try:
                meet, follow = master.meet, quick.follow
            except (ObjectUnknown, AttributeError) as error:
                raise NoCopies(str(error)) from error
            while not self._stopped.is_set():
                while not copy.met(decode(meet(encode(copy.hello())), Met)):
                    pass
                is_unknown = False
                while not is_unknown and not self._stopped.is_set():
                    rows = decode(follow(encode(copy.poll())), Rows)
                    is_unknown = copy.take(rows)
                    self._on_change()
            with contextlib.suppress(RemoteObjError):
                follow(encode(copy.poll(is_leaving=True)))

    def stop(self) -> None:
        """Follow no more: ends at the next answer, and tells the master."""
        self._stopped.set()
