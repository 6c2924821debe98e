"""The carrier: one thread that does, in order, what nobody else may wait for.

Users' callbacks run here, and handlers of log records: they may take their time, wait for locks,
or print ``repr(farm)``. No task waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["Carrier"]

log = logging.getLogger("masterslave")


class Carrier:
    """Carries acts out, in the order in which they came.  Threads: any."""

    def __init__(self) -> None:
        self._acts: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._carry, name="farm carrier", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End when what came until now is done. Blocks on it, except in the carrier itself."""
        self._acts.put(None)
        if self._thread.is_alive() and not self.is_this_thread():
            self._thread.join()

    def is_this_thread(self) -> bool:
        """Tell whether the caller is the carrier, which would wait for itself for ever."""
        return threading.current_thread() is self._thread

    def carry(self, act: Callable[[], None]) -> None:
        """Have this done, soon. Takes no lock, so that destructors may call it."""
        self._acts.put(act)

    def _carry(self) -> None:
        while (act := self._acts.get()) is not None:
            try:
                act()
            except BaseException:  # sys.exit() in a callback: what comes after it is done
                log.exception("a callback of a future failed")
            del act
