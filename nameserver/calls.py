"""The calls of a name server as they are: what watches and leases are made of."""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import socket
import threading
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Literal, Self, cast

from nameserver.changes import Lease, Renewal, Revision
from nameserver.networks import Networks, is_unspecified, own_interfaces
from nameserver.record import NAME_SERVER, Record, from_plain
from remoteobj import URI, BadURI, Identity, RemoteObjError
from remoteobj.client.channel import Channel
from remoteobj.identity import AUTO, Auto, choose_identity, refuse_both
from remoteobj.settings import Settings

__all__ = ["How", "ServerCalls", "is_loopback", "record_of"]

_SPARE_S = 3.0
_UNWATCH_S = 1.0
_SPEAK_S = 1.0

How = Literal["given", "REMOTEOBJ_NAMESERVER", "remembered", "zeroconf"]


class ServerCalls:
    """A name server by its address; ``NameServerClient`` says what the arguments are.

    Blocks: each method on the network.  Threads: any.
    """

    def __init__(
        self,
        address: str,
        identity: Identity | Auto | None,
        insecure: bool,
        how: How,
        timeout_s: float,
        source_host: str | None = None,
    ) -> None:
        refuse_both(identity, insecure)
        try:
            self._uri = URI(f"PYRO:{NAME_SERVER}@{address}")
        except BadURI as error:
            raise BadURI(
                f"{address!r} is no address of a name server: it looks like 192.168.1.20:9090"
            ) from error
        if self._uri.sockname is None:
            identity = choose_identity(identity, insecure)
        elif identity == AUTO:
            identity = None
        self._how = how
        self._timeout_s = timeout_s
        self._channel = Channel(
            self._uri,
            insecure=insecure,
            identity=identity,
            settings=Settings(source_host=source_host),
        )

    @property
    def address(self) -> str:
        """Where the name server is, as ``host:port``."""
        return self._uri.location or ""

    @property
    def is_plain(self) -> bool:
        """Whether anyone on the way can read and change what is said: plain TCP is spoken."""
        return self._uri.sockname is None and self._channel.identity is None

    @property
    def how(self) -> How:
        """Where the address came from, one of ``How``."""
        return self._how

    def list(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records whose names begin with *prefix*, in the order of their names."""
        if self._speaks_ours():
            return tuple(map(from_plain, self._call("records", prefix)))
        found = self._call("list", prefix or None, None, True)
        # Pyro5's database takes "_" for any character, and does not tell upper from lower case.
        names = sorted(name for name in found if name.startswith(prefix))
        return tuple(record_of(name, *found[name]) for name in names)

    def about(self) -> dict[str, str]:
        """Return the server's ``release`` and ``python``; nothing for Pyro5's own."""
        if "about" not in self._channel.metadata(self._timeout_s).methods:
            return {}
        return {str(name): str(told) for name, told in self._call("about").items()}

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
        self, record: Record, lease: Lease | None, *, replace: bool, replaces: URI | None
    ) -> Sequence[str]:
        """Register, with a lease that somebody else renews; ``register`` does both.

        Returns:
            The addresses that the server does not reach, each with the reason.
        """
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

    def renew(self, lease: str) -> Renewal:
        """Renew a lease; tells what has become of it."""
        is_known, taken = self._call("renew", lease)
        return Renewal(bool(is_known), frozenset(map(str, taken)))

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

    def _call(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        return self._channel.call(method, args, {}, timeout_s or self._timeout_s)

    def _speaks_ours(self) -> bool:
        """Tell whether it is one of ours, and not Pyro5's own."""
        return "records" in self._channel.metadata(self._timeout_s).methods

    def _sibling(self, source_host: str | None = None) -> ServerCalls:
        """Return another client of the same server, with connections of its own."""
        channel = self._channel
        return ServerCalls(
            self.address,
            channel.identity,
            channel.insecure,
            self._how,
            self._timeout_s,
            source_host,
        )

    @property
    def _key(self) -> Hashable:
        return self.address, self._channel.identity, self._channel.insecure

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


def record_of(name: str, uri: URI | str, metadata: Iterable[str] | None) -> Record:
    """Return the record of what Pyro5's own name server says of a name."""
    return Record(name, URI(uri), frozenset(map(str, metadata or ())))
