"""A task's function and arguments, made from what a journal has of them.

Their pickles are of the user's own script, and run its code, as the script does.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from masterslave.codeset import code_of, without_code
from masterslave.errors import FarmError, HandlersUnusable
from masterslave.journal.facts import RUN_BITS
from masterslave.journal.left_code import CODE, PART, read_code
from masterslave.journal.reading import JournalReader
from masterslave.journal.scripts import script_of
from masterslave.packed import unpack_value
from masterslave.protocol.functions import NAMED
from masterslave.protocol.hand_outs import CALL, EACH_STARRED
from masterslave.slave.child.finder import Finder
from masterslave.slave.child.handlers import Handlers
from masterslave.slave.child.looking import Unusable, find, tasks_by_class
from masterslave.stories.finding import in_run
from masterslave.stories.recorded import arguments_in, function_of
from masterslave.stories.shared import KeptObjects

__all__ = ["LoadedCall", "load_call"]

_PICKLE = b"\x80"


@dataclass(frozen=True, slots=True)
class LoadedCall:
    """What is to be called.

    Attributes:
        name: Of the function, for people.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def load_call(
    reader: JournalReader, number: int, *, handlers: Sequence[str] = (), path: Sequence[str] = ()
) -> LoadedCall:
    """Make the call of a task again.

    Args:
        handlers: ``module:Class`` of each class that does named tasks.
        path: Where to look for modules, before all other places.

    Raises:
        FarmError: It cannot be had; the message says why, and what to do.
        HandlersUnusable: One of *handlers* offers nothing.
        JournalUnusable: It cannot be read.
    """
    task = f"task {in_run(number)}"
    name, place = function_of(reader, number)
    kept = arguments_in(reader, reader.story(number), number)
    if kept.place is None:
        raise FarmError(f"{task} cannot be run again: its arguments are not kept: {kept.why_not}")
    if place is None:
        raise FarmError(f"{task} cannot be run again: its function is not kept")
    packed, arguments = reader.read(place), reader.read(kept.place)
    body = bytes(without_code(packed))
    if body[:1] != NAMED:
        _check_python(reader, number, task)
    script = script_of(reader.folded.notes, number >> RUN_BITS)
    _look_in([*path, os.getcwd(), *(script.path if script is not None else ())])
    _take_code(reader, code_of(packed))
    with _sharing(KeptObjects(reader, number)):
        function, found = _unpickled(task, name, body, arguments, handlers)
    try:
        if kept.form == CALL:
            args, kwargs = found
        else:
            ((item,), kwargs) = found, {}
            args = tuple(item) if kept.form == EACH_STARRED else (item,)
    except (TypeError, ValueError):
        raise FarmError(f"{task} cannot be run again: its arguments cannot be read") from None
    return LoadedCall(name, function, tuple(args), dict(kwargs))


def _unpickled(
    task: str, name: str, body: bytes, arguments: bytes, handlers: Sequence[str]
) -> tuple[Callable[..., Any], Any]:
    """Return function and arguments; raises as ``load_call``."""
    try:
        is_named, is_pickled = body[:1] == NAMED, arguments.startswith(_PICKLE)
        function = _named(body[1:].decode(), handlers) if is_named else pickle.loads(body)
        return function, pickle.loads(arguments) if is_pickled else unpack_value(arguments)
    except (FarmError, MemoryError):
        raise
    except ModuleNotFoundError as error:
        raise FarmError(
            f"{task} cannot be run again here: {name}() needs module {error.name!r}, which is not "
            "found; run this in the folder of the script, or say with --path where it is"
        ) from error
    except Exception as error:
        raise FarmError(
            f"{task} cannot be run again here: {name}(), or its arguments, cannot be made: "
            f"{type(error).__name__}: {error}"
        ) from error


def _check_python(reader: JournalReader, number: int, task: str) -> None:
    """Refuse code of another Python: it would not be this one's.

    Raises:
        FarmError: It is.
    """
    run = next((each for each in reader.folded.runs if each.run == number >> RUN_BITS), None)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    there = ".".join(run.python.split(".")[:2]) if run is not None else here
    if there != here:
        raise FarmError(
            f"{task} cannot be run again here: its function is of Python {there}, this is {here}; "
            f"run masterslave replay by a Python {there}"
        )


def _look_in(folders: Sequence[str]) -> None:
    new = [each for each in folders if os.path.isdir(each) and each not in sys.path]
    sys.path[:0] = list(dict.fromkeys(new))


def _take_code(reader: JournalReader, name: bytes) -> None:
    """Import modules that were sent to the farm as they were then, where it has kept them."""
    parts: dict[bytes, bytes] = {}
    wanted: set[bytes] = set()
    for note in reader.folded.left:
        if note.kind == CODE and (code := read_code(note.body)).name == name:
            wanted = {code.name, *code.parts}
    for note in reader.folded.left if wanted else ():
        if note.kind == PART and note.body in wanted:
            parts[note.body] = reader.read(note.places[0])
    if name in parts:
        Finder().take(parts[name], parts)


def _named(name: str, specs: Sequence[str]) -> Callable[..., Any]:
    if not specs:
        raise FarmError(
            f"task {name!r} is a named one, which a handler does: say which with --handlers "
            "MODULE:CLASS, as the slave was started with"
        )
    try:
        classes = {spec: find(spec) for spec in specs}
        offered = tasks_by_class(classes)
    except Unusable as error:
        raise HandlersUnusable(str(error)) from None
    if name not in offered:
        offers = ", ".join(sorted(offered))
        raise FarmError(f"{' '.join(specs)} has no task {name!r}; it has {offers}")
    return Handlers(lambda: None, offered, lambda: classes).function_of(name)


@contextlib.contextmanager
def _sharing(shared: KeptObjects) -> Iterator[None]:
    """Have handles find what was shared; it is asked for as in a child."""
    module: Any = sys.modules.setdefault("_masterslave", types.ModuleType("_masterslave"))
    before = vars(module).copy()
    module.take_shared = shared.take
    try:
        yield
    finally:
        vars(module).clear()
        vars(module).update(before)
