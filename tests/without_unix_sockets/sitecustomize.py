"""Has a process find no Unix sockets in Python, as on Windows: start it with this folder on
``PYTHONPATH``. What the processes that it starts find is the same.

Pairs of sockets are made as before: on Windows they are, too, though of another kind.
"""

import socket
from typing import Any

_pair = socket.socketpair
_family = getattr(socket, "AF_UNIX", None)


def _socketpair(family: Any = None, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> Any:
    return _pair(_family if family is None else family, kind, protocol)


if _family is not None:
    for _name in ("AF_UNIX", "SO_PEERCRED"):
        if hasattr(socket, _name):
            delattr(socket, _name)
    socket.socketpair = _socketpair
