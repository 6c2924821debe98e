"""The file that stands where a Unix socket would, on a system that has none (Windows).

It holds a port of 127.0.0.1 and a secret, one line of a fixed size. Its path takes the socket's
place in URIs, so names, records and logs are what they are elsewhere. A port is everybody's on the
machine; who may read the file is this user, and whoever knows what it holds is taken for this user.

What guards it: it is made anew (never an old file, never through a link), with mode 0600, in the
private directory. On Windows modes mean nothing: there it is the ACL that what lies below
%LOCALAPPDATA% has from its profile, which lets in the user, the system and administrators.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from remoteobj.errors import ConnectionLost
from remoteobj.identity.secret import Secret
from remoteobj.transport import private
from remoteobj.uri import MAX_PORT

__all__ = ["HERE", "Place", "make_place", "read_place"]

HERE = "127.0.0.1"

_SECRET_BYTES = 32
_FORM = re.compile(rb"remoteobj loopback 1 ([0-9]{5}) ([0-9a-f]{64})\n")
_BYTES = 92
_BINARY: int = getattr(os, "O_BINARY", 0)
# A link is not followed; a pipe that somebody has put there is not waited for.
_PLAINLY: int = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY


class Place(NamedTuple):
    """Where a daemon listens, and what it and its callers know."""

    port: int
    secret: Secret


def make_place(path: Path, port: int) -> Secret:
    """Write the file for a daemon that listens at *port*; returns the secret, which is a new one.

    Raises:
        OSError: It cannot be written, or there is one already; there is none then that is new.
    Blocks: on the disk.
    """
    secret = os.urandom(_SECRET_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(f"remoteobj loopback 1 {port:05d} {secret.hex()}\n".encode())
    except BaseException:
        path.unlink()
        raise
    return Secret(secret)


def read_place(path: Path) -> Place:
    """Read where a daemon listens, and the secret.

    Raises:
        OSError: There is no such file, or it cannot be read.
        RuntimeDirUnsafe: Others can read it, or have made it.
        ConnectionLost: It is something else; ``executed`` is "no".
    Blocks: on the disk.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _PLAINLY)) as file:
        private.check_secret(path, os.fstat(file.fileno()))
        found = _FORM.fullmatch(file.read(_BYTES + 1))
    if found is None or not 0 < int(found[1]) <= MAX_PORT:
        raise ConnectionLost(
            f"{path} is no place of a daemon: it does not hold a port and a secret; look the name "
            "up again",
            executed="no",
        )
    return Place(int(found[1]), Secret(bytes.fromhex(found[2].decode())))
