"""``masterslave``: be a slave, and look at farms."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from masterslave.cli.completing import complete_names
from remoteobj.cli import run_command
from remoteobj.completing import completion

__all__ = ["main"]

_COMMANDS = {
    "doctor": "masterslave.cli.doctor:doctor",
    "drain": "masterslave.cli.steering:drain",
    "forget": "masterslave.cli.jobs:forget",
    "invalidate": "masterslave.cli.journal:invalidate",
    "jobs": "masterslave.cli.jobs:jobs",
    "list": "masterslave.cli.farms:list_farms",
    "master": "masterslave.cli.master:master",
    "release": "masterslave.cli.steering:release_slave",
    "replay": "masterslave.cli.replay:replay",
    "results": "masterslave.cli.jobs:results",
    "run": "masterslave.cli.run:run",
    "show": "masterslave.cli.farms:show",
    "slave": "masterslave.cli.slave:slave",
    "standby": "masterslave.cli.standby:standby",
    "status": "masterslave.cli.journal:status",
    "stop": "masterslave.cli.steering:stop",
    "trace": "masterslave.cli.trace:trace",
    "who": "masterslave.cli.who:who",
}


class _Commands(click.Group):
    """Those that are in here already, and those above, each imported when it is asked for: a slave,
    which stays for days, has none of the others in its memory.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all."""
        return sorted({*super().list_commands(ctx), *_COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one; all, where there is none of this name: click knows which one was meant."""
        if cmd_name not in self.commands:
            for name in [cmd_name] if cmd_name in _COMMANDS else _COMMANDS:
                module, _, attribute = _COMMANDS[name].partition(":")
                command = getattr(import_module(module), attribute)
                self.add_command(complete_names(command), name)
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="remoteobj-farm")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main_group(debug: bool) -> None:
    """Farm tasks to the computers of the room: run a slave here, look at the farms there are.

    Exit code 2: wrong usage; 1: any other failure; 130: Ctrl-C.
    """


main_group.add_command(completion("masterslave"))


def main() -> None:
    """Entry point of the console script."""
    main_group.name = "masterslave"
    sys.exit(run_command(main_group))
