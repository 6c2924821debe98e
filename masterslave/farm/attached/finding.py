"""Where the farm of a label is that scripts attach to: in this user's directory, at name servers.

An embedded farm of this label has no reception; it is passed over, and named where no other is.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from masterslave.errors import CannotAttach
from masterslave.naming import PREFIX, FarmRecord, read_record
from masterslave.protocol.attaching import ATTACHING, Admission, Greeting, reception_at
from masterslave.protocol.encoding import decode, encode
from nameserver import Directory, NameServerNotFound, locate
from remoteobj import (
    ConnectionLost,
    DeadlinePassed,
    Identity,
    IdentityUnusable,
    InsecureRefused,
    NotAllowed,
    ObjectUnknown,
    PeerRefused,
    Proxy,
    RemoteObjError,
    Settings,
    WireError,
)
from remoteobj import release as let_go
from remoteobj.identity import AUTO, Auto, choose_identity
from remoteobj.identity.places import HOW_TO_PAIR

__all__ = ["ANSWER_S", "Around", "Door", "NotFound", "Refused", "find", "greeting", "none_found"]

ANSWER_S = 15.0
"""So long an answer is waited for, before the connection is given up."""
_CALLS = Settings(connect_timeout_s=2.0, call_timeout_s=ANSWER_S)
_LOOK_S = 2.0


class NotFound(Exception):
    """Nobody lets the script in now; the text says whom it has met. Later there may be one."""


class Refused(Exception):
    """The farm does not let this script in, and will not; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Door:
    """A farm that has let the script in.

    Attributes:
        reception: What is called.
    """

    record: FarmRecord
    reception: Proxy
    admission: Admission


@dataclass(frozen=True, slots=True)
class Around:
    """Where to look for a farm.

    Args:
        identity: Who this machine is; None: nobody, so that only this user's farms are found.
        asks: Whether name servers are asked.
        nameserver: This one; None: whichever is found.
    """

    label: str
    identity: Identity | None
    asks: bool
    nameserver: str | None
    insecure: bool
    cluster: str | None

    @classmethod
    def of(
        cls,
        label: str,
        *,
        nameserver: str | None,
        identity: Identity | Auto | None,
        insecure: bool,
        cluster: str | None,
    ) -> Around:
        """Return where to look with these arguments of ``Farm.attach``.

        Raises:
            BadInput, IdentityUnusable: As ``Farm``.
        """
        is_asked_for = nameserver is not None or cluster is not None
        try:
            who = choose_identity(identity, insecure, cluster)
        except IdentityUnusable:
            if is_asked_for or identity != AUTO:
                raise
            who = None
        is_said = bool(os.environ.get("REMOTEOBJ_NAMESERVER"))
        asks = is_asked_for or who is not None or insecure or is_said
        return cls(label, who, asks, nameserver, insecure, cluster)

    def records(self, known: FarmRecord | None, met: list[str]) -> Iterator[FarmRecord]:
        """Go through the farms of this label, the nearest ones first; each once.

        Args:
            known: The one that has let the script in last: it may have a name nowhere by now.
            met: Takes in why no name server could be asked.
        """
        seen = set()
        if known is not None:
            seen.add(known.uri)
            yield known
        for look in (self._here, partial(self._there, met)):
            for farm in look():
                if farm.label == self.label and farm.uri not in seen:
                    seen.add(farm.uri)
                    yield farm

    def _here(self) -> list[FarmRecord]:
        with Directory() as directory:
            found = directory.list(PREFIX)
        return [farm for farm in map(read_record, found) if farm is not None]

    def _there(self, met: list[str]) -> list[FarmRecord]:
        if not self.asks:
            return []
        try:
            with locate(
                self.nameserver,
                cluster=self.cluster,
                identity=self.identity,
                insecure=self.insecure,
                timeout_s=_LOOK_S,
            ) as server:
                found = server.list(PREFIX)
        except (NameServerNotFound, ConnectionLost, DeadlinePassed, InsecureRefused) as error:
            met.append(str(error))
            return []
        return [farm for farm in map(read_record, found) if farm is not None]


def greeting(
    ticket: str,
    visitor: str,
    farm_id: str = "",
    epoch: int = 0,
    rows: tuple[tuple[int, int], ...] | None = None,
    taken: int = -1,
) -> Greeting:
    """Return what this script says when it comes.

    Args:
        visitor: Drawn when it comes first.
        rows: What it has no answer to, if it was here before in this process; None: it was not.
        taken: How much it then knows to be taken.
    """
    script = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "an interactive session"
    return Greeting(
        ATTACHING,
        script,
        socket.gethostname(),
        os.getpid(),
        sys.version_info[:2],
        ticket,
        farm_id,
        epoch,
        is_whole=rows is None,
        open=rows or (),
        visitor=visitor,
        taken=taken,
    )


Suits = Callable[[Admission], str]
"""Returns why an admission is not believed, in words; empty if it is."""


def find(
    around: Around, greeting: Greeting, *, suits: Suits, known: FarmRecord | None = None
) -> Door:
    """Have the script let in by a farm of the label.

    Raises:
        NotFound: There is none now that does.
        Refused: The farm is found, and does not let it in.

    Blocks: on each farm of the label, some seconds where one does not answer.
    """
    met: list[str] = []
    refused = ""
    for record in around.records(known, met):
        if record is not known and not _may_be(record, greeting):
            continue
        who = f"{record.script} on {record.host} (process {record.pid})"
        reception = Proxy(
            reception_at(record.uri),
            identity=around.identity,
            node=record.node or None,
            settings=_CALLS,
        )
        admission, why = _greet(reception, greeting, who)
        if admission is not None:
            if not admission.is_other:
                refused = admission.refused or refused
            why = admission.refused or suits(admission)
            if not why:
                return Door(record, reception, admission)
        let_go(reception)
        met.append(why)
    if refused:
        raise Refused(refused)
    raise NotFound("; ".join(dict.fromkeys(met)))


def _may_be(record: FarmRecord, greeting: Greeting) -> bool:
    return not (greeting.farm_id and record.farm_id and record.farm_id != greeting.farm_id)


def _greet(reception: Proxy, greeting: Greeting, who: str) -> tuple[Admission | None, str]:
    """Return what a farm says; or None, and why there is nothing."""
    try:
        return decode(reception.attach(encode(greeting)), Admission), ""
    except (ObjectUnknown, AttributeError):
        return None, (
            f"{who} is a script with a farm of its own, which ends with it, and no service"
        )
    except InsecureRefused:
        return None, f"{who} is on another machine: {HOW_TO_PAIR}"
    except (PeerRefused, NotAllowed) as error:
        return None, f"{who} does not take this script, or is not what it says: {error}"
    except WireError:
        return None, f"{who} does not speak as this release does: install the same one on both"
    except RemoteObjError as error:
        return None, f"{who} does not answer: {error}"


def none_found(label: str, met: str) -> CannotAttach:
    """Return the error of who has looked for a farm in vain."""
    command = f"masterslave master {label} --journal FILE"
    if met:
        return CannotAttach(f"no farm {label!r} to attach to: {met}; start one with {command!r}")
    return CannotAttach(
        f"no farm {label!r} is found in this user's directory, or at a name server that this "
        f"machine may ask: start one with {command!r}; 'masterslave list' shows those that there "
        "are"
    )
