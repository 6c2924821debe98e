"""Servers on loopback, and who listens to what happens there."""

from __future__ import annotations

import os
import queue
import threading
import time

from nameserver import Event, NameServer, NameServerClient, Storage, Watch

__all__ = ["SEED", "Listener", "Told", "client_of", "port_of", "serve", "uri"]

SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
"""Of everything that a test leaves to chance; a test that fails says it."""

Told = tuple[str, str]


def uri(port: int) -> str:
    return f"PYRO:x@127.0.0.1:{port}"


def serve(port: int = 0, storage: Storage | None = None) -> NameServer:
    server = NameServer("127.0.0.1", port, insecure=True, announce=False, storage=storage)
    server.start()
    return server


def client_of(address: str) -> NameServerClient:
    return NameServerClient(address, insecure=True, quiet=True)


def port_of(server: NameServer) -> int:
    return int(server.address.rpartition(":")[2])


class Listener:
    """Iterates over a watch in a thread of its own, and keeps what it is told."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.failure: BaseException | None = None
        self.has_ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            for event in self.watch:
                self.events.put(event)
        except BaseException as error:
            self.failure = error
        finally:
            self.has_ended.set()

    def next(self, timeout_s: float = 10.0) -> Event:
        return self.events.get(timeout=timeout_s)

    def told(self, count: int) -> list[Told]:
        return [(event.kind, event.name) for event in (self.next() for _ in range(count))]

    def is_quiet(self, for_s: float = 0.3) -> bool:
        try:
            event = self.events.get(timeout=for_s)
        except queue.Empty:
            return True
        raise AssertionError(f"told of {event}")

    def close(self) -> None:
        self.watch.close()
        self._thread.join(10.0)
        assert not self._thread.is_alive(), "the iterator does not end"

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
