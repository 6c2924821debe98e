"""Keeping on when tasks fail: what stands in the place of their results, and what is said of them.

::

    a task fails --> map, imap:       a NoResult in its place
                 --> imap_unordered:  it is left out             the others go on, and in the end
                 --> a future:        raises, as ever            there is a list of what has failed

A list of results with one left out would be of other items than it seems; so ``map`` and ``imap``
keep the place, and what stands there raises the task's error where it is used.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from masterslave.errors import FarmBroken, FarmClosed
from masterslave.farm.packing import reason_of
from masterslave.printed import show_text

if TYPE_CHECKING:
    from masterslave.farm.journaled import Journaled

__all__ = ["KEEP_GOING_VARIABLE", "Failures", "NoResult", "again", "failures_of", "short"]

KEEP_GOING_VARIABLE = "REMOTEOBJ_FARM_KEEP_GOING"
"""Has the farms of a script keep on when tasks fail: ``1``, or the path of a file to which each
farm adds a line if tasks of it have failed."""

_FIRST = 5

log = logging.getLogger("masterslave")


class NoResult:
    """Stands in the place of the result of a task that failed.

    It can be told by ``isinstance``, and printed. Whatever else it is asked for as a value, such as
    in a sum or a condition, it raises the task's error.

    Attributes:
        error: What the task has raised, or why it has no result.
        item: Its item.
    """

    __slots__ = ("error", "item")

    def __init__(self, error: BaseException, item: object) -> None:
        self.error = error
        self.item = item

    def __repr__(self) -> str:
        return f"<no result: {type(self.error).__name__}: {reason_of(self.error)}>"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"there is no result to have {name!r} of: {type(self.error).__name__}: "
            f"{reason_of(self.error)}"
        ) from self.error

    def __format__(self, spec: str) -> str:
        return repr(self) if not spec else self._fail()

    def _fail(self, *_: object) -> NoReturn:
        raise self.error


_AS_A_VALUE = (  # a task that is given one, and so has it pickled, fails, too
    "bool bytes float int complex index round trunc floor ceil neg pos abs invert len iter next "
    "reversed contains getitem setitem delitem call enter exit await hash reduce_ex "
    "eq ne lt le gt ge add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or "
    "radd rsub rmul rmatmul rtruediv rfloordiv rmod rdivmod rpow rlshift rrshift rand rxor ror"
)
for _name in _AS_A_VALUE.split():
    setattr(NoResult, f"__{_name}__", NoResult._fail)


class Failures:
    """The tasks of a farm that failed.  Threads: any.

    Args:
        told: A file that is told in the end; empty: none.
        more: What there is to say beside them.

    Attributes:
        count: How many.
    """

    def __init__(self, label: str, told: str, more: str) -> None:
        self.count = 0
        self._label = label
        self._told = told
        self._more = more
        self._first: list[str] = []
        self._lock = threading.Lock()

    @staticmethod
    def are(error: BaseException) -> bool:
        """Tell whether others go on when a task has this error."""
        return not isinstance(error, FarmBroken | FarmClosed | CancelledError)

    def note(self, function: str, arguments: str, error: BaseException) -> None:
        """A task has failed."""
        with self._lock:
            self.count += 1
            if len(self._first) < _FIRST:
                reason = f"{type(error).__name__}: {reason_of(error)}"
                self._first.append(f"{function}({arguments}): {reason}")

    def stand_in(self, function: str, item: object, error: BaseException) -> NoResult:
        """A task has failed; returns what stands in the place of its result."""
        self.note(function, short(item), error)
        return NoResult(error, item)

    def close(self) -> None:
        """Say what has failed. Blocks: on the disk."""
        if not self.count:
            return
        lines = [f"farm {self._label!r}: {_tasks(self.count)} failed:"]
        lines += [f"  {show_text(line)}" for line in self._first]
        if self.count > len(self._first):
            lines.append(f"  and {self.count - len(self._first)} more")
        log.error("%s", "\n".join([*lines, self._more] if self._more else lines))
        if self._told:
            try:
                with Path(self._told).open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"farm": self._label, "failed": self.count}) + "\n")
            except OSError as error:
                log.warning("%s cannot be told what has failed: %s", self._told, error.strerror)


def failures_of(label: str, keep_going: bool | None, more: str = "") -> Failures | None:
    """Return what takes in the failures of a farm; None: the first one ends a ``map``.

    Args:
        keep_going: What the farm says; None: what the environment says, if it says.
        more: What there is to say in the end beside them.
    """
    said = os.environ.get(KEEP_GOING_VARIABLE, "").strip()
    if keep_going is None:
        keep_going = said not in ("", "0")
    if not keep_going:
        return None
    return Failures(label, said if os.path.isabs(said) else "", more)


def again(journaled: Journaled | None) -> str:
    """Return what to say of tasks that have failed: how they alone are run again."""
    if journaled is None:
        return "with a journal (journal=...) only those would run when it is started again"
    return (
        f"'masterslave status {journaled.path}' lists them; start the script again, and only those "
        "run"
    )


def short(item: Any) -> str:
    """Return an item for people, in one line, whatever its class does."""
    try:
        text = " ".join(repr(item).split())
    except Exception:
        text = f"a {type(item).__qualname__} without a repr()"
    return text if len(text) <= 100 else text[:97] + "..."


def _tasks(count: int) -> str:
    return f"{count} task{'s' * (count != 1)}"
