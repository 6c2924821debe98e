"""Waiting for what other threads bring, in a thread or in a coroutine; no thread waits for a loop.

Who brings something first puts it where it is looked for, then notifies. Who waits first says so,
then looks. So one of the two sees the other, and neither needs a lock: a destructor may notify.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["Waiters"]

IsReady = Callable[[], bool]
Wake = Callable[[], None]


class Waiters:
    """Those who wait for one thing: threads, and coroutines of any event loops.

    A wait takes nothing away, so one that is cancelled or interrupted loses nothing.

    Threads: any.
    """

    __slots__ = ("_wakes",)

    def __init__(self) -> None:
        self._wakes: deque[Wake] = deque()

    def notify_all(self) -> None:
        """Have all who wait look again. Takes no lock, and waits for nobody."""
        wakes = self._wakes
        for _ in range(len(wakes)):  # who looks in vain waits anew, for the next time
            try:
                wake = wakes.popleft()
            except IndexError:  # it has just gone
                return
            wake()

    def wait(self, is_ready: IsReady) -> None:
        """Wait in this thread for a notification, unless *is_ready()*; then look again."""
        bell: SimpleQueue[None] = SimpleQueue()
        with self._registered(partial(bell.put, None)):
            if not is_ready():
                bell.get()

    async def wait_async(self, is_ready: IsReady) -> None:
        """Wait in this coroutine, as ``wait``."""
        import asyncio

        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        with self._registered(partial(_wake, loop, woken)):
            if not is_ready():
                await woken

    @contextlib.contextmanager
    def _registered(self, wake: Wake) -> Iterator[None]:
        self._wakes.append(wake)
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):  # it was notified
                self._wakes.remove(wake)


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits in it any more
        loop.call_soon_threadsafe(_set, woken)


def _set(woken: asyncio.Future[None]) -> None:
    if not woken.done():  # cancelled meanwhile
        woken.set_result(None)
