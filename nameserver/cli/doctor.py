"""``nameserver doctor``: why is it not found, and which command mends it?"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence

import click

from nameserver.cli.options import debug_option, examples, json_option, where_options
from nameserver.clusters import chosen_cluster
from nameserver.doctor import Finding, Wish, judge, look
from remoteobj import IdentityUnusable
from remoteobj.cli import IdentityFiles, identity_option, insecure_option, read_identity

__all__ = ["doctor"]

_STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


@click.command(
    epilog=examples(
        "nameserver doctor --identity ca.pem hall.pem hall.key",
        "nameserver doctor --nameserver 192.168.1.20:9090 --insecure",
    )
)
@json_option
@where_options
@identity_option
@insecure_option()
@debug_option
def doctor(
    as_json: bool,
    address: str | None,
    cluster: str | None,
    timeout_s: float,
    identity: IdentityFiles | None,
    insecure: bool,
    debug: bool,
) -> int:  # fmt: skip
    """Find out what keeps names from being found, and say what mends it.

    Looks at versions, interfaces, the address that others are given, multicast, the identity, the
    way to the name server, the clock, and the way from the name server to objects of this machine:
    for that a test object is served, and registered for a moment. Exit code 1: something is wrong.

    With --json: an object with is_well and findings, a list of objects with check, level ("ok",
    "note", "wrong"), text and mend (what mends it; else "").
    """
    cluster = chosen_cluster(cluster)
    who, problem = None, ""
    try:
        who, insecure = read_identity(identity, insecure)
    except IdentityUnusable as error:  # is what we are asked for
        problem, insecure = str(error), False
    if sys.stderr.isatty() and not as_json:
        click.echo("looking at this machine and its network ...", err=True)
    findings = judge(look(Wish(address, cluster, timeout_s, who, insecure, problem)))
    wrong = sum(finding.level == "wrong" for finding in findings)
    if as_json:
        told = [dataclasses.asdict(finding) for finding in findings]
        click.echo(json.dumps({"is_well": not wrong, "findings": told}, indent=2))
    else:
        _print(findings)
        number = "1 thing is" if wrong == 1 else f"{wrong} things are"
        click.echo(f"{number} wrong" if wrong else "nothing is wrong")
    return 1 if wrong else 0


def _print(findings: Sequence[Finding]) -> None:
    if not sys.stdout.isatty():
        for finding in findings:
            click.echo(f"{finding.level:<5}  {finding.check:<11}  {finding.text}")
            if finding.mend:
                click.echo(f"{'':<5}  {'':<11}  -> {finding.mend}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for finding in findings:
        check = "" if finding.check == before else finding.check
        before = finding.check
        level = Text(finding.level, _STYLES[finding.level])
        table.add_row(level, Text(check, "bold"), Text(finding.text))
        if finding.mend:
            table.add_row("", "", Text(f"-> {finding.mend}", "cyan"))
    Console().print(table)
