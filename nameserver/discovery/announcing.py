"""Announce a name server on every address by which it can be reached.

Each address is announced on its own network and on no other, as an instance of its own; all of them
carry the id of the server. 127.0.0.1 is announced on loopback, for this machine. So no machine
hears of an address that leads it back to itself, nor of one in a network that it is not in.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nameserver.discovery.interfaces import is_loopback, named_interfaces, usable
from nameserver.discovery.sighting import Transport
from nameserver.errors import BadName, NamingError
from nameserver.networks import own_interfaces

if TYPE_CHECKING:
    from nameserver.discovery.following import Following
    from nameserver.discovery.mdns import Responder

__all__ = ["MAX_NAME_BYTES", "Announcement", "announce"]

MAX_NAME_BYTES = 47
"""Of the 63 bytes that DNS has for a name; an address takes the rest."""


class Announcement:
    """A name server's presence in the networks, until ``close()``. Threads: any."""

    def __init__(self, name: str, following: Following[Responder]) -> None:
        self.name = name
        self._following = following

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses of this machine that it is announced with, and on, now."""
        return self._following.addresses

    def problems(self) -> dict[str, str]:
        """Return the addresses where announcing fails, each with the reason."""
        return self._following.problems()

    def close(self) -> None:
        """Say goodbye. Closing again does nothing.

        Blocks: about 0.3 s, in which the goodbye is said three times.
        """
        self._following.close()


def announce(
    host: str,
    port: int,
    *,
    name: str,
    server_id: str,
    transport: Transport = "plain",
    cluster: str = "",
    interfaces: Sequence[str] | None = None,
    changed: Callable[[], None] = lambda: None,
) -> Announcement:
    """Announce a name server on the interfaces that it listens on, and follow their changes.

    Args:
        host: What the server is bound to; ``0.0.0.0`` stands for every interface.
        port: Its port.
        name: Instance name, made unique by the caller, of ``MAX_NAME_BYTES`` at most.
        server_id: Tells this run of the server from every other.
        transport: What it speaks.
        cluster: What its cluster is called.
        interfaces: Addresses to which ``0.0.0.0`` is limited; None takes ``REMOTEOBJ_INTERFACES``.
        changed: Told, in a thread of this, when it is announced on other addresses than before.
    Raises:
        BadName: The name cannot be announced.
        NamingError: The host has no IPv4 address, or *interfaces* are none.

    Blocks: about 0.02 s, the first time 0.1 s; the first announcement is out then.
    """
    if len(name.encode()) > MAX_NAME_BYTES or not name.isprintable():
        raise BadName(
            f"{name!r} cannot be announced: choose a name of {MAX_NAME_BYTES} bytes at most, "
            "without control characters"
        )
    from nameserver.discovery.following import Following
    from nameserver.discovery.mdns import Responder

    properties = {"v": "1", "transport": transport, "id": server_id, "cluster": cluster}

    async def open_on(address: str) -> Responder:
        instance = f"{name}-{address.replace('.', '-')}"  # dns-sd of macOS hides names with dots
        return await Responder.open(address, instance, port, properties)

    following = Following(_where(host, interfaces), open_on, changed=changed)
    following.start()
    return Announcement(name, following)


def _where(host: str, interfaces: Sequence[str] | None) -> Callable[[], tuple[str, ...]]:
    """Return what says where a server is announced now."""
    named = named_interfaces(interfaces)
    address = _ipv4_of(host)
    if address == "0.0.0.0":
        return lambda: usable(own_interfaces(), named)
    if is_loopback(address):  # all of 127.0.0.0/8 is this machine's, and few of it are listed
        return lambda: (address,)
    return lambda: usable(own_interfaces(), (address,))


def _ipv4_of(host: str) -> str:
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise NamingError(
            f"{host} has no IPv4 address, and others are not announced: "
            "set REMOTEOBJ_NAMESERVER=host:port on the other machines"
        ) from error
    return str(found[0][4][0])
