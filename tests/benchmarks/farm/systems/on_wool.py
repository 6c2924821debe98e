"""wool, whose event loop runs in a thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import wool

from tests.benchmarks.farm import tasks
from tests.benchmarks.farm.systems.pool import Pool

__all__ = ["WoolPool"]


@wool.routine
async def call(name: str, *args: Any) -> Any:
    return getattr(tasks, name)(*args)


class WoolPool(Pool):
    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._started: Future[contextvars.Context] = Future()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._thread.start()
        self._context = self._started.result()

    async def _run(self) -> None:
        try:
            async with wool.WorkerPool(spawn=self._workers):
                self._started.set_result(contextvars.copy_context())  # it knows the pool
                await self._end.wait()
        except Exception as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        future: Future[Any] = Future()
        self._loop.call_soon_threadsafe(
            self._start, future, fn.__name__, args, context=self._context
        )
        return future

    def _start(self, future: Future[Any], name: str, args: tuple[Any, ...]) -> None:
        def settle(task: asyncio.Task[Any]) -> None:
            error = task.exception()
            if error:
                future.set_exception(error)
            else:
                future.set_result(task.result())

        self._loop.create_task(call(name, *args)).add_done_callback(settle)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(5.0)
