"""What may be tuned, as one frozen value that is passed in."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


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

    max_message_bytes: int = 256 * 1024 * 1024
    """Largest message taken in, in bytes; checked on the header, before memory is taken."""

    max_connections: int = 4096
    """Connections that a daemon serves at once; one more is refused in words."""
