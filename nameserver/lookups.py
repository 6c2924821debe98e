"""Names of hosts, which the system looks up: a few at a time, and not for long.

The system's own call cannot be ended, and may take half a minute where DNS does not answer. It runs
in a thread that whoever asks does not wait for longer than a moment; as many as hang hold up other
lookups, and nothing else.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

__all__ = ["LOOKUP_TIMEOUT_S", "Lookups", "first_address"]

LOOKUP_TIMEOUT_S = 2.0
"""Longest time for one name, in seconds."""

_MOST_AT_ONCE = 8


def first_address(host: str) -> str:
    """Return the address that the system prefers for a host's name.

    Raises:
        OSError, UnicodeError: It knows none.

    Blocks: on the system, for as long as that takes.
    """
    return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])


class Lookups:
    """Asks the system. Threads: any.

    Args:
        look_up: Returns the address for a name, or raises as ``first_address``.
        timeout_s: Longest time for one name, in seconds.
    """

    def __init__(
        self, look_up: Callable[[str], str] = first_address, *, timeout_s: float = LOOKUP_TIMEOUT_S
    ) -> None:
        self._look_up = look_up
        self._timeout_s = timeout_s
        self._free = threading.Semaphore(_MOST_AT_ONCE)

    def address_of(self, host: str) -> str:
        """Return the address for a host's name.

        Raises:
            TimeoutError: Not in time.
            OSError, UnicodeError: It is not known.

        Blocks: at most *timeout_s*.
        """
        ends_at = time.monotonic() + self._timeout_s
        if not self._free.acquire(timeout=self._timeout_s):
            raise TimeoutError
        found: Future[str] = Future()

        def ask() -> None:
            try:
                found.set_result(self._look_up(host))
            except BaseException as error:
                found.set_exception(error)
            finally:
                self._free.release()

        try:
            threading.Thread(target=ask, name=f"nameserver asks for {host}", daemon=True).start()
        except BaseException:
            self._free.release()
            raise
        return found.result(max(0.0, ends_at - time.monotonic()))
