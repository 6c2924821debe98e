"""``masterslave run``: a script, and slaves on this machine for as long as it runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import click

from masterslave.launch.local import SIGNAL_S, LocalSlave

__all__ = ["run"]

_LEAVE_S = 3.0


@click.command(
    context_settings={"ignore_unknown_options": True}, short_help="Run a script with local slaves."
)
@click.option(
    "--slaves",
    type=click.IntRange(0, 4096),
    default=2,
    show_default=True,
    help="Local slaves of one slot each, beside those that the script starts itself.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(slaves: int, debug: bool, script: Path, arguments: tuple[str, ...]) -> int:  # fmt: skip
    """Run SCRIPT with ARGUMENTS, and local slaves for its farms; they end with it.

    Options that are not ours go to the script, and so does all that follows --. The exit code is
    the script's.
    """
    if not script.is_file():
        raise click.BadParameter(f"there is no file {str(script)!r}", param_hint="SCRIPT")
    # Ctrl-C reaches the script through the terminal; we wait for what it makes of it.
    signal.signal(signal.SIGINT, lambda *_: None)
    process = subprocess.Popen([sys.executable, str(script), *arguments])
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    started = [
        LocalSlave(["--local", "--slots", "1", "--only-pid", str(process.pid)])
        for _ in range(slaves)
    ]
    while (code := _exit_code(process)) is None:
        pass
    for slave in started:
        slave.stop()
    deadline = time.monotonic() + _LEAVE_S
    for slave in started:
        slave.wait(deadline)
    return code if code >= 0 else 128 - code


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(SIGNAL_S)
    except subprocess.TimeoutExpired:
        return None
