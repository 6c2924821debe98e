"""A script that is attached to a farm of another machine; it tells its course in lines of JSON.

    python attached_script.py RAN

It keeps some tasks under way until it has read the line "enough" from its standard input. Each task
writes a line to the file RAN when it is done: its number, its host, and when it began.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import deque
from typing import Any

from masterslave import Farm

TASK_S = 0.02
UNDER_WAY = 400  # so many that some wait, whatever a slave is cut off with


def work(number: int, ran: str) -> tuple[int, float]:
    """Return the answer, and when it was begun."""
    began = time.time()
    time.sleep(TASK_S)  # so long a task takes
    with open(ran, "a") as file:
        file.write(f"{number} {socket.gethostname()} {began}\n")
    return number * number, began


def tell(**facts: Any) -> None:
    """Say one thing, as one line."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main(ran: str) -> None:
    """Farm numbers, and compare with the serial answers."""
    enough = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), enough.set()), daemon=True).start()
    began: dict[int, float] = {}
    wrong: list[int] = []
    with Farm.attach("survey") as farm:
        tell(event="attached", ticket=farm.ticket)
        under_way: deque[tuple[int, Any]] = deque()
        number = 0
        while under_way or not enough.is_set():
            while len(under_way) < UNDER_WAY and not enough.is_set():
                under_way.append((number, farm.submit(work, number, ran)))
                number += 1
            asked, future = under_way.popleft()
            answer, began[asked] = future.result()
            if answer != asked * asked:
                wrong.append(asked)
            if asked % 10 == 0:
                tell(event="progress", results=len(began), at=time.time())
    tell(event="summary", results=len(began), submitted=number, wrong=wrong, began=began)


if __name__ == "__main__":
    main(sys.argv[1])
