"""``masterslave list`` and ``show``: the farms there are, and how they are doing."""

from __future__ import annotations

import json
from typing import Any

import click
import rich
from rich.table import Table
from rich.text import Text

from masterslave.errors import FarmError
from masterslave.naming import PREFIX, FarmRecord, check_label, read_record
from nameserver import Directory, NameServerNotFound, Record, locate
from remoteobj import Identity, InsecureRefused, Proxy, RemoteObjError, Settings
from remoteobj.cli import IdentityFiles, identity_option, insecure_option, read_identity

__all__ = ["list_farms", "show"]

_ANSWER = Settings(connect_timeout_s=2.0, call_timeout_s=5.0)

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_debug = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
_nameserver = click.option("--nameserver", metavar="HOST:PORT", help="Ask this name server too.")
_cluster = click.option(
    "--cluster", metavar="NAME", help="Of this cluster. Default: REMOTEOBJ_CLUSTER."
)
_insecure = insecure_option("Ask name servers over plain TCP.")


@click.command("list")
@_json
@_nameserver
@_cluster
@identity_option
@_insecure
@_debug
def list_farms(
    as_json: bool,
    nameserver: str | None,
    cluster: str | None,
    identity: IdentityFiles | None,
    insecure: bool,
    debug: bool,
) -> None:  # fmt: skip
    """List the farms that are running."""
    who, insecure = read_identity(identity, insecure)
    farms = [_status(farm, who) for farm in _find(nameserver, cluster, who, insecure)]
    if as_json:
        click.echo(json.dumps(farms, indent=2))
        return
    if not farms:
        click.echo("no farm is running; a script starts one with 'with Farm(\"label\") as farm:'")
        return
    table = Table("label", "script", "host", "pid", "slaves", "tasks done", "state", box=None)
    for farm in farms:
        counts = farm.get("statistics", {})
        done = f"{counts['done']} of {counts['submitted']}" if counts else "?"
        _add_row(
            table,
            farm["label"],
            farm["script"],
            farm["host"],
            farm["pid"],
            len(farm.get("slaves", ())),
            done,
            farm.get("unreachable") or farm["waits"] or "working",
        )
    rich.print(table)


@click.command()
@click.argument("label")
@_json
@_nameserver
@_cluster
@identity_option
@_insecure
@_debug
def show(
    label: str,
    as_json: bool,
    nameserver: str | None,
    cluster: str | None,
    identity: IdentityFiles | None,
    insecure: bool,
    debug: bool,
) -> None:  # fmt: skip
    """Show the farms of LABEL: tasks, slaves, and what they wait for."""
    check_label(label)
    who, insecure = read_identity(identity, insecure)
    found = [farm for farm in _find(nameserver, cluster, who, insecure) if farm.label == label]
    if not found:
        raise FarmError(f"no farm {label!r} is running: 'masterslave list' shows those that are")
    farms = [_status(farm, who) for farm in found]
    if as_json:
        click.echo(json.dumps(farms, indent=2))
        return
    for farm in farms:
        _show(farm)


def _find(
    nameserver: str | None, cluster: str | None, identity: Identity | None, insecure: bool
) -> list[FarmRecord]:
    """Return the farms of this user's directory, and of a name server if it may be asked."""
    is_asked_for = nameserver is not None or cluster is not None
    with Directory() as directory:
        here = directory.list(PREFIX)
    there: tuple[Record, ...] = ()
    if is_asked_for or identity is not None or insecure:
        try:
            with locate(
                nameserver, cluster=cluster, identity=identity, insecure=insecure, timeout_s=2.0
            ) as server:
                there = server.list(PREFIX)
        except NameServerNotFound as error:
            if is_asked_for:
                raise
            click.echo(f"masterslave: only farms of this machine: {error}", err=True)
    # A farm may be known in both places; on this machine the way to it is the shorter one.
    farms = {farm.farm: farm for farm in map(read_record, (*there, *here)) if farm is not None}
    return sorted(farms.values(), key=lambda farm: (farm.label, farm.farm))


def _status(farm: FarmRecord, identity: Identity | None) -> dict[str, Any]:
    try:
        with Proxy(farm.uri, identity=identity, settings=_ANSWER) as door:
            status: dict[str, Any] = door.status()
            return status
    except InsecureRefused:
        why = f"{farm.uri.location} speaks TLS: give --identity CA CERTIFICATE KEY of its cluster"
    except RemoteObjError as error:
        why = str(error)
    return {
        "label": farm.label,
        "script": farm.script,
        "host": farm.host,
        "pid": farm.pid,
        "unreachable": why,
    }


def _show(farm: dict[str, Any]) -> None:
    of = f" of {farm['script']} (pid {farm['pid']} on {farm['host']})"
    rich.print(Text.assemble((farm["label"], "bold"), of))
    if "unreachable" in farm:
        rich.print(Text(f"  does not answer: {farm['unreachable']}"))
        return
    counts = farm["statistics"]
    rich.print(
        f"  tasks: {counts['done']} of {counts['submitted']} done, {counts['waiting']} waiting, "
        f"{counts['failed']} failed, {counts['handed_out_again']} handed out again, "
        f"{counts['retried']} run again after they raised"
    )
    if farm["waits"]:
        rich.print(Text(f"  {farm['waits']}"))
    table = Table("slave", "host", "pid", "slots", "state", "holds", "done", box=None)
    for slave in [*farm["slaves"], *farm["former_slaves"]]:
        columns = ("name", "host", "pid", "slots", "state", "held", "done")
        _add_row(table, *(slave[column] for column in columns))
    if table.row_count:
        rich.print(table)
    for slave in farm["slaves"]:
        for line in slave["evidence"]:
            rich.print(Text(f"  {slave['name']} is quarantined: {line}"))
        if slave["lacks"]:
            lacks = ", ".join(slave["lacks"])
            rich.print(Text(f"  {slave['name']} on {slave['host']} has no package {lacks}"))


def _add_row(table: Table, *cells: object) -> None:
    """Add texts as they are: a script or slave may be called ``[b]``, which is markup to rich."""
    table.add_row(*(Text(str(cell)) for cell in cells))
