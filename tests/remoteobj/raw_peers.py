"""Peers made of bare sockets: a caller that speaks frame by frame, and a daemon that answers badly.

Both speak our own codec after a handshake with an offer; ``RawCaller(is_stock=True)`` makes none.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from servants import frame

from remoteobj import Daemon
from remoteobj.codec.calls import decode_error, decode_reply, encode_batch, encode_call
from remoteobj.handshake import BINARY, KEY, offer
from remoteobj.wire import Decoder, Flag, Message, MessageType
from tests import loopback

SERPENT = 1
PATIENCE_S = 10.0
_names = itertools.count()


def hello(object_id: str = "it", *, name: str | None = None, is_stock: bool = False) -> bytes:
    """Return the first message of a peer, with our offer unless it is a stock one."""
    said: dict[str, Any] = {"handshake": "hello", "object": object_id}
    if not is_stock:
        said[KEY] = offer(f"raw-{next(_names)}" if name is None else name)
    return frame(Message(MessageType.CONNECT, SERPENT, 0, 0, repr(said).encode()))


def call(
    method: str,
    *args: Any,
    sequence: int = 1,
    session: int = 1,
    flags: int = 0,
    object_id: str = "it",
) -> bytes:
    """Return a call in our codec as bytes."""
    buffers: list[memoryview] = []
    data = encode_call(object_id, method, args, {}, session, buffers)
    return frame(Message(MessageType.INVOKE, BINARY, flags, sequence, data, buffers=buffers))


def stock_call(method: str, *args: Any, sequence: int = 1, flags: int = 0) -> bytes:
    """Return a call as a stock Pyro5 peer makes it."""
    data = repr(("it", method, args, {})).encode()
    return frame(Message(MessageType.INVOKE, SERPENT, flags, sequence, data))


def batch_of(*calls: tuple[str, tuple[Any, ...]], sequence: int = 1, flags: int = 0) -> bytes:
    """Return a batch in our codec as bytes."""
    data = encode_batch("it", [(method, args, {}) for method, args in calls], 1, [])
    return frame(Message(MessageType.INVOKE, BINARY, Flag.BATCH | flags, sequence, data))


class RawCaller:
    """A connection to a daemon that sends what it is told to."""

    def __init__(self, daemon: Daemon | str, *, is_stock: bool = False, name: str | None = None):
        location = daemon if isinstance(daemon, str) else daemon.location
        self.sock = dial(location)
        self._decoder = Decoder(1 << 40, takes_buffers=not is_stock)
        self.sock.sendall(hello(name=name, is_stock=is_stock))
        assert self.receive().type == MessageType.CONNECT_OK

    def send(self, *frames: bytes) -> None:
        """Send frames in one piece."""
        self.sock.sendall(b"".join(frames))

    def receive(self, timeout_s: float = PATIENCE_S) -> Message:
        """Return the next message; ConnectionError at the end of the connection."""
        self.sock.settimeout(timeout_s)
        while (message := self._decoder.next_message()) is None:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the daemon closed the connection")
            self._decoder.feed(data)
        return message

    def result(self, timeout_s: float = PATIENCE_S) -> tuple[int, Any]:
        """Return the next answer: its sequence number, and the value or the exception."""
        reply = self.receive(timeout_s)
        assert reply.type == MessageType.RESULT
        if reply.flags & Flag.EXCEPTION:
            return reply.sequence, decode_error(reply.payload)
        return reply.sequence, decode_reply(reply.payload, reply.buffers)

    def skim_some(self, count: int) -> None:
        """Take at most so many bytes off the socket, for ``messages``."""
        data = self.sock.recv(count)
        if not data:
            raise ConnectionError("the daemon closed the connection")
        self._decoder.feed(data)

    def messages(self) -> Iterator[Message]:
        """Return what is whole of what was taken off the socket."""
        return iter(self._decoder.next_message, None)

    def skim(self, count: int) -> None:
        """Take so many bytes off the socket; they are kept for ``receive``."""
        while count > 0:
            data = self.sock.recv(count)
            if not data:
                raise ConnectionError("the daemon closed the connection")
            self._decoder.feed(data)
            count -= len(data)

    def has_ended(self, timeout_s: float = PATIENCE_S) -> bool:
        """Read on to the end of the connection; False if it does not come in time."""
        self.sock.settimeout(timeout_s)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> RawCaller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def dial(location: str) -> socket.socket:
    """Connect to where a daemon listens."""
    if location.startswith("./u:"):
        return loopback.dial(location, PATIENCE_S)
    host, _, port = location.rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE_S)


class RawConnection:
    """What a ``RawDaemon`` has of one caller."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.decoder = Decoder(1 << 40)

    def receive(self) -> Message:
        """Return the caller's next message; ConnectionError at the end."""
        while (message := self.decoder.next_message()) is None:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the caller has closed the connection")
            self.decoder.feed(data)
        return message

    def welcome(self, methods: tuple[str, ...] = ("echo",)) -> None:
        """Let the caller in, as our own daemon does."""
        assert self.receive().type == MessageType.CONNECT
        self.decoder.takes_buffers = True
        meta = {"methods": list(methods), "oneway": [], "attrs": [], "parameters": {}}
        said = {"handshake": "hello", "meta": meta, KEY: {"version": 1, "codec": "binary"}}
        self.sock.sendall(
            frame(Message(MessageType.CONNECT_OK, SERPENT, 0, 0, repr(said).encode()))
        )


Behaviour = Callable[[RawConnection], None]


class RawDaemon:
    """Listens on a Unix socket or on TCP, and does with each caller what the test says.

    Args:
        behaviour: Called with each connection, in a thread of its own; it may fail.
    """

    def __init__(self, behaviour: Behaviour, path: str | None = None) -> None:
        if path is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.uri = f"PYRO:it@127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            self._listener.listen()
            self.uri = f"PYRO:it@./u:{path}"
        self.accepted = 0
        self._behaviour = behaviour
        self.socks: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.socks.append(sock)
            self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError, AssertionError):
            self._behaviour(RawConnection(sock))

    def close(self) -> None:
        for sock in [self._listener, *self.socks]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> RawDaemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def all_at_once(*targets: Callable[[], object]) -> Iterator[None]:
    """Run functions in threads of their own, and wait for them at the end."""
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
