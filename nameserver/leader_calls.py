"""What a client of a name server says of leaderships; ``NameServerClient`` has these methods."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from typing import Any

from nameserver.calls import ServerCalls
from nameserver.errors import NamingError
from nameserver.leader_wire import from_plain, plain_claim
from nameserver.leadership import Claim, Leadership, Manner

__all__ = ["LeaderCalls"]

_RUN = secrets.token_hex(8)
_turns = itertools.count(1)  # of all requests of this process: a later one has a higher number


class LeaderCalls(ServerCalls):
    """Leaderships at a name server; the rules are in :mod:`nameserver.leadership`."""

    def lead(
        self,
        name: str,
        holder: str,
        *,
        epoch: int,
        lease_s: float,
        successor: str = "",
        successor_node: str = "",
        manner: Manner = Manner.TAKE,
        run: str = _RUN,
        timeout_s: float | None = None,
    ) -> Leadership:
        """Take a leadership, or renew it.

        Who has it acts until ``acts_until(when this was called, lease_s)``, not longer, and renews
        it until then. If the answer is lost, it may have been granted, and *successor* may count:
        ask again. ``masterslave.leading.Leading`` does all that.

        Args:
            name: What is led, such as a farm's id.
            holder: Id of the copy that it is led by.
            epoch: To take: at least this one is wanted; more than 1 says that the copy was led
                before. To renew: the one that was given.
            lease_s: For so long nobody else gets it, in seconds: 0.2 to 5.
            successor: Id of the copy that may take it when the lease is over; it counts from the
                answer on at the latest. Empty: none.
            successor_node: The machine that it has to be on, by its certificate; empty: any.
            manner: ``TAKE``: as whoever begins to lead. ``SUCCEED``: as the successor of whoever
                did. ``RENEW``: as the holder. ``STAY``: as one without a successor, to a server
                that has forgotten it.
            run: Tells this holder from the next one with the same copy. Each has one of its own.
            timeout_s: Longest time to wait, in seconds; None: the client's.
        Raises:
            NotLeader: It is not given, or not any more; the message says who leads since when.
            NamingError: It cannot be asked for so; or the server is Pyro5's own, or an old one.
            ConnectionLost, DeadlinePassed: It is not known whether it was granted.
        """
        claim = Claim(
            name,
            holder,
            epoch,
            float(lease_s),
            manner,
            successor,
            successor_node,
            run,
            next(_turns),
        )
        return from_plain(self._ask_of_leaders("lead", plain_claim(claim), timeout_s=timeout_s))

    def leader(self, name: str, *, timeout_s: float | None = None) -> Leadership | None:
        """Return who leads a name, or led it last (``left_s`` is 0 then); None: nobody ever did."""
        told = self._ask_of_leaders("leader", name, timeout_s=timeout_s)
        return None if told is None else from_plain(told)

    def leaders(self) -> Sequence[Leadership]:
        """Return who leads which names, or led them last, in the order of the names."""
        return [from_plain(told) for told in self._ask_of_leaders("leaders")]

    def resign(
        self,
        name: str,
        holder: str,
        epoch: int,
        *,
        run: str = _RUN,
        timeout_s: float | None = None,
    ) -> bool:
        """Let a lease be over now, so that the successor need not wait; False: it was over.

        Whoever calls this acts no more already.
        """
        turn = next(_turns)
        return bool(
            self._ask_of_leaders("resign", name, holder, epoch, run, turn, timeout_s=timeout_s)
        )

    def free(self, name: str) -> Leadership:
        """Let whoever asks take a leadership, because holder and successor are lost for good.

        What only they had is lost then. For operators.

        Raises:
            NotLeader: It is led by somebody whose lease runs, or the server has just started.
        """
        return from_plain(self._ask_of_leaders("free_leadership", name))

    def _ask_of_leaders(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        try:
            return self._call(method, *args, timeout_s=timeout_s)
        except AttributeError as error:
            raise NamingError(
                f"the name server at {self.address} knows nothing of leaderships: it is Pyro5's "
                "own, or of an earlier release; start one of this release ('nameserver run')"
            ) from error
