"""Somebody between guest and host, and a stranger who says what he likes to a host."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import Self

from nameserver.pairing.messages import Message
from nameserver.pairing.service import receive
from tests.answering import PATIENCE_S, Answering

__all__ = ["Middle", "Stranger"]


def _anything() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Middle(Answering):
    """Ends TLS on both sides, with a certificate of its own, and passes on what is said.

    Args:
        port: Of the host.
        identity: File with certificate and key.

    Attributes:
        heard: What guests have said, in clear.
    """

    def __init__(self, port: int, identity: Path) -> None:
        self.heard = b""
        self._target = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(identity)
        super().__init__()

    def answer(self, caller: socket.socket) -> None:
        with (
            self._context.wrap_socket(caller, server_side=True) as guest,
            socket.create_connection(("127.0.0.1", self._target), PATIENCE_S) as there,
            _anything().wrap_socket(there) as host,
        ):
            # Host and guest take turns, so one thread hears both.
            while said := host.recv(65536):
                guest.sendall(said)
                answer = guest.recv(65536)
                if not answer:
                    return
                self.heard += answer
                host.sendall(answer)


class Stranger:
    """Speaks TLS with a host, and then anything."""

    def __init__(self, port: int, *, source: str = "127.0.0.1") -> None:
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE_S, (source, 0))
        self.socket = _anything().wrap_socket(plain)
        self.hello = self.hear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def hear(self) -> Message:
        """Wait for the host's next message; raises OSError where it has hung up."""
        return receive(self.socket, time.monotonic() + PATIENCE_S)

    def says(self, data: bytes) -> Message | None:
        """Say something; returns the answer, None where the host has hung up."""
        try:
            self.socket.sendall(data)
            return self.hear()
        except OSError:
            return None

    def is_left(self) -> bool:
        """Wait until the host hangs up; False: it says something more."""
        try:
            return self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True
