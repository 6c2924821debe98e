"""The cable of one machine, which can be hurt: a process that its TCP connections go through.

    python -m tests.chaos.wire SEED

It prints its port. A connection begins with a line that says where it is to lead, which
``sitecustomize`` writes; what comes after it is TLS, and so is what is doubled, lost or cut off
here: neither end may believe any of it. Lines on standard input say what is wrong with the cable:
``slow``, ``lossy``, ``duplicate``, ``truncate`` and ``cut``, each until ``mend`` and its name;
``half_open`` is of the connections that there are, and for good.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from random import Random

__all__ = ["Wire"]

_BYTES = 1 << 14
_CONNECT_S = 5.0
_LONGEST_DELAY_S = 0.2
_SHARE = 0.15
"""Of pieces, how many are lost, doubled or cut off while that goes on."""


class Wire:
    """All connections of a machine, and what is wrong with them."""

    def __init__(self, seed: str) -> None:
        self._chance = Random(seed)
        self._wrong: set[str] = set()
        self._changed = threading.Condition()
        self._open: dict[socket.socket, socket.socket] = {}
        self._deaf: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Take connections, for ever."""
        while True:
            sock, _ = self._listener.accept()
            threading.Thread(target=self._lead, args=(sock,), daemon=True).start()

    def obey(self, line: str) -> None:
        """Do what a line of standard input says."""
        words = line.split()
        with self._changed:
            if words == ["half_open"]:
                self._leave_half_open()
            elif words[0] == "mend":
                self._wrong.discard(words[1])
            else:
                self._wrong.add(words[0])
            self._changed.notify_all()

    def _leave_half_open(self) -> None:
        """End one half of each connection; the other half hears no more, and is not told."""
        for sock, other in list(self._open.items()):
            if sock in self._deaf or other in self._deaf:
                continue
            deaf, ended = (sock, other) if self._chance.random() < 0.5 else (other, sock)
            self._deaf.add(deaf)
            with contextlib.suppress(OSError):
                ended.shutdown(socket.SHUT_RDWR)

    def _lead(self, sock: socket.socket) -> None:
        self._wait_for_cable()
        try:
            target = b""
            while not target.endswith(b"\n"):
                piece = sock.recv(1)
                if not piece:
                    raise OSError("it has ended already")
                target += piece
            host, _, port = target.decode().strip().rpartition(":")
            other = socket.create_connection((host, int(port)), _CONNECT_S)
        except OSError:
            sock.close()
            return
        for one in (sock, other):
            one.settimeout(None)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            self._open[sock] = other
        there = threading.Thread(target=self._pump, args=(other, sock), daemon=True)
        there.start()
        self._pump(sock, other)
        there.join()
        with self._changed:
            del self._open[sock]
            self._deaf -= {sock, other}
        sock.close()
        other.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(_BYTES):
                self._wait_for_cable()
                if not self._pass_on(piece, source, sink):
                    break
        except OSError:
            pass
        for one in (source, sink):
            if one not in self._deaf:  # who is deaf hears nothing of it
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, piece: bytes, source: socket.socket, sink: socket.socket) -> bool:
        """Pass a piece on, as well as the cable does; False where the connection is to end."""
        with self._changed:
            wrong, chance = set(self._wrong), self._chance
            delay_s = chance.uniform(0.0, _LONGEST_DELAY_S)
            is_hit, is_end, at = (
                chance.random() < _SHARE, chance.random() < 0.5, chance.randrange(len(piece)),
            )  # fmt: skip
            if source in self._deaf or sink in self._deaf:
                return True
        if "slow" in wrong:
            with self._changed:
                self._changed.wait_for(lambda: "slow" not in self._wrong, delay_s)
        if is_hit and "truncate" in wrong:
            sink.sendall(piece[:at])
            return False
        if is_hit and "lossy" in wrong:
            return not is_end
        sink.sendall(piece)
        if is_hit and "duplicate" in wrong:
            sink.sendall(piece)
        return True

    def _wait_for_cable(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: "cut" not in self._wrong)


def main() -> None:
    wire = Wire(sys.argv[1])
    print(wire.port, flush=True)
    threading.Thread(target=wire.serve, daemon=True).start()
    for line in sys.stdin:
        wire.obey(line)
    os._exit(0)  # its threads wait for sockets


if __name__ == "__main__":
    main()
