"""What an announcement says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Sighting", "Transport"]

Transport = Literal["plain", "tls", "join"]
"""What is spoken there; "join": the protocol by which machines join, and nothing else."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An announcement that was seen, as it was: nothing of it is proved."""

    instance: str
    """Its name in the network, for as long as it is announced."""

    server_id: str
    """The same in all announcements of one run of one server."""

    addresses: tuple[str, ...]
    """Where the server says that it is, each as ``host:port``."""

    transport: str
    """What it says that it speaks, a ``Transport`` or something of a later release. It spares those
    who speak the other one a call in vain, and nothing is trusted for it."""

    cluster: str
    """What it says that its cluster is called; empty: an older release, which does not say."""
