"""The calling side of a name server: names on the network, with the errors of this package."""

from __future__ import annotations

import ipaddress
import socket
import warnings
from collections.abc import Iterable
from typing import Any, Literal, Self

from nameserver.errors import NameTaken, NameUnknown, NamingError
from nameserver.record import NAME_SERVER, Record, check_name, make_record
from remoteobj import URI, BadURI, Identity, InsecureWarning
from remoteobj.client.channel import Channel
from remoteobj.identity import refuse_both
from remoteobj.settings import Settings

__all__ = ["How", "NameServerClient"]

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
            self._uri, insecure=insecure, identity=identity, settings=Settings()
        )
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
        self, name: str, uri: URI | str, *, metadata: Iterable[str] = (), replace: bool = False
    ) -> None:
        """Give an object a name.

        Args:
            name: The rules are in :mod:`nameserver.record`.
            uri: Where the object is. One that only this machine can reach is let through to a name
                server on this machine only.
            metadata: Short texts by which records are told apart.
            replace: Let a name that is taken stand for this object now.
        Raises:
            NameTaken: It stands for another object: choose another, or ``replace=True``.
            NamingError: Who looks it up could not reach *uri*.
        """
        record = make_record(name, uri, metadata)
        self._refuse_unreachable(record.uri)
        try:
            self._call("register", name, str(record.uri), not replace, set(record.metadata))
        except NamingError:
            raise
        except Exception as error:
            raise _ours(error, NameTaken(f"the name {name!r} is taken: choose another")) from error

    def lookup(self, name: str) -> Record:
        """Return what a name stands for.

        Raises:
            NameUnknown: Nothing is registered so.
            ConnectionLost: The server went away. Asking again is safe: a lookup changes nothing.
        """
        try:
            uri, metadata = self._call("lookup", check_name(name), True)
        except NamingError:
            raise
        except Exception as error:
            raise _ours(error, NameUnknown(f"nothing is registered as {name!r}")) from error
        return _record(name, uri, metadata)

    def remove(self, name: str) -> bool:
        """Take a name back; False where there is none."""
        return bool(self._call("remove", check_name(name)))

    def list(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records whose names begin with *prefix*, in the order of their names."""
        found = self._call("list", prefix or None, None, True)
        return tuple(_record(name, *found[name]) for name in sorted(found))

    def close(self) -> None:
        """Close the connections; using it again opens new ones."""
        self._channel.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<NameServerClient {self.address} ({self._how})>"

    def _call(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        return self._channel.call(method, args, {}, timeout_s or self._timeout_s)

    def _refuse_unreachable(self, uri: URI) -> None:
        if self._uri.sockname or is_loopback(self._uri.host or ""):
            return
        if uri.sockname:
            raise NamingError(
                f"{uri} is not registered at {self.address}: a Unix socket cannot be reached from "
                "another machine; serve the object on TCP"
            )
        if is_loopback(uri.host or "") or uri.host in ("0.0.0.0", "::"):
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
