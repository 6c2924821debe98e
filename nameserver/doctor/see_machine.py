"""See what this machine has: versions, interfaces, names, a firewall."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from nameserver.discovery import interfaces_to_use
from nameserver.doctor.facts import Card, Firewall, Kind, Package, State, System
from nameserver.errors import NamingError
from nameserver.networks import Interface, own_interfaces

__all__ = ["see_cards", "see_firewall", "see_host", "see_packages", "see_system"]

OURS = "remoteobj-farm"
_TOLD = ("Pyro5", "zeroconf")
_RESOLVE_S = 1.0

# Of the flags of an interface, in the numbers of Linux and of the BSDs, macOS among them.
_UP = 0x1
_RUNNING = 0x40
_MULTICAST = 0x1000 if sys.platform == "linux" else 0x8000
_GET_FLAGS = 0x8913 if sys.platform == "linux" else 0xC0206911


def see_system() -> System:
    """Return which system this is."""
    if sys.platform == "win32":
        return "windows"
    return "macos" if sys.platform == "darwin" else "linux"


def see_packages(names: Sequence[str] = _TOLD) -> tuple[Package, ...]:
    """Return what is installed, of us and of these; by default what the network depends on."""
    try:
        ours, needed = metadata.version(OURS), metadata.requires(OURS) or []
    except metadata.PackageNotFoundError:  # run from its folder
        ours, needed = None, []
    least = {}
    for line in needed:
        match = re.match(r"([\w.-]+)\s*>=\s*([\d.]+)", line)
        if match and "extra" not in line:
            least[match[1].lower()] = match[2]
    found = [Package(OURS, ours)] if ours else []
    for name in names:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = None
        found.append(Package(name, version, least.get(name.lower(), "")))
    return tuple(found)


def see_cards() -> tuple[tuple[Card, ...], str]:
    """Return the addresses of this machine, and why ``REMOTEOBJ_INTERFACES`` cannot be followed."""
    found = own_interfaces()
    own = {interface.address for interface in found}
    problem = ""
    try:
        chosen = set(interfaces_to_use())
    except NamingError as error:
        chosen, problem = own, str(error)
    foreign = sorted(chosen - own)
    if foreign:
        problem = (
            f"REMOTEOBJ_INTERFACES has {', '.join(foreign)}, which is no address of this machine: "
            f"it has {', '.join(sorted(own))}"
        )
    cards = []
    for interface in found:
        flags = _flags_of(interface.name)
        cards.append(
            Card(
                interface.name,
                interface.address,
                interface.bits,
                _kind_of(interface),
                _state_of(flags),
                None if flags is None else bool(flags & _MULTICAST),
                interface.address in chosen,
            )
        )
    return tuple(cards), problem


def network_of(cards: tuple[Card, ...], host: str) -> str:
    """Return the network of an address of this machine; empty where it is none."""
    for card in cards:
        if card.address == host:
            return str(ipaddress.ip_network(f"{host}/{card.bits}", strict=False))
    return ""


def see_host() -> tuple[str, tuple[str, ...]]:
    """Return this machine's own name, and the addresses that it stands for here.

    Blocks: on the resolver, at most 1 s; what it says later counts for nothing.
    """
    name = socket.gethostname()
    found: set[str] = set()

    def resolve() -> None:
        try:
            found.update(str(each[4][0]) for each in socket.getaddrinfo(name, None))
        except (OSError, UnicodeError):
            return

    thread = threading.Thread(target=resolve, name="doctor resolves", daemon=True)
    thread.start()
    thread.join(_RESOLVE_S)
    return name, tuple(sorted(found))


def see_firewall() -> Firewall:
    """Return which firewall there is; whether it is active, only root could tell of some."""
    try:
        if "ENABLED=yes" in Path("/etc/ufw/ufw.conf").read_text(encoding="utf-8"):
            return "ufw"
    except OSError:
        pass
    return "firewalld" if Path("/run/firewalld").exists() else "other"


def _kind_of(interface: Interface) -> Kind:
    if interface.is_loopback:
        return "loopback"
    if interface.is_bridge:
        return "bridge"
    return "link-local" if interface.is_link_local else "usable"


def _state_of(flags: int | None) -> State:
    if flags is None:
        return "unknown"
    if not flags & _UP:
        return "down"
    return "up" if flags & _RUNNING else "unplugged"


def _flags_of(name: str) -> int | None:
    """Return the flags of an interface; None where this system does not tell."""
    try:
        import fcntl
    except ImportError:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            request = struct.pack("16sh14x", name.encode()[:15], 0)
            answer = fcntl.ioctl(sock.fileno(), _GET_FLAGS, request)
        except (OSError, UnicodeError):
            return None
    (flags,) = struct.unpack_from("H", answer, 16)
    return int(flags)
