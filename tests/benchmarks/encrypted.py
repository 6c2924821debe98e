"""TLS: ours, and Python's own ``ssl.SSLSocket`` for bulk that is stored and forwarded.

An address is a folder with the certificates, and where the server is.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.echo import Calling, Client, Echo
from tests.benchmarks.raw import PING_BYTES, listen, receive
from tests.certificates import make_cluster

__all__ = ["OurTlsClient", "RawTlsClient", "serve_ours_tls", "serve_raw_tls"]

_BALL = b"x" * PING_BYTES


@functools.cache  # a process reads its own once
def _identity(folder: Path, node: str) -> Any:
    from remoteobj import Identity

    return Identity.from_files(folder / "ca.pem", folder / f"{node}.pem", folder / f"{node}.key")


@contextlib.contextmanager
def serve_ours_tls(_family: str, folder: Path) -> Iterator[str]:
    import remoteobj

    make_cluster(folder)
    with remoteobj.Daemon("127.0.0.1", identity=_identity(folder, "master")) as daemon:
        uri = daemon.register(remoteobj.expose(Echo)(), "echo")
        daemon.start()
        yield f"{folder} {uri}"


class OurTlsClient(Calling):
    def __init__(self, address: str) -> None:
        import remoteobj

        warnings.simplefilter("ignore", remoteobj.InsecureWarning)
        folder, uri = address.split()
        super().__init__(remoteobj.Proxy(uri, identity=_identity(Path(folder), "slave")))

    def close(self) -> None:
        import remoteobj

        remoteobj.release(self.target)


@contextlib.contextmanager
def serve_raw_tls(_family: str, folder: Path) -> Iterator[str]:
    make_cluster(folder)
    context: ssl.SSLContext = _identity(folder, "master").server_context()
    listener, address = listen("tcp", folder)
    threading.Thread(target=_accept, args=(listener, context), daemon=True).start()
    yield f"{folder} {address}"
    listener.close()


def _accept(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_answer, args=(sock, context), daemon=True).start()


def _answer(sock: socket.socket, context: ssl.SSLContext) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(sock, server_side=True) as secured, contextlib.suppress(OSError):
        size = int.from_bytes(receive(secured, 8), "big")
        while data := receive(secured, size):
            secured.sendall(data)


class RawTlsClient(Client):
    def __init__(self, address: str) -> None:
        folder, place = address.split()
        host, _, port = place.rpartition(":")
        context = _identity(Path(folder), "slave").client_context()
        self._sock = context.wrap_socket(socket.create_connection((host, int(port))))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._size = 0

    def echo(self, value: Any) -> Any:
        self.echo_bytes(_BALL)
        return value

    def echo_bytes(self, data: bytes) -> Any:
        if not self._size:
            self._size = len(data)
            self._sock.sendall(self._size.to_bytes(8, "big"))
        self._sock.sendall(data)
        return receive(self._sock, self._size)
