"""Bare sockets to a daemon of this user, on a Unix socket or, where there is none, on loopback.

The proofs are written here a second time, from what their document says.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
from pathlib import Path

FOLDER = Path(__file__).parent / "without_unix_sockets"
"""On ``PYTHONPATH``, it has a process find no Unix sockets."""

SERVE = """
import os, sys
from remoteobj import Daemon, current_caller, expose

@expose
class Desk:
    def who(self):
        return current_caller()
    def pid(self):
        return os.getpid()

daemon = Daemon()
print(daemon.register(Desk(), "desk"), flush=True)
daemon.start()
sys.stdin.read()
daemon.close()
"""
"""A script that serves until its input ends."""

HELLO, REPLY = b"RCALLS1\n", b"RSERVE1\n"
CALLER, DAEMON = b"remoteobj 1: the caller ", b"remoteobj 1: the daemon "
REPLY_BYTES = len(REPLY) + 64


def python_path() -> str:
    """Return what ``PYTHONPATH`` has to be for a process to find no Unix sockets."""
    return os.pathsep.join([str(FOLDER), os.getcwd()])


def place_of(location: str) -> tuple[int, bytes]:
    """Return port and secret of the daemon at ``./u:/path``."""
    words = Path(location.removeprefix("./u:")).read_text().split()
    assert words[:3] == ["remoteobj", "loopback", "1"]
    return int(words[3]), bytes.fromhex(words[4])


def proof(secret: bytes, who: bytes, caller_nonce: bytes, daemon_nonce: bytes) -> bytes:
    """Return what one side proves by that it knows the secret."""
    return hmac.new(secret, who + caller_nonce + daemon_nonce, hashlib.sha256).digest()


def receive(sock: socket.socket, count: int) -> bytes:
    """Return so many bytes, or fewer at the end."""
    data = b""
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return data


def dial(location: str, timeout_s: float) -> socket.socket:
    """Connect to where a daemon of this user listens, and prove that it is this user."""
    path = location.removeprefix("./u:")
    if not Path(path).is_file():
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout_s)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            raise
        return sock
    port, secret = place_of(location)
    sock = socket.create_connection(("127.0.0.1", port), timeout_s)
    nonce = os.urandom(32)
    sock.sendall(HELLO + nonce)
    reply = receive(sock, REPLY_BYTES)
    theirs = reply[len(REPLY) : -32]
    assert reply == REPLY + theirs + proof(secret, DAEMON, nonce, theirs)
    sock.sendall(proof(secret, CALLER, nonce, theirs))
    return sock
