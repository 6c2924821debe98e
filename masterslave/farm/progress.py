"""The progress bar, on a terminal; elsewhere nothing."""

from __future__ import annotations

from collections.abc import Callable

from masterslave.farm.stream import Progress

__all__ = ["show_progress"]


def show_progress(label: str, total: int | None, slaves: Callable[[], str]) -> Progress:
    """Return a bar, or nothing where standard output is no terminal.

    Args:
        total: Number of items, or None if it is not known.
        slaves: Called now and then for a few words about who is working.
    """
    import rich

    console = rich.get_console()
    if not console.is_terminal:
        return Progress()
    from masterslave.farm.bar import Bar

    return Bar(console, label, total, slaves)
