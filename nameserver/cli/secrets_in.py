"""Where a command takes a secret from: anywhere but its arguments, which ``ps`` shows to all."""

from __future__ import annotations

import os
import sys

import click

from nameserver.errors import BadToken
from nameserver.pairing import JOIN_VARIABLE
from nameserver.pairing.token import PREFIX, Token, read_token
from remoteobj.errors import BadInput
from remoteobj.identity.secret import Secret

__all__ = [
    "FROM_INPUT",
    "ask_token",
    "may_ask",
    "read_passphrase",
    "refuse_token",
    "take_from_environment",
]

FROM_INPUT = "-"

_MOST_CHARACTERS = 8192


def take_from_environment() -> str:
    """Return what the variable holds, which no child process is given from now on."""
    return os.environ.pop(JOIN_VARIABLE, "")


def refuse_token(given: str | None) -> None:
    """Refuse a token where something else is expected.

    Raises:
        BadInput: It is one.
    """
    if given is not None and given.strip().startswith(PREFIX):
        raise BadInput(
            "that is a token, and as an argument 'ps' has shown it to everybody on this machine: "
            "take it back with 'nameserver invite --withdraw', and give the next one when you are "
            f"asked, on standard input, in a file, or in {JOIN_VARIABLE}"
        )


def may_ask(file: str | None, in_environment: str) -> bool:
    """Tell whether somebody would be asked for the token, because it is nowhere else."""
    return file is None and not in_environment and _is_terminal()


def ask_token(file: str | None, in_environment: str) -> Token:
    """Return the token: from a file, the environment, or standard input; a terminal is asked.

    Args:
        file: Its path; "-": standard input; None: nobody has said.
        in_environment: What :func:`take_from_environment` has returned.
    Raises:
        BadToken: It is none, or none was given.
        BadInput: It was given as an argument; or the file cannot be read.
    """
    refuse_token(file)
    if file not in (None, FROM_INPUT):
        return read_token(_read_file(str(file)))
    if file is None and in_environment:
        return read_token(in_environment)
    if _is_terminal():
        return read_token(_ask("token (it is not shown)"))
    text = "" if sys.stdin is None else sys.stdin.read(_MOST_CHARACTERS)
    if not text.strip():
        missing = BadToken(
            "no token came on standard input: paste what 'nameserver invite' has printed at a "
            f"terminal, or give it in a file or in {JOIN_VARIABLE}"
        )
        missing.is_missing = True
        raise missing
    return read_token(text)


def read_passphrase(file: str | None, *, twice: bool) -> Secret:
    """Return a passphrase from the first line of a file or of standard input; a terminal is asked.

    Args:
        file: Its path; "-": standard input; None: nobody has said.
        twice: Whether it is asked for twice, so that it is what was meant.
    Raises:
        BadInput: There is none.
    """
    if file not in (None, FROM_INPUT):
        line = _read_file(str(file)).partition("\n")[0]
    elif _is_terminal():
        line = str(click.prompt("passphrase", hide_input=True, confirmation_prompt=twice, err=True))
    else:
        line = "" if sys.stdin is None else sys.stdin.readline(_MOST_CHARACTERS)
    line = line.rstrip("\r\n")
    if not line:
        raise BadInput(
            "no passphrase was given: type it at a terminal, or give it on standard input, or in a "
            "file with --passphrase FILE"
        )
    return Secret(line.encode())


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _read_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(_MOST_CHARACTERS)
    except OSError as error:
        raise BadInput(
            f"cannot read a token or passphrase from {path!r} ({error.strerror}): give a file that "
            "has one, or nothing, to be asked for it"
        ) from error
    except UnicodeDecodeError:
        raise BadToken(f"there is none in {path!r}: it is no text") from None


def _ask(what: str) -> str:
    """Ask at the terminal, without an echo."""
    return str(click.prompt(what, hide_input=True, default="", show_default=False, err=True))
