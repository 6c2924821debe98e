"""The process of one client: reads a job, says ``ready``, and measures when it is told to go.

Every job that has a raw neighbour measures the raw socket immediately before and after.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.benchmarks.echo import Client
from tests.benchmarks.goals import CHANGED
from tests.benchmarks.many import hold_idle, wait_together
from tests.benchmarks.peers import SYSTEMS, TLS
from tests.benchmarks.raw import RawBulk, RawPing
from tests.benchmarks.serve import pin

__all__ = ["records"]

Job = dict[str, Any]
_MIB = 1024 * 1024
_BATCH = 100


def records() -> list[dict[str, Any]]:
    """Return 100 records of 7 fields, one of them a datetime."""
    noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC).replace(tzinfo=None)
    return [
        {
            "id": n,
            "name": f"sample {n}",
            "value": n * 1.25,
            "ratio": n / 7,
            "count": n * n,
            "tag": "even" if n % 2 == 0 else "odd",
            "when": noon + timedelta(seconds=n, microseconds=n),
        }
        for n in range(100)
    ]


def _seconds_per_call(call: Callable[[], Any], seconds: float, at_least: int = 1) -> float:
    start = now = time.perf_counter()
    calls = 0
    while now - start < seconds or calls < at_least:
        call()
        calls += 1
        now = time.perf_counter()
    return (now - start) / calls


def _between_raw(
    raw: Callable[[], Any], call: Callable[[], Any] | None, seconds: float, at_least: int = 1
) -> dict[str, Any]:
    raw()
    before = _seconds_per_call(raw, seconds / 3, at_least)
    value = _seconds_per_call(call, seconds, at_least) if call else None
    after = _seconds_per_call(raw, seconds / 3, at_least)
    return {"value": value, "raw": (before + after) / 2}


def _echo(job: Job, client: Client | None) -> dict[str, Any]:
    raw = RawPing(job["raw"])
    if client is None:
        return _between_raw(raw, None, job["seconds"])
    for number in range(50):
        assert client.echo(number) == number
    return _between_raw(raw, lambda: client.echo(7), job["seconds"])


def _connect(job: Job, client: Client, connect: Callable[[], Client]) -> dict[str, Any]:
    """Measure what a client pays who was not connected yet."""
    raw = RawPing(job["raw"])

    def once() -> None:
        newcomer = connect()
        assert newcomer.echo(7) == 7
        newcomer.close()

    client.close()  # else its connection would be used
    for _ in range(5):
        once()
    return _between_raw(raw, once, job["seconds"])


def _records(job: Job, client: Client) -> dict[str, Any]:
    sent = records()
    equal = client.echo(sent) == sent
    value = _seconds_per_call(lambda: client.echo(sent), job["seconds"])
    return {"value": value, "note": "" if equal else CHANGED}


def _batch(job: Job, client: Client) -> dict[str, Any]:
    numbers = list(range(_BATCH))
    assert list(client.batch(numbers)) == numbers
    return {"value": _seconds_per_call(lambda: client.batch(numbers), job["seconds"]) / _BATCH}


def _bytes(job: Job, client: Client | None) -> dict[str, Any]:
    payload = random.Random(7).randbytes(_MIB) * job["mib"]
    raw = RawBulk(job["raw"], payload)
    if client is None:
        return _between_raw(raw, None, job["seconds"])
    assert client.echo_bytes(payload) == payload
    return _between_raw(raw, lambda: client.echo_bytes(payload), job["seconds"])


def _array(job: Job, client: Client | None) -> dict[str, Any]:
    import numpy as np

    array = np.random.default_rng(7).random(job["mib"] * _MIB // 8)
    raw = RawBulk(job["raw"], array.tobytes())
    if client is None:
        return _between_raw(raw, None, job["seconds"])
    assert np.array_equal(client.echo_array(array), array)
    by_hand = type(client).echo_array is Client.echo_array
    result = _between_raw(raw, lambda: client.echo_array(array), job["seconds"])
    return {**result, "note": "packed by hand" if by_hand else ""}


def _eight(job: Job, connect: Callable[[], Client] | None, start: float) -> dict[str, Any]:
    """Count what 4 threads, each with its own connections, get done in the same windows."""
    seconds = job["seconds"]
    raw, own, faults = [0] * 4, [0] * 4, []

    def count(call: Callable[[], Any], begin: float, results: list[int], place: int) -> None:
        time.sleep(max(0.0, begin - time.time()))
        while time.time() < begin + seconds:
            call()
            results[place] += 1

    def run(place: int) -> None:
        try:
            ping = RawPing(job["raw"])
            client = connect() if connect else None
            if client:
                client.echo(7)
            window = start + 0.5  # connecting takes a while
            count(ping, window, raw, place)
            if client:
                count(lambda: client.echo(7), window + seconds + 0.1, own, place)
            count(ping, window + 2 * seconds + 0.2, raw, place)
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return {"calls_per_s": sum(own) / seconds, "raw_per_s": sum(raw) / (2 * seconds)}


def _run(job: Job, start: float) -> dict[str, Any]:
    if job["kind"] == "idle":
        return hold_idle(job)
    system = next((each for each in (*SYSTEMS, *TLS) if each.name == job["system"]), None)
    if job["kind"] == "eight":
        return _eight(job, (lambda: system.connect(job["address"])) if system else None, start)
    client = system.connect(job["address"]) if system else None
    if job["kind"] == "connect" and system and client:
        return _connect(job, client, lambda: system.connect(job["address"]))
    kinds: dict[str, Callable[[Job, Any], dict[str, Any]]] = {
        "echo": _echo,
        "records": _records,
        "batch": _batch,
        "bytes": _bytes,
        "array": _array,
        "later": wait_together,
    }
    return kinds[job["kind"]](job, client)


def main() -> None:
    job = json.loads(sys.stdin.readline())
    pin(job["core"])
    print("ready", flush=True)
    start = float(sys.stdin.readline())
    try:
        answer = _run(job, start)
    except Exception as fault:
        words = " ".join(f"{type(fault).__name__}: {fault}".split())
        answer = {"fault": words.removeprefix("NotImplementedError: ")}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
    os._exit(0)  # clients may have threads that do not end
