"""How a name is taken in: where its object is, is found out first, and then it is registered.

A server that only this machine reaches takes addresses as they are. Another one publishes where the
object has answered. What leads back to whoever uses it (127.0.0.1), or is a Unix socket, is never
published to other machines: where the object answers at an address of its machine too, that is
published instead, and else the registration is refused in words.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace as replaced
from functools import partial

from nameserver.book import Book
from nameserver.changes import Lease
from nameserver.errors import NamingError, StorageFailed
from nameserver.networks import (
    Networks,
    is_address,
    is_link_local,
    is_loopback_address,
    is_unspecified,
    own_interfaces,
)
from nameserver.proving import Failure, Plan, Proof, Prover, plan_of
from nameserver.record import Record
from nameserver.turns import Turns
from remoteobj import URI

__all__ = ["Admission"]

log = logging.getLogger("nameserver.admission")

_LOOK_S = 2.0
_MOST_TOKENS = 1000
_MOST_ADDRESSES = 16
_AT_ONCE, _MOST_WAITING = 4, 64  # registrations of one caller


class Admission:
    """Takes registrations.

    Args:
        book: Where they go.
        prover: Dials.
        is_private: Only this machine reaches the server.
        look: Returns the networks of this machine.
    """

    def __init__(
        self,
        book: Book,
        prover: Prover,
        *,
        is_private: bool,
        look: Callable[[], Networks] = lambda: Networks(own_interfaces()),
    ) -> None:
        self._book = book
        self._prover = prover
        self._is_private = is_private
        self._look = look
        self._lock = threading.Lock()
        self._networks = Networks(())
        self._looked_at = -_LOOK_S
        self._turns = Turns(_AT_ONCE, _MOST_WAITING)
        self._spoken_from: OrderedDict[str, set[str]] = OrderedDict()

    def networks(self) -> Networks:
        """Return the networks of this machine, as they were two seconds ago at most."""
        with self._lock:
            if time.monotonic() - self._looked_at >= _LOOK_S:
                self._networks = self._look()
                self._looked_at = time.monotonic()
            return self._networks

    def note_speaker(self, token: str, peer: str) -> None:
        """A process says by a secret of its own that it can be reached at *peer* too."""
        with self._lock:
            spoken_from = self._spoken_from.setdefault(token, set())
            if len(spoken_from) < _MOST_ADDRESSES:
                spoken_from.add(peer)
            self._spoken_from.move_to_end(token)
            if len(self._spoken_from) > _MOST_TOKENS:
                self._spoken_from.popitem(last=False)

    def register(
        self,
        record: Record,
        lease: Lease | None,
        peer: str,
        *,
        token: str = "",
        replace: bool = False,
        replaces: URI | None = None,
    ) -> Future[list[str]]:
        """Find out where an object is, and give it its name.

        Returns:
            When it is registered: the addresses that could not be proved, each with the reason. The
            errors are those of ``Book.register``, StorageFailed where the server is closed before
            it is known, and NamingError where nobody else could reach it.
        """
        entry = _Entry(self._book, record, lease, replace=replace, replaces=replaces)
        if self._is_private:
            entry.make(replaced(record, is_elsewhere=self._is_elsewhere(record.uri)))
        elif record.uri.sockname is not None:
            entry.done.set_exception(_only_here(record, ()))
        else:
            self._prove(entry, peer, token)
        return entry.done

    def _prove(self, entry: _Entry, peer: str, token: str) -> None:
        """Have an object called where it is said to be, when it is its registrant's turn."""

        def settle(plan: Plan, proof: Proof) -> None:
            self._turns.done(peer)
            entry.settle(plan, proof)

        def dial(target: URI | Failure | None) -> None:
            if target is None:
                settle(Plan(()), Proof((), is_known=False))
            elif isinstance(target, Failure):
                settle(Plan(()), Proof((), (target,)))
            else:
                with self._lock:
                    spoken_from = sorted(self._spoken_from.get(token, ()))
                plan = plan_of(target, peer, spoken_from, self.networks())
                node = entry.record.node
                self._prover.prove(target, plan.hosts, partial(settle, plan), node=node)

        uri = entry.record.uri
        host = uri.host or ""
        if is_address(host) or is_loopback_address(host):
            start = partial(dial, uri)
        else:
            start = partial(self._prover.find, uri, dial)
        if not self._turns.take(peer, start):
            entry.done.set_exception(
                NamingError(
                    f"{uri} is not registered: too many registrations of {peer} wait for their "
                    "objects to answer; try again when some have"
                )
            )

    def _is_elsewhere(self, uri: URI) -> bool:
        """Tell whether an address is another machine's, where all who register are on this one."""
        host = uri.host or ""
        return is_address(host) and not (is_unspecified(host) or self.networks().is_own(host))

    def for_caller(self, record: Record, peer: str) -> Record:
        """Return a record as a caller at *peer* can use it: with the address of its network."""
        uri = record.uri
        if len(record.hosts) < 2 or uri.port is None:
            return record
        networks = self.networks()
        host = networks.choose(record.hosts, peer)
        if host is None or host == uri.host:
            return record
        return replaced(record, uri=URI.of_tcp(uri.object, host, uri.port))


class _Entry:
    """One registration, on its way into the book."""

    def __init__(
        self,
        book: Book,
        record: Record,
        lease: Lease | None,
        *,
        replace: bool,
        replaces: URI | None,
    ) -> None:
        self.record = record
        self.done: Future[list[str]] = Future()
        self._make = partial(book.register, lease=lease, replace=replace, replaces=replaces)

    def make(self, found: Record, failures: tuple[Failure, ...] = ()) -> None:
        """Enter it as it was found."""
        try:
            self._make(found)
        except BaseException as error:
            self.done.set_exception(error)
        else:
            self.done.set_result([str(failure) for failure in failures])

    def settle(self, plan: Plan, proof: Proof) -> None:
        """Enter it as far as it was proved, or refuse it."""
        record, failures = self.record, plan.failures + proof.failures
        if not proof.is_known:
            self.done.set_exception(
                StorageFailed(f"{record.name!r} is not registered: the name server is closing")
            )
        elif proof.hosts:
            self.make(_at(record, proof.hosts), failures)
        elif any(failure.is_another for failure in proof.failures):
            self.done.set_exception(_another(record, failures))
        elif plan.is_only_here:
            self.done.set_exception(_only_here(record, failures))
        else:
            problem = "; ".join(map(str, failures))
            log.warning("%s is registered, but not reached: %s", record.name, problem)
            is_elsewhere = plan.is_elsewhere
            self.make(replaced(record, problem=problem, is_elsewhere=is_elsewhere), failures)


def _at(record: Record, hosts: tuple[str, ...]) -> Record:
    """Return a record that says where its object has answered."""
    uri = record.uri
    host = uri.host if uri.host in hosts else hosts[0]
    return replaced(record, uri=URI.of_tcp(uri.object, host or "", uri.port or 0), hosts=hosts)


def _another(record: Record, failures: tuple[Failure, ...]) -> NamingError:
    tried = "; ".join(map(str, failures))
    return NamingError(
        f"{record.uri} is not registered: another machine of the cluster answers there than the "
        f"one that registers it ({tried}); register it from the machine that serves it, under the "
        "same identity"
    )


def _only_here(record: Record, failures: tuple[Failure, ...]) -> NamingError:
    tried = "".join(f"; {failure}" for failure in failures)
    if record.uri.sockname is not None:
        why = "a Unix socket cannot be reached from another machine"
    elif is_unspecified(record.uri.host or ""):
        why = "it does not say at which address, and none of the machine's could be reached"
    elif is_link_local(record.uri.host or ""):
        why = f"{record.uri.host} is only valid together with the name of an interface"
    else:
        why = f"{record.uri.host} cannot be reached from another machine"
    return NamingError(
        f"{record.uri} is not registered: {why}{tried}; serve the object on its machine's address "
        "in the network, Daemon(host=...)"
    )
