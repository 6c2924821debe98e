"""``Farm.attach``: a farm that runs by itself, beside those that end with their scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from remoteobj import BadInput, Identity, forks
from remoteobj.identity import AUTO, Auto

if TYPE_CHECKING:
    from masterslave.farm.attached.farm import AttachedFarm

__all__ = ["Attaching"]


class Attaching:
    """Attaches to farms."""

    @staticmethod
    def attach(
        label: str = "default",
        *,
        ticket: str | None = None,
        nameserver: str | None = None,
        identity: Identity | Auto | None = AUTO,
        insecure: bool = False,
        cluster: str | None = None,
        timeout_s: float = 5.0,
    ) -> AttachedFarm:
        """Use a farm that runs by itself: ``masterslave master LABEL --journal FILE``.

        What was submitted is on its disk a moment later, and is done whatever becomes of this
        script, its machine, or the farm's process. Where that is started anew, the script finds it
        again, and its futures get their results.

        Args:
            label: The farm's.
            ticket: Of an earlier time (``farm.ticket``, ``farm.detach()``, ``masterslave jobs``):
                ``farm.futures`` are those of its tasks. None: a new one.
            nameserver, identity, insecure, cluster: Where to look beside this user's directory, as
                of a farm.
            timeout_s: How long to look for it, in seconds.
        Raises:
            CannotAttach: There is none, or it does not let this script in; the message says why.
            BadLabel, BadInput, IdentityUnusable: As of a farm; an empty ticket is bad input, too.

        Blocks: on the network, about *timeout_s* where there is none.  Threads: any.
        """
        if ticket is not None and not ticket:
            raise BadInput("an empty ticket names nothing: leave it out for a new one")
        with forks.whole:  # only those pay for it who attach
            from masterslave.farm.attached.farm import attach

        return attach(
            label, ticket=ticket or "", nameserver=nameserver, identity=identity, insecure=insecure,
            cluster=cluster, timeout_s=timeout_s,
        )  # fmt: skip
