"""What becomes of what tasks print: ``Farm(output=...)``."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Sequence

from masterslave.master.output import TaskOutput
from masterslave.printed import show_line

__all__ = ["Show", "log_levels", "shower"]

_MOST_LEVELS = 200

Show = Callable[[Sequence[TaskOutput]], None]


def shower(output: str | Callable[[TaskOutput], object]) -> Show | None:
    """Return what shows lines, as ``Farm(output=)`` says.

    Raises:
        ValueError: It says something else.
    """
    if callable(output):
        give = output

        def give_each(lines: Sequence[TaskOutput]) -> None:
            for line in lines:
                try:
                    give(line)
                except Exception:
                    logging.getLogger("masterslave").exception("Farm(output=) failed at a line")

        return give_each
    match output:
        case "show":
            return _show
        case "log":
            return _log
        case "none":
            return None
    raise ValueError(f'output is "show", "log", "none" or a function, not {output!r}')


def log_levels() -> dict[str, int]:
    """Return which log records this process wants to see, by the names of loggers."""
    levels = {"": logging.getLogger().level}
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.level and len(levels) < _MOST_LEVELS:
            levels[name] = logger.level
    return levels


def _show(lines: Sequence[TaskOutput]) -> None:
    """Print lines; log records go where those of the script go."""
    shown = []
    for line in lines:
        if line.stream != "log":
            shown.append(_words(line))
        elif logging.getLogger(line.logger).hasHandlers():
            _print(shown)
            shown = []
            _log_again(line)
        elif logging.getLogger(line.logger).isEnabledFor(line.level):
            shown.append(_words(line))
    _print(shown)


def _log(lines: Sequence[TaskOutput]) -> None:
    logger = logging.getLogger("masterslave.output")
    for line in lines:
        if line.stream == "log":
            _log_again(line)
        elif logger.isEnabledFor(logging.INFO):
            logger.info("%s", _words(line), extra=_extra(line))


def _log_again(line: TaskOutput) -> None:
    logger = logging.getLogger(line.logger)
    if logger.isEnabledFor(line.level):
        logger.log(line.level, "%s", line.text, extra=_extra(line))


def _extra(line: TaskOutput) -> dict[str, object]:
    return {"slave": line.slave, "task": line.task, "function": line.function}


def _words(line: TaskOutput) -> str:
    return show_line(line.slave, line.function, line.task, line.text, line.level, line.logger)


def _print(shown: list[str]) -> None:
    if shown and sys.stderr is not None:  # which a progress bar may have replaced
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write("".join(f"{line}\n" for line in shown))
            sys.stderr.flush()
