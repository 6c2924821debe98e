"""Names that stay for ever may outlive their objects: each is called now and then.

Nothing is removed for it, because a machine that is off may come back; who lists the names is told.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from functools import partial

from nameserver.book import Book
from nameserver.networks import is_loopback_address
from nameserver.proving import Proof, Prover
from nameserver.record import NAME_SERVER, Record

__all__ = ["PROBE_S", "Probing"]

log = logging.getLogger("nameserver.probing")

PROBE_S = 15.0
"""From one round to the next, in seconds."""

_LEAST_PAUSE_S = 0.05  # between two calls, so that many names make no storm
_MOST_AT_ONCE = 4  # of the threads that dial: registrations need the others


class Probing:
    """Goes from one permanent name to the next, in a thread of its own, until ``close()``.

    Args:
        book: The names.
        prover: Calls their objects.
        is_private: Only this machine reaches the server, and all addresses are its own.
        interval_s: From one round to the next, in seconds; a round of many names takes longer.
    """

    def __init__(
        self, book: Book, prover: Prover, *, is_private: bool, interval_s: float = PROBE_S
    ) -> None:
        self._book = book
        self._prover = prover
        self._is_private = is_private
        self._interval_s = interval_s
        self._closed = threading.Event()
        self._free = threading.Semaphore(_MOST_AT_ONCE)
        self._thread = threading.Thread(
            target=self._go_round, name="nameserver probes", daemon=True
        )

    def start(self) -> None:
        """Begin. Starting again does nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Call nobody any more."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _go_round(self) -> None:
        while not self._closed.wait(self._interval_s):
            for record, hosts in self._permanent():
                while not self._free.acquire(timeout=_LEAST_PAUSE_S):
                    if self._closed.is_set():
                        return
                self._prover.prove(
                    record.uri, hosts, partial(self._note, record), node=record.answering_node or ""
                )
                if self._closed.wait(_LEAST_PAUSE_S):
                    return

    def _permanent(self) -> Iterator[tuple[Record, tuple[str, ...]]]:
        """Return the names that nobody renews, with the addresses that may be called.

        Those are the ones where the object has answered before: they belong to whoever registered.
        """
        for record in self._book.list():
            host = record.uri.host
            if record.lease_s is not None or record.name == NAME_SERVER or not host:
                continue
            if record.hosts:
                yield record, record.hosts
            elif self._is_private and is_loopback_address(host):
                yield record, (host,)

    def _note(self, record: Record, proof: Proof) -> None:
        self._free.release()
        if not proof.is_known:
            return
        problem = "" if proof.hosts else "; ".join(map(str, proof.failures))
        if problem and not record.problem:
            log.warning("%s does not answer any more: %s", record.name, problem)
        self._book.note(record, problem)
