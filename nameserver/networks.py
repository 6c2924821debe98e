"""The networks of a machine, and which of an object's hosts is meant for whom.

An address says little by itself: 127.0.0.1 is another machine on each machine, and 172.17.0.1 is
the container bridge of every machine that has one. So nothing here is believed of another machine;
it only tells which addresses this machine has, and in which of its networks an address is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "Interface",
    "Networks",
    "is_address",
    "is_link_local",
    "is_loopback_address",
    "is_unspecified",
    "own_interfaces",
]

_BRIDGES = ("docker", "br-", "veth", "virbr", "lxc", "lxd", "podman", "cni", "flannel", "vmnet")
"""How interfaces begin that lead to containers and virtual machines of this machine, and nowhere
else: no other machine reaches an object by their addresses."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Interface:
    """One address of this machine."""

    name: str
    address: str
    """Without a zone."""

    bits: int
    """Of the address, that are the network's."""

    @property
    def is_loopback(self) -> bool:
        """Whether it leads back to this machine."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def is_link_local(self) -> bool:
        """Whether it is only valid together with the name of an interface."""
        return ipaddress.ip_address(self.address).is_link_local

    @property
    def is_bridge(self) -> bool:
        """Whether it leads to containers of this machine."""
        return self.name.startswith(_BRIDGES)

    def reaches(self, address: str) -> bool:
        """Tell whether an address is in its network."""
        network = ipaddress.ip_network(f"{self.address}/{self.bits}", strict=False)
        return ipaddress.ip_address(address) in network


class Networks:
    """The interfaces of this machine at one moment."""

    def __init__(self, interfaces: Iterable[Interface]) -> None:
        self.interfaces = tuple(interfaces)
        self._own = {interface.address for interface in self.interfaces}

    def is_own(self, host: str) -> bool:
        """Tell whether an address is this machine's."""
        return host in self._own or is_loopback_address(host)

    def outer(self) -> tuple[str, ...]:
        """Return the addresses by which other machines may reach this one, IPv4 first."""
        usable = [
            interface
            for interface in self.interfaces
            if not (interface.is_loopback or interface.is_bridge or interface.is_link_local)
        ]
        usable.sort(key=lambda interface: ":" in interface.address)
        return tuple(interface.address for interface in usable)

    def choose(self, hosts: Sequence[str], caller: str) -> str | None:
        """Return which of an object's *hosts* is in the same network as *caller*; None: no one.

        Args:
            hosts: Addresses at which the object has been reached.
            caller: Address of whoever wants to call it.
        """
        for interface in self.interfaces:
            if not interface.is_loopback and _is_in(interface, caller):
                for host in hosts:
                    if _is_in(interface, host):
                        return host
        return None


def own_interfaces() -> tuple[Interface, ...]:
    """Return the addresses of this machine as they are now."""
    import ifaddr

    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            found.append(Interface(adapter.name, address, ip.network_prefix))
    return tuple(found)


def is_loopback_address(host: str) -> bool:
    """Tell whether a text is an address, or the name, that leads back to whoever uses it."""
    if host.lower() in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_unspecified(host: str) -> bool:
    """Tell whether a text stands for all addresses of a machine: 0.0.0.0, ::."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Tell whether a text is an address, and not a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def is_link_local(host: str) -> bool:
    """Tell whether a text is an address that is only valid together with an interface."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_link_local
    except ValueError:
        return False


def _is_in(interface: Interface, address: str) -> bool:
    try:
        return interface.reaches(address)
    except (ValueError, TypeError):  # a name, or the other family
        return False
