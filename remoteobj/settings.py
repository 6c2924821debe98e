"""What may be tuned, as one frozen value that is passed in."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from remoteobj.errors import BadInput

__all__ = ["Settings"]

_TEXTS = ("stock_serializer", "source_host")
_STOCK_SERIALIZERS = ("serpent", "json", "msgpack")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Limits of a daemon or a proxy. Give a changed copy: ``Settings(call_timeout_s=2.0)``."""

    connect_timeout_s: float = 5.0
    """Longest time to reach a daemon and be let in, in seconds. A machine that is switched off
    does not answer at all, so without a limit a proxy would wait for minutes."""

    call_timeout_s: float | None = None
    """Longest time to wait for one call's answer, in seconds; None waits as long as it takes,
    because a method may compute for hours. ``options(proxy, timeout_s=2)`` sets it for one call."""

    handshake_timeout_s: float = 5.0
    """How long a daemon waits for a new peer's first message, in seconds."""

    max_handshake_bytes: int = 4096
    """Largest first message that a daemon reads from a peer that it has not let in yet."""

    max_handshakes_per_address: int = 32
    """Peers of one address (of one /64 where it is IPv6) that a daemon has not let in yet and that
    say nothing; one more, and the oldest is closed. Who is let in takes a few milliseconds, so this
    keeps out nobody but those who open connections and leave them so."""

    max_handshakes: int = 512
    """Peers at all addresses together that a daemon has not let in yet; one more, and one of the
    address that has the most of them is closed."""

    max_message_bytes: int = 256 * 1024 * 1024
    """Largest message taken in, in bytes; checked on the header, before memory is taken."""

    max_connections: int = 4096
    """Connections that a daemon serves at once; one more is refused in words."""

    max_connections_per_peer: int = 2048
    """Connections of one machine, by its certificate, that a daemon serves at once; one more is
    refused in words. Without TLS it is those of one address; those of this user, by a Unix socket
    or what stands for it, are not counted. So no member takes the places of all others."""

    max_calls_in_flight: int = 256
    """Calls of one connection that may be unanswered at a time, because what they return comes
    later, or because nobody waits for them; the next ones are not read until some are done."""

    max_threads: int = 1000
    """Threads that run calls at a time. Sixteen do for short calls; more are started only while
    methods take their time, and end when they have nothing to do."""

    max_threads_per_peer: int = 500
    """Threads that run calls of one machine (or address, as above) at a time; its other calls wait
    in their sockets, and those of other machines do not. Lower it with ``max_threads``."""

    max_depth: int = 200
    """How many containers may stand in one another in a value; a deeper one is refused."""

    send_timeout_s: float = 30.0
    """How long a peer may take nothing of an answer, in seconds, before it is given up."""

    stock_serializer: Literal["serpent", "json", "msgpack"] = "serpent"
    """What a proxy speaks to a stock Pyro5 daemon; to our own it speaks a codec that keeps every
    type. A stock daemon needs the library ``msgpack`` for the last one."""

    source_host: str | None = None
    """Address of this machine that a proxy calls from, where it has several; None: the system
    chooses."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _TEXTS or (value is None and "None" in str(field.type)):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise BadInput(f"Settings.{field.name} is a number above 0, not {value!r}")
        if self.stock_serializer not in _STOCK_SERIALIZERS:
            raise BadInput(
                f"stock_serializer={self.stock_serializer!r}: it is one of "
                f"{', '.join(_STOCK_SERIALIZERS)}; marshal is spoken to nobody"
            )
