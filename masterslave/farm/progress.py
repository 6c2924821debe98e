"""The progress bar, on a terminal; elsewhere nothing."""

from __future__ import annotations

from collections.abc import Callable

from masterslave.farm.stream import Progress

__all__ = ["show_progress"]


def show_progress(label: str, total: int | None, slaves: Callable[[], str]) -> Progress:
    """Return a bar that is drawn by rich, or nothing where standard output is no terminal.

    Args:
        total: Number of items, or None if it is not known.
        slaves: Called now and then for a few words about who is working.
    """
    import rich
    import rich.progress as parts

    console = rich.get_console()
    if not console.is_terminal:
        return Progress()
    return _Bar(
        parts.Progress(
            parts.TextColumn("[bold]{task.description}"),
            parts.BarColumn(bar_width=40),
            parts.MofNCompleteColumn(),
            parts.TimeElapsedColumn(),
            parts.TextColumn("{task.fields[slaves]}"),
            console=console,
            transient=False,
        ),
        label,
        total,
        slaves,
    )


class _Bar(Progress):
    def __init__(
        self, bar: object, label: str, total: int | None, slaves: Callable[[], str]
    ) -> None:
        import rich.progress

        assert isinstance(bar, rich.progress.Progress)
        self._bar = bar
        self._slaves = slaves
        self._task = bar.add_task(label, total=total, slaves=slaves())
        self._bar.start()

    def advance(self) -> None:
        self._bar.update(self._task, advance=1, slaves=self._slaves())

    def close(self) -> None:
        self._bar.update(self._task, slaves=self._slaves())
        self._bar.stop()
