"""``masterslave who``: whose tasks run on this machine."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import click
import rich
from rich.table import Table

from masterslave.cli.cells import cell
from masterslave.cli.finding import SlaveSeen, look_around

__all__ = ["who"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def who(as_json: bool, debug: bool) -> None:
    """Say whose tasks run here: for each slave of this user on this machine, the farms it serves.

    Of each farm: its script and machine, which of a farm on another machine is what its certificate
    says; tasks that run and that were done here, and since when. Also the farms that --allow keeps
    away. What a farm's own slaves run is its own script's. Of a farm whose script has ended it says
    that what the slave has of it is kept for the next run.

    With --json: a list of slaves, each with only, allow, farms and refused.
    """
    seen = look_around(None, None, None, False)
    slaves = [_facts_of(one) for one in seen.slaves if one.entry.host == socket.gethostname()]
    if as_json:
        click.echo(json.dumps(slaves, indent=2))
    elif slaves:
        _show(slaves)
    else:
        click.echo("no slave of this user runs here: nobody's tasks do")


def _facts_of(slave: SlaveSeen) -> dict[str, Any]:
    entry = slave.entry
    facts: dict[str, Any] = {"name": entry.name, "pid": entry.pid, "slots": entry.slots}
    if slave.who is not None:
        return {**facts, "is_own": False, **slave.who}
    farms = [  # it is a farm's own, which has no other
        {
            "label": farm.label,
            "script": farm.script,
            "pid": farm.pid,
            "host": farm.host,
            "address": farm.uri.location or "",
            "machine": "",
            "node": "",
            "running": len(said["runs"]),
            "done": said["done"],
            "since": None,
            "kept": False,
        }
        for farm, _, said in slave.seats
    ]
    is_own = entry.uri is None
    return {**facts, "is_own": is_own, "only": None, "allow": [], "farms": farms, "refused": []}


def _show(slaves: list[dict[str, Any]]) -> None:
    table = Table("slave", "farm", "script", "whose", "runs", "done", "since", box=None)
    for slave in slaves:
        name = slave["name"]
        for farm in slave["farms"]:
            _add_row(table, name, farm, farm["running"], farm["done"], _since(farm))
            name = ""
        for farm in slave["refused"]:
            _add_row(table, name, farm, "-", "-", "not served (--allow)")
            name = ""
        if name:
            table.add_row(cell(name), cell("no farm now"))
    rich.print(table)
    for slave in slaves:
        if slave["only"] is not None:
            said = f"{slave['name']} takes named tasks only: {', '.join(slave['only'])}"
            rich.print(cell(said))


def _add_row(table: Table, name: str, farm: dict[str, Any], *cells: object) -> None:
    whose = f"{farm['machine']} (node {farm['node']})" if farm["node"] else "this user"
    script = f"{farm['script']} (pid {farm['pid']} on {farm['host']})"
    table.add_row(*map(cell, (name, farm["label"], script, whose, *cells)))


def _since(farm: dict[str, Any]) -> str:
    if farm.get("kept"):
        return "its script has ended; kept for its next run"
    since = farm["since"]
    return "" if since is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
