"""``masterslave``: be a slave, and look at farms."""

from __future__ import annotations

import sys

import click

from masterslave.cli.completing import complete_names
from masterslave.cli.doctor import doctor
from masterslave.cli.farms import list_farms, show
from masterslave.cli.run import run
from masterslave.cli.slave import slave
from masterslave.cli.steering import drain, release_slave, stop
from masterslave.cli.who import who
from remoteobj.cli import run_command
from remoteobj.completing import completion

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="remoteobj-farm")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main_group(debug: bool) -> None:
    """Farm tasks to the computers of the room: run a slave here, look at the farms there are.

    Exit code 2: wrong usage; 1: any other failure; 130: Ctrl-C.
    """


for command in (slave, list_farms, show, who, run, doctor, drain, stop, release_slave):
    main_group.add_command(complete_names(command))
main_group.add_command(completion("masterslave"))


def main() -> None:
    """Entry point of the console script."""
    main_group.name = "masterslave"
    sys.exit(run_command(main_group))
