"""Tasks that are requested, and retrieved as they finish: ScientificPython's way to use a farm.

Its ``MasterProcess`` had ``requestTask(tag, *parameters) -> id`` and ``retrieveResult(tag=None) ->
(id, tag, result)``, so that one part of a script could ask for work and another one collect it,
without a future in between. Here:

* The id is the task's name and a number, as it was.
* ``retrieve`` gives the results in the order in which they were finished, the oldest first.
* It raises what the task has raised, as the slave raised it; ``task_id`` and ``task_name`` are
  attributes of the exception, which is one of the task's own class instead of a
  ``TaskRaisedException``.
* Where nothing is under way that it could wait for, it raises instead of waiting for ever.

*Source:* ``Scientific/DistributedComputing/MasterSlave.py``, ScientificPython 2.9.4.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any, NamedTuple

__all__ = ["Requests", "Retrieved"]


class Retrieved(NamedTuple):
    """A result, and of which task: ``task_id, name, result``."""

    task_id: str
    name: str
    result: Any


class _Finished(NamedTuple):
    task_id: str
    name: str
    future: Future[Any]


class Requests:
    """What was requested of one farm and not retrieved yet.  Threads: any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers: Counter[str] = Counter()
        self._open: Counter[str] = Counter()
        """How many of each name are under way."""
        self._finished: dict[str, _Finished] = {}

    def add(self, name: str, future: Future[Any]) -> str:
        """Note a task that was submitted; returns its id."""
        with self._changed:
            self._numbers[name] += 1
            task_id = f"{name}_{self._numbers[name]}"
            self._open[name] += 1
        future.add_done_callback(partial(self._note, task_id, name))
        return task_id

    def retrieve(self, name: str | None, timeout_s: float | None) -> Retrieved:
        """Take the result that was finished first, of this name or of any.

        Raises:
            LookupError: None was requested, or each was retrieved.
            TimeoutError: None is finished in time.
            Exception: What the task has raised, with its ``task_id`` and ``task_name``.
        """
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while (finished := self._take(name)) is None:
                under_way = self._open[name] if name is not None else self._open.total()
                what = "task" if name is None else f"task {name!r}"
                if not under_way:
                    raise LookupError(f"no {what} is under way: each that was requested is taken")
                left_s = None if end_s is None else end_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    raise TimeoutError(
                        f"none of {under_way} requests of {what} is finished within {timeout_s:g} s"
                    )
                self._changed.wait(left_s)
        task_id, task_name, future = finished
        try:
            error = future.exception()
        except CancelledError as cancelled:
            error = cancelled
        if error is None:
            return Retrieved(task_id, task_name, future.result())
        with contextlib.suppress(Exception):  # its class may have no place for them
            vars(error).update(task_id=task_id, task_name=task_name)
        error.add_note(f"This was raised by the requested task {task_id}.")
        raise error

    def _note(self, task_id: str, name: str, future: Future[Any]) -> None:
        with self._changed:
            self._open[name] -= 1
            self._finished[task_id] = _Finished(task_id, name, future)
            self._changed.notify_all()

    def _take(self, name: str | None) -> _Finished | None:
        for task_id, finished in self._finished.items():
            if name in (None, finished.name):
                return self._finished.pop(task_id)
        return None
