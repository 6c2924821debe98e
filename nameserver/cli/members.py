"""``nameserver members`` and ``revoke``: who is in the cluster, and who no more."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from nameserver.cli.authority import Office, of_authority
from nameserver.cli.options import examples, json_option
from nameserver.cli.printing import until_nobody_reads
from remoteobj.errors import PeerRefused
from remoteobj.identity.membership import Member, Membership

__all__ = ["members", "revoke"]

_Facts = dict[str, Any]


@click.command(
    epilog=examples(
        "nameserver members",
        "nameserver members --json | jq -r '.[] | select(.state == \"member\") | .name'",
    )
)
@json_option
@of_authority
def members(office: Office, as_json: bool) -> None:
    """List the machines of this cluster; this account must be an operator.

    With --json: a list of objects with node, name, role, issued, expires (Unix times), revoked_at
    (null: it is not revoked), state ("member", "expired", "revoked").
    """
    with office.open() as authority:
        listed = [_facts(each) for each in authority.members()]
    with until_nobody_reads():
        if as_json:
            click.echo(json.dumps(listed, indent=2))
        elif sys.stdout.isatty():
            _print_table(listed)
        else:
            for each in listed:
                click.echo("\t".join(_cells(each)))


@click.command(
    epilog=examples(
        "nameserver revoke anna",
        "nameserver revoke 3f1c52a90b7d64e8 --yes      # the id, where several have the name",
    )
)
@click.argument("node")
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_authority
def revoke(office: Office, node: str, yes: bool) -> None:
    """Put NODE, by its name or id, out of the cluster for good; it has to be invited to come back.

    Its connections end within seconds on all machines that are in touch with the name server;
    those that are away hear of it when they come back. This account must be an operator.
    """
    with office.open() as authority:
        member = _find(authority, node)
        if not yes and sys.stdin.isatty():
            asked = f"revoke {member.name} ({member.role}, node {member.node})?"
            click.confirm(asked, abort=True, err=True)
        itself = member.node == office.identity.claims.node
        try:
            authority.revoke(member.node)
        except PeerRefused:  # who revokes itself is put out before it is answered
            if not itself:
                raise
    what_now = "; that was this account: 'nameserver leave' deletes what it has" if itself else ""
    click.echo(f"revoked {member.name} ({member.role}, node {member.node}){what_now}")


def _find(authority: Any, node: str) -> Member:
    """Return who is meant, so that it is the one that is asked about. Raises BadInput."""
    known = (
        Member(
            node=each["node"],
            name=each["name"],
            role=each["role"],
            serial="",
            issued=each["issued"],
            expires=each["expires"],
            revoked_at=each["revoked_at"],
        )
        for each in authority.members()
    )
    return Membership(tuple(known)).find(node)


def _facts(member: _Facts) -> _Facts:
    state = "member" if member["expires"] > time.time() else "expired"
    return {**member, "state": state if member["revoked_at"] is None else "revoked"}


def _cells(member: _Facts) -> tuple[str, ...]:
    when = member["expires"] if member["revoked_at"] is None else member["revoked_at"]
    how = {"member": "until", "expired": "expired", "revoked": "revoked"}[member["state"]]
    day = f"{datetime.fromtimestamp(when).astimezone():%Y-%m-%d}"
    return member["name"], member["role"], member["node"], f"{how} {day}"


def _print_table(listed: Sequence[_Facts]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("name", "role", "node", "certificate"):
        table.add_column(title, overflow="fold")
    for each in listed:
        style = "" if each["state"] == "member" else "dim"
        table.add_row(*(Text(cell, style) for cell in _cells(each)))
    Console().print(table)
