"""How far a farm reaches: this user on this machine, or the machines of its cluster.

The identity decides. Without one there is a Unix socket, and nothing else. With one the farm serves
the cluster too, at all addresses of this machine or at the one that was named, and name servers
tell where. ``nameserver=False`` without a host keeps a farm of a paired machine to itself.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

from masterslave.errors import CodeRefused
from remoteobj import Identity, IdentityUnusable
from remoteobj.identity import AUTO, Auto, at_least, choose_identity
from remoteobj.identity.places import HOW_TO_PAIR

__all__ = ["EVERYWHERE", "Reach", "choose_reach"]

log = logging.getLogger("masterslave")

EVERYWHERE = "0.0.0.0"
"""All addresses of this machine."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a farm is served, and where it is told of.

    Attributes:
        host: Where slaves of other machines reach it; None: nowhere.
        identity: Who this machine is; None where there is no host, and no name server on TLS.
        nameserver: Which name servers are told: True all that are found, an address that one.
        insecure: Whether name servers on plain TCP are.
        cluster: Only those of this cluster are; None: of all.
    """

    host: str | None
    identity: Identity | None
    nameserver: str | bool
    insecure: bool
    cluster: str | None


def choose_reach(
    label: str,
    *,
    host: str | None,
    identity: Identity | Auto | None,
    nameserver: str | bool | None,
    insecure: bool,
    cluster: str | None,
) -> Reach:
    """Return how far a farm with these arguments of ``Farm`` reaches.

    Raises:
        CodeRefused: A host, and no identity: pair this machine.
        BadInput: An identity and ``insecure=True`` were both given; or that is no identity, or no
            name of a cluster.
        IdentityUnusable: What pairing has stored cannot be used, or is a slave's, and the farm was
            told to reach other machines: it does not do less without a word.
    """
    if identity == AUTO and nameserver is False and host is None:
        identity = None
    is_asked_for = host is not None or bool(nameserver)
    who = _who(label, identity, insecure, cluster, is_asked_for)
    if host is not None and who is None:
        raise CodeRefused(
            f"a farm cannot serve on {host} without an identity: tasks are code, which does not "
            f"cross plain TCP; {HOW_TO_PAIR}, or give identity=; or leave host out: slaves on this "
            "machine find the farm"
        )
    if nameserver is None:
        nameserver = who is not None or bool(os.environ.get("REMOTEOBJ_NAMESERVER"))
    if who is not None and host is None and nameserver is not False:
        host = EVERYWHERE
    if who is not None:
        cluster = cluster or who.cluster
    return Reach(host, who, nameserver, insecure, cluster)


def _who(
    label: str,
    identity: Identity | Auto | None,
    insecure: bool,
    cluster: str | None,
    is_asked_for: bool,
) -> Identity | None:
    """Return who this machine is for others; None: nobody, so the farm stays here."""
    try:
        who = choose_identity(identity, insecure, cluster)
    except IdentityUnusable as error:
        if is_asked_for:
            raise
        log.warning("farm %r is served to this user on this machine only: %s", label, error)
        return None
    if who is None or at_least(who.claims.role, "member"):
        return who
    why = (
        f"{who.subject!r} is paired as a slave, and no slave of another machine works for a farm "
        "here: pair it as a member for that"
    )
    if is_asked_for or identity != AUTO:
        raise IdentityUnusable(why)
    log.info("farm %r is served to this user on this machine only: %s", label, why)
    return None
