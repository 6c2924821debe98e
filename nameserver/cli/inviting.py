"""``nameserver invite``: a token for machines that are to join."""

from __future__ import annotations

import json
import time

import click

from nameserver.cli.authority import Office, of_authority, role_option
from nameserver.cli.durations import Duration, words_of
from nameserver.cli.options import examples, json_option
from nameserver.pairing.token import Token, read_token
from remoteobj.uri import join_address

__all__ = ["invite"]

_BECOMES = {
    "slave": "runs tasks",
    "member": "may have farms and names, and run tasks",
    "operator": "may also invite and revoke machines",
}


@click.command(
    epilog=examples(
        "nameserver invite",
        "nameserver invite --uses 20 --expires 15min      # a classroom, by one token",
        "nameserver invite --role member --json | jq -r .token | ssh anna nameserver join -",
        "nameserver invite --withdraw",
    )
)
@click.option(
    "--uses", type=int, default=1, show_default=True, metavar="N",
    help="How many machines may join by it.",
)  # fmt: skip
@click.option(
    "--expires",
    "seconds",
    type=Duration(),
    default="1h",
    show_default=True,
    metavar="TIME",
    help="For how long it is taken: 90s, 15min, 1h, 7d.",
)
@role_option
@click.option("--withdraw", is_flag=True, help="Take back all that are open, and an open code.")
@json_option
@of_authority
def invite(
    office: Office, uses: int, seconds: float, role: str, withdraw: bool, as_json: bool
) -> None:
    """Print a token, with which another machine joins this cluster.

    The token is a secret: who has it joins. It is pasted on the other machine, and no argument
    there, because 'ps' shows arguments to everybody. This account must be an operator.

    With --json: an object with token, role, uses, expires (Unix time), cluster, addresses (a list
    of host:port), number (names it, no secret); after --withdraw: an object with withdrawn.
    """
    with office.open() as authority:
        if withdraw:
            _tell_withdrawn(authority.withdraw(), as_json)
            return
        ends = time.time() + seconds
        text = authority.invite(role, uses, seconds)
    token = read_token(text)
    if as_json:
        click.echo(json.dumps(_as_dict(text, token, role, uses, ends)))
    else:
        click.echo(_how_to_use(text, token, role, uses, seconds))


def _tell_withdrawn(number: int, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"withdrawn": number}))
    elif number:
        click.echo(f"withdrew {number} open invitation{'s' * (number != 1)}; nobody can join now")
    else:
        click.echo("no invitation was open")


def _as_dict(text: str, token: Token, role: str, uses: int, ends: float) -> dict[str, object]:
    return {
        "token": text,
        "role": role,
        "uses": uses,
        "expires": ends,
        "cluster": token.cluster,
        "addresses": [join_address(host, token.port) for host in token.hosts],
        "number": token.number.hex(),
    }


def _how_to_use(text: str, token: Token, role: str, uses: int, seconds: float) -> str:
    command = "masterslave slave --join" if role == "slave" else "nameserver join"
    machines = "1 machine" if uses == 1 else f"{uses} machines"
    return f"""\
{machines} may join {token.cluster!r} as {role} ({_BECOMES[role]}), within {words_of(seconds)}.

On the other machine type '{command}', and paste this when it asks:

{text}

Or paste these lines into a shell there (they show no secret in 'ps'):

{command} - <<'END'
{text}
END

Who has the token can join: 'nameserver invite --withdraw' takes it back."""
