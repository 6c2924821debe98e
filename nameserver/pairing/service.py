"""The port at which machines join: open while an invitation or a code is, and closed otherwise.

A guest has no certificate yet, so this is the one place where a stranger is listened to. Hence each
conversation has a thread of its own with blocking reads, few at a time, a few KiB and seconds
long; and nothing but the protocol of joining is spoken.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable

from nameserver.errors import JoinRefused, NamingError
from nameserver.pairing.host_side import HostSide, Issuer
from nameserver.pairing.messages import Frames, Message, encode

__all__ = ["JoinPort"]

log = logging.getLogger("nameserver.pairing")

CONVERSATION_S = 10.0
"""A guest has so long, from its connection on: what it says was typed before."""

_MOST_AT_ONCE = 16
_MOST_FROM_ONE = 4
_RECV_BYTES = 4096
_LOOK_S = 0.25


class JoinPort:
    """Listens until ``close()``. Threads: any.

    Args:
        host: Address of this machine to listen on; 0.0.0.0 is all of them.
        port: TCP port; 0 takes a free one.
        context: TLS with the host's certificate; it asks guests for none.
        certificate: That certificate, as DER.
        ca: The CA's, as PEM.
        cluster: What the cluster is called.
        issuer: Who issues certificates.

    Raises:
        NamingError: The port cannot be had.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        context: ssl.SSLContext,
        certificate: bytes,
        ca: bytes,
        cluster: str,
        issuer: Issuer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._context = context
        self._make_side = functools.partial(
            HostSide, certificate, ca, cluster, issuer, clock, time.monotonic
        )
        self._lock = threading.Lock()
        self._talking: dict[threading.Thread, tuple[str, ssl.SSLSocket]] = {}
        self._closed = False
        try:
            self._listener = _listen(host, port)
        except OSError as error:
            raise NamingError(
                f"machines cannot join at {host}:{port} ({error.strerror or error}): end what "
                "uses the port, or give another one with --join-port"
            ) from error
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="join-port", daemon=True)
        self._thread.start()

    @property
    def is_talking(self) -> bool:
        """Whether there is a conversation."""
        return bool(self._talking)

    def stop(self) -> None:
        """Listen no more; a guest that has just used up the last token may hear the answer."""
        with self._lock:
            self._closed = True
        self._listener.close()
        self._thread.join()

    def close(self) -> None:
        """Listen no more, and end the conversations that there are. Blocks: a moment."""
        self.stop()
        with self._lock:
            talking = dict(self._talking)
        for _, connection in talking.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in talking:
            if thread is not threading.current_thread():
                thread.join()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, address = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                time.sleep(_LOOK_S)  # closed, or out of descriptors: some may be free then
                continue
            try:
                self._begin(connection, address[0])
            except (OSError, RuntimeError) as error:  # it has gone; or no thread is to be had
                connection.close()
                log.warning("%s could not be listened to: %s", address[0], error)

    def _begin(self, connection: socket.socket, address: str) -> None:
        """Talk with a guest, if there is room for one more from there; else hang up."""
        connection.settimeout(CONVERSATION_S)
        with self._lock:
            addresses = Counter(talking for talking, _ in self._talking.values())
            if (
                self._closed
                or len(self._talking) >= _MOST_AT_ONCE
                or addresses[address] >= _MOST_FROM_ONE
            ):
                connection.close()
                return
            secured = self._context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
            thread = threading.Thread(
                target=self._talk, args=(secured, address), name="joining", daemon=True
            )
            self._talking[thread] = address, secured
            try:
                thread.start()
            except RuntimeError:
                del self._talking[thread]
                raise

    def _talk(self, connection: ssl.SSLSocket, address: str) -> None:
        try:
            with connection:
                self._converse(connection)
        except (OSError, JoinRefused) as error:
            log.info("%s did not join: %s", address, error)
        except Exception:
            log.exception("a conversation with %s, which wanted to join, has failed", address)
        finally:
            with self._lock:
                del self._talking[threading.current_thread()]

    def _converse(self, connection: ssl.SSLSocket) -> None:
        ends = time.monotonic() + CONVERSATION_S
        side = self._make_side()
        connection.do_handshake()
        _say(connection, side.greet(), ends)
        while not side.is_over:
            _say(connection, side.answer(receive(connection, ends)), ends)


def receive(connection: ssl.SSLSocket, ends: float) -> Message:
    """Wait for the next message, until *ends* on the monotonic clock.

    Raises:
        JoinRefused: Something else came.
        OSError: Nothing came in time, or the connection has ended.
    """
    frames = Frames()
    while True:
        _limit(connection, ends)
        data = connection.recv(_RECV_BYTES)
        if not data:
            raise ConnectionResetError("it has hung up")
        message = frames.receive(data)
        if message is not None:
            return message


def _say(connection: ssl.SSLSocket, message: Message, ends: float) -> None:
    _limit(connection, ends)
    connection.sendall(encode(message))


def _limit(connection: ssl.SSLSocket, ends: float) -> None:
    left_s = ends - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("it took too long")
    connection.settimeout(left_s)


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
    )
    listener.settimeout(_LOOK_S)
    return listener
