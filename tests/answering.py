"""Somebody who listens at a port of loopback, and hears one caller after another."""

from __future__ import annotations

import abc
import contextlib
import socket
import threading
from typing import Self

__all__ = ["PATIENCE_S", "Answering"]

PATIENCE_S = 10.0


class Answering(abc.ABC):
    """What is done with a caller is written by a class that is made of this one.

    Attributes:
        port: Where it listens.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="answering")
        self._thread.start()

    @abc.abstractmethod
    def answer(self, caller: socket.socket) -> None:
        """Talk with a caller, who is hung up on afterwards; an ``OSError`` ends it, and no more."""

    def _run(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            caller.settimeout(PATIENCE_S)
            with caller, contextlib.suppress(OSError):
                self.answer(caller)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
