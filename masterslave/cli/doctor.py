"""``masterslave doctor``: why do farm and slaves not meet, or not work, and what mends it?"""

from __future__ import annotations

import os
import sys

import click

from masterslave.cli.identities import identity_for
from masterslave.cli.slave import slave
from masterslave.doctor import Wish, judge, look
from masterslave.naming import ANY_LABEL
from nameserver.cli.findings import tell
from nameserver.cli.options import debug_option, examples, json_option, where_options
from nameserver.clusters import chosen_cluster
from remoteobj import IdentityUnusable
from remoteobj.cli import IdentityFiles, identity_option, insecure_option

__all__ = ["doctor"]


@click.command(
    epilog=examples(
        "masterslave doctor",
        "masterslave doctor --identity ca.pem hall.pem hall.key   # looks at a name server, too",
    )
)
@json_option
@where_options
@identity_option
@insecure_option("Ask name servers over plain TCP.")
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
    """Find out why farms and slaves do not meet, and say what mends it.

    Looks at versions, the clock, this user's directory, CPUs, memory and files, the identity, the
    farms that are known and whether they answer, and the slaves of this machine and whom they
    serve. A name server is looked for if one is named, or with an identity or --insecure; what is
    wrong with a network, 'nameserver doctor' says. Exit code 1: something is wrong.

    With --json: an object with is_well and findings, a list of objects with check, level ("ok",
    "note", "wrong"), text and mend (what mends it; else "").
    """
    who, problem, is_named = None, "", address is not None or cluster is not None
    try:
        who, insecure, cluster = identity_for(identity, insecure, cluster)
    except IdentityUnusable as error:  # is what we are asked for
        problem, insecure = str(error), False
    is_named = is_named or bool(os.environ.get("REMOTEOBJ_NAMESERVER"))
    if sys.stderr.isatty() and not as_json:
        click.echo("looking at this machine, its farms and slaves ...", err=True)
    wish = Wish(
        address,
        chosen_cluster(cluster),
        timeout_s,
        who,
        insecure,
        problem,
        label_of=_label_of,
        asks_server=is_named or who is not None or insecure,
    )
    return tell(judge(look(wish)), as_json=as_json)


def _label_of(arguments: list[str]) -> str | None:
    """Return the labels that a slave was started with; None for one that belongs to a script."""
    try:
        context = slave.make_context("slave", list(arguments), resilient_parsing=True)
    except click.ClickException:
        return None
    given = context.params
    if given.get("farm") or given.get("only_pid"):
        return None
    labels = {*(given.get("labels") or ()), given.get("label") or ""} - {""}
    return ",".join(sorted(labels)) or ANY_LABEL
