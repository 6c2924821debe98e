"""A script with a farm on a paired machine; it tells its course, one JSON object a line.

    python master_script.py AT_LEAST

It works until it has AT_LEAST results and has read the line "enough" from its standard input, so
that a test can do with the network what it likes before the work runs out.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from masterslave import Farm, FarmSettings

TASK_S = 0.01
UNDER_WAY = 40

SETTINGS = FarmSettings(heartbeat_s=0.5, silence_s=2.0, explain_after_s=1.0)


def digits(number: int) -> int:
    """Return the sum of the digits of 3 to the power of *number*: easy to check, hard to guess."""
    return sum(map(int, str(3**number)))


def work(number: int) -> tuple[int, str]:
    """Return the answer, and who gave it."""
    time.sleep(TASK_S)
    return digits(number), socket.gethostname()


def tell(event: str, **facts: Any) -> None:
    """Say one thing, as one line."""
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


class Course:
    """The results so far, and what the farm says of itself."""

    def __init__(self, farm: Farm, at_least: int) -> None:
        self.farm = farm
        self.answers: dict[int, int] = {}
        self.times_answered: Counter[int] = Counter()
        self.done_by: Counter[str] = Counter()
        self._at_least = at_least
        self._enough = threading.Event()
        self._over = threading.Event()
        threading.Thread(target=self._hear, daemon=True).start()
        self._reporter = threading.Thread(target=self._report)
        self._reporter.start()

    def numbers(self) -> Iterator[int]:
        """Give work until there is enough."""
        number = 0
        while number < self._at_least or not self._enough.is_set():
            yield number
            number += 1

    def take(self, number: int, answer: tuple[int, str]) -> None:
        """Note a result."""
        self.answers[number], host = answer
        self.times_answered[number] += 1
        self.done_by[host] += 1

    def end(self) -> None:
        """Report no more."""
        self._over.set()
        self._reporter.join()

    def facts(self) -> dict[str, Any]:
        """Return how things stand."""
        return {
            "results": self.times_answered.total(),
            "done_by": dict(self.done_by),
            "statistics": asdict(self.farm.statistics()),
            "slaves": [asdict(slave) for slave in self.farm.slaves],
            "former_slaves": [asdict(slave) for slave in self.farm.former_slaves],
            "waits": self.farm.why_waiting(),
        }

    def _hear(self) -> None:
        for line in sys.stdin:
            if line.strip() == "enough":
                self._enough.set()

    def _report(self) -> None:
        while not self._over.wait(0.05):
            tell("progress", **self.facts())


def main(at_least: int) -> None:
    """Farm the numbers, and compare with the serial answers."""
    with Farm("lan", local_slaves=0, settings=SETTINGS) as farm:
        tell("open", uri=str(farm.uri))
        course = Course(farm, at_least)
        try:
            for number, answer in farm.imap_unordered(work, course.numbers(), limit=UNDER_WAY):
                course.take(number, answer)
        finally:
            course.end()
        facts = course.facts()
    total = len(course.answers)
    tell(
        "summary",
        **facts,
        exactly_once=dict(course.times_answered) == dict.fromkeys(range(total), 1),
        equal_to_serial=course.answers == {number: digits(number) for number in range(total)},
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
