"""What tasks of a ticket weigh in a service, and how fast they are taken in.

``python -m tests.masterslave.service.weight --tasks 100000`` prints it; nothing runs
the tasks until all of them are there.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import tempfile
import time
from pathlib import Path

from masterslave.farm.packing import pack_arguments, pack_items
from masterslave.protocol.attaching import Request, SentTasks
from masterslave.protocol.hand_outs import CALL, EACH
from masterslave.service.service import Service
from tests.masterslave.service.bare import Bare, packed_terms, sent_function
from tests.masterslave.service.conftest import reception_of

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def square(number: int) -> int:
    return number * number


def resident() -> int:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free goes back
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def measure(tasks: int, at_a_time: int, form: int) -> dict[str, float]:
    """Submit tasks to a service in this process, then have them run; returns what that took."""
    with tempfile.TemporaryDirectory(prefix="ro-") as folder:
        journal = Path(folder) / "weight.db"
        service = Service("weight", journal, nameserver=False)
        service.open()
        try:
            with Bare(reception_of(service)) as script:
                script.calls(square, [0])  # what comes once
                requests = _requests(script.ticket, tasks, at_a_time, form)
                before, started = resident(), time.monotonic()
                for request in requests:
                    assert not script.submit(request).refused
                seconds = time.monotonic() - started
                waiting = resident() - before
                service.add_local_slaves(2)
                script.collect_all(tasks + 1)
                script.answers.clear()
                answered = resident() - before
        finally:
            service.close()
        return {
            "tasks_per_s": tasks / seconds,
            "waiting_bytes": waiting / tasks,
            "answered_bytes": answered / tasks,
            "file_bytes": journal.stat().st_size / tasks,
        }


def _requests(ticket: str, tasks: int, at_a_time: int, form: int) -> list[Request]:
    function, terms = sent_function(square), packed_terms()
    packed = [
        pack_items([number]) if form == EACH else pack_arguments("square", (number,), {})
        for number in range(tasks)
    ]
    requests = []
    for first in range(0, tasks, at_a_time):
        arguments = tuple(packed[first : first + at_a_time])
        sent = SentTasks(1 + first, function.digest, terms, arguments, form)
        requests.append(Request(ticket, (function,) if not first else (), (sent,)))
    return requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--at-a-time", type=int, default=1000)
    parser.add_argument("--items", action="store_true", help="items of a map, not single tasks")
    given = parser.parse_args()
    found = measure(given.tasks, given.at_a_time, EACH if given.items else CALL)
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))


if __name__ == "__main__":
    main()
