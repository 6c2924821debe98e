"""``nameserver``: run one, look at the names there are, and find out why one is not found."""

from __future__ import annotations

import sys

import click

from nameserver.cli.belonging import leave, use
from nameserver.cli.doctor import doctor
from nameserver.cli.inviting import invite
from nameserver.cli.joining import join
from nameserver.cli.leaders import leaders
from nameserver.cli.members import members, revoke
from nameserver.cli.moving import backup, restore
from nameserver.cli.names import list_names, lookup, ping, register, remove
from nameserver.cli.options import debug_option
from nameserver.cli.pairing import pair
from nameserver.cli.run import run
from nameserver.cli.watch import watch
from remoteobj.cli import run_command
from remoteobj.completing import completion

__all__ = ["main"]


@click.group("nameserver", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="remoteobj-farm")
@debug_option
def main_group(debug: bool) -> None:
    """Find objects by name, on this machine and on the network.

    Exit code 2: wrong usage; 1: any other failure; 130: Ctrl-C.
    """


for command in (
    run,
    list_names,
    lookup,
    register,
    remove,
    watch,
    ping,
    doctor,
    invite,
    pair,
    join,
    leaders,
    members,
    revoke,
    leave,
    use,
    backup,
    restore,
    completion("nameserver"),
):
    main_group.add_command(command)


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run_command(main_group))
