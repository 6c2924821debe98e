"""Dialing back: an address is published after the object has answered there.

Only addresses that belong to whoever registers are dialed, else any stranger could have a name
server look for open ports: the address that the registration came from, those that the same process
has spoken from, and, where it is this machine, this machine's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from nameserver.lookups import Lookups, first_address
from nameserver.networks import Networks, is_link_local, is_loopback_address, is_unspecified
from remoteobj import (
    URI,
    ConnectionLost,
    DeadlinePassed,
    Identity,
    ObjectUnknown,
    PeerRefused,
    RemoteObjError,
    Settings,
)
from remoteobj.client.channel import Channel
from remoteobj.client.trusting import ANY_MEMBER, AnotherNode, Wanted
from remoteobj.uri import join_address

__all__ = ["DIAL_TIMEOUT_S", "Failure", "Plan", "Proof", "Prover", "plan_of"]

DIAL_TIMEOUT_S = 2.0
_MOST_AT_ONCE = 16
_MOST_BYTES = 256 * 1024  # of an answer: what an object can do, and no more

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Failure:
    """An address that could not be proved."""

    address: str
    why: str
    is_another: bool = False
    """Whether another machine of the cluster answers there than the one that registers it."""

    def __str__(self) -> str:
        return f"{self.address}: {self.why}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be dialed, and what not."""

    hosts: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    is_only_here: bool = False
    """Whether the address as it was given says nothing to another machine."""

    is_elsewhere: bool = False
    """Whether it is another machine's than the registrant's."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Where an object has answered, and where not."""

    hosts: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    is_known: bool = True
    """False: the server was closed before all was known, and nothing has answered until then."""


def plan_of(uri: URI, registrant: str, spoken_from: Iterable[str], networks: Networks) -> Plan:
    """Say where an object is to be looked for.

    Args:
        uri: What is registered, on TCP; its host is an address.
        registrant: Address from which the registration came; empty: a Unix socket.
        spoken_from: Other addresses from which the same process has spoken.
        networks: This machine's.
    """
    host = uri.host or ""
    is_here = not registrant or networks.is_own(registrant)
    belonging = list(networks.outer()) if is_here else [registrant]
    belonging += [each for each in spoken_from if each not in belonging]
    if host in belonging:
        return Plan((host,))
    if is_loopback_address(host) or is_unspecified(host):
        return Plan(tuple(belonging), is_only_here=True)
    if is_link_local(host):
        return Plan((), is_only_here=True)
    if is_here and networks.is_own(host):
        return Plan((host,))
    why = "was not tried, because the registration came from another address"
    return Plan((), (Failure(join_address(host, uri.port), why),), is_elsewhere=True)


class Prover:
    """Dials, in threads of its own.

    Args:
        identity: Who this server is: objects are called over TLS then.
        timeout_s: Longest time for one address, and to find one for a host's name, in seconds.
        look_up: Returns the address for a host's name.
    """

    def __init__(
        self,
        identity: Identity | None,
        *,
        timeout_s: float = DIAL_TIMEOUT_S,
        look_up: Callable[[str], str] = first_address,
    ) -> None:
        self._identity = identity
        self._settings = Settings(connect_timeout_s=timeout_s, max_message_bytes=_MOST_BYTES)
        self._timeout_s = timeout_s
        self._lookups = Lookups(look_up, timeout_s=timeout_s)
        self._threads = ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="nameserver dials")
        self._is_closed = False

    def close(self) -> None:
        """Dial no more. Blocks: until the last call has its answer, or its time is over.

        All who wait are told before this returns.
        """
        # Who is told while it shuts down may have the next one dialled in the same thread, which
        # would wait for the pool's lock for ever.
        self._is_closed = True
        self._threads.shutdown(cancel_futures=True)

    def find(self, uri: URI, done: Callable[[URI | Failure | None], None]) -> None:
        """Find the address for a host's name; *done* is told it, or why there is none.

        None: the server was closed before it was known.
        """

        def tell(call: Future[URI | Failure]) -> None:
            done(None if call.cancelled() else call.result())

        call = self._submit(self._find, uri)
        if call is None:
            done(None)
        else:
            call.add_done_callback(tell)

    def prove(
        self, uri: URI, hosts: Sequence[str], done: Callable[[Proof], None], *, node: str = ""
    ) -> None:
        """Dial the object at each of *hosts*, all at once; *done* is told when all are known.

        Args:
            node: The machine that has to answer, by its certificate: nothing but the handshake of
                TLS is done with another one. Empty: any of the cluster.
        """
        if not hosts:
            done(Proof(()))
            return
        wanted = Wanted(node or None) if self._identity is not None else ANY_MEMBER
        calls: list[Future[Failure | None]] = []
        for host in hosts:
            call = self._submit(self._dial, URI.of_tcp(uri.object, host, uri.port or 0), wanted)
            if call is None:
                done(Proof((), is_known=False))
                return
            calls.append(call)
        left, lock = len(calls), threading.Lock()

        def count(_: Future[Failure | None]) -> None:
            nonlocal left
            with lock:
                left -= 1
                is_last = not left
            if is_last:
                done(_proof(uri, hosts, calls))

        for call in calls:
            call.add_done_callback(count)

    def _submit(self, dial: Callable[..., _Found], *given: object) -> Future[_Found] | None:
        """Have a thread dial; None: the server is closed."""
        if self._is_closed:
            return None
        try:
            return self._threads.submit(dial, *given)
        except RuntimeError:  # closed meanwhile
            return None

    def _find(self, uri: URI) -> URI | Failure:
        where = uri.location or ""
        try:
            address = self._lookups.address_of(uri.host or "")
        except TimeoutError:
            why = f"the address of that name was not found within {self._timeout_s:g} s"
        except (OSError, UnicodeError):
            why = "this machine does not know the name of the host"
        else:
            return URI.of_tcp(uri.object, address, uri.port or 0)
        return Failure(where, f"{why}: register an address")

    def _dial(self, uri: URI, wanted: Wanted) -> Failure | None:
        """Return why the object does not answer; None if it does."""
        where = uri.location or ""
        try:
            why = self._ask(uri, wanted)
        except AnotherNode as error:
            return Failure(where, str(error), is_another=True)
        return Failure(where, why) if why else None

    def _ask(self, uri: URI, wanted: Wanted) -> str:
        channel = Channel(
            uri,
            insecure=self._identity is None,
            identity=self._identity,
            settings=self._settings,
            wanted=wanted,
        )
        try:
            channel.metadata(self._timeout_s)
        except ObjectUnknown:
            return "another daemon answers there, which has no such object"
        except DeadlinePassed:
            return f"timed out after {self._timeout_s:g} s"
        except AnotherNode:
            raise
        except PeerRefused as error:
            return str(error)
        except ConnectionLost as error:
            cause = error.__cause__
            refused = isinstance(cause, ConnectionRefusedError)
            return "refused: nobody listens there" if refused else str(error)
        except RemoteObjError as error:
            return str(error)
        finally:
            channel.release()
        return ""


def _proof(uri: URI, hosts: Sequence[str], calls: Sequence[Future[Failure | None]]) -> Proof:
    reached, failures = [], []
    for host, call in zip(hosts, calls, strict=True):
        failure = _outcome(call, join_address(host, uri.port))
        if failure is not None:
            failures.append(failure)
        else:
            reached.append(host)
    is_known = bool(reached) or not any(call.cancelled() for call in calls)
    return Proof(tuple(reached), tuple(failures), is_known)


def _outcome(call: Future[Failure | None], where: str) -> Failure | None:
    if call.cancelled():
        return Failure(where, "the name server is closing")
    error = call.exception()
    return call.result() if error is None else Failure(where, f"it cannot be called: {error!r}")
