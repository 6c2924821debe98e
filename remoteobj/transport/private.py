"""Is a Unix socket this user's alone? Asked at both ends, whatever the path says.

A client looks at the directory and the socket before it connects: nobody else may be able to put
another socket there. Then both ends ask the kernel whose process the other one is, where it tells.
Root is let through: it can do all of that anyway.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from pathlib import Path

from remoteobj.errors import PeerRefused, RuntimeDirUnsafe
from remoteobj.runtime import is_of_this_profile

__all__ = ["check_peer", "check_place", "check_secret", "peer_uid"]

_ROOT = 0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_place(path: str) -> None:
    """Look whether only this user can have put a socket at *path*; one that is missing passes.

    On Windows it has to lie in this user's profile.

    Raises:
        RuntimeDirUnsafe: Somebody else owns it or its directory, or may write there. Move the
            socket to a directory of this user with mode 0700. The sticky bit (``/tmp``) will do.
    Blocks: on the disk.  Threads: any.
    """
    if sys.platform == "win32":
        check_profile(path)
        return
    directory = os.path.dirname(path) or "."
    try:
        above, here = os.stat(directory), os.lstat(path)
    except OSError:
        return
    mode = above.st_mode
    is_sticky = bool(mode & stat.S_ISVTX) and above.st_uid == _ROOT
    if above.st_uid not in _trusted() or (mode & _OTHERS_WRITE and not is_sticky):
        raise RuntimeDirUnsafe(
            f"the socket {path} is in a directory that is not this user's alone (owner "
            f"{above.st_uid}, mode {stat.S_IMODE(mode):04o}): somebody else may have put it there; "
            f"run 'chmod 700 {directory}' if it is yours, or use another one"
        )
    if here.st_uid not in _trusted():
        raise RuntimeDirUnsafe(
            f"the socket {path} belongs to another user ({here.st_uid}): daemons without a host "
            "serve their own user only, at both ends"
        )


def check_profile(path: str | Path) -> None:
    """Look whether *path* is where on Windows nobody but this user may write and read.

    Raises:
        RuntimeDirUnsafe: It is elsewhere.
    """
    if not is_of_this_profile(path):
        raise RuntimeDirUnsafe(
            f"{path} is not below %LOCALAPPDATA%, where Windows keeps others out: somebody else "
            "may have put it there; use a daemon of this user"
        )


def check_secret(path: str | Path, status: os.stat_result) -> None:
    """Look whether a file, which is open, is this user's, and nobody else can read or change it.

    Raises:
        RuntimeDirUnsafe: It is not. Its daemon has to be started anew: what the file holds is known
            to others by now.
    Blocks: no.  Threads: any.
    """
    if not stat.S_ISREG(status.st_mode):
        raise RuntimeDirUnsafe(f"{path} is no file, though a daemon should have made one there")
    if sys.platform == "win32":  # ACLs rule there: see check_profile
        return
    if status.st_uid not in _trusted() or status.st_mode & _OTHERS:
        raise RuntimeDirUnsafe(
            f"{path} holds the secret of a daemon, and others can read or change it (owner "
            f"{status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}): end that daemon and start "
            "it anew, and leave the mode of its file as it is"
        )


def check_peer(sock: socket.socket) -> None:
    """Look whether a process of this user is at the other end of a Unix socket.

    Raises:
        PeerRefused: It is somebody else's. Where the system does not tell, that passes.
    Blocks: no.  Threads: any.
    """
    uid = peer_uid(sock)
    if uid is not None and uid not in _trusted():
        raise PeerRefused(
            f"the process at the other end is user {uid}'s, this one user {os.getuid()}'s: a Unix "
            "socket is for one user; use identity= between users"
        )


def peer_uid(sock: socket.socket) -> int | None:
    """Return whose process is at the other end; None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):  # macOS has another call, which Python does not offer
        return None
    try:
        told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", told)
    except OSError:
        return None
    return int(uid)


def _trusted() -> tuple[int, int]:
    return os.getuid(), _ROOT
