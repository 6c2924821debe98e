"""Sockets, and nothing but: listen, connect, send, receive. Their errors are mapped here."""

from __future__ import annotations

import contextlib
import os
import socket
import time

from remoteobj import _pyro, runtime
from remoteobj.errors import AddressUnusable, ConnectionLost, DeadlinePassed, WireError
from remoteobj.handshake import STOCK
from remoteobj.settings import Settings
from remoteobj.uri import MAX_PORT, URI, join_address
from remoteobj.wire import Decoder, Flag, Message, encode

__all__ = [
    "Link",
    "connect",
    "listen_privately",
    "listen_tcp",
    "refuse_other_serializers",
    "refuse_wrong_message",
]

_RECV_BYTES = 256 * 1024


def listen_privately() -> tuple[socket.socket, str, runtime.LockedFile]:
    """Listen on a Unix socket that only this user may use.

    Returns:
        The listener, the socket's path, and the lock that says that the socket has an owner.

    Raises:
        RuntimeDirUnsafe: This user's directory is not private.
        AddressUnusable: It cannot hold a socket, or this system knows none.
    """
    if not runtime.host_has_unix_sockets():
        raise AddressUnusable(
            "this system has no Unix sockets: give host='127.0.0.1', insecure=True"
        )
    path, lock = runtime.new_socket_path()
    try:
        return _listen_unix(str(path)), str(path), lock
    except BaseException:
        lock.remove()
        raise


def _listen_unix(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise AddressUnusable(f"cannot listen on {path}: {error.strerror or error}") from error
    runtime.disown_in_child(listener)
    return listener


def listen_tcp(host: str, port: int) -> socket.socket:
    """Listen on TCP; *port* 0 takes a free one.

    Raises:
        AddressUnusable: The port is in use, or the host is no address of this machine.
    """
    listener = None
    try:
        if not host or not 0 <= port <= MAX_PORT:  # getaddrinfo() would take port 70000 for 4464
            raise ValueError("that is no host and port")
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        if os.name != "nt":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except (OSError, ValueError, OverflowError) as error:  # UnicodeError: a name DNS cannot have
        if listener is not None:
            listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise AddressUnusable(
            f"cannot listen on {join_address(host, port)}: {reason}; "
            "choose an address of this machine and a free port (port 0 takes one)"
        ) from error
    runtime.disown_in_child(listener)
    return listener


def connect(uri: URI, timeout_s: float, settings: Settings) -> Link:
    """Connect to the daemon that a URI names.

    Raises:
        ConnectionLost: Nobody answers there; ``executed`` is "no".
        DeadlinePassed: Not within *timeout_s*; ``executed`` is "no".
    """
    sock = None
    try:
        if timeout_s <= 0:
            raise TimeoutError
        if uri.sockname:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(timeout_s)
            sock.connect(uri.sockname)
        else:
            sock = socket.create_connection((uri.host or "", uri.port or 0), timeout_s)
    except TimeoutError as error:
        _close(sock)
        raise DeadlinePassed(
            f"{uri.location} did not answer within {timeout_s:g} s: is the machine on, "
            "and does its firewall let this port through?",
            executed="no",
        ) from error
    except (OSError, ValueError) as error:  # UnicodeError: a name that DNS cannot have
        _close(sock)
        reason = getattr(error, "strerror", None) or error
        raise ConnectionLost(
            f"nobody answers at {uri.location} ({reason}){_hint(uri, error)}", executed="no"
        ) from error
    return Link(sock, settings.max_message_bytes)


def _hint(uri: URI, error: Exception) -> str:
    """Say what the error means for a socket of this machine; elsewhere nobody knows."""
    if uri.sockname is None:
        return ""
    if isinstance(error, PermissionError):
        return ": it is another user's, and serves nobody else"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return ": the process that served it has ended; look its name up again"
    return ""


class Link:
    """One connection: whole messages both ways. One thread at a time may use it."""

    __slots__ = ("_decoder", "_sock", "agreement", "object_id", "peer", "sequence")

    def __init__(self, sock: socket.socket, max_bytes: int) -> None:
        self._sock = sock
        self._decoder = Decoder(max_bytes)
        self.sequence = 0
        self.agreement = STOCK
        self.object_id = ""  # whom a caller's connection was opened for
        self.peer = _peer_name(sock)
        runtime.disown_in_child(sock)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):  # the peer has left already
                _set_tcp_options(sock)

    def limit_messages(self, max_bytes: int) -> None:
        """Accept messages of at most *max_bytes* from now on."""
        self._decoder.max_bytes = max_bytes

    def send(self, message: Message, deadline: float | None = None) -> None:
        """Send one message.

        Raises:
            ConnectionLost: The peer is gone; ``executed`` is "no": it never had the whole message.
            DeadlinePassed: The peer did not take it in time; ``executed`` is "no" as well.
            NotSendable: It is too large for the protocol.
        """
        data = encode(message)
        try:
            self._sock.settimeout(_remaining(deadline))
            self._sock.sendall(data)
        except TimeoutError as error:
            raise DeadlinePassed(
                f"{self.peer} did not take the message in time", executed="no"
            ) from error
        except OSError as error:
            raise ConnectionLost(
                f"{self.peer} is gone ({error.strerror or error})", executed="no"
            ) from error

    def receive(self, deadline: float | None = None) -> Message:
        """Wait for the next message, until *deadline* (of ``time.monotonic()``).

        Raises:
            ConnectionLost: The peer closed the connection.
            DeadlinePassed: The deadline passed first.
            WireError: What came is no message of this protocol.
        """
        while True:
            message = self._decoder.next_message()
            if message is not None:
                return message
            try:
                self._sock.settimeout(_remaining(deadline))
                data = self._sock.recv(max(_RECV_BYTES, min(self._decoder.missing_bytes, 1 << 24)))
            except TimeoutError as error:
                raise DeadlinePassed(f"no answer from {self.peer} in time") from error
            except OSError as error:
                raise ConnectionLost(f"{self.peer} is gone ({error.strerror or error})") from error
            if not data:
                raise ConnectionLost(f"{self.peer} closed the connection")
            self._decoder.feed(data)

    def is_quiet(self) -> bool:
        """Tell whether the connection is open and nothing has arrived: fit for a new call."""
        try:
            self._sock.settimeout(0.0)
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close the connection; a forked child's copy of the socket does not keep it open."""
        _close(self._sock)


def _set_tcp_options(sock: socket.socket) -> None:
    """Send small messages at once, and notice within half a minute that a cable was pulled.

    Without the second, a daemon's thread would wait for ever for a peer that lost its power.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):  # elsewhere the system's own times hold
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _remaining(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


def _peer_name(sock: socket.socket) -> str:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return "this machine"
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return "a peer that left"
    return join_address(host, port)


def _close(sock: socket.socket | None) -> None:
    if sock is None:
        return
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def refuse_wrong_message(message: Message, *expected: int) -> None:
    """Check a message's type.

    Raises:
        WireError: It is another.
    """
    if message.type not in expected:
        raise WireError(f"a message of type {message.type} came where {expected} was due")


def refuse_other_serializers(message: Message) -> None:
    """Check that a payload is plain serpent, before anything of it is parsed.

    Raises:
        WireError: It is another serializer's, or compressed.
    """
    if message.serializer != _pyro.SERPENT:
        name = _pyro.SERIALIZER_NAMES.get(message.serializer, str(message.serializer))
        raise WireError(f"serializer {name!r} is refused here: use serpent")
    for flag in (Flag.COMPRESSED, Flag.KEEP_SERIALIZED):
        if message.flags & flag:
            raise WireError(f"a payload with the flag {flag.name} is refused here: send it plain")
