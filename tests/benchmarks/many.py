"""Many connections at once: idle ones, and calls that all wait for a deferred reply."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.echo import Client
from tests.benchmarks.serve import raise_file_limit

__all__ = ["hold_idle", "wait_together"]


def _server_has(pid: int) -> tuple[int, int]:
    """Return its threads, and the KiB of memory that it holds."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return int(status["Threads"]), int(status["VmRSS"].split()[0])


def hold_idle(job: dict[str, Any]) -> dict[str, Any]:
    """Open connections that make one call each and then stay; look at what the server holds.

    The client is Pyro5's own proxy, which has a connection to itself and shares none.
    """
    from Pyro5 import api, config

    if not Path("/proc/self/status").exists():
        raise NotImplementedError("threads and memory are read from /proc, which is not here")
    raise_file_limit()
    config.COMMTIMEOUT = 5.0
    proxies, why = [], ""
    with contextlib.ExitStack() as open_ones:
        first = open_ones.enter_context(api.Proxy(job["address"]))
        first.echo(1)
        _, kib_before = _server_has(job["pid"])
        deadline = time.monotonic() + job["limit_s"]
        while len(proxies) < job["count"] - 1 and not why:
            proxy = api.Proxy(job["address"])
            try:
                proxy.echo(1)
            except Exception as fault:
                why = f"the next one: {type(fault).__name__}: {fault}"
                break
            proxies.append(open_ones.enter_context(proxy))
            if time.monotonic() > deadline:
                why = f"no more within {job['limit_s']:g} s"
        time.sleep(1.0)  # what is quiet may be put aside
        threads, kib = _server_has(job["pid"])
    return {
        "held": len(proxies) + 1,
        "threads": threads,
        "kib": (kib - kib_before) / max(1, len(proxies)),
        "note": why,
    }


def wait_together(job: dict[str, Any], client: Client) -> dict[str, Any]:
    """Make all calls at once, each from a thread of its own, and wait for all answers."""
    raise_file_limit()
    if client.later(0.01) != 0.01:
        raise NotImplementedError("not yet: a returned future did not become a deferred reply")
    threading.stack_size(256 * 1024)
    delay_s, answered, faults = job["delay_s"], [], []

    def call() -> None:
        try:
            answered.append(client.later(delay_s))
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=call) for _ in range(job["count"])]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, _server_has(job["pid"])[0])
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    note = f"{len(faults)} failed, first: {faults[0]}" if faults else ""
    return {"held": len(answered), "threads": most, "seconds": seconds, "note": note}
