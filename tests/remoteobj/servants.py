"""What the tests of remoteobj publish, and the types of their fixtures."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from hypothesis import settings

from remoteobj import Daemon, Peer, current_caller, expose, oneway
from remoteobj.wire import Message, encode

calm = settings(deadline=None, database=None)
"""For hypothesis on a machine that is busy with other tests; nothing is written to the disk."""

Connect = Callable[..., Any]
Dial = Callable[[Daemon], socket.socket]
StartScript = Callable[..., "subprocess.Popen[str]"]


def frame(message: Message) -> bytes:
    """Return a message as the bytes that a raw socket sends."""
    return b"".join(encode(message))


@expose
class Warehouse:
    """What most tests publish."""

    def __init__(self) -> None:
        self._shelf = 0
        self.told = threading.Event()
        self.gate = threading.Event()

    def add(self, left: int, right: int = 1, *, times: int = 1) -> int:
        return (left + right) * times

    def echo(self, value: Any) -> Any:
        return value

    def grow(self, size: int) -> bytes:
        return b"x" * size

    def wait(self) -> bool:
        self.told.set()
        return self.gate.wait(10.0)

    @oneway
    def tell(self) -> None:
        self.wait()

    @property
    def shelf(self) -> int:
        return self._shelf

    @shelf.setter
    def shelf(self, value: int) -> None:
        self._shelf = value

    def _hidden(self) -> None:
        raise AssertionError("a private method was called")


class OutOfStock(Exception):
    """Of a module that both sides can import."""

    def __init__(self, item: str, *, left: int) -> None:
        super().__init__(f"{item}: {left} left")
        self.item = item
        self.left = left


class MissingPart(OSError):
    """An OSError whose ``__init__`` wants something else."""

    def __init__(self, part: int) -> None:
        super().__init__(f"part {part} is missing")
        self.part = part


class Desk:
    @expose(role="operator")
    def who(self) -> Peer:
        return current_caller()

    @expose
    def echo(self, value: Any) -> Any:
        return value
