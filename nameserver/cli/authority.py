"""How a command reaches the cluster's authority: as the stored identity, at its name server."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from nameserver.cli.options import debug_option, where_options
from nameserver.clusters import chosen_cluster
from nameserver.errors import NameServerNotFound
from nameserver.locate import locate
from nameserver.pairing.presence import AUTHORITY, revoked_number
from nameserver.record import NAME_SERVER
from remoteobj import URI, Identity, Proxy
from remoteobj.errors import IdentityUnusable, NotAllowed
from remoteobj.identity.claims import at_least
from remoteobj.identity.store import Store

__all__ = ["Office", "of_authority", "role_option"]

role_option = click.option(
    "--role",
    type=click.Choice(["slave", "member", "operator"]),
    default="slave",
    show_default=True,
    help="What the machine may do: run tasks; also have farms and names; also invite and revoke.",
)


@dataclass(frozen=True, slots=True)
class Office:
    """Which authority is meant; who asks is this account, as it was paired."""

    address: str | None
    cluster: str | None
    timeout_s: float

    @property
    def identity(self) -> Identity:
        """Who asks. Raises IdentityUnusable: this account is in no cluster, or in several."""
        return Identity.stored(self.cluster)

    @contextlib.contextmanager
    def open(self) -> Iterator[Any]:
        """Give the authority, a proxy of ``AuthorityService``.

        Raises:
            IdentityUnusable: This account is in no cluster, or in several.
            NotAllowed: It is no operator.
            NameServerNotFound: There is none that has the authority.
            PeerRefused: From the first call: a machine that is no operator's says that it has it.
        """
        identity = self.identity
        _check_operator(identity)
        uri = self._find(identity)
        # A member may have a name server, and could give out tokens of an authority of its own.
        with Proxy(uri, identity=identity, role="operator") as authority:
            yield authority

    def _find(self, identity: Identity) -> URI:
        try:
            client = locate(
                self.address,
                cluster=self.cluster,
                timeout_s=self.timeout_s,
                identity=identity,
            )
        except NameServerNotFound as error:
            raise NameServerNotFound(f"{error}{_where_it_is(identity)}") from error
        with client:
            record = client.lookup(NAME_SERVER)
            if revoked_number(record.metadata) is None:
                raise NameServerNotFound(
                    f"the name server at {client.address} does not have the authority of "
                    f"{identity.cluster!r}: give the address of the one that has it with "
                    f"--nameserver HOST:PORT{_where_it_is(identity)}"
                )
            return URI(f"PYRO:{AUTHORITY}@{record.uri.location}")


def of_authority(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options that it takes to reach the authority; the command gets an ``Office``."""

    @where_options
    @debug_option
    @functools.wraps(command)
    def asking(
        *, address: str | None, cluster: str | None, timeout_s: float, debug: bool, **given: Any
    ) -> Any:
        return command(office=Office(address, chosen_cluster(cluster), timeout_s), **given)

    return asking


def _check_operator(identity: Identity) -> None:
    role = identity.claims.role
    if not at_least(role, "operator"):
        raise NotAllowed(
            f"this account is a {role} of {identity.cluster!r}, and this is for operators: do it "
            "on the machine that has the name server, or join with a token of 'nameserver invite "
            "--role operator'"
        )


def _where_it_is(identity: Identity) -> str:
    """Say that the authority is here, where it is: then only its name server is missing."""
    with contextlib.suppress(IdentityUnusable):
        if Store.of(identity.cluster).has_authority:
            return "; the authority is on this account: keep 'nameserver run' running here"
    return ""
