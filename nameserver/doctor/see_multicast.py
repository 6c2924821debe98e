"""See whether multicast works: send an announcement on an interface, and hear it come back.

It is an answer of multicast DNS, as zeroconf's announcements are, to the same group and port, for a
service that nobody asks for, and it ends in the moment it is sent: nobody has to remember it. A
question goes with it that every machine with multicast DNS answers, so that others are heard.
"""

from __future__ import annotations

import errno
import secrets
import select
import socket
import struct
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from nameserver.doctor.facts import Card, Heard, Hearing

__all__ = ["GROUP", "PORT", "announcement", "hear", "hear_on_all", "question"]

GROUP, PORT = "224.0.0.251", 5353
LISTEN_S = 1.0
"""How long others are listened to, in seconds; most answer within 0.2."""

_REPEAT_S = 0.25
_PTR, _IN = 12, 1
_ANSWER = 0x8400
_SERVICE = "_ro-doctor._udp.local"
_ALL_SERVICES = "_services._dns-sd._udp.local"  # RFC 6763, section 9

_WHY: dict[int | None, Heard] = {
    errno.ENODEV: "no route",
    errno.ENETUNREACH: "no route",
    errno.EHOSTUNREACH: "no route",
    errno.EADDRINUSE: "port taken",
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
}


def hear_on_all(cards: Sequence[Card], *, listen_s: float = LISTEN_S) -> tuple[Hearing, ...]:
    """Send and listen on each of the interfaces, at the same time.

    Blocks: *listen_s*.
    """
    if not cards:
        return ()
    own = {card.address for card in cards}
    with ThreadPoolExecutor(len(cards), thread_name_prefix="doctor hears") as threads:
        return tuple(threads.map(lambda card: hear(card, own, listen_s=listen_s), cards))


def hear(card: Card, own: set[str], *, listen_s: float = LISTEN_S) -> Hearing:
    """Send an announcement on an interface, and say what was heard.

    Args:
        card: The interface, by an IPv4 address.
        own: Addresses that are not another machine's.
        listen_s: How long to listen, in seconds; on loopback only until it came back.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            _join(sock, card.address)
            return _listen(sock, card, own, listen_s)
    except OSError as error:
        return Hearing(card, _WHY.get(error.errno, "failed"), error.strerror or str(error))


def announcement(token: str) -> bytes:
    """Return an answer that says that there is a service *token*, for 0 seconds."""
    head = struct.pack("!6H", 0, _ANSWER, 0, 1, 0, 0)
    target = _name(f"{token}.{_SERVICE}")
    return head + _name(_SERVICE) + struct.pack("!HHIH", _PTR, _IN, 0, len(target)) + target


def question() -> bytes:
    """Return what every machine with multicast DNS answers that announces something."""
    return (
        struct.pack("!6H", 0, 0, 1, 0, 0, 0) + _name(_ALL_SERVICES) + struct.pack("!HH", _PTR, _IN)
    )


def _join(sock: socket.socket, address: str) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):  # as zeroconf does; the port is shared by all who listen
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("", PORT))
    interface = socket.inet_aton(address)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    group = socket.inet_aton(GROUP) + interface
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)


def _listen(sock: socket.socket, card: Card, own: set[str], listen_s: float) -> Hearing:
    token = f"ro-{secrets.token_hex(8)}"
    came_back, others = False, set()
    ends = time.monotonic() + listen_s
    send_at = 0.0
    while (now := time.monotonic()) < ends:
        if now >= send_at:  # one packet may be lost
            sock.sendto(announcement(token), (GROUP, PORT))
            sock.sendto(question(), (GROUP, PORT))
            send_at = now + _REPEAT_S
        if select.select([sock], [], [], min(send_at, ends) - now)[0]:
            packet, (sender, *_) = sock.recvfrom(9000)
            came_back = came_back or token.encode() in packet
            if sender not in own and not sender.startswith("127."):
                others.add(sender)
        if came_back and card.kind == "loopback":
            break
    return Hearing(card, "heard" if came_back else "unheard", others=tuple(sorted(others)))


def _name(text: str) -> bytes:
    """Return a name as DNS writes it: each word after its length."""
    return b"".join(bytes([len(word)]) + word.encode() for word in text.split(".")) + b"\0"
