"""Keep something open on each address that can be used, for as long as it can be used.

zeroconf does not notice that networks change (python-zeroconf#976). So one thread, which has the
asyncio loop that everything in it runs in, looks every second which addresses there are: what is on
an address that has gone is closed, on a new one it is opened, and where that fails it is tried
again. A machine that starts before its network works is served as soon as it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Protocol, TypeVar

from nameserver.errors import NamingError

__all__ = ["LOOK_S", "Following"]

log = logging.getLogger("nameserver.discovery")

LOOK_S = 1.0
"""From one look at the networks to the next, in seconds."""

_START_TIMEOUT_S = 10.0


class Closable(Protocol):
    """What can be open on an address."""

    async def close(self) -> None:
        """Close it."""


Opened = TypeVar("Opened", bound=Closable)


class Following(Generic[Opened]):
    """Follows the networks of this machine until ``close()``.

    Args:
        look: Returns the addresses that can be used now.
        open_on: Opens on one address; raises NamingError where it cannot.
        closed: Told what was closed because its address has gone.
        changed: Told that the addresses are others than before.

    Threads: any; the callables run in the thread of this.
    """

    def __init__(
        self,
        look: Callable[[], Iterable[str]],
        open_on: Callable[[str], Awaitable[Opened]],
        *,
        closed: Callable[[Opened], None] = lambda _: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._look, self._open_on = look, open_on
        self._closed, self._changed = closed, changed
        self._open: dict[str, Opened] = {}
        self._problems: dict[str, str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._is_started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nameserver-discovery", daemon=True)

    def start(self) -> None:
        """Begin. Blocks: until everything was tried once."""
        self._thread.start()
        self._is_started.wait(_START_TIMEOUT_S)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where something is open now, or was when it ended."""
        return tuple(self._open)

    @property
    def opened(self) -> tuple[Opened, ...]:
        """What is open now."""
        return tuple(self._open.values())

    def problems(self) -> dict[str, str]:
        """Return the addresses where nothing can be opened, each with the reason."""
        return dict(self._problems)

    def close(self) -> None:
        """Close everything, and follow no longer. Closing again does nothing.

        Blocks: until it is closed; a goodbye takes 0.3 s.
        """
        if self._loop is not None and self._ended is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it was closed meanwhile
                self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._follow())
        except Exception:
            log.exception("the networks are followed no longer")
        finally:
            self._is_started.set()

    async def _follow(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        try:
            while not self._ended.is_set():
                await self._adapt()
                self._is_started.set()
                await _wait(self._ended, LOOK_S)
        finally:
            closing = (each.close() for each in self._open.values())
            await asyncio.gather(*closing, return_exceptions=True)

    async def _adapt(self) -> None:
        """Have open what can be, and nothing else."""
        before = set(self._open)
        try:
            usable = tuple(self._look())
        except OSError as error:
            log.warning("the addresses of this machine cannot be listed: %s", error)
            return
        gone = [self._open.pop(address) for address in list(self._open) if address not in usable]
        self._problems = {
            address: why for address, why in self._problems.items() if address in usable
        }
        missing = [address for address in usable if address not in self._open]
        await asyncio.gather(
            *(self._close(each) for each in gone), *(self._try(address) for address in missing)
        )
        if set(self._open) != before:
            self._changed()

    async def _try(self, address: str) -> None:
        try:
            self._open[address] = await self._open_on(address)
        except Exception as error:
            if address not in self._problems:
                is_known = isinstance(error, NamingError)
                log.log(
                    logging.DEBUG if is_known else logging.ERROR,
                    "nothing can be opened on %s: %s",
                    address,
                    error,
                    exc_info=not is_known,
                )
            self._problems[address] = str(error)
        else:
            self._problems.pop(address, None)

    async def _close(self, opened: Opened) -> None:
        try:
            await opened.close()
        except Exception:
            log.exception("what was open on an address that has gone could not be closed")
        self._closed(opened)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)
