"""A progress bar drawn by rich; a module of its own, because importing rich takes its time."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Rich
from rich.text import Text

from masterslave.farm.stream import Progress

__all__ = ["Bar"]


class Bar(Progress):
    """Shows how many items are done, and who works on them.

    Args:
        total: Number of items, or None if it is not known.
        slaves: Called twice a second for a few words about who is working.
    """

    def __init__(
        self, console: Console, label: str, total: int | None, slaves: Callable[[], str]
    ) -> None:
        self._rich = Rich(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _Words(slaves),
            console=console,
        )
        self._task = self._rich.add_task(label, total=total)
        self._rich.start()

    def advance(self) -> None:
        """One more item is done."""
        self._rich.advance(self._task)

    def close(self) -> None:
        """The stream has ended."""
        self._rich.stop()


class _Words(ProgressColumn):
    max_refresh = 0.5  # not at every item: it asks the farm

    def __init__(self, words: Callable[[], str]) -> None:
        super().__init__()
        self._words = words

    def render(self, task: Task) -> Text:
        return Text(self._words())
