"""Which addresses of this machine are used for announcing and for browsing, as things are now.

All that are IPv4, up, and no bridge to containers: 172.17.0.1 is another machine on each machine.
Loopback is among them, for this machine itself. Where addresses were named, those and no others,
whenever the machine has them.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from nameserver.errors import NamingError
from nameserver.networks import Interface, own_interfaces

__all__ = [
    "LOOPBACK",
    "interfaces_to_use",
    "is_ipv4",
    "is_loopback",
    "named_interfaces",
    "outer_addresses",
    "usable",
]

LOOPBACK = "127.0.0.1"

_DOWN = ("down", "lowerlayerdown", "notpresent", "dormant")
"""What Linux says of an interface that is off, without a cable, or not let into its network."""


def named_interfaces(interfaces: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the addresses that were named; empty: all may be used.

    Args:
        interfaces: Addresses of this machine; None takes those in ``REMOTEOBJ_INTERFACES``
            (comma-separated).
    Raises:
        NamingError: One of them is no IPv4 address.
    """
    text = os.environ.get("REMOTEOBJ_INTERFACES", "")
    named = tuple(interfaces or (part.strip() for part in text.split(",") if part.strip()))
    for address in named:
        if not is_ipv4(address):
            raise NamingError(
                f"{address!r} is no IPv4 address of an interface: REMOTEOBJ_INTERFACES (or "
                "interfaces=) holds addresses such as 192.168.1.20"
            )
    return named


def usable(found: Iterable[Interface], named: Sequence[str] = ()) -> tuple[str, ...]:
    """Return which addresses can be used, loopback last.

    Args:
        found: The interfaces of this machine.
        named: Addresses to which the choice is limited; empty: it is not.
    """
    chosen = {
        each.address
        for each in found
        if is_ipv4(each.address)
        and (each.address in named if named else not each.is_bridge)
        and is_up(each.name)
    }
    return tuple(sorted(chosen, key=lambda address: (is_loopback(address), address)))


def interfaces_to_use(interfaces: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the addresses that were named, or those that can be used now.

    Args:
        interfaces: As in ``named_interfaces``, which says what is raised too.
    """
    return named_interfaces(interfaces) or usable(own_interfaces())


def outer_addresses(interfaces: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return those that can be used now and by which other machines may reach this one."""
    found = usable(own_interfaces(), named_interfaces(interfaces))
    return tuple(each for each in found if not is_loopback(each))


def is_up(name: str) -> bool:
    """Tell whether an interface is on and has a cable, where the system tells that in a file."""
    try:
        state = Path("/sys/class/net", name.partition(":")[0], "operstate").read_text()
    except OSError:
        return True
    return state.strip() not in _DOWN


def is_ipv4(text: str) -> bool:
    """Tell whether a text is an IPv4 address."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Tell whether an IPv4 address leads back to whoever uses it."""
    return ipaddress.IPv4Address(address).is_loopback
