"""``remoteobj``: a look at one object from the command line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from remoteobj.completing import completion
from remoteobj.errors import BadInput, BadURI, InsecureRefused, RemoteObjError
from remoteobj.identity import AUTO, Identity, choose_identity
from remoteobj.proxy import Proxy
from remoteobj.uri import URI

__all__ = [
    "IDENTITY",
    "IdentityFiles",
    "end_at_signals",
    "identity_option",
    "insecure_option",
    "main",
    "read_identity",
    "run_command",
]

IDENTITY = "REMOTEOBJ_IDENTITY"
"""The variable with the three files of an identity, for command lines that are not given any."""

IdentityFiles = tuple[str, str, str]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def identity_option(command: _Command) -> _Command:
    """Add ``--identity``; ``read_identity`` makes of it what a command needs."""
    option = click.option(
        "--identity",
        nargs=3,
        type=click.Path(),
        metavar="CA CERTIFICATE KEY",
        help="Talk TLS with these three files; "
        f"default: {IDENTITY}, where they stand with '{os.pathsep}' between them; else who this "
        "account became by pairing.",
    )
    return option(command)


def insecure_option(text: str = "Talk plain TCP.") -> Callable[[_Command], _Command]:
    """Make what adds ``--insecure`` to a command, with *text* as its help."""
    return click.option("--insecure", is_flag=True, envvar="REMOTEOBJ_INSECURE", help=text)


def end_at_signals() -> threading.Event:
    """Have Ctrl-C and SIGTERM set an event, and do nothing else, from now on.

    Threads: the main thread, as the operating system's signals demand.
    """
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    return ended


def read_identity(
    files: IdentityFiles | None, insecure: bool, cluster: str | None = None
) -> tuple[Identity | None, bool]:
    """Return the identity that a command is to use, and whether it may talk plain TCP.

    What was typed counts; what the environment says, only where nothing was; and where that says
    nothing either, who this account became by pairing, in *cluster* if that is given.

    Raises:
        BadInput: Both were asked for, or the variable does not hold three files.
        IdentityUnusable: The files are no identity; or this account is in several clusters, and
            none was chosen.
    """
    context = click.get_current_context()
    is_typed = context.get_parameter_source("insecure") is ParameterSource.COMMANDLINE
    if files is not None and is_typed:
        raise click.UsageError("--identity means TLS, --insecure means plain TCP: give one of them")
    if files is not None:
        return Identity.from_files(*files), False
    text = os.environ.get(IDENTITY, "")
    if not text or is_typed:
        return choose_identity(AUTO, insecure, cluster), insecure
    if insecure:
        raise BadInput(
            f"{IDENTITY} means TLS, REMOTEOBJ_INSECURE means plain TCP: set one of them, or say "
            "which with --identity or --insecure"
        )
    parts = text.split(os.pathsep)
    if len(parts) != 3:
        raise BadInput(
            f"{IDENTITY} is {text!r}: it holds three files with {os.pathsep!r} between them, "
            "CA, certificate and key"
        )
    return Identity.from_files(*parts), False


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="remoteobj-farm")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main_group(debug: bool) -> None:
    """Look at remote objects.

    Exit code 2: wrong usage; 1: any other failure; 130: Ctrl-C.
    """


def _read_uri(_ctx: click.Context, _param: click.Parameter, value: str) -> URI:
    try:
        uri = URI(value)
    except BadURI as error:
        raise click.BadParameter(str(error)) from error
    if uri.protocol == "PYRONAME":
        raise click.BadParameter(f"{uri} is a name: 'nameserver lookup {uri.object}' gives its URI")
    return uri


@main_group.command()
@click.argument("uri", callback=_read_uri)
@identity_option
@insecure_option("Talk plain TCP: anyone on the way can read and change it.")
def describe(uri: URI, identity: IdentityFiles | None, insecure: bool) -> None:
    """List what may be called on the object at URI."""
    who, insecure = read_identity(identity, insecure)
    with Proxy(uri, identity=who, insecure=insecure) as proxy:
        for name in dir(proxy):
            click.echo(name)


main_group.add_command(completion("remoteobj"))


def run_command(group: click.Group, arguments: list[str] | None = None) -> int:
    """Run a command line: a warning or error is one line, a traceback comes with ``--debug`` only.

    Returns:
        The exit code: 0, 1 for a failure, 2 for wrong usage, 130 for Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    name = group.name or "remoteobj"
    try:
        with _warnings_in_one_line(name):
            result = group.main(arguments, prog_name=name, standalone_mode=False)
    except click.ClickException as error:  # wrong usage among them, whose code is 2
        message = error.format_message()
        if "\n" in message:  # no arguments at all: the message is the help
            error.show()
            return error.exit_code
        asked = getattr(error, "ctx", None)
        hint = f" (see '{asked.command_path} --help')" if asked else ""
        click.echo(f"{name}: {message}{hint}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except (RemoteObjError, OSError) as error:
        if "--debug" in arguments:
            raise
        click.echo(f"{name}: {str(error).splitlines()[0]}", err=True)
        return 2 if isinstance(error, (BadInput, InsecureRefused)) else 1
    return result if isinstance(result, int) else 0


@contextlib.contextmanager
def _warnings_in_one_line(name: str) -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        click.echo(f"{name}: warning: {message}", err=True)

    before, warnings.showwarning = warnings.showwarning, show
    try:
        yield
    finally:
        warnings.showwarning = before


def main() -> None:
    """Entry point of the console script."""
    main_group.name = "remoteobj"
    sys.exit(run_command(main_group))
