"""A name server as users have it: names on the network, with the errors of this package."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nameserver.calls import How, is_loopback, record_of
from nameserver.changes import Event
from nameserver.errors import NameTaken, NameUnknown, NamingError, UnprovedWarning
from nameserver.leader_calls import LeaderCalls
from nameserver.leases import keeper
from nameserver.networks import is_unspecified
from nameserver.record import (
    Record,
    check_metadata,
    check_name,
    from_text,
    make_record,
)
from nameserver.watching import Watch
from remoteobj import URI, Identity, InsecureWarning, RemoteError
from remoteobj.client.method import make_method
from remoteobj.identity import AUTO, Auto

__all__ = ["How", "NameServerClient"]


class NameServerClient(LeaderCalls):
    """A name server on the network; ``locate()`` makes one that has answered already.

    Args:
        address: ``host:port``, or ``./u:/path`` of a Unix socket.
        identity: Who this process is: TCP is TLS then, and the server has to be of its cluster.
            Without a word it is who this account became by pairing; None: nobody.
        insecure: Talk plain TCP. Warned about, unless *quiet*.
        how: Where the address came from, for whoever wants to print it.
        timeout_s: Longest time to wait for any one answer, in seconds.
        quiet: The caller was warned before.
        source_host: Address of this machine to call from; None: the system chooses.

    Raises:
        BadURI: *address* is none.
        BadInput: An identity and ``insecure=True`` were both given.
        IdentityUnusable: What pairing has stored cannot be used, or is of several clusters.

    Blocks: each method on the network, at most *timeout_s*.  Threads: any.
    """

    def __init__(
        self,
        address: str,
        *,
        identity: Identity | Auto | None = AUTO,
        insecure: bool = False,
        how: How = "given",
        timeout_s: float = 5.0,
        quiet: bool = False,
        source_host: str | None = None,
    ) -> None:
        super().__init__(address, identity, insecure, how, timeout_s, source_host)
        self._find: Callable[..., Any] | None = None
        if insecure and self._uri.sockname is None and not quiet:
            warnings.warn(
                f"plain TCP to the name server {address}: anyone on the way can read and change "
                "names and addresses",
                InsecureWarning,
                stacklevel=2,
            )

    def ping(self, *, timeout_s: float | None = None) -> None:
        """Ask for a sign of life.

        Raises:
            ConnectionLost: Nobody answers there, what answers is no name server, or one side does
                not trust the other.
            DeadlinePassed: Not in time.
            InsecureRefused: It is on TCP, and neither an identity nor ``insecure=True`` was given.
        """
        self._call("ping", timeout_s=timeout_s)

    def instance(self, *, timeout_s: float | None = None) -> str:
        """Return what tells this run of the server from its next; "" for Pyro5's own server."""
        try:
            return str(self._call("instance", timeout_s=timeout_s))
        except AttributeError:
            return ""

    def register(
        self,
        name: str,
        uri: URI | str,
        *,
        metadata: Iterable[str] = (),
        lease_s: float | None = 30.0,
        replace: bool = False,
        replaces: URI | str | None = None,
    ) -> None:
        """Give an object a name.

        Args:
            name: The rules are in :mod:`nameserver.record`.
            uri: Where the object is. A server for more than this machine calls it there first, and
                at the machine's other addresses where *uri* says 0.0.0.0; each who looks it up is
                given the address of the network that both are in.
            metadata: Short texts by which records are told apart.
            lease_s: How long the name outlives this process, in seconds. The process renews it in
                the background, also when this client was closed, and takes it back when it ends.
                If somebody else removes or replaces the name, it stays so, and that is logged.
                None: until it is removed. Pyro5's own server knows no leases.
            replace: Let a name that is taken stand for this object now.
            replaces: The same, but only where it stands for this now.
        Warns:
            UnprovedWarning: The server does not reach the object at that address; it is registered.
        Raises:
            NameTaken: It stands for another object: choose another, or ``replace=True``; or it does
                not stand for *replaces* any more.
            NamingError: Nobody on another machine could reach *uri*.
        """
        record = make_record(name, uri, metadata)
        before = None if replaces is None else URI(replaces)
        with keeper.alone(self._key, name):
            unproved = self._register(record, lease_s, replace, before)
        for problem in unproved:
            warnings.warn(
                f"{name} is registered, but the name server does not reach {problem}",
                UnprovedWarning,
                stacklevel=2,
            )

    def lookup(self, name: str) -> Record:
        """Return what a name stands for.

        Raises:
            NameUnknown: Nothing is registered so.
            ConnectionLost: The server went away. Asking again is safe: a lookup changes nothing.
        """
        check_name(name)
        if self._find is not None:
            return from_text(self._find(name))
        if self._speaks_ours():  # a method of a proxy is quicker than a call of a channel
            self._find = make_method(self._channel, "find", self._timeout_s)
            return from_text(self._find(name))
        try:
            uri, metadata = self._call("lookup", name, True)
        except Exception as error:
            raise _ours(error, NameUnknown(f"nothing is registered as {name!r}")) from error
        return record_of(name, uri, metadata)

    def remove(self, name: str) -> bool:
        """Take a name back; False where there is none."""
        with keeper.alone(self._key, check_name(name)):
            is_there = bool(self._call("remove", name))
            keeper.forget(self._key, name)
        return is_there

    def set_metadata(self, name: str, metadata: Iterable[str]) -> None:
        """Give a name other metadata.

        Raises:
            NameUnknown: Nothing is registered so.
        """
        tags = check_metadata(check_name(name), metadata)
        with keeper.alone(self._key, name):
            try:
                self._call("set_metadata", name, set(tags))
            except NamingError:
                raise
            except Exception as error:
                raise _ours(error, NameUnknown(f"nothing is registered as {name!r}")) from error
            keeper.note_metadata(self._key, name, tags)

    def take_back(self, name: str) -> None:
        """Take back a name that this process keeps; one that is somebody else's now stays."""
        if self._speaks_ours():
            with keeper.alone(self._key, name):
                keeper.release(self._key, name)
        else:
            self.remove(name)

    def forget(self, name: str) -> None:
        """Renew a name no longer: it goes when its lease is over. The server is not asked."""
        keeper.forget(self._key, name)

    def watch(
        self,
        prefix: str = "",
        *,
        on_event: Callable[[Event], None] | None = None,
        patience_s: float = math.inf,
    ) -> Watch:
        """Follow what happens to names.

        >>> for event in server.watch("shop."):                 # doctest: +SKIP
        ...     print(event.kind, event.name, event.record.uri)

        Args:
            prefix: Only names that begin so.
            on_event: Called with each event, in a thread of the watch; None: iterate over it.
            patience_s: How long a server may be away before the iterator raises, in seconds.
        Returns:
            An iterator of events, which begins with what is registered already; ``close()`` ends
            it. Pyro5's own server is listed every second instead.
        Raises:
            ConnectionLost, DeadlinePassed: From the iterator: the server was away for longer, or
                not there at all.
        """
        return Watch(self._sibling(), prefix, on_event, patience_s)

    def __repr__(self) -> str:
        if not hasattr(self, "_uri"):
            return "<NameServerClient: could not be made>"
        return f"<NameServerClient {self.address} ({self._how})>"

    def _register(
        self, record: Record, lease_s: float | None, replace: bool, before: URI | None
    ) -> Sequence[str]:
        """Register; returns what could not be proved."""
        if not self._speaks_ours():
            if before is not None:
                raise NamingError(
                    f"the name server at {self.address} is Pyro5's own, which does not know "
                    "replaces=: use replace=True"
                )
            self._refuse_unreachable(record.uri)
            self._register_as_pyro(record, replace)
            return ()
        if lease_s is None:
            unproved = self.put(record, None, replace=replace, replaces=before)
            keeper.forget(self._key, record.name)
            return unproved
        return keeper.register(
            self._key, self._sibling, record, float(lease_s), replace=replace, replaces=before
        )

    def _register_as_pyro(self, record: Record, replace: bool) -> None:
        name = record.name
        try:
            self._call("register", name, str(record.uri), not replace, set(record.metadata))
        except Exception as error:
            raise _ours(error, NameTaken(f"the name {name!r} is taken: choose another")) from error

    def _refuse_unreachable(self, uri: URI) -> None:
        """What our own server finds out by itself."""
        if self._is_here:
            return
        if uri.sockname:
            raise NamingError(
                f"{uri} is not registered at {self.address}: a Unix socket cannot be reached from "
                "another machine; serve the object on TCP"
            )
        if is_loopback(uri.host or "") or is_unspecified(uri.host or ""):
            raise NamingError(
                f"{uri} is not registered at {self.address}: {uri.host} cannot be reached from "
                "another machine; serve the object on this machine's address in the network"
            )


def _ours(error: Exception, meant: NamingError) -> Exception:
    """Return what is meant where Pyro5's own name server raised its NamingError."""
    is_its = type(error).__name__ == "NamingError"
    if isinstance(error, RemoteError):  # as it arrives where nobody has imported Pyro5
        is_its = error.type_name == "Pyro5.errors.NamingError"
    return meant if is_its else error
