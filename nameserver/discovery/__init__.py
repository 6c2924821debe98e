"""Announce a name server, see those of others: by zeroconf, on every interface that can be used.

An announcement is a hint; an answer over TCP is the proof, and nothing here gives one.

::

    announcing   what is said where ─┐
                                     ├── following   opens and closes as the networks change
    browsing     who was seen ───────┘        │
                                              ├── interfaces   which addresses can be used now
                                              └── mdns         the one door to zeroconf: one speaks,
                                                               one listens, on one address

Each address has a zeroconf of its own, so one interface that fails spoils no other. IPv4 only: an
IPv6 address that is link-local, as most are that work without set-up, is valid together with a zone
only, which no announcement carries; and where a network has IPv6 alone, REMOTEOBJ_NAMESERVER says
where the server is.
"""

from nameserver.discovery.announcing import MAX_NAME_BYTES, Announcement, announce
from nameserver.discovery.browsing import Browsing, browse
from nameserver.discovery.interfaces import (
    LOOPBACK,
    interfaces_to_use,
    named_interfaces,
    outer_addresses,
)
from nameserver.discovery.sighting import Sighting, Transport

__all__ = [
    "LOOPBACK",
    "MAX_NAME_BYTES",
    "Announcement",
    "Browsing",
    "Sighting",
    "Transport",
    "announce",
    "browse",
    "interfaces_to_use",
    "named_interfaces",
    "outer_addresses",
]
