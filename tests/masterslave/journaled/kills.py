"""A script with a journal that is killed again and again, and started each time.

``python -m tests.masterslave.journaled.kills --kills 50 --tasks 10000`` says what it saw.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from masterslave.journal.journal import Journal
from masterslave.journal.keys import explicit_key
from tests.conftest import eventually

__all__ = ["Story", "run_with_kills"]

_SCRIPT = """
import sys, time
from masterslave import Farm

journal, ran, tasks, pause_s, slaves = sys.argv[1:]

def work(number):
    time.sleep(float(pause_s))  # so long a task takes
    with open(ran, "a") as file:
        file.write(f"{number}\\n")
    return number * number

with Farm("killed", local_slaves=int(slaves), journal=journal, output="none") as farm:
    futures = [farm.options(key=number).submit(work, number) for number in range(int(tasks))]
    print(sum(future.result() for future in futures), flush=True)
"""
_LONGEST_S = 120.0


@dataclass
class Story:
    """What was seen.

    Attributes:
        answer: What the script has printed in the end: the sum of all results.
        ran_again: Tasks that were finished in the journal when the script was killed, and ran
            after that.
        twice: How many ran more than once in all.
        told: What each run has said in the end, on standard error.
    """

    answer: int = 0
    kills: int = 0
    ran_again: list[int] = field(default_factory=list)
    runs: int = 0
    twice: int = 0
    told: list[str] = field(default_factory=list)


def run_with_kills(
    folder: Path,
    *,
    tasks: int,
    kills: int,
    seed: int,
    pause_s: float,
    slaves: int = 2,
    environment: Mapping[str, str] | None = None,
) -> Story:
    """Start the script, kill it at random moments, start it again; at last let it end.

    Args:
        pause_s: How long each task takes.
        slaves: Local ones of the script.
    """
    story, chance = Story(), random.Random(seed)
    script, ran, journal = folder / "script.py", folder / "ran", folder / "survey.db"
    script.write_text(_SCRIPT)
    ran.touch()
    command = [sys.executable, script, journal, ran, str(tasks), str(pause_s), str(slaves)]
    keys = {explicit_key(number): number for number in range(tasks)}
    while True:
        finished, seen = _finished(journal, keys), len(_lines(ran))
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        story.runs += 1
        is_killed = story.kills < kills and _kill_while_it_runs(process, ran, seen, chance)
        output, said = process.communicate(timeout=_LONGEST_S)
        story.told.append(said)
        story.ran_again += [one for one in _lines(ran)[seen:] if one in finished]
        story.kills += is_killed
        if not is_killed:
            assert process.returncode == 0, said
            story.answer = int(output)
            break
    lines = _lines(ran)
    story.twice = len(lines) - len(set(lines))
    return story


def _kill_while_it_runs(
    process: subprocess.Popen[str], ran: Path, seen: int, chance: random.Random
) -> bool:
    """Kill the script some time after its first task has run; False if it has ended before."""
    eventually(
        lambda: len(_lines(ran)) > seen or process.poll() is not None,
        "a task has run, or all were done",
        _LONGEST_S,
    )
    try:
        process.wait(chance.uniform(0.0, 0.4))
    except subprocess.TimeoutExpired:
        process.kill()
        return True
    return False


def _lines(ran: Path) -> list[int]:
    return [int(line) for line in ran.read_text().split("\n")[:-1]]


def _finished(journal: Path, keys: Mapping[bytes, int]) -> set[int]:
    if not journal.exists():
        return set()
    with Journal.read_only(journal) as reader:
        return {keys[key] for key in reader.folded.finished if key in keys}


@contextlib.contextmanager
def _slaves_beside(are_wanted: bool) -> Iterator[None]:
    if not are_wanted:
        yield
        return
    command = [sys.executable, "-m", "masterslave", "slave", "--local", "killed", "--slots", "2"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as slave:
        try:
            yield
        finally:
            slave.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--pause", type=float, default=0.002, help="seconds that each task takes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slaves", type=int, default=2, help="of the script; 0: started beside it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _slaves_beside(not given.slaves):
        began = time.monotonic()
        story = run_with_kills(
            Path(folder), tasks=given.tasks, kills=given.kills, seed=given.seed,
            pause_s=given.pause, slaves=given.slaves,
        )  # fmt: skip
        seconds = time.monotonic() - began
    serial = sum(number * number for number in range(given.tasks))
    print(f"seed {given.seed}: {story.kills} kills, {story.runs} runs, {seconds:.0f} s")
    print(f"answers equal the serial ones: {story.answer == serial}")
    print(f"finished tasks that ran again: {len(story.ran_again)}")
    print(f"tasks that ran twice: {story.twice}")
    print(story.told[-1].strip())


if __name__ == "__main__":
    main()
