"""Farms that an agent serves, and what there is to see of it; which farms must not be served."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass

from masterslave.naming import FarmRecord
from masterslave.protocol.encoding import encode
from masterslave.protocol.joining import Decline
from masterslave.slave.link import Link
from masterslave.slave.whose import THIS_USER, Owner
from remoteobj import URI, Identity, Proxy, RemoteObjError, Settings
from remoteobj.identity.places import HOW_TO_PAIR
from remoteobj.runtime import is_private_dir, path_of

__all__ = ["Guest", "Look", "decline", "why_not"]

_DECLINES = Settings(connect_timeout_s=2.0, call_timeout_s=2.0)


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to see of an agent.

    Attributes:
        busy: Slots that have something to do.
        done: Tasks that were done so far.
        farms: Those that are served: label, and since when (monotonic) and how its master does not
            answer, if it does not.
        rests: Why nothing is taken for now; empty: it is.
        refused: Farms that are there, and not served because of whose they are.
    """

    slots: int
    busy: int
    done: int
    farms: tuple[tuple[str, tuple[float, str] | None], ...]
    rests: str
    refused: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Guest:
    """A farm that is served.

    Attributes:
        farm: As it was found; of a farm that is kept, the master that was met last.
        owner: Whose it is.
        since: When it was met, in seconds of ``time.time()``.
    """

    farm: FarmRecord
    owner: Owner
    since: float
    link: Link

    def is_of(self, farm: FarmRecord) -> bool:
        """Tell whether this is the same farm, which is kept, with whichever master."""
        mine = self.farm
        return bool(farm.farm_id) and (mine.label, mine.farm_id) == (farm.label, farm.farm_id)


def why_not(farm: FarmRecord, identity: Identity | None) -> str:
    """Return why code of this farm must not run here, or nothing."""
    uri: URI = farm.uri
    if uri.sockname is None:
        if identity is not None:  # TLS proves that the farm is of this cluster
            return ""
        return (
            f"farm {farm.label!r} at {uri.location} is refused: code does not cross plain TCP; "
            f"{HOW_TO_PAIR}; or start the slave on the script's machine, as the same user"
        )
    if not is_private_dir(path_of(uri.sockname).parent):
        return (
            f"farm {farm.label!r} at {uri.location} is refused: its socket is not in a "
            "directory of this user alone"
        )
    return ""


def decline(
    farm: FarmRecord, owner: Owner, name: str, allowed: str, identity: Identity | None
) -> str:
    """Tell a farm that it is not served by *name*; returns that in words, for the slave's user."""
    who = "of this machine's own user" if owner is THIS_USER else f"of {owner}"
    reason = f"runs tasks of some machines only (--allow), and none {who}"
    message = encode(Decline(name, socket.gethostname(), reason))
    with (
        contextlib.suppress(RemoteObjError),  # best effort: it goes on without
        Proxy(farm.uri, identity=identity, node=owner.node or None, settings=_DECLINES) as door,
    ):
        door.decline(message)
    return (
        f"farm {farm.label!r} of {farm.script} (pid {farm.pid}) is not served: it is {who}, "
        f"and --allow names {allowed}"
    )
