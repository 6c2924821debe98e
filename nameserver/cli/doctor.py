"""``nameserver doctor``: why is it not found, and which command mends it?"""

from __future__ import annotations

import sys

import click

from nameserver.cli.findings import tell
from nameserver.cli.options import debug_option, examples, json_option, where_options
from nameserver.clusters import chosen_cluster
from nameserver.doctor import Wish, judge, look
from remoteobj import IdentityUnusable
from remoteobj.cli import IdentityFiles, identity_option, insecure_option, read_identity

__all__ = ["doctor"]


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
        who, insecure = read_identity(identity, insecure, cluster)
    except IdentityUnusable as error:  # is what we are asked for
        problem, insecure = str(error), False
    if sys.stderr.isatty() and not as_json:
        click.echo("looking at this machine and its network ...", err=True)
    findings = judge(look(Wish(address, cluster, timeout_s, who, insecure, problem)))
    return tell(findings, as_json=as_json)
