"""Sockets: listening ones, connected ones, and what is set on them."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from remoteobj import forks, runtime
from remoteobj.callers import THIS_MACHINE
from remoteobj.errors import AddressUnusable, ConnectionLost, DeadlinePassed, RemoteObjError
from remoteobj.transport import private
from remoteobj.uri import MAX_PORT, URI, join_address

if TYPE_CHECKING:
    from remoteobj.identity.secret import Secret

__all__ = [
    "QUIET",
    "PrivateListener",
    "address_of",
    "close",
    "connect",
    "has_arrived",
    "is_local",
    "is_unreachable",
    "listen_privately",
    "listen_tcp",
    "peer_name",
    "prepare",
    "set_timeout",
    "untaken_bytes",
    "wait_writable",
]

if sys.platform == "win32":
    fcntl = termios = None
else:
    import fcntl
    import termios

_LONGEST_S = 1_000_000.0  # eleven days: longer times do not fit into what systems take

QUIET: type[OSError] = TimeoutError if os.name == "nt" else BlockingIOError
"""What a socket with a timeout of its own raises when that has passed."""


class PrivateListener(NamedTuple):
    """Where only this user's processes are served.

    Attributes:
        sock: The listening socket.
        sockname: How a URI names it.
        lock: Says that it has an owner.
        secret: What a caller has to know; None on a Unix socket, where the system says who it is.
    """

    sock: socket.socket
    sockname: str
    lock: runtime.LockedFile | None
    secret: Secret | None


def listen_privately() -> PrivateListener:
    """Listen where only this user may call: on a Unix socket, or on loopback where there is none.

    Raises:
        RuntimeDirUnsafe: This user's directory is not private.
        AddressUnusable: It cannot hold a socket, or the disk is full.
    """
    path, lock = runtime.new_socket_path()
    try:
        if runtime.host_has_unix_sockets():
            sock, secret = _listen_unix(str(path)), None
        else:
            sock, secret = _listen_at_loopback(path)
        return PrivateListener(sock, runtime.sockname_of(path), lock, secret)
    except BaseException:
        lock.remove()
        raise


def _listen_at_loopback(path: Path) -> tuple[socket.socket, Secret]:
    from remoteobj.transport.place import HERE, make_place

    listener = listen_tcp(HERE, 0)
    try:
        return listener, make_place(path, listener.getsockname()[1])
    except OSError as error:
        listener.close()
        raise AddressUnusable(f"cannot write {path}: {error.strerror or error}") from error


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
            _for_dns(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        _claim_port(listener)
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


def _claim_port(listener: socket.socket) -> None:
    """Have a port that nobody else listens at, though connections of before may linger there.

    On Windows ``SO_REUSEADDR`` would let two servers share it, and without the other option anybody
    could do that to this one.
    """
    if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def connect(
    uri: URI, timeout_s: float, source: str | None = None
) -> tuple[socket.socket, Secret | None]:
    """Connect to the daemon that a URI names, from the address *source* if there is one.

    Returns:
        The socket, prepared, and what both sides have to prove that they know, if anything.

    Raises:
        ConnectionLost: Nobody answers there; ``executed`` is "no".
        DeadlinePassed: Not within *timeout_s*; ``executed`` is "no".
        RuntimeDirUnsafe: Somebody else may have put the Unix socket there, or knows the secret.
        PeerRefused: Somebody else's process serves it.
    """
    sock, secret = None, None
    try:
        if timeout_s <= 0:
            raise TimeoutError
        timeout_s = min(timeout_s, _LONGEST_S)
        if uri.sockname and not runtime.host_has_unix_sockets():
            sock, secret = _connect_to_loopback(runtime.path_of(uri.sockname), timeout_s)
        elif uri.sockname:
            private.check_place(uri.sockname)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            # Waiting for room in the listener's queue takes a blocking connect() here.
            set_timeout(sock, socket.SO_SNDTIMEO, timeout_s)
            sock.connect(uri.sockname)
            set_timeout(sock, socket.SO_SNDTIMEO, 0.0)
            private.check_peer(sock)
        else:
            address: Any = (_for_dns(uri.host or ""), uri.port or 0)
            sock = socket.create_connection(address, timeout_s, (source, 0) if source else None)
    except RemoteObjError:
        close(sock)
        raise
    except (TimeoutError, BlockingIOError) as error:
        close(sock)
        raise DeadlinePassed(
            f"{uri.location} did not answer within {timeout_s:g} s: is the machine on, "
            "and does its firewall let this port through?",
            executed="no",
        ) from error
    except (OSError, ValueError) as error:  # UnicodeError: a name that DNS cannot have
        close(sock)
        reason = getattr(error, "strerror", None) or error
        raise ConnectionLost(
            f"nobody answers at {uri.location} ({reason}){_hint(uri, error)}", executed="no"
        ) from error
    sock.settimeout(None)
    prepare(sock)
    return sock, secret


def _connect_to_loopback(path: Path, timeout_s: float) -> tuple[socket.socket, Secret]:
    with forks.whole:
        from remoteobj.transport.place import HERE, read_place

    private.check_place(str(path))
    port, secret = read_place(path)
    address: Any = (_for_dns(HERE), port)
    sock = socket.create_connection(address, timeout_s)
    # Where nobody listens, a caller may be given the very port that it calls, and meet itself.
    if sock.getsockname()[1] == port:
        sock.close()
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    return sock, secret


def _for_dns(host: str) -> bytes:
    """Return a host's name as DNS has it.

    Python would import a module for each text, also for the plainest address, and while it does, a
    fork by another thread leaves the child without a way to connect.
    """
    if host.isascii():
        return host.encode()
    with forks.whole:
        return host.encode("idna")


_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, getattr(errno, "EHOSTDOWN", 0)}


def is_unreachable(error: Exception) -> bool:
    """Tell whether the network says that no way leads there."""
    return isinstance(error, OSError) and error.errno in _NO_WAY


def _hint(uri: URI, error: Exception) -> str:
    """Say what the error means, and what to do."""
    hint = ""
    if uri.sockname is not None:
        if isinstance(error, PermissionError):
            hint = "it is another user's, and serves nobody else"
        elif isinstance(error, FileNotFoundError | ConnectionRefusedError):
            hint = "the process that served it has ended; look its name up again"
    elif isinstance(error, ConnectionRefusedError):
        hint = "the machine is on, but nothing listens there; is the daemon running?"
    elif isinstance(error, ConnectionResetError | ConnectionAbortedError):
        hint = "it hung up at once; is it a daemon, and not just being ended or overloaded?"
    elif is_unreachable(error):
        hint = "no way leads there; is the machine on, and in this network?"
    elif isinstance(error, socket.gaierror | ValueError):  # UnicodeError: no name for DNS
        hint = "no machine of this name is known; is it spelled right?"
    return f": {hint}" if hint else ""


def prepare(sock: socket.socket) -> None:
    """Set what every connection has, of whichever side; the socket blocks."""
    runtime.disown_in_child(sock)
    if not is_local(sock):
        with contextlib.suppress(OSError):  # the peer has left already
            _set_tcp_options(sock)


def set_timeout(sock: socket.socket, option: int, seconds: float) -> None:
    """Limit one receive (``SO_RCVTIMEO``) or send (``SO_SNDTIMEO``); 0 is no limit.

    ``settimeout()`` would have Python poll before each of them, which costs a tenth of a null call,
    and cuts a receive with ``MSG_WAITALL`` short.
    """
    seconds = min(seconds, _LONGEST_S)
    if os.name == "nt":
        value = struct.pack("=L", math.ceil(seconds * 1000))
    else:
        microseconds = math.ceil(seconds * 1_000_000)
        value = struct.pack("@ll", *divmod(microseconds, 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, option, value)


def untaken_bytes(sock: socket.socket) -> int:
    """Return how many bytes that were sent the peer has not taken; 0 where nobody can tell."""
    if fcntl is None or not hasattr(termios, "TIOCOUTQ"):
        return 0
    try:
        told = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # closed meanwhile
        return 0
    return int.from_bytes(told, sys.byteorder)


def has_arrived(sock: socket.socket) -> bool:
    """Tell whether something can be read, the end of the connection included."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])  # Windows


def wait_writable(sock: socket.socket, timeout_s: float) -> None:
    """Wait until the socket takes more, at most *timeout_s*."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        poll.poll(min(timeout_s, _LONGEST_S) * 1000)
    else:
        select.select([], [sock], [], timeout_s)  # Windows


def _set_tcp_options(sock: socket.socket) -> None:
    """Send small messages at once, and notice within half a minute that a cable was pulled.

    Without the second, a daemon's thread would wait for ever for a peer that lost its power.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):  # elsewhere the system's own times hold
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def is_local(sock: socket.socket) -> bool:
    """Tell whether this is a Unix socket: a process of this user at the other end."""
    return sock.family not in (socket.AF_INET, socket.AF_INET6)


def peer_name(sock: socket.socket) -> str:
    """Name who is at the other end, for people."""
    if is_local(sock):
        return THIS_MACHINE
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return "a peer that left"
    return join_address(host, port)


def address_of(sock: socket.socket) -> str:
    """Return where a peer is, for who counts them: an address, or a network of IPv6 that a machine
    has for itself. Empty for a peer on this machine's Unix socket.
    """
    if is_local(sock):
        return ""
    try:
        host: str = sock.getpeername()[0]
    except OSError:
        return "left"
    if sock.family == socket.AF_INET6 and "." not in host:
        network = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8]
        return network.hex()
    return host


def close(sock: socket.socket | None) -> None:
    """Close the connection; a forked child's copy of the socket does not keep it open."""
    if sock is None:
        return
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
