"""What a farm is inside its own tasks: it tells of progress, and submits nothing.

A task may name the farm that runs it, as in ``farm.progress(done, total)``. What travels is not the
farm, but this: a slot that waited for tasks of its own farm would be a slot less, and with all of
them waiting none would be left.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, NoReturn

from masterslave.errors import OnlyInScript

__all__ = ["FarmInside", "report_progress", "reporting"]

reporting = threading.local()
"""Its ``report`` tells the progress of the task that this thread of the script runs, if any."""


def report_progress(done: float, total: float) -> None:
    """Tell the script how far this task is; outside of a task this does nothing."""
    report = getattr(reporting, "report", None)
    if report is None:
        report = getattr(sys.modules.get("_masterslave"), "report_progress", None)
    if report is not None:
        report(done, total)


class FarmInside:
    """Stands for a farm in its tasks."""

    def __init__(self, label: str) -> None:
        self._label = label

    def progress(self, done: float, total: float) -> None:
        """Tell the script how far this task is: it has ``future.progress``."""
        report_progress(done, total)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise OnlyInScript(
            f"farm.{name} works in the script only: tasks of farm {self._label!r} cannot submit to "
            "it, because they would wait for slots that they hold; return the work, and let the "
            "script submit it"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return FarmInside, (self._label,)

    def __repr__(self) -> str:
        return f"<farm {self._label!r}, inside a task>"
