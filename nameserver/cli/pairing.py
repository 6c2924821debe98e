"""``nameserver pair``: a short code on this screen, which is typed at the other one."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from nameserver.cli.authority import Office, of_authority, role_option
from nameserver.cli.large import large
from nameserver.cli.options import examples
from nameserver.errors import BadToken, JoinRefused
from remoteobj import RemoteObjError

__all__ = ["pair"]

_LOOK_S = 0.5


@click.command(epilog=examples("nameserver pair", "nameserver pair --role member"))
@role_option
@of_authority
def pair(office: Office, role: str) -> None:
    """Show a code, by which the machine beside this one joins: type it there within a minute.

    There, 'nameserver join --code CODE' finds this machine by zeroconf. The code dies after a
    minute, after three attempts, and with the first machine that joins. Ctrl-C takes it back. Exit
    code 1: nobody has joined. This account must be an operator.
    """
    with office.open() as authority:
        before = {each["node"] for each in authority.members()}
        opened = authority.open_code(role)
        code = opened["code"]
        try:
            click.echo(_what_to_type(code, opened["addresses"]))
            sys.stdout.flush()
            state = _wait(authority, code, time.monotonic() + opened["seconds"])
        except BaseException:
            with contextlib.suppress(RemoteObjError):
                authority.close_code(code)
            raise
        if not state["used"]:
            raise JoinRefused(_why_not(state))
        for each in authority.members():
            if each["node"] not in before:
                click.echo(f"{each['name']} joined as {each['role']} (node {each['node']})")


def _what_to_type(code: str, addresses: list[str]) -> str:
    shown = large(code) if sys.stdout.isatty() else code
    at = addresses[0] if addresses else "HOST:PORT"
    return (
        f"\n{shown}\n\n"
        f"Type on the other machine:  nameserver join --code {code}\n"
        f"If it finds nothing there:  nameserver join --code {code} --at {at}\n"
    )


def _wait(authority: Any, code: str, ends: float) -> dict[str, Any]:
    """Return what has become of the code, once that is certain."""
    with _countdown() as show:
        while True:
            try:
                state = dict(authority.code_state(code))
            except BadToken:
                raise JoinRefused(
                    "another code was opened meanwhile, and this one is dead"
                ) from None
            if not state["open"]:
                return state
            show(max(ends - time.monotonic(), 0.0), state["attempts"])
            time.sleep(_LOOK_S)


def _why_not(state: dict[str, Any]) -> str:
    attempts = state["attempts"]
    if attempts:
        tried = "1 attempt was" if attempts == 1 else f"{attempts} attempts were"
        return (
            f"nobody joined, and the code is dead: {tried} made with another code, or by a machine "
            "that gave up; if it was not you, somebody guesses: look who is on this network"
        )
    return "nobody joined, and the code is dead: run 'nameserver pair' again for another one"


@contextlib.contextmanager
def _countdown() -> Iterator[Callable[[float, int], None]]:
    """Give what says how long the code lives; where nobody looks, it says nothing."""
    if not sys.stdout.isatty():
        yield lambda _seconds, _attempts: None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(), auto_refresh=False, transient=True) as live:

        def show(seconds: float, attempts: int) -> None:
            tried = f", {attempts} of 3 attempts made" if attempts else ""
            live.update(Text(f"{seconds:2.0f} s left{tried}; Ctrl-C ends it", "dim"), refresh=True)

        yield show
