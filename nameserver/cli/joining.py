"""``nameserver join``: this account becomes one of a cluster's."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nameserver.cli.options import debug_option, examples
from nameserver.cli.secrets_in import (
    FROM_INPUT,
    ask_token,
    refuse_token,
    take_from_environment,
)
from remoteobj.errors import BadInput

if TYPE_CHECKING:
    from nameserver.pairing.joining import Newcomer

__all__ = ["join", "welcome"]


@click.command(
    epilog=examples(
        "nameserver join                        # then paste what 'nameserver invite' has printed",
        "nameserver join token.txt --name lab-7",
        "nameserver join --code 481-223         # what 'nameserver pair' shows",
        "nameserver join --code 481-223 --at 192.168.1.20:9091",
    )
)
@click.argument("file", required=False, type=click.Path(allow_dash=True))
@click.option("--code", metavar="CODE", help="Join by the code on the other screen; '-': ask.")
@click.option("--at", metavar="HOST:PORT", help="Where the code is shown; default: zeroconf.")
@click.option("--name", metavar="NAME", help="What this machine is called; default: its host name.")
@click.option("--cluster", metavar="NAME", help="What the cluster is called here; and of which "
              "one a code is, where several are shown.")  # fmt: skip
@debug_option
def join(
    file: str | None,
    code: str | None,
    at: str | None,
    name: str | None,
    cluster: str | None,
    debug: bool,
) -> None:
    """Have this account join a cluster, by a token or by a code.

    The token comes from FILE, from REMOTEOBJ_JOIN, or from standard input ('-'); at a terminal it
    is asked for. It is never an argument, because 'ps' shows these to everybody.
    """
    from nameserver.pairing.joining import join_by_code, join_by_token  # imports cryptography

    in_environment = take_from_environment()
    for given in (file, code, at, name, cluster):
        refuse_token(given)
    if code is not None:
        if file is not None:
            raise click.UsageError("a code and a file with a token are two ways: give one of them")
        digits = _read_code() if code == FROM_INPUT else code
        click.echo(welcome(join_by_code(digits, at=at, name=name, cluster=cluster)))
        return
    if at is not None:
        raise click.UsageError("--at belongs to --code: a token says itself where to join")
    token = ask_token(file, in_environment)
    click.echo(welcome(join_by_token(token, name=name, cluster=cluster)))


def welcome(newcomer: Newcomer) -> str:
    """Say what has become of this machine, and what it may do now."""
    identity = newcomer.identity
    claims = identity.claims
    then = {"slave": "'masterslave slave' runs tasks here"}.get(
        claims.role, "farms, names and slaves of this account are of it from now on"
    )
    return (
        f"joined {identity.cluster!r} at {newcomer.host} as {claims.name!r}, {claims.role}, until "
        f"{identity.expires:%Y-%m-%d} (it is renewed by itself); {then}"
    )


def _read_code() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("code", err=True))
    text = sys.stdin.readline().strip()
    if not text:
        raise BadInput("no code came on standard input: 'nameserver pair' shows one")
    return text
