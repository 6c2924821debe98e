"""``masterslave run``: a script, and slaves on this machine for as long as it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from masterslave.farm.handlers import HANDLERS_VARIABLE
from masterslave.farm.here.ground import HERE_VARIABLE
from masterslave.farm.keep_going import KEEP_GOING_VARIABLE
from masterslave.launch.local import SIGNAL_S, LocalSlave
from masterslave.slave.capacity import usable_cpus
from masterslave.slave.offer import look_at

__all__ = ["run"]

_LEAVE_S = 3.0


@click.command(
    context_settings={"ignore_unknown_options": True}, short_help="Run a script with local slaves."
)
@click.option(
    "--slaves",
    type=click.IntRange(0, 4096),
    default=None,
    metavar="N",
    help="Local slaves of one slot each, beside those that the script starts itself; default: 2.",
)
@click.option(
    "--here",
    is_flag=True,
    help="No slaves: the script's farms run their tasks in a thread of the script itself.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    default=None,
    metavar="N",
    help="With --here: in so many threads instead of one.",
)
@click.option(
    "--handlers",
    multiple=True,
    metavar="MODULE:CLASS",
    help="Named tasks of this class, a masterslave.Slave, for the script's farms that do not say "
    "themselves; may be given again.",
)
@click.option(
    "--keep-going",
    is_flag=True,
    help="A task that raises does not end the run: the others go on, and those are listed.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(
    slaves: int | None,
    here: bool,
    threads: int | None,
    handlers: tuple[str, ...],
    keep_going: bool,
    debug: bool,
    script: Path,
    arguments: tuple[str, ...],
) -> int:  # fmt: skip
    """Run SCRIPT with ARGUMENTS, and local slaves for its farms; they end with it.

    With --here there are none: tasks run in the script's own process, where debuggers and profilers
    see them, as if each Farm() had here=True (REMOTEOBJ_FARM_HERE says so).

    With --handlers its local slaves do named tasks, and so does --here, as if each Farm() had
    handlers=[...] (REMOTEOBJ_FARM_HANDLERS says so).

    With --keep-going a task that raises costs no other: map and imap give something in the place of
    its result that raises its error where it is used, imap_unordered leaves it out. In the end the
    farms list what has failed, and the exit code is 1. With a journal, or cache=True, only that
    runs when the script is started again. Each Farm() then has FarmSettings(keep_going=True), which
    REMOTEOBJ_FARM_KEEP_GOING says.

    Options that are not ours go to the script, and so does all that follows --. The exit code is
    the script's.
    """
    if not script.is_file():
        what = (
            f"{str(script)!r} is a folder"
            if script.is_dir()
            else f"there is no file {str(script)!r}"
        )
        raise click.BadParameter(what, param_hint="SCRIPT")
    if here and slaves is not None:
        raise click.UsageError("--here runs tasks without slaves: leave --slaves out")
    if threads is not None and not here:
        raise click.UsageError("--threads is for --here: give both")
    if here:
        slaves = 0
    environment = _environment(here, threads, handlers, script)
    told = _file_for_failures() if keep_going else None
    if told is not None:
        environment[KEEP_GOING_VARIABLE] = str(told)
    # Ctrl-C reaches the script through the terminal; we wait for what it makes of it.
    signal.signal(signal.SIGINT, lambda *_: None)
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env={**os.environ, **environment},
    )
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    count = 2 if slaves is None else slaves
    share = max(1, usable_cpus() // max(1, count))
    started = [
        LocalSlave(["--local", "--slots", "1", "--only-pid", str(process.pid)], share)
        for _ in range(count)
    ]
    while (code := _exit_code(process)) is None:
        pass
    for slave in started:
        slave.stop()
    deadline = time.monotonic() + _LEAVE_S
    for slave in started:
        slave.wait(deadline)
    if told is not None:
        code = code or (1 if told.stat().st_size else 0)
        told.unlink()
    return code if code >= 0 else 128 - code


def _file_for_failures() -> Path:
    """Make the file to which the script's farms add a line if tasks have failed."""
    file, path = tempfile.mkstemp(prefix="masterslave-failed-")
    os.close(file)
    return Path(path)


def _environment(
    here: bool, threads: int | None, handlers: tuple[str, ...], script: Path
) -> dict[str, str]:
    """Return what the script's farms are told: where tasks run, and who does named ones.

    Raises:
        HandlersUnusable: One of the handlers offers nothing.
    """
    told = {HERE_VARIABLE: str(threads or 1)} if here else {}
    if not handlers:
        return told
    for spec in handlers:
        module = spec.partition(":")[0]
        if Path(f"{module}.py").resolve() == script.resolve():
            raise click.UsageError(
                f"{spec} is in the script itself, which would be run to look at it: let it say "
                "Farm(handlers=...) with the class"
            )
    look_at(handlers)
    return {**told, HANDLERS_VARIABLE: ",".join(handlers)}


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(SIGNAL_S)
    except subprocess.TimeoutExpired:
        return None
