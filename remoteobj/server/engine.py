"""The threads of a daemon: one waits for whoever has something to say, workers serve them."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

from remoteobj.callers import Callers, serve_as
from remoteobj.errors import PeerRefused, RemoteObjError
from remoteobj.payload import BINARY, STOCK, binary
from remoteobj.published import Published
from remoteobj.server.calls import CallRunner
from remoteobj.server.connection import LINGER_S, Connection
from remoteobj.server.coroutines import Coroutines
from remoteobj.server.listener import Listener
from remoteobj.server.plain import PlainRunner
from remoteobj.server.poller import make_poller
from remoteobj.server.reception import Reception
from remoteobj.server.shares import TURN, Shares
from remoteobj.server.strangers import Strangers
from remoteobj.server.workers import TICK_S, Workers
from remoteobj.settings import Settings
from remoteobj.transport import private, sockets
from remoteobj.transport.stream import Stream

__all__ = ["Engine"]

log = logging.getLogger("remoteobj.daemon")

_SEND_WAIT_S = 0.01  # how long a worker waits for a peer that takes its answer slowly
_TIDY_S = 0.5  # while strangers are here
_RARELY_S = 5.0
_LAST_S = 0.1  # what workers get that notice only now that it is over


class Engine:
    """Serves what is published to whoever connects to a listening socket.

    Args:
        make_stream: Makes the stream of a socket that was accepted.
    """

    def __init__(
        self,
        listener: socket.socket,
        published: Published,
        settings: Settings,
        make_stream: Callable[[socket.socket], Stream],
    ) -> None:
        name = published.location
        self.is_closing = False
        self.refused = 0
        self.crowded_out = 0
        self._name = name
        self._settings = settings
        self._make_stream = make_stream
        self._lock = threading.RLock()  # a signal handler may close while its thread is in here
        self._connections: dict[int, Connection] = {}
        self._strangers: Strangers[Connection] = Strangers(
            settings.max_handshakes_per_address,
            settings.max_handshakes,
            settings.handshake_timeout_s,
            Connection.has_arrived,
        )
        self._callers = Callers()
        self._calls_of_the_gone = 0
        self._poller = make_poller()
        self._listener = Listener(listener, self._poller)
        self._workers = Workers(f"remoteobj-serve {name}", settings.max_threads)
        self._shares = Shares(
            settings.max_threads_per_peer,
            self._workers.jobs,
            self._submit,
            self._workers.make_room,
        )
        self._coroutines = Coroutines(f"remoteobj-async {name}")
        self._reception = Reception(published, self._callers, self._shares, settings)
        self._runner = CallRunner(
            published,
            {**STOCK, BINARY: binary(settings.max_depth, published.identity)},
            self._submit,
            self._submit_of,
            self._coroutines,
            settings,
            self._resume,
        )
        self._plain = PlainRunner(self._runner)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"remoteobj-wait {name}", daemon=True
        )

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    @property
    def threads(self) -> int:
        """How many threads serve now."""
        return len(self._workers) + self._thread.is_alive()

    @property
    def calls(self) -> int:
        """How many have come so far."""
        with self._lock:
            return self._calls_of_the_gone + sum(
                connection.calls for connection in list(self._connections.values())
            )

    @property
    def held_back(self) -> int:
        """How many jobs had to wait because their peer held its share of the threads."""
        return self._shares.held_back

    def end_refused(self) -> None:
        """Close the connections of peers that are trusted no more; they are told why. Any thread.

        Whoever is not let in yet is refused when it says hello.
        """
        for connection in self._all():
            if connection.caller is not None and (why := connection.stream.refusal):
                log.warning("%s is trusted no more: %s", connection.peer, why)
                self._reception.dismiss(connection, why)
                connection.shut()

    def has(self, thread: threading.Thread) -> bool:
        """Tell whether a thread is one of this engine's."""
        return thread is self._thread or self._workers.has(thread) or self._coroutines.has(thread)

    def close(self, deadline: float) -> None:
        """Answer what runs, as far as it is done by *deadline*, and end every thread.

        A worker that closes, from inside a method, does not wait for itself.
        """
        self.is_closing = self._plain.is_closing = True
        self._listener.close()
        self._poller.wake()
        is_ours = self.has(threading.current_thread())
        while time.monotonic() < deadline:
            busy = [connection for connection in self._all() if not connection.end_if_idle()]
            if len(busy) <= is_ours:  # a method that closes does not wait for itself
                break
            self._stop.wait(0.002)
        self._stop.set()
        self._poller.wake()
        for connection in self._all():
            connection.shut()
        self._coroutines.close(max(0.1, deadline - time.monotonic()))
        self._workers.close(max(deadline, time.monotonic() + _LAST_S))
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            # Whom a signal handler has interrupted may hold a lock that this thread waits for.
            self._thread.join(max(_LAST_S, deadline - time.monotonic()))
        for connection in self._all():
            connection.end(None)
        self._poller.close()

    def _all(self) -> list[Connection]:
        return list(self._connections.values())  # one step: no lock that a handler would meet

    # The thread that waits.

    def _run(self) -> None:
        self._listener.listen()
        tidied = time.monotonic()
        is_busy = False
        while not self._stop.is_set():
            tidy_s = self._tidy_s()
            for fd, readable, writable in self._poller.wait(TICK_S if is_busy else tidy_s):
                try:
                    if fd != self._listener.fd:
                        self._report(fd, readable, writable)
                    elif not self.is_closing:
                        self._accept()
                except Exception:  # one connection's fault must not be everyone's
                    log.exception("a fault while waiting for connections")
            now = time.monotonic()
            has_jobs, is_resting = self._workers.tick(now), self._listener.tick(now)
            is_crowded = self._shares.tick(now, time.process_time())
            is_busy = has_jobs or is_resting or is_crowded
            if tidy_s is not None and now - tidied >= tidy_s:
                self._tidy(now)
                tidied = now

    def _tidy_s(self) -> float | None:
        """Return how often to look for what has to be given up; never where there is nothing."""
        if self._strangers:
            return min(_TIDY_S, self._settings.handshake_timeout_s)
        return min(_RARELY_S, self._settings.send_timeout_s) if self._connections else None

    def _report(self, fd: int, readable: bool, writable: bool) -> None:
        connection = self._connections.get(fd)
        if connection is None:
            return
        if readable and connection.take_readable():
            self._submit_of(connection, partial(self._serve, connection))
        elif readable and connection.has_ended():
            self._workers.submit(partial(connection.end, None))
        if writable and connection.take_writable():
            self._workers.submit(partial(self._write_on, connection))
        connection.rearm()

    def _tidy(self, now: float) -> None:
        """Give up strangers that do not introduce themselves, and peers that take no answers."""
        with self._lock:
            late, going = self._strangers.late(now), self._strangers.too_many(now)
        self._crowd_out(going)
        for connection in late:
            log.warning("%s connected and did not say hello in time: closed", connection.peer)
            connection.shut()
        for connection in self._all():
            if connection.takes_nothing(now, self._settings.send_timeout_s):
                log.warning("%s does not take its answers: closed", connection.peer)
                connection.give_up()
            if connection.shared is not None:
                connection.shared.drop_unused()

    def _accept(self) -> None:
        try:
            for sock in self._listener.accept():
                self._welcome(sock)
        finally:
            self._listener.listen()

    def _welcome(self, sock: socket.socket) -> None:
        if sockets.is_local(sock):
            try:
                private.check_peer(sock)
            except PeerRefused as error:
                self.refused += 1
                log.warning("a caller was not let in: %s", error)
                sock.close()
                return
        sock.setblocking(True)
        sockets.prepare(sock)
        with contextlib.suppress(OSError):
            sockets.set_timeout(sock, socket.SO_RCVTIMEO, LINGER_S)
            sockets.set_timeout(sock, socket.SO_SNDTIMEO, _SEND_WAIT_S)
        stream = self._make_stream(sock)
        connection = Connection(
            stream, self._poller, self._settings, self._workers.nobody_waits, self._gone
        )
        address = sockets.address_of(sock)
        if address:
            connection.share_of_peer = self._shares.join(address)
        with self._lock:
            self._connections[connection.fd] = connection
            going = self._strangers.add(connection, address, time.monotonic())
        self._crowd_out(going)
        connection.park()

    def _crowd_out(self, going: list[Connection]) -> None:
        """Close those that have not been let in and have to make room."""
        if going and not self.crowded_out:
            log.warning(
                "more connections than may wait to be let in, of %s among others: the oldest of "
                "those that say nothing are closed",
                going[0].peer,
            )
        self.crowded_out += len(going)
        for connection in going:
            connection.shut()

    # Workers.

    def _submit(self, job: Callable[[], None]) -> None:
        if self._workers.submit(job):
            self._poller.wake()

    def _submit_of(self, connection: Connection, job: Callable[[], None]) -> None:
        """Have a worker do what a peer has asked for, when it is this peer's turn."""
        share = connection.share_of_peer
        if share is None:
            self._submit(job)
        elif self._shares.submit(share, job):
            self._poller.wake()

    def _resume(self, connection: Connection) -> None:
        """A call is over, or the peer takes its answers again: the backlog may go on."""
        if connection.backlog is not None and connection.may_call and connection.resume():
            self._submit_of(connection, partial(self._serve, connection))

    def _write_on(self, connection: Connection) -> None:
        connection.write_on()
        self._resume(connection)

    def _serve(self, connection: Connection) -> None:
        """Read and answer until the peer is quiet."""
        why: BaseException | None = None
        try:
            if connection.caller is None and not self._let_in(connection):
                return
            run, run_plain = self._runner.run, self._plain.run
            share = connection.share_of_peer
            nobody_waits = (share or self._workers).nobody_waits
            left = TURN
            serve_as(connection.context)
            calls = connection.begin_to_read()
            while not self.is_closing:
                if not nobody_waits():
                    if not left:
                        self._submit_of(connection, partial(self._serve, connection))
                        return
                    left -= 1
                if (
                    connection.takes_plain
                    and connection.is_between_messages
                    and run_plain(connection, nobody_waits)
                ):
                    connection.quiet_down(calls)
                    return
                message = connection.backlog
                if message is None:
                    message = connection.read(wait=connection.lingers and nobody_waits())
                if message is None or not connection.may_call:
                    connection.backlog = message
                    connection.quiet_down(calls)
                    self._resume(connection)
                    return
                connection.backlog = None
                run(connection, message)
                message = None  # what it brought may be large, and the next one far away
        except PeerRefused as error:
            log.warning("%s was not let in: %s", connection.peer, error)
            why = error
        except (EOFError, OSError, RemoteObjError) as error:
            why = error
        except Exception as error:
            log.exception("connection of %s ended", connection.peer)
            why = error
        if why is None and not connection.is_done:  # the daemon closes, and waits for the rest
            connection.park(listen=False)
        else:
            connection.end(why)

    def _let_in(self, connection: Connection) -> bool:
        """Go on with the handshakes; tells whether calls may follow.

        Raises:
            RemoteObjError: The peer was refused: close the connection.
        """
        is_secured = connection.shake_hands()
        message = connection.read(wait=False) if is_secured else None
        if message is None:
            connection.park()
            return False
        with self._lock:
            self._strangers.remove(connection)
            others = len(self._connections) - len(self._strangers) - 1
            why_full = self._reception.why_full(connection, others)
            self.refused += bool(why_full)
        self._reception.let_in(connection, message, why_full=why_full)
        return True

    def _gone(self, connection: Connection) -> None:
        """A connection has ended: forget it, and tell who waits for its caller's end."""
        with self._lock:
            if self._connections.get(connection.fd) is connection:
                del self._connections[connection.fd]
            self._strangers.remove(connection)
            self._calls_of_the_gone += connection.calls
        if connection.share_of_peer is not None:
            self._shares.leave(connection.share_of_peer, was_admitted=connection.is_admitted)
        if connection.caller is not None:
            serve_as(None)
            self._callers.leave(connection.caller)
