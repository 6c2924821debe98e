"""A machine that poses as others: TLS with the certificate that pairing has stored, and ears.

    python impostor.py [--plain] [--announce CLUSTER] ADDRESS PORT...

At each port it shakes hands with whoever comes, and says so, as a JSON object a line: ``came``, and
``heard``, all bytes that came inside of TLS before the caller left. It answers nothing.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import threading

from nameserver import discovery
from nameserver.discovery import Transport
from remoteobj.identity.store import Store

PATIENCE_S = 20.0


def tell(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def listen(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    port = listener.getsockname()[1]
    while True:
        plain, (peer, _) = listener.accept()
        tell(came=peer, port=port)
        threading.Thread(target=hear, args=(plain, port, context), daemon=True).start()


def hear(plain: socket.socket, port: int, context: ssl.SSLContext | None) -> None:
    heard = b""
    plain.settimeout(PATIENCE_S)
    with contextlib.suppress(OSError):
        if context is None:
            heard = plain.recv(65536)
        else:
            with context.wrap_socket(plain, server_side=True) as tls:
                tell(shaken=port)
                while data := tls.recv(65536):
                    heard += data
    plain.close()
    tell(heard=heard.hex(), port=port)


def main() -> None:
    words = sys.argv[1:]
    context = None
    if words[0] == "--plain":
        words.pop(0)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Store.of().identity_path)
    cluster = ""
    if words[0] == "--announce":
        cluster = words[1]
        words = words[2:]
    address, *ports = words
    listeners = [socket.create_server((address, int(port))) for port in ports]
    for listener in listeners:
        threading.Thread(target=listen, args=(listener, context), daemon=True).start()
    at = [listener.getsockname()[1] for listener in listeners]
    if cluster:
        ways: tuple[Transport, ...] = ("tls", "join")
        for number, transport in enumerate(ways):
            discovery.announce(
                address,
                at[0],
                name=f"hall-abc{number}",
                server_id=f"{number}" * 16,
                transport=transport,
                cluster=cluster,
            )
    tell(ready=at)
    sys.stdin.read()


if __name__ == "__main__":
    main()
