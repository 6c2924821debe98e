"""The calling side of a name server: names on the network, with the errors of this package."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import secrets
import socket
import threading
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Literal, Self, cast

from nameserver.changes import Event, Lease, Revision
from nameserver.errors import NameTaken, NameUnknown, NamingError, UnprovedWarning
from nameserver.leases import keeper
from nameserver.networks import Networks, is_unspecified, own_interfaces
from nameserver.record import (
    NAME_SERVER,
    Record,
    check_metadata,
    check_name,
    from_plain,
    from_text,
    make_record,
)
from nameserver.watching import Watch
from remoteobj import URI, BadURI, Identity, InsecureWarning, RemoteObjError
from remoteobj.client.channel import Channel
from remoteobj.client.method import make_method
from remoteobj.identity import refuse_both
from remoteobj.settings import Settings

__all__ = ["How", "NameServerClient"]

_SPARE_S = 3.0
_UNWATCH_S = 1.0
_SPEAK_S = 1.0

How = Literal["given", "REMOTEOBJ_NAMESERVER", "zeroconf"]


class NameServerClient:
    """A name server on the network; ``locate()`` makes one that has answered already.

    Args:
        address: ``host:port``, or ``./u:/path`` of a Unix socket.
        identity: Who this process is: TCP is TLS then, and the server has to be of its cluster.
        insecure: Talk plain TCP. Warned about, unless *quiet*.
        how: Where the address came from, for whoever wants to print it.
        timeout_s: Longest time to wait for any one answer, in seconds.
        quiet: The caller was warned before.
        source_host: Address of this machine to call from; None: the system chooses.

    Raises:
        BadURI: *address* is none.
        BadInput: An identity and ``insecure=True`` were both given.

    Blocks: each method on the network, at most *timeout_s*.  Threads: any.
    """

    def __init__(
        self,
        address: str,
        *,
        identity: Identity | None = None,
        insecure: bool = False,
        how: How = "given",
        timeout_s: float = 5.0,
        quiet: bool = False,
        source_host: str | None = None,
    ) -> None:
        refuse_both(identity, insecure)
        try:
            self._uri = URI(f"PYRO:{NAME_SERVER}@{address}")
        except BadURI as error:
            raise BadURI(
                f"{address!r} is no address of a name server: it looks like 192.168.1.20:9090"
            ) from error
        self._how = how
        self._timeout_s = timeout_s
        self._channel = Channel(
            self._uri,
            insecure=insecure,
            identity=identity,
            settings=Settings(source_host=source_host),
        )
        self._find: Callable[..., Any] | None = None
        if insecure and self._uri.sockname is None and not quiet:
            warnings.warn(
                f"plain TCP to the name server {address}: anyone on the way can read and change "
                "names and addresses",
                InsecureWarning,
                stacklevel=2,
            )

    @property
    def address(self) -> str:
        """Where the name server is, as ``host:port``."""
        return self._uri.location or ""

    @property
    def how(self) -> How:
        """Where the address came from: "given", "REMOTEOBJ_NAMESERVER" or "zeroconf"."""
        return self._how

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
        unproved: Sequence[str] = ()
        if not self._speaks_ours():
            if before is not None:
                raise NamingError(
                    f"the name server at {self.address} is Pyro5's own, which does not know "
                    "replaces=: use replace=True"
                )
            self._refuse_unreachable(record.uri)
            self._register_as_pyro(record, replace)
        elif lease_s is None:
            unproved = self._put(record, None, replace=replace, replaces=before)
            keeper.forget(self._key, name)
        else:
            unproved = keeper.register(
                self._key, self._sibling, record, float(lease_s), replace=replace, replaces=before
            )
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
        return _record(name, uri, metadata)

    def remove(self, name: str) -> bool:
        """Take a name back; False where there is none."""
        is_there = bool(self._call("remove", check_name(name)))
        keeper.forget(self._key, name)
        return is_there

    def set_metadata(self, name: str, metadata: Iterable[str]) -> None:
        """Give a name other metadata.

        Raises:
            NameUnknown: Nothing is registered so.
        """
        try:
            self._call("set_metadata", check_name(name), set(check_metadata(name, metadata)))
        except NamingError:
            raise
        except Exception as error:
            raise _ours(error, NameUnknown(f"nothing is registered as {name!r}")) from error

    def list(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records whose names begin with *prefix*, in the order of their names."""
        if self._speaks_ours():
            return tuple(map(from_plain, self._call("records", prefix)))
        found = self._call("list", prefix or None, None, True)
        return tuple(_record(name, *found[name]) for name in sorted(found))

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

    # What a watch asks, and a keeper of leases.

    def changes(
        self, prefix: str, since: Revision | None, wait_s: float, watcher: str
    ) -> dict[str, Any] | None:
        """Return what the server tells a watch; None where it cannot."""
        if not self._speaks_ours():
            return None
        instance, number = since or ("", 0)
        return cast(
            dict[str, Any],
            self._call(
                "watch", prefix, instance, number, wait_s, watcher, timeout_s=wait_s + _SPARE_S
            ),
        )

    def unwatch(self, watcher: str) -> None:
        """Have the question of a watch answered now."""
        if self._speaks_ours():
            self._call("unwatch", watcher, timeout_s=_UNWATCH_S)

    def put(
        self, record: Record, lease: Lease, *, replace: bool, replaces: URI | None
    ) -> Sequence[str]:
        """Register with a lease that somebody renews; ``register`` does both.

        Returns:
            The addresses that the server does not reach, each with the reason.
        """
        return self._put(record, lease, replace=replace, replaces=replaces)

    def renew(self, lease: str) -> bool:
        """Renew a lease; False where the server does not know it."""
        return bool(self._call("renew", lease))

    def release(self, lease: str, timeout_s: float, name: str | None = None) -> None:
        """Give up a lease and all its names, or one of them."""
        self._call("release", lease, name, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the connections; using it again opens new ones. Leases are kept all the same."""
        self._channel.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<NameServerClient {self.address} ({self._how})>"

    def _call(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        return self._channel.call(method, args, {}, timeout_s or self._timeout_s)

    def _speaks_ours(self) -> bool:
        """Tell whether it is one of ours, and not Pyro5's own."""
        return "put" in self._channel.metadata(self._timeout_s).methods

    def _sibling(self, source_host: str | None = None) -> NameServerClient:
        """Return another client of the same server, with connections of its own."""
        channel = self._channel
        return NameServerClient(
            self.address,
            identity=channel.identity,
            insecure=channel.insecure,
            how=self._how,
            timeout_s=self._timeout_s,
            quiet=True,
            source_host=source_host,
        )

    @property
    def _key(self) -> Hashable:
        return self.address, self._channel.identity, self._channel.insecure

    def _put(
        self, record: Record, lease: Lease | None, *, replace: bool, replaces: URI | None
    ) -> Sequence[str]:
        token = ""
        if is_unspecified(record.uri.host or "") and not self._is_here:
            token = self._speak_from_everywhere()
        unproved = self._call(
            "put",
            record.name,
            str(record.uri),
            sorted(record.metadata),
            (lease.id, lease.lease_s) if lease else None,
            replace,
            str(replaces) if replaces else None,
            token,
            timeout_s=self._timeout_s + _SPARE_S,
        )
        return [str(each) for each in unproved or ()]

    def _speak_from_everywhere(self) -> str:
        """Let the server see each address of this machine from which a way leads there."""
        token = secrets.token_hex(16)

        def speak(host: str) -> None:
            with self._sibling(host) as there, contextlib.suppress(RemoteObjError, OSError):
                there._call("speak", token, timeout_s=_SPEAK_S)

        hosts = Networks(own_interfaces()).outer()
        threads = [threading.Thread(target=speak, args=(host,), daemon=True) for host in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * _SPEAK_S)
        return token

    @property
    def _is_here(self) -> bool:
        """Whether the server is one of this machine only."""
        return bool(self._uri.sockname) or is_loopback(self._uri.host or "")

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


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address leads back to this machine, whichever machine asks."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(address.split("%")[0]).is_loopback for address in found)


def _record(name: str, uri: URI | str, metadata: Iterable[str] | None) -> Record:
    return Record(name, URI(uri), frozenset(map(str, metadata or ())))


def _ours(error: Exception, meant: NamingError) -> Exception:
    """Return what is meant where Pyro5's own name server raised its NamingError."""
    return meant if type(error).__name__ == "NamingError" else error
