"""Where ``async def`` methods run: one event loop in one thread, started by the first of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from remoteobj import forks
from remoteobj.errors import DaemonClosed

if TYPE_CHECKING:
    import asyncio

__all__ = ["Coroutines"]


class Coroutines:
    """The event loop of a daemon."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.RLock()  # a signal handler may close while its thread is in here
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run a coroutine in the loop; what it awaits holds no thread.

        Raises:
            DaemonClosed: The daemon was closed.
        """
        with forks.whole:
            import asyncio  # 70 ms that a daemon without async methods does not pay

        with self._lock:
            if self._closed:
                coroutine.close()
                raise DaemonClosed("the daemon was closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name=self._name, daemon=True
                )
                self._thread.start()
            future: Future[Any] = Future()
            self._loop.call_soon_threadsafe(self._begin, coroutine, future)
            return future

    def _begin(self, coroutine: Coroutine[Any, Any, Any], future: Future[Any]) -> None:
        assert self._loop is not None
        task = self._loop.create_task(_settle(coroutine, future))
        self._tasks.add(task)  # the loop itself holds it weakly
        task.add_done_callback(self._tasks.discard)

    def has(self, thread: threading.Thread) -> bool:
        """Tell whether this is the loop's thread."""
        return thread is self._thread

    def close(self, timeout_s: float) -> None:
        """Cancel what runs, and end the thread, if it ends within *timeout_s*."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        with contextlib.suppress(RuntimeError):  # it has ended: a coroutine had closed the daemon
            loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(timeout_s)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _settle(coroutine: Coroutine[Any, Any, Any], future: Future[Any]) -> None:
    """Await a coroutine; whatever it raises is its caller's, and ends neither task nor loop."""
    import asyncio

    try:
        value = await coroutine
    except asyncio.CancelledError:
        future.cancel()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(value)
