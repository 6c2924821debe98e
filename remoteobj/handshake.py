"""What two peers of ours agree on when they connect: the version of our extensions, and a codec.

It rides in Pyro's handshake, under a key of its own that stock Pyro5 peers neither send nor look
at: who does not offer it is served as a stock peer. Pure: values in, values out.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from remoteobj.errors import WireError

__all__ = [
    "BINARY",
    "KEY",
    "STOCK",
    "UNTRUSTED",
    "VERSION",
    "Agreement",
    "agree",
    "answer_of",
    "client_of",
    "offer",
    "read_answer",
]

KEY = "remoteobj"
"""Where the offer and the answer stand in the handshake."""

UNTRUSTED = "this peer is not let in:"
"""How a daemon's answer begins where it does not trust who asks."""

VERSION = 1
"""Version of our extensions."""

OLDEST = 1
"""The oldest version that is still spoken: one release back."""

CODECS = ("binary", "serpent")
"""Codecs that are spoken, the best one first."""


BINARY = 82
"""The number that stands in a message's header for our own codec; those of Pyro5 are below 5."""

_MOST_NAME = 64


class Agreement(Struct, frozen=True):
    """What holds on a connection; version 0 is a stock Pyro5 peer."""

    version: int
    codec: str
    max_bytes: int | None = None
    """Largest message that the daemon takes, where it has said so."""
    revoked: int | None = None
    """Number of the list of revocations that the daemon has, where it has said so."""


STOCK = Agreement(0, "serpent")


def offer(
    client: str = "",
    *,
    version: int = VERSION,
    oldest: int = OLDEST,
    codecs: tuple[str, ...] = CODECS,
) -> dict[str, Any]:
    """Return what a client says of itself.

    Args:
        client: A name that nobody can guess, the same for all connections of one process to one
            daemon: they share their sessions.
    """
    return {"version": version, "oldest": oldest, "codecs": list(codecs), "client": client}


def client_of(offered: Any) -> str:
    """Return the client's name, or none."""
    name = offered.get("client") if isinstance(offered, dict) else None
    return name[:_MOST_NAME] if isinstance(name, str) else ""


def agree(
    offered: Any, *, version: int = VERSION, oldest: int = OLDEST, codecs: tuple[str, ...] = CODECS
) -> Agreement:
    """Choose what holds, on the daemon's side.

    Args:
        offered: What the client said under ``KEY``, or None for a stock peer.
    Raises:
        WireError: The two have no version in common; the message says which side is to be updated.
    """
    if offered is None:
        return STOCK
    match offered:
        case {
            "version": int() as theirs,
            "oldest": int() as their_oldest,
            "codecs": list() as known,
        }:
            pass
        case _:
            raise WireError("the handshake's offer cannot be read")
    if theirs < oldest:
        raise WireError(
            f"the caller speaks version {theirs} of remoteobj, {oldest} to {version} are spoken "
            "here: update remoteobj-farm where the call comes from"
        )
    if their_oldest > version:
        raise WireError(
            f"the caller speaks no version of remoteobj before {their_oldest}, {oldest} to "
            f"{version} are spoken here: update remoteobj-farm where the object is"
        )
    codec = next((name for name in codecs if name in known), STOCK.codec)
    return Agreement(min(theirs, version), codec)


def answer_of(
    agreement: Agreement, max_bytes: int | None = None, revoked: int | None = None
) -> dict[str, Any]:
    """Return what the daemon says to a peer that made an offer."""
    answer: dict[str, Any] = {"version": agreement.version, "codec": agreement.codec}
    if max_bytes is not None:
        answer["max_bytes"] = max_bytes
    if revoked is not None:
        answer["revoked"] = revoked
    return answer


def read_answer(answer: Any, *, codecs: tuple[str, ...] = CODECS) -> Agreement:
    """Read what the daemon answered under ``KEY``; a stock peer answers None.

    Raises:
        WireError: It chose a codec that was not offered.
    """
    match answer:
        case {"version": int() as version, "codec": str() as codec}:
            if codec not in (*codecs, STOCK.codec):
                raise WireError(f"the daemon chose codec {codec!r}, which was not offered")
            return Agreement(
                version, codec, _number(answer, "max_bytes"), _number(answer, "revoked")
            )
        case None:
            return STOCK
        case _:
            raise WireError("the daemon's part of the handshake cannot be read")


def _number(answer: dict[str, Any], key: str) -> int | None:
    number = answer.get(key)
    return number if isinstance(number, int) else None
