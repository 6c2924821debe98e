"""Which name server decides who leads a farm: one and the same for all of its masters.

Where the machines were paired there is one name server with the cluster's authority, wherever it
is: that one. Elsewhere it is one at an address: the one that was named, or that answered first,
remembered by its address in the journal, and so in every copy of it. Another name server knows
nothing of the leadership, and is never asked in its place.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from nameserver import NameServerClient, NameServerNotFound, locate
from nameserver.pairing.presence import AUTHORITY, revoked_number
from nameserver.record import NAME_SERVER
from remoteobj import Identity, Proxy, RemoteObjError, Settings
from remoteobj.uri import URI

__all__ = ["Arbiter", "choose_arbiter"]

_ASK = Settings(connect_timeout_s=1.0, call_timeout_s=1.0)
_LOOK_S = 2.0


@dataclass(frozen=True, slots=True)
class Arbiter:
    """The name server that decides.

    Attributes:
        address: Where it is; empty: it is the one with the cluster's authority.
        identity: Who this machine is; None where plain TCP is spoken.
        insecure: Whether it is.
        cluster: What the cluster is called, where that was chosen.
    """

    address: str
    identity: Identity | None = None
    insecure: bool = False
    cluster: str | None = None

    def find(self) -> NameServerClient:
        """Return a client, for the caller to close.

        Raises:
            NameServerNotFound: It is not found, or what is found is another one.

        Blocks: on the network, some seconds.
        """
        if self.address:
            return NameServerClient(
                self.address, identity=self.identity, insecure=self.insecure, quiet=True
            )
        identity = self.identity
        if identity is None:
            raise NameServerNotFound("without an identity there is no cluster with an authority")
        if identity.server is not None and _has_authority(identity.server, identity):
            return NameServerClient(identity.server, identity=identity)
        found = locate(cluster=self.cluster, identity=identity, timeout_s=_LOOK_S)
        with contextlib.suppress(RemoteObjError, OSError):
            if _has_authority(found.address, identity):
                identity.note_server(found.address)
                return found
        found.close()
        raise NameServerNotFound(
            f"the name server with the authority of this cluster was at {identity.server}, and "
            f"does not answer; the one at {found.address} is another one, which does not decide: "
            "start it on the machine that has the authority ('nameserver run')"
        )


def choose_arbiter(
    remembered: str,
    *,
    nameserver: str | bool | None = None,
    identity: Identity | None = None,
    insecure: bool = False,
    cluster: str | None = None,
) -> Arbiter:
    """Return who decides.

    Args:
        remembered: ``Arbiter.address`` as the journal has it; empty: it has none.
        nameserver: The address that was named, as of ``Farm``; True or None: none was.
        identity: Who this machine is.
        insecure: Whether plain TCP may be spoken.
        cluster: What the cluster is called, where that was chosen.
    Raises:
        NameServerNotFound: There is no name server.
        RemoteObjError: As of ``locate``.

    Blocks: on the network, where nobody was named and nothing is remembered.
    """
    if identity is not None and identity.cluster is not None:
        return Arbiter("", identity, insecure=False, cluster=cluster or identity.cluster)
    address = remembered or (nameserver if isinstance(nameserver, str) else "")
    if not address:
        with locate(
            cluster=cluster, identity=identity, insecure=insecure, timeout_s=_LOOK_S
        ) as found:
            address = found.address
    return Arbiter(address, identity, insecure=insecure, cluster=cluster)


def _has_authority(address: str, identity: Identity) -> bool:
    """Tell whether the name server at an address has the authority, which it proves."""
    try:
        with NameServerClient(address, identity=identity, timeout_s=1.0) as client:
            if revoked_number(client.lookup(NAME_SERVER).metadata) is None:
                return False
        uri = URI(f"PYRO:{AUTHORITY}@{address}")
        with Proxy(uri, identity=identity, settings=_ASK, role="operator") as authority:
            authority.revocations()
    except (RemoteObjError, OSError):
        return False
    return True
