"""The farms and slaves that a command can see: in this user's directory, and at a name server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Protocol

import click

from masterslave.cli.identities import identity_for
from masterslave.errors import SlaveGone
from masterslave.naming import (
    PREFIX,
    SLAVE_PREFIX,
    FarmRecord,
    SlaveEntry,
    read_record,
    read_slave_record,
)
from nameserver import Directory, NameServerNotFound, Record, locate
from remoteobj import URI, Identity, InsecureRefused, Proxy, RemoteObjError, Settings
from remoteobj.cli import IdentityFiles, identity_option, insecure_option
from remoteobj.identity.places import HOW_TO_PAIR

__all__ = ["ANSWER", "Look", "Seen", "SlaveSeen", "choose", "look_around", "with_places"]

ANSWER = Settings(connect_timeout_s=2.0, call_timeout_s=5.0)
_AT_ONCE = Settings(connect_timeout_s=1.0, call_timeout_s=1.0)


@dataclass(slots=True)
class SlaveSeen:
    """A slave, by what its own record and the farms that it serves say of it.

    Attributes:
        entry: Who it is; with an address where this user's commands reach the whole slave.
        seats: The farms that it serves: which, their status, and what they say of the slave.
        who: What it says itself of whom it serves; None: it was not asked, or did not answer.
    """

    entry: SlaveEntry
    seats: list[tuple[FarmRecord, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    who: dict[str, Any] | None = None

    def facts(self) -> dict[str, Any]:
        """Return what there is to say of it, as plain data."""
        entry = self.entry
        return {
            "name": entry.name,
            "host": entry.host,
            "pid": entry.pid,
            "slots": entry.slots,
            "farms": [status["label"] for _, status, _ in self.seats],
            "refused": sorted({one["label"] for one in (self.who or {}).get("refused", ())}),
            "state": self.state,
            "held": sum(said["held"] for _, _, said in self.seats),
            "done": sum(said["done"] for _, _, said in self.seats),
        }

    @property
    def state(self) -> str:
        """How it is, in a word or two."""
        states = [said["takes_nothing"] or said["state"] for _, _, said in self.seats]
        others = [state for state in states if state != "idle"]
        return others[0] if others else "idle"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a command sees.

    Attributes:
        farms: The status of each farm; of one that does not answer, why.
        records: Where each of them is, in the same order.
    """

    identity: Identity | None
    farms: list[dict[str, Any]]
    records: list[FarmRecord]
    slaves: list[SlaveSeen]


class Look(Protocol):
    """Looks around: at all farms, or those of one label."""

    def __call__(self, label: str | None = None) -> Seen:
        """Return what is seen."""
        ...


def with_places(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where to look; the command gets a function that looks."""

    @click.option("--nameserver", metavar="HOST:PORT", help="Ask this name server too.")
    @click.option("--cluster", metavar="NAME", help="Of this cluster. Default: REMOTEOBJ_CLUSTER.")
    @identity_option
    @insecure_option("Ask name servers over plain TCP.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @wraps(command)
    def with_look(
        *args: Any,
        nameserver: str | None,
        cluster: str | None,
        identity: IdentityFiles | None,
        insecure: bool,
        debug: bool,
        **kwargs: Any,
    ) -> Any:
        who, insecure, of = identity_for(identity, insecure, cluster)

        def look(label: str | None = None) -> Seen:
            must = nameserver is not None or cluster is not None
            return look_around(nameserver, of, who, insecure, label=label, must=must)

        return command(look, *args, **kwargs)

    return with_look


def look_around(
    nameserver: str | None,
    cluster: str | None,
    identity: Identity | None,
    insecure: bool,
    *,
    label: str | None = None,
    must: bool = False,
) -> Seen:
    """Look into this user's directory, and at a name server if it may be asked; ask the farms.

    Args:
        label: Only farms of this label.
        must: A name server has to be there.
    """
    with Directory() as directory:
        here = directory.list(PREFIX)
        own = directory.list(SLAVE_PREFIX)
    there: tuple[Record, ...] = ()
    if must or identity is not None or insecure:
        try:
            with locate(
                nameserver, cluster=cluster, identity=identity, insecure=insecure, timeout_s=2.0
            ) as server:
                there = server.list(PREFIX)
        except NameServerNotFound as error:
            if must:
                raise
            click.echo(f"masterslave: only farms of this machine: {error}", err=True)
    # A farm may be known in both places; on this machine the way to it is the shorter one.
    by_id = {farm.farm: farm for farm in map(read_record, (*there, *here)) if farm is not None}
    farms = sorted(
        (farm for farm in by_id.values() if label in (None, farm.label)),
        key=lambda farm: (farm.label, farm.farm),
    )
    statuses = [(farm, _status(farm, identity)) for farm in farms]
    entries = [entry for entry in map(read_slave_record, own) if entry is not None]
    slaves = _slaves_of(entries, statuses)
    for slave in slaves:
        slave.who = _who(slave.entry.uri)
    return Seen(identity, [status for _, status in statuses], farms, slaves)


def choose(slaves: list[SlaveSeen], wanted: str) -> SlaveSeen:
    """Return the slave of this name, or with this process id.

    Raises:
        SlaveGone: There is none, or there are several; the message lists those that there are.
    """
    found = [slave for slave in slaves if slave.entry.name == wanted]
    found = found or [slave for slave in slaves if str(slave.entry.pid) == wanted]
    found = found or [slave for slave in slaves if _address(slave) == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise SlaveGone(
            f"{len(found)} slaves are called {wanted!r}: say which by {_list(found, _address)}"
        )
    there = _list(slaves, lambda slave: slave.entry.name)
    raise SlaveGone(
        f"no slave {wanted!r} is seen: {there or 'there is none'}; one on another machine that "
        "serves no farm is steered there"
    )


def _address(slave: SlaveSeen) -> str:
    return f"{slave.entry.pid}@{slave.entry.host}"


def _list(slaves: list[SlaveSeen], name: Callable[[SlaveSeen], str]) -> str:
    names = [name(slave) for slave in slaves[:10]]
    rest = f" and {len(slaves) - 10} more" if len(slaves) > 10 else ""
    return ", ".join(names) + rest


def _slaves_of(
    entries: list[SlaveEntry], farms: list[tuple[FarmRecord, dict[str, Any]]]
) -> list[SlaveSeen]:
    """Put together what slaves' own records and farms say; a slave is known by host and process."""
    seen = {(entry.host, entry.pid): SlaveSeen(entry) for entry in entries}
    for farm, status in farms:
        for said in status.get("slaves", ()):
            entry = SlaveEntry(said["name"], said["host"], said["pid"], said["slots"])
            slave = seen.setdefault((entry.host, entry.pid), SlaveSeen(entry))
            slave.seats.append((farm, status, said))
    return sorted(seen.values(), key=lambda slave: (slave.entry.name, slave.entry.pid))


def _who(uri: URI | None) -> dict[str, Any] | None:
    """Ask a slave of this user on this machine whom it serves."""
    if uri is None:
        return None
    try:
        with Proxy(uri, settings=_AT_ONCE) as desk:
            who: dict[str, Any] = desk.who()
            return who
    except RemoteObjError:  # it has just left, or is stopped
        return None


def _status(farm: FarmRecord, identity: Identity | None) -> dict[str, Any]:
    try:
        with Proxy(farm.uri, identity=identity, settings=ANSWER) as door:
            status: dict[str, Any] = door.status()
            return status
    except InsecureRefused:
        why = f"{farm.uri.location} is another machine's: {HOW_TO_PAIR}"
    except RemoteObjError as error:
        why = str(error)
    return {
        "label": farm.label,
        "script": farm.script,
        "host": farm.host,
        "pid": farm.pid,
        "unreachable": why,
    }
