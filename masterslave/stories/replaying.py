"""Running a task again, in this process: what it comes to is told, and looked into."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import GeneratorType, TracebackType
from typing import Any

from masterslave.slave.child.answers import without_ours
from masterslave.stories.loading import LoadedCall

__all__ = ["Replayed", "replay"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a task has come to.

    Attributes:
        parts: How many values it has yielded; -1: it is no generator.
        error: What it has raised; *value* is nothing then.
        traceback: Of that, from the task's own code on.
    """

    seconds: float
    value: Any = None
    parts: int = -1
    error: BaseException | None = None
    traceback: TracebackType | None = None


def replay(call: LoadedCall, show_part: Callable[[int, Any], None]) -> Replayed:
    """Run a task; what it raises is returned, save Ctrl-C.

    Args:
        show_part: Called with what it yields, and how many values came before.
    """
    begun = time.perf_counter()
    parts = -1
    try:
        value = call.function(*call.args, **call.kwargs)
        if type(value) is GeneratorType:
            parts, value = _run_through(value, show_part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() in it, too
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        seconds = time.perf_counter() - begun
        return Replayed(seconds, error=error, traceback=without_ours(frames))
    return Replayed(time.perf_counter() - begun, value, parts)


def _run_through(
    generator: GeneratorType[Any, Any, Any], show_part: Callable[[int, Any], None]
) -> tuple[int, Any]:
    count = 0
    try:
        while True:
            try:
                part = next(generator)
            except StopIteration as stop:
                return count, stop.value
            show_part(count, part)
            count += 1
    finally:
        generator.close()
