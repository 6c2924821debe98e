"""The children of a workshop as such: as many as there are slots, each replaced when it is gone."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from masterslave.slave.children import Child
from masterslave.slave.clock import Clock

__all__ = ["Staff", "end_all"]

log = logging.getLogger("masterslave")

_RETRY_START_S = 1.0

_TEARDOWN_S = 2.0
"""So long the handlers of a child that ends may take to clean up, in seconds."""


class Staff:
    """Starts and replaces children.  The workshop's lock is held in each method.

    Args:
        children: Those that are given tasks; kept here.
        make_child: Starts one.
        clock: For what is tried again, and for those that do not end.

    Attributes:
        tear_down: Those that are replaced may clean up: they have handlers.
    """

    def __init__(
        self,
        children: list[Child],
        slots: int,
        make_child: Callable[[], Child],
        lock: threading.Lock,
        clock: Clock,
        *,
        tear_down: bool,
    ) -> None:
        self._children, self.slots = children, slots
        self._make_child = make_child
        self._lock, self._clock = lock, clock
        self.tear_down = tear_down
        self._gone: set[Child] = set()
        """Those that were replaced, and have not died yet."""
        self._closed = False

    def fill_up(self) -> None:
        """Start as many as are missing; what cannot be started now is tried again."""
        while not self._closed and len(self._children) < self.slots:
            try:
                self._children.append(self._make_child())
            except OSError as error:  # no memory, or too many processes: it may pass
                log.warning("cannot start a process for tasks: %s; trying again", error)
                self._fill_up_later()
                return

    def retire(self, child: Child) -> None:
        """Give a child nothing more, and replace it if it has ended what it had."""
        child.is_doomed = True
        if not child.load.jobs and child in self._children:
            self._children.remove(child)
            self._gone.add(child)
            if self.tear_down:
                child.finish()
                self._clock.at(time.monotonic() + _TEARDOWN_S, child.kill)
            else:
                child.kill()
            self.fill_up()

    def bury(self, child: Child, *, in_vain: bool) -> None:
        """A child has died: replace it, unless it was replaced before.

        Args:
            in_vain: It was given nothing: the next one may fare no better, and so without an end.
        """
        self._gone.discard(child)
        if child in self._children:
            self._children.remove(child)
            if child.is_ready and not in_vain:
                self.fill_up()
            elif not self._closed:  # not as fast as processes can die
                self._fill_up_later()

    def dismiss(self) -> list[Child]:
        """Start nobody any more; returns those that are to be killed."""
        self._closed = True
        return [*self._children, *self._gone]

    def _fill_up_later(self) -> None:
        def fill_up() -> None:
            with self._lock:
                self.fill_up()

        self._clock.at(time.monotonic() + _RETRY_START_S, fill_up)


def end_all(children: list[Child], may_finish: list[Child]) -> None:
    """End children: at once, or those that *may_finish* when they have cleaned up. Blocks."""
    for child in may_finish:
        child.finish()
    end_s = time.monotonic() + _TEARDOWN_S
    for child in may_finish:
        child.wait(max(0.0, end_s - time.monotonic()))
    for child in children:
        child.kill()
    for child in children:
        child.wait()
