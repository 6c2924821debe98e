"""The one door to zeroconf: announce a name server, see those of others.

An announcement is a hint; an answer over TCP is the proof, and this module gives none. zeroconf and
asyncio cost 100 ms to import, so they are imported when they are first used.

Who serves on every address announces twice under one server id: on the networks the addresses of
the networks, and on loopback, for this machine, 127.0.0.1. So no machine hears of an address that
leads it back to itself. IPv4 only.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nameserver.errors import BadName, NamingError

if TYPE_CHECKING:
    from zeroconf import ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

__all__ = [
    "Announcement",
    "Browsing",
    "Sighting",
    "Transport",
    "announce",
    "browse",
    "interfaces_to_use",
]

SERVICE_TYPE = "_remoteobj._tcp.local."
LOOPBACK = "127.0.0.1"

Transport = Literal["plain", "tls"]

_ANSWER_TIMEOUT_MS = 3000
_START_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What an announcement says."""

    instance: str
    """Its name in the network, for as long as it is announced."""

    server_id: str
    """The same in all announcements of one run of one server."""

    addresses: tuple[str, ...]
    """Where the server says that it is, each as ``host:port``."""

    transport: str
    """What it says that it speaks, a ``Transport`` or something of a later release. It spares those
    who speak the other one a call in vain, and nothing is trusted for it."""


class Announcement:
    """A name server's presence on the network, until ``close()``."""

    def __init__(self, name: str, speakers: list[Zeroconf]) -> None:
        self.name = name
        self._speakers = speakers

    def close(self) -> None:
        """Say goodbye. Closing again does nothing.

        Blocks: about 0.3 s, in which the goodbye is said three times.
        """
        speakers, self._speakers = self._speakers, []
        for speaker in speakers:
            speaker.close()


class Browsing:
    """Watches announcements, until ``close()``."""

    def __init__(
        self,
        interfaces: tuple[str, ...],
        zeroconf: Zeroconf,
        browser: ServiceBrowser,
        questions: list[Future[None]],
    ) -> None:
        self.interfaces = interfaces
        self._zeroconf = zeroconf
        self._browser = browser
        self._questions = questions

    def close(self) -> None:
        """Watch no longer; no callback comes after this. Closing again does nothing."""
        self._browser.cancel()
        for question in self._questions:  # zeroconf would wait for their answers
            question.cancel()
        self._zeroconf.close()


def interfaces_to_use(interfaces: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the addresses of the interfaces to announce and to watch on.

    Args:
        interfaces: Addresses of this machine; None takes those in ``REMOTEOBJ_INTERFACES``
            (comma-separated), and where that is not set, all, loopback among them.
    Raises:
        NamingError: One of them is no IPv4 address.
    """
    text = os.environ.get("REMOTEOBJ_INTERFACES", "")
    wanted = tuple(interfaces or (part.strip() for part in text.split(",") if part.strip()))
    for address in wanted:
        if not _is_ipv4(address):
            raise NamingError(
                f"{address!r} is no IPv4 address of an interface: REMOTEOBJ_INTERFACES (or "
                "interfaces=) holds addresses such as 192.168.1.20"
            )
    if wanted:
        return wanted
    import ifaddr

    found = (ip for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    return tuple(sorted({str(ip.ip) for ip in found if ip.is_IPv4}))


def plan(host: str, interfaces: Sequence[str]) -> list[tuple[str, ...]]:
    """Return what is announced: groups of addresses, each on the interfaces that have them."""
    if host != "0.0.0.0":
        return [(host,)]
    outer = tuple(address for address in interfaces if not _is_loopback(address))
    inner = tuple(address for address in interfaces if _is_loopback(address))
    return [group for group in (outer, inner) if group]


def announce(
    host: str,
    port: int,
    *,
    name: str,
    server_id: str,
    transport: Transport = "plain",
    interfaces: Sequence[str] | None = None,
) -> Announcement:
    """Announce a name server on the interfaces that it listens on.

    The name is unique, so nobody is asked whether it is free, which would take 1.7 s; the first
    announcement is out when this returns, and is repeated in the background.

    Args:
        host: What the server is bound to; ``0.0.0.0`` stands for every interface.
        port: Its port.
        name: Instance name, made unique by the caller.
        server_id: Tells this run of the server from every other.
        transport: What it speaks.
        interfaces: As in :func:`interfaces_to_use`.
    Raises:
        BadName: zeroconf does not take the name.
        NamingError: The network does not carry announcements (no multicast, or only IPv6).

    Blocks: about 0.02 s.
    """
    groups = plan(_ipv4_of(host), interfaces_to_use(interfaces))
    with contextlib.ExitStack() as stack, _translated(name):
        speakers = []
        for number, addresses in enumerate(groups):
            speaker = _open(addresses)
            stack.callback(speaker.close)
            speakers.append(speaker)
            own_name = name if number == 0 else f"{name}-local"
            properties = {"v": "1", "transport": transport, "id": server_id}
            _speak(speaker, own_name, addresses, port, properties)
        stack.pop_all()
    return Announcement(name, speakers)


def browse(
    on_seen: Callable[[Sighting], None],
    on_gone: Callable[[str], None],
    interfaces: Sequence[str] | None = None,
) -> Browsing:
    """Watch announcements of name servers.

    Args:
        on_seen: Called with each that appears or changes, from a thread of zeroconf: be quick.
        on_gone: Called with the instance of one that said goodbye or was not repeated.
        interfaces: As in :func:`interfaces_to_use`.
    Raises:
        NamingError: The network does not carry announcements.
    """
    chosen = interfaces_to_use(interfaces)
    only_loopback = all(map(_is_loopback, chosen))
    with _translated("browsing"):
        import asyncio

        from zeroconf import ServiceBrowser, ServiceInfo, ServiceStateChange

        questions: list[Future[None]] = []

        async def ask(zeroconf: Zeroconf, name: str) -> None:
            info = ServiceInfo(SERVICE_TYPE, name)
            if await info.async_request(zeroconf, _ANSWER_TIMEOUT_MS):
                seen = _read(info, only_loopback)
                if seen.addresses:
                    on_seen(seen)

        def on_change(
            zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
        ) -> None:
            if state_change is ServiceStateChange.Removed:
                on_gone(name)
            elif zeroconf.loop is not None and zeroconf.loop.is_running():
                questions.append(
                    asyncio.run_coroutine_threadsafe(ask(zeroconf, name), zeroconf.loop)
                )

        zeroconf = _open(chosen)
        browser = ServiceBrowser(zeroconf, SERVICE_TYPE, handlers=[on_change])
        return Browsing(chosen, zeroconf, browser, questions)


def _open(addresses: Sequence[str]) -> Zeroconf:
    from zeroconf import IPVersion, Zeroconf

    return Zeroconf(interfaces=list(addresses), ip_version=IPVersion.V4Only)


def _speak(
    speaker: Zeroconf,
    name: str,
    addresses: Sequence[str],
    port: int,
    properties: dict[str, str],
) -> None:
    import asyncio

    from zeroconf import ServiceInfo

    info = ServiceInfo(
        SERVICE_TYPE,
        f"{name}.{SERVICE_TYPE}",
        port=port,
        parsed_addresses=list(addresses),
        properties=properties,
        server=f"{name}.local.",
    )
    assert speaker.loop is not None
    speaking = speaker.async_register_service(info, cooperating_responders=True)
    # The coroutine ends when the first announcement is out; the task that it returns repeats it.
    asyncio.run_coroutine_threadsafe(speaking, speaker.loop).result(_START_TIMEOUT_S)


def _read(info: ServiceInfo, only_loopback: bool) -> Sighting:
    """Read an announcement, which may be a stranger's."""
    # Linux hands a multicast to every socket of the port, so one on loopback may hear a network's.
    hosts = [host for host in info.parsed_addresses() if _is_ipv4(host)]
    if only_loopback:
        hosts = [host for host in hosts if _is_loopback(host)]
    said = info.decoded_properties
    return Sighting(
        info.name,
        said.get("id") or info.name,
        tuple(f"{host}:{info.port}" for host in hosts),
        said.get("transport") or "",
    )


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn what zeroconf and the network raise into this package's errors."""
    import zeroconf

    try:
        yield
    except (zeroconf.BadTypeInNameException, zeroconf.NamePartTooLongException) as error:
        raise BadName(f"{name!r} cannot be announced: {error}; choose another name") from error
    except (OSError, RuntimeError, TimeoutError, zeroconf.Error) as error:
        reason = str(error) or type(error).__name__
        raise NamingError(
            f"zeroconf does not work on this network ({reason}): say where the name server is, "
            "with REMOTEOBJ_NAMESERVER=host:port"
        ) from error


def _ipv4_of(host: str) -> str:
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise NamingError(
            f"{host} has no IPv4 address, and others are not announced: "
            "set REMOTEOBJ_NAMESERVER=host:port on the other machines"
        ) from error
    return str(found[0][4][0])


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    return ipaddress.IPv4Address(address).is_loopback
