"""A process that would lead, again and again, and writes down each moment in which it acts.

``python -m tests.masterslave.leading.contender ADDRESS FILE FARM COPY``; lines to it name its
successor, lines from it say what happens.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings

from masterslave.leading import Arbiter, Leading
from nameserver import NotLeader
from remoteobj import RemoteObjError

TICK_S = 0.002
LEASE_S = 3.0


def main() -> None:
    """Contend until nobody reads any more."""
    warnings.simplefilter("ignore")
    address, path, farm, copy = sys.argv[1:]
    arbiter = Arbiter(address, insecure=True)
    holds: list[Leading] = []
    threading.Thread(target=name_successors, args=(holds,), daemon=True).start()
    threading.Thread(target=act, args=(holds, path), daemon=True).start()
    epoch, again = 0, threading.Event()
    while True:
        lost = threading.Event()
        why: list[str] = []

        def stop(words: str, why: list[str] = why, lost: threading.Event = lost) -> None:
            why.append(f"{time.monotonic()} {words}")
            lost.set()

        leading = Leading(arbiter.find, farm, copy, epoch + 1, on_lost=stop, lease_s=LEASE_S)
        try:
            epoch = leading.take().epoch
        except (RemoteObjError, OSError):
            leading.close()
            again.wait(0.05)
            continue
        holds.append(leading)
        print(f"leads {epoch}", flush=True)
        lost.wait()
        print(f"lost {why[0]}", flush=True)
        holds.remove(leading)
        leading.close()


def name_successors(holds: list[Leading]) -> None:
    """Name a successor for each line that is read."""
    for line in sys.stdin:
        try:
            holds[-1].set_successor(line.strip())
            print(f"said {line.strip()}", flush=True)
        except NotLeader as error:
            print(f"no {error}", flush=True)


def act(holds: list[Leading], path: str) -> None:
    """Write down the moments in which it acts, with its epoch."""
    tick = threading.Event()
    with open(path, "w", buffering=1) as file:
        while True:
            for leading in tuple(holds):
                at = time.monotonic()
                if leading.acts:
                    file.write(f"{at} {leading.epoch}\n")
            tick.wait(TICK_S)


if __name__ == "__main__":
    main()
