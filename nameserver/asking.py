"""Prove an address: ask there for a name server, and which cluster it is of.

The cluster is that which the server tells when it is asked; an announcement may be out of date, and
an address that was good yesterday may be another server's today.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from nameserver.client import How, NameServerClient
from nameserver.clusters import cluster_in
from nameserver.errors import NamingError
from nameserver.record import NAME_SERVER
from remoteobj import Identity

__all__ = ["PROOF_TIMEOUT_S", "Found", "prove", "reason_of"]

PROOF_TIMEOUT_S = 2.0
"""Longest wait for one answer, in seconds."""


@dataclass(frozen=True, slots=True)
class Found:
    """A name server that has answered."""

    client: NameServerClient
    cluster: str
    """What it says its cluster is called; empty: it does not say, as Pyro5's own server."""


def prove(
    address: str,
    how: How,
    *,
    identity: Identity | None,
    insecure: bool,
    timeout_s: float = PROOF_TIMEOUT_S,
) -> Found:
    """Ask at an address.

    Args:
        address: ``host:port``.
        how: Where it came from.
        identity: Who this process is; TLS is spoken then, and nothing else.
        insecure: Plain TCP may be spoken.
        timeout_s: Longest wait for the answer, in seconds.
    Returns:
        Its client, which is the caller's to close.
    Raises:
        RemoteObjError, OSError: As ``NameServerClient.ping``.
        Exception: A stranger may answer with anything.

    Blocks: on the network, at most *timeout_s*.
    """
    client = NameServerClient(address, identity=identity, insecure=insecure, how=how, quiet=True)
    try:
        client.ping(timeout_s=timeout_s)
        cluster = ""
        with contextlib.suppress(NamingError):  # it does not know itself
            cluster = cluster_in(client.lookup(NAME_SERVER).metadata)
        return Found(client, cluster)
    except BaseException:
        client.close()
        raise


def reason_of(error: Exception) -> str:
    """Say in one line why whoever was called did not answer as a name server."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
