"""What a certificate says about its holder: which node it is, in which role.

The authority of a cluster writes it as one URI into the certificate, beside the host's name::

    remoteobj:node:3f09c1d2a4b5e687:slave

The node is drawn at random when a machine joins, and kept when its certificate is renewed. A CA
that was made by hand writes no such URI: whoever it signs for is a member, and its node is made
from the certificate.

This module is pure, and imports neither ``ssl`` nor ``cryptography``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from remoteobj.errors import BadInput, PeerRefused

__all__ = [
    "ROLES",
    "Claims",
    "at_least",
    "check_name",
    "check_node",
    "check_role",
    "claims_in",
    "claims_of",
    "name_in",
    "node_uri",
]

ROLES: Final = ("slave", "member", "operator")
"""In this order: each may do what those before it may."""

_NODE = re.compile(r"[0-9a-f]{16}")
_SCHEME = "remoteobj:"
_URI = re.compile(rf"remoteobj:node:([0-9a-f]{{16}}):({'|'.join(ROLES)})")


@dataclass(frozen=True, slots=True)
class Claims:
    """Who a certificate says that its holder is; true as far as its CA is trusted.

    Attributes:
        node: 16 lower-case hex digits, the same for all certificates of one machine.
        role: One of :data:`ROLES`.
        name: The host's name, for people: nothing is decided by it.
        serial: The certificate's number, in lower-case hex.
    """

    node: str
    role: str
    name: str
    serial: str


def at_least(role: str, needed: str) -> bool:
    """Tell whether *role* may do what *needed* may.

    Raises:
        BadInput: One of them is no role; the message lists them.
    """
    return ROLES.index(check_role(role)) >= ROLES.index(check_role(needed))


def check_role(role: str) -> str:
    """Return *role* if it is one.

    Raises:
        BadInput: It is not; the message lists them.
    """
    if role not in ROLES:
        raise BadInput(f"{role!r} is no role: give one of {', '.join(ROLES)}")
    return role


def check_node(node: str) -> str:
    """Return *node* if it is the id of one.

    Raises:
        BadInput: It is not: 16 lower-case hex digits, as ``nameserver members`` shows them.
    """
    if not isinstance(node, str) or not _NODE.fullmatch(node):
        raise BadInput(
            f"{node!r} is no node's id: 16 lower-case hex digits, as 'nameserver members' shows"
        )
    return node


def check_name(name: str) -> str:
    """Return *name* if a certificate can carry it as its holder's.

    Raises:
        BadInput: It cannot: 1 to 64 bytes of UTF-8 that can be printed; shorten it.
    """
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name.encode()) <= 64:
        raise BadInput(
            f"{name!r} is no name for a machine: 1 to 64 letters that can be printed; those "
            "beyond ASCII count for two or more"
        )
    return name


def node_uri(node: str, role: str) -> str:
    """Return the URI that the authority writes into a certificate.

    Raises:
        BadInput: *node* or *role* is none.
    """
    return f"{_SCHEME}node:{check_node(node)}:{check_role(role)}"


def claims_in(peercert: Mapping[str, Any]) -> Claims:
    """Return what a certificate says, as ``getpeercert()`` gives it.

    The certificate was checked by TLS before: this only reads.

    Raises:
        PeerRefused: It has more than one URI of ours, or one that cannot be read: no authority of
            this program signs that, so ask whoever did. The message names the holder.
    """
    uris = [value for kind, value in peercert.get("subjectAltName", ()) if kind == "URI"]
    issuer = [value for part in peercert.get("issuer", ()) for _, value in part]
    return claims_of(uris, name_in(peercert), int(peercert["serialNumber"], 16), issuer)


def claims_of(uris: Iterable[str], name: str, serial: int, issuer: Iterable[str]) -> Claims:
    """Return what the parts of a certificate say; raises as :func:`claims_in`."""
    number, ours = f"{serial:x}", [uri for uri in uris if uri.lower().startswith(_SCHEME)]
    if not ours:
        import hashlib  # OpenSSL: 3 MB, which only who looks at certificates needs

        by_hand = "\0".join([*issuer, number])
        node = hashlib.sha256(by_hand.encode("utf-8", "replace")).hexdigest()[:16]
        return Claims(node, "member", name, number)
    if len(ours) > 1:
        raise PeerRefused(
            f"the certificate of {name!r} says {len(ours)} times which node it is: the authority "
            "of a cluster says it once, so have it make a new one"
        )
    found = _URI.fullmatch(ours[0])
    if found is None:
        raise PeerRefused(
            f"the certificate of {name!r} says {ours[0][:80]!r}, which names no node in a role: "
            "have the authority of the cluster make a new one, or update the older program"
        )
    return Claims(found[1], found[2], name, number)


def name_in(certificate: Mapping[str, Any]) -> str:
    """Return the name in a certificate, as ``getpeercert()`` gives it: its first common name."""
    names = [value for part in certificate["subject"] for key, value in part if key == "commonName"]
    names += [value for _, value in certificate.get("subjectAltName", ())]
    return str(names[0]) if names else "(no name)"
