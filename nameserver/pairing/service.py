"""The port at which machines join: open while an invitation or a code is, and closed otherwise.

A guest has no certificate yet, so this is the one place where a stranger is listened to. Hence each
conversation has a thread of its own with blocking reads, few at a time, a few KiB and seconds
long; and nothing but the protocol of joining is spoken. Who has said nothing yet has no thread, and
who is listened to when there are many is said in ``places``.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable

from nameserver.errors import JoinRefused, NamingError
from nameserver.pairing.host_side import HostSide, Issuer
from nameserver.pairing.messages import Frames, Message, encode
from nameserver.pairing.places import Places
from remoteobj.server.strangers import Strangers
from remoteobj.transport.sockets import address_of

__all__ = ["JoinPort"]

log = logging.getLogger("nameserver.pairing")

CONVERSATION_S = 10.0
"""A guest has so long, from its connection on: what it says was typed before."""

_MOST_AT_ONCE = 16
_MOST_FROM_ONE = 4
_SILENT_S, _CROWDED_S = 1.0, 0.25
_MOST_WAITING = 256
_MOST_WAITING_FROM_ONE = 16
_ACCEPT_AT_ONCE = 64
_RECV_BYTES = 4096
_LOOK_S = 0.25
_LOOK_SOON_S = 0.02


class _Guest:
    """Who has connected, and has until *ends*."""

    def __init__(self, connection: socket.socket, ends: float) -> None:
        self.connection = connection
        self.peer: str = connection.getpeername()[0]
        self.address = address_of(connection)
        self.ends = ends
        self.has_spoken = False

    def shut(self) -> None:
        """Hang up: whoever reads it is told. Any thread."""
        # Not SSLSocket's own: that takes TLS away first, under the thread that talks.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)


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
        self._places: Places[_Guest] = Places(_MOST_AT_ONCE, _MOST_FROM_ONE, _SILENT_S, _CROWDED_S)
        self._outside: Strangers[_Guest] = Strangers(  # these are the accepting thread's
            _MOST_WAITING_FROM_ONE,
            _MOST_WAITING,
            CONVERSATION_S,
            lambda guest: guest.has_spoken,
        )
        self._selector = selectors.DefaultSelector()
        self._talking: dict[threading.Thread, _Guest] = {}
        self._crowded_out = 0
        self._closed = False
        try:
            self._listener = _listen(host, port)
        except OSError as error:
            self._selector.close()
            raise NamingError(
                f"machines cannot join at {host}:{port} ({error.strerror or error}): end what "
                "uses the port, or give another one with --join-port"
            ) from error
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="join-port", daemon=True)
        self._thread.start()

    @property
    def is_talking(self) -> bool:
        """Whether there is a conversation."""
        return bool(self._talking)

    @property
    def crowded_out(self) -> int:
        """How many had to make room because they said nothing, or too many came."""
        return self._crowded_out

    def stop(self) -> None:
        """Listen no more; a guest that has just used up the last token may hear the answer."""
        with self._lock:
            self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # the thread notices at once, on some systems
        self._thread.join()

    def close(self) -> None:
        """Listen no more, and end the conversations that there are. Blocks: a moment."""
        self.stop()
        with self._lock:
            talking = dict(self._talking)
        for guest in talking.values():
            guest.shut()
        for thread in talking:
            if thread is not threading.current_thread():
                thread.join()

    # The thread that accepts.

    def _run(self) -> None:
        try:
            while not self._closed:
                for key, _ in self._selector.select(_LOOK_SOON_S if self._outside else _LOOK_S):
                    if self._closed:
                        return
                    if key.fileobj is self._listener:
                        self._accept()
                    else:
                        self._note_spoken(key.data)
                self._tidy()
                self._seat()
        finally:
            self._listener.close()
            for key in list(self._selector.get_map().values()):
                if isinstance(key.data, _Guest):
                    key.data.connection.close()
            with self._lock:
                while (guest := self._places.forget_one()) is not None:
                    guest.connection.close()
            self._selector.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                time.sleep(_LOOK_S)  # out of descriptors: some may be free then
                return
            now = time.monotonic()
            try:
                guest = _Guest(connection, now + CONVERSATION_S)
                self._selector.register(connection, selectors.EVENT_READ, guest)
            except (OSError, ValueError) as error:  # it has gone; or a selector has its limits
                connection.close()
                log.warning("somebody could not be listened to: %s", error)
                continue
            self._crowd_out(self._outside.add(guest, guest.address, now))

    def _note_spoken(self, guest: _Guest) -> None:
        if guest not in self._outside:  # it had to go since this was reported
            return
        guest.has_spoken = True
        self._selector.unregister(guest.connection)
        with self._lock:
            self._places.wait(guest, guest.address)

    def _tidy(self) -> None:
        now = time.monotonic()
        for guest in self._outside.late(now):
            self._end(guest)
        self._crowd_out(self._outside.too_many(now))

    def _crowd_out(self, going: list[_Guest]) -> None:
        for guest in going:
            self._note_crowded_out()
            self._end(guest)

    def _note_crowded_out(self) -> None:
        if not self._crowded_out:
            log.warning("more want to join than are listened to: who says nothing makes room")
        self._crowded_out += 1

    def _end(self, guest: _Guest) -> None:
        """Hang up on who has no thread yet."""
        if not guest.has_spoken:
            self._selector.unregister(guest.connection)
        with self._lock:
            self._places.leave(guest)
        guest.connection.close()

    def _seat(self) -> None:
        """Talk with those whose turn it is."""
        while True:
            with self._lock:
                guest, going = self._places.next(time.monotonic())
            if guest is None:
                return
            if going is not None:
                self._note_crowded_out()
                going.shut()  # its thread closes it
            self._outside.remove(guest)
            try:
                self._begin(guest)
            except (OSError, RuntimeError) as error:  # it has gone; or no thread is to be had
                with self._lock:
                    self._places.leave(guest)
                guest.connection.close()
                log.warning("%s could not be listened to: %s", guest.peer, error)

    def _begin(self, guest: _Guest) -> None:
        guest.connection.settimeout(CONVERSATION_S)
        secured = self._context.wrap_socket(
            guest.connection, server_side=True, do_handshake_on_connect=False
        )
        guest.connection = secured
        thread = threading.Thread(
            target=self._talk, args=(secured, guest), name="joining", daemon=True
        )
        with self._lock:
            self._talking[thread] = guest
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                del self._talking[thread]
            raise

    # A conversation's thread.

    def _talk(self, connection: ssl.SSLSocket, guest: _Guest) -> None:
        try:
            with connection:
                self._converse(connection, guest)
        except (OSError, JoinRefused) as error:
            log.info("%s did not join: %s", guest.peer, error)
        except Exception:
            log.exception("a conversation with %s, which wanted to join, has failed", guest.peer)
        finally:
            with self._lock:
                self._places.leave(guest)
                del self._talking[threading.current_thread()]

    def _converse(self, connection: ssl.SSLSocket, guest: _Guest) -> None:
        ends, side = guest.ends, self._make_side()
        _limit(connection, ends)
        connection.do_handshake()
        self._hear(guest)
        _say(connection, side.greet(), ends)
        while not side.is_over:
            said = receive(connection, ends)
            self._hear(guest)
            _say(connection, side.answer(said), ends)

    def _hear(self, guest: _Guest) -> None:
        with self._lock:
            self._places.hear(guest, time.monotonic())


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
    listener.setblocking(False)
    return listener
