"""The whole way on one machine: names by zeroconf, slaves that join and die, nothing lost.

A name server runs on loopback and is found by zeroconf. Two slaves wait for the farm; a third joins
in the middle of the run; one of the first two is killed with SIGKILL. The script and the slaves
have runtime directories of their own, so that the name server is the only way for them to meet.
At the end the same survey is made without a farm, and has to come to the same totals.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rich
import rich.progress
from survey import (
    STDLIB,
    FileSurvey,
    Report,
    closing_lines,
    find_files,
    print_report,
    print_slaves,
    survey_on_farm,
    survey_serially,
)

from masterslave import Farm

LABEL = f"survey-{os.getpid()}"
JOIN_AT, KILL_AT = 0.2, 0.5


class Stage:
    """The processes of the demo, and what they say."""

    def __init__(self, folder: Path) -> None:
        self.console = rich.get_console()
        self._processes: dict[str, subprocess.Popen[str]] = {}
        # mDNS stays on loopback, and nothing of the user's own directories is touched.
        self._environment = {
            **os.environ,
            "REMOTEOBJ_INTERFACES": "127.0.0.1",
            "XDG_RUNTIME_DIR": str(_made(folder / "slaves")),
        }
        os.environ["REMOTEOBJ_INTERFACES"] = "127.0.0.1"
        os.environ["XDG_RUNTIME_DIR"] = str(_made(folder / "script"))

    def start(self, who: str, *command: str) -> None:
        """Start a process; what it prints is shown with its name."""
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._processes[who] = process
        threading.Thread(target=self._show, args=(who, process), daemon=True).start()

    def start_slave(self, number: int) -> None:
        """Start a slave of one slot."""
        who = f"slave-{number}"
        arguments = (LABEL, "--slots", "1", "--name", who, "--insecure")
        self.start(who, "masterslave", "slave", *arguments)

    def kill(self, who: str) -> None:
        """End a process as a power cut would."""
        self._processes[who].kill()

    def say(self, line: str) -> None:
        """Tell what is happening, above the progress bar."""
        self.console.print(f"[bold yellow]> {line}[/]")

    def end(self) -> None:
        """End every process."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _show(self, who: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.console.print(
                f"[cyan]{who:>11}[/] {line.rstrip()}", highlight=False, soft_wrap=True
            )


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


@contextmanager
def stage() -> Iterator[Stage]:
    """Set the stage, and clear it whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="ro-"))
    set_up = Stage(folder)
    try:
        yield set_up
    finally:
        before = signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # a second Ctrl-C leaves nobody behind
        set_up.end()
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGINT, before)


def play(on: Stage, files: list[str]) -> tuple[Report, list[str], bool]:
    """Survey the files on the farm while slaves come and go; the last value: all has happened."""
    on.start("name server", "nameserver", "run", "--host", "127.0.0.1", "--insecure")
    for number in (1, 2):
        on.start_slave(number)
    to_come = ["join", "kill"]
    with Farm(LABEL, local_slaves=0, nameserver=True, insecure=True) as farm:

        def on_result(done: int, _survey: FileSurvey) -> None:
            if to_come == ["join", "kill"] and done >= JOIN_AT * len(files):
                on.say(f"after {done} files a third slave is started")
                on.start_slave(3)
                to_come.remove("join")
            here = {slave.name for slave in farm.slaves}
            if to_come == ["kill"] and done >= KILL_AT * len(files) and "slave-3" in here:
                on.say(f"after {done} files slave-1 is killed with SIGKILL")
                on.kill("slave-1")
                to_come.remove("kill")

        report = survey_on_farm(farm, files, on_result)
        counts = farm.statistics()
        lines = closing_lines(farm)
        slaves = sorted([*farm.slaves, *farm.former_slaves], key=lambda slave: slave.name)
    print_report(report, STDLIB, top=5)
    print_slaves(slaves)
    as_planned = (counts.slaves_joined, counts.slaves_lost) == (3, 1)
    return report, lines, as_planned


def main() -> int:
    """Play the demo; the exit code is 0 only if nothing is missing and the totals are equal."""
    started = time.perf_counter()
    files = find_files()
    with stage() as on:
        on.say(f"surveying {len(files)} files of the standard library of this Python")
        report, lines, as_planned = play(on, files)
    farm_s = time.perf_counter() - started
    on.say("the same without a farm, to compare")
    serial = survey_serially(rich.progress.track(files, "serial"))
    equal = serial.totals() == report.totals()
    print(f"totals equal to the serial run: {'yes' if equal else 'NO'}")
    print(f"files surveyed {len(report)} of {len(files)} found")
    seconds = time.perf_counter() - started
    print(*lines, f"seconds {seconds:.1f} ({farm_s:.1f} on the farm)", sep="\n")
    return 0 if equal and as_planned and len(report) == len(files) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("demo interrupted; everything that it started is ended")
        sys.exit(130)
