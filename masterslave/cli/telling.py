"""What a slave tells who looks at it: lines as things happen, and how it is doing, in one line.

On a terminal the last line is rewritten in place. In a log it is a line of its own: when the slave
gets farms or loses them, begins to work or stops, at most every few seconds; and when no more than
the count of tasks has changed, once a minute. A wait is explained after three seconds, again after
a minute, and then each time after twice as long, so that a log of a quiet week is short.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from typing import TextIO

from masterslave.slave.guests import Look

__all__ = ["Teller"]

_EXPLAIN_S, _AGAIN_S, _MOST_AGAIN_S = 3.0, 60.0, 3600.0
_LOG_S, _LOG_COUNT_S = 5.0, 60.0


class Teller:
    """Prints.  Threads: any.

    Args:
        out: Where to; None: nowhere.
        places: Where farms are looked for, in words; empty: nowhere.
    """

    def __init__(self, out: TextIO | None, places: str = "") -> None:
        self.places = places
        self._out = out
        self._is_terminal = out is not None and out.isatty()
        self._lock = threading.Lock()
        self._line = ""
        self._told = ""
        self._told_state: tuple[object, ...] = ()
        self._told_at = float("-inf")
        self._waits: dict[str, tuple[float, float]] = {}

    def say(self, line: str) -> None:
        """Print a line, with the time."""
        with self._lock:
            self._write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def look(self, look: Look, now: float) -> None:
        """Show how the slave is doing, and explain what it waits for."""
        self._explain(look, now)
        line = _in_words(look)
        if self._is_terminal:
            with self._lock:
                if line != self._line:
                    self._line = line
                    self._write("")
            return
        state = (look.farms, bool(look.busy), look.rests, look.refused)
        pause_s = _LOG_S if state != self._told_state else _LOG_COUNT_S
        if line != self._told and now - self._told_at >= pause_s:
            if self._told or look.farms or look.refused:  # that it looks for farms was said
                self.say(line)
            self._told, self._told_state, self._told_at = line, state, now

    def close(self) -> None:
        """Leave the last line as it is."""
        with self._lock:
            end, self._line = "\n" if self._line else "", ""
            self._print(end)

    def _explain(self, look: Look, now: float) -> None:
        waits = [
            f"farm {label!r} does not answer ({trouble[1]}): it is tried again"
            for label, trouble in look.farms
            if trouble is not None and now - trouble[0] > _EXPLAIN_S
        ]
        if not look.farms and not look.refused and self.places:
            waits.append(
                f"no farm found in {self.places}: start a script with a Farm; 'masterslave doctor' "
                "looks for what is wrong"
            )
        self._waits = {wait: self._waits.get(wait, (now, 0.0)) for wait in waits}
        for wait, (since, said_s) in self._waits.items():
            if now - since >= (said_s or _EXPLAIN_S):
                self.say(wait)
                again_s = min(2 * said_s or _AGAIN_S, _MOST_AGAIN_S)
                self._waits[wait] = (now, again_s)

    def _write(self, text: str) -> None:
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            text = f"\r\x1b[K{text}{self._line[:width]}"
        self._print(text)

    def _print(self, text: str) -> None:
        if text and self._out is not None:  # a slave may have no standard output
            with contextlib.suppress(OSError):  # nobody reads it any more: the slave works on
                self._out.write(text)
                self._out.flush()


def _in_words(look: Look) -> str:
    labels = sorted({label for label, _ in look.farms})
    serves = f"serves {', '.join(labels)}" if labels else "looks for farms"
    tasks = f"{look.done} task{'s' * (look.done != 1)} done"
    line = f"{serves}; {look.busy} of {look.slots} slot{'s' * (look.slots != 1)} busy; {tasks}"
    if look.refused:
        line += f"; does not serve {', '.join(sorted(set(look.refused)))} (--allow)"
    return f"{line}; rests: {look.rests}" if look.rests else line
