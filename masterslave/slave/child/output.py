"""What a task prints and logs goes to the agent between marks that say which task it is of.

Standard output and error of a child are one pipe, which the agent reads: so nothing is missed of
what C code writes, or processes that a task has started. What goes through ``sys.stdout``,
``sys.stderr`` and ``logging`` is put between marks there::

    BEGIN farm task kind level function logger CLOSE  what is printed  BEGIN CLOSE

The order of what is printed is kept, and who prints nothing pays nothing. If a task has redirected
a descriptor, to a file perhaps, what goes there has no marks.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .answers import name_of
from .calls import Caller
from .frames import BEGIN, CLOSE, LOGGED, SEPARATOR, STDERR, STDOUT
from .limits import lift

if TYPE_CHECKING:
    import logging

__all__ = ["Output"]

_END = BEGIN + CLOSE
_NAME_CHARS = 60
_MESSAGE_CHARS = 16 * 1024


class Output:
    """The streams of this process, and its log.

    Args:
        caller: Who knows what runs.
        mark: Its second number is the item that runs.
    """

    def __init__(self, caller: Caller, mark: memoryview) -> None:
        self.has_printed = False
        """Whether something was written since ``flush``."""
        self._caller, self._mark = caller, mark
        self._pipe = lift(os.dup(2))
        self._identity = _identity_of(self._pipe)
        self._log: Callable[[dict[str, int]], None] = lambda levels: None
        self.renew()

    def renew(self) -> None:
        """Make the streams, also anew: a task has closed them."""
        self._streams = [_stream(1, STDOUT, self), _stream(2, STDERR, self)]
        out, err = self._streams
        sys.stdout, sys.stderr = out, err
        vars(sys).update(__stdout__=out, __stderr__=err)  # typed as final, and closed by the task

    def take_log_records(self) -> None:
        """Have log records go to the script, until a task sets up logging itself."""
        import logging

        handler = _make_handler(self._send_record)
        root, configure = logging.getLogger(), logging.basicConfig
        root.addHandler(handler)

        def set_levels(levels: dict[str, int]) -> None:
            for name, level in levels.items():
                logger = logging.getLogger(name)
                known = seen.setdefault(name, level)
                seen[name] = min(known, level)
                logger.setLevel(seen[name])

        def basic_config(**wanted: Any) -> None:
            root.removeHandler(handler)  # else it would do nothing
            configure(**wanted)

        seen: dict[str, int] = {}
        self._log = set_levels
        logging.basicConfig = basic_config

    def set_log_levels(self, levels: dict[str, int]) -> None:
        """Let pass what a script wants to see, by the names of loggers; ``""`` is the root."""
        self._log(levels)

    def flush(self) -> None:
        """Write what is in the streams' buffers."""
        self.has_printed = False
        for stream in self._streams:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # a task has closed it
                stream.flush()

    def head(self, now: Any, item: int, kind: int, level: int = 0, logger: str = "") -> bytes:
        """Return the mark of what a call prints, of those that ``Caller.now`` tells."""
        _, call, farm = now
        function = self._caller.functions.get(call.function)
        name = "" if function is None else name_of(function).rpartition("<locals>.")[2]
        fields = (
            b"%d" % farm,
            b"%d" % (call.task + item),
            b"%d" % kind,
            b"%d" % level,
            _clean(name),
            _clean(logger),
        )
        return BEGIN + SEPARATOR.join(fields) + CLOSE

    def goes_to_agent(self, descriptor: int) -> bool:
        """Tell whether this still is the pipe."""
        return _identity_of(descriptor) == self._identity

    def now(self) -> tuple[Any, int]:
        """Return which call runs, and which item of it."""
        return self._caller.now, self._mark[1]

    def _send_record(self, level: int, logger: str, text: str) -> None:
        self.flush()
        self.has_printed = True
        now, item = self.now()
        data = text.encode(errors="backslashreplace").replace(BEGIN, b"")
        if now is None:
            _write_all(self._pipe, data + b"\n")
        else:
            _write_all(self._pipe, self.head(now, item, LOGGED, level, logger) + data + _END)


class _Raw(io.FileIO):
    """Puts marks around what is written."""

    def __init__(self, descriptor: int, kind: int, output: Output) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.kind, self.output = kind, output
        self.of: Any = None
        self.item = 0

    def write(self, data: Any) -> int:
        if self.of is None or not self.output.goes_to_agent(self.fileno()):
            return super().write(data) or 0
        body = bytes(data)
        head = self.output.head(self.of, self.item, self.kind)
        _write_all(self.fileno(), head + body.replace(BEGIN, b"") + _END)
        return len(body)


class _Buffer(io.BufferedWriter):
    """Lets what one task has left in it go out before the next one writes."""

    raw: _Raw

    def write(self, data: Any) -> int:
        raw = self.raw
        output = raw.output
        now, item = output.now()
        if raw.of is not now or raw.item != item:
            self.flush()
            raw.of, raw.item = now, item
        output.has_printed = True
        return super().write(data)


def _stream(descriptor: int, kind: int, output: Output) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        _Buffer(_Raw(descriptor, kind, output)),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
        write_through=True,
    )


def _make_handler(send: Callable[[int, str, str], None]) -> logging.Handler:
    import logging

    class ToAgent(logging.Handler):
        """Sends records as text: their arguments may be anything."""

        def emit(self, record: logging.LogRecord) -> None:
            try:
                text = record.getMessage()
            except Exception as error:
                text = f"{record.msg!r:.200}, which cannot be formatted: {type(error).__name__}"
            if record.exc_info:
                with contextlib.suppress(Exception):
                    text += "\n" + formatter.formatException(record.exc_info)
            with contextlib.suppress(OSError):
                send(record.levelno, record.name, text[:_MESSAGE_CHARS])

    formatter = logging.Formatter()
    return ToAgent()


def _clean(name: str) -> bytes:
    return "".join(filter(str.isprintable, name[:_NAME_CHARS])).encode(errors="replace")


def _identity_of(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
