"""How remoteobj itself serves and calls, by its public names only."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests.benchmarks.echo import Calling, Echo

__all__ = ["OurClient", "serve_ours"]


class EchoAndLater(Echo):
    """Echoes, and answers later where deferred replies are known."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[float, float, Future[float]]] = queue.SimpleQueue()
        threading.Thread(target=self._settle, daemon=True).start()

    def later(self, delay_s: float) -> Any:
        future: Future[float] = Future()
        self._waiting.put((time.monotonic() + delay_s, delay_s, future))
        return future

    def _settle(self) -> None:
        while True:  # all that wait at one time wait equally long, so the first is due first
            due, delay_s, future = self._waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            future.set_result(delay_s)


@contextlib.contextmanager
def serve_ours(family: str, _folder: Path) -> Iterator[str]:
    import remoteobj

    warnings.simplefilter("ignore", remoteobj.InsecureWarning)
    remoteobj.expose(Echo)
    settings = remoteobj.Settings(max_connections=8192, max_connections_per_peer=8192)
    where: dict[str, Any] = {} if family == "unix" else {"host": "127.0.0.1", "insecure": True}
    with remoteobj.Daemon(**where, settings=settings) as daemon:
        uri = daemon.register(remoteobj.expose(EchoAndLater)(), "echo")
        daemon.start()
        yield str(uri)


class OurClient(Calling):
    def __init__(self, address: str) -> None:
        import remoteobj

        warnings.simplefilter("ignore", remoteobj.InsecureWarning)
        super().__init__(remoteobj.Proxy(address, insecure=True))

    def close(self) -> None:
        import remoteobj

        remoteobj.release(self.target)

    def echo_array(self, array: Any) -> Any:
        return self.echo(array)

    def batch(self, values: list[int]) -> list[int]:
        import remoteobj

        if not hasattr(remoteobj, "batch"):
            raise NotImplementedError("not yet: remoteobj has no batch()")
        batch = remoteobj.batch(self.target)
        for value in values:
            batch.echo(value)
        return list(batch())

    def later(self, delay_s: float) -> float:
        return self.target.later(delay_s)
