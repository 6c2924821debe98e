"""Talks to a port as strangers do, and says what was answered; runs on the host that is not paired.

    python scanner.py '[["10.77.0.1", 9090], ...]' CA CERTIFICATE KEY     # of another cluster
    python scanner.py --udp '[["10.77.0.1", 40123], ...]'                 # who answers datagrams
    python scanner.py --crowd '[["10.77.0.1", 9090], ...]' COUNT          # half-open, until a line
    python scanner.py --mdns ADDRESS SERVICE                              # what is announced there

One JSON object a line: the address, what was said, all bytes that came back, those inside of TLS,
and the certificate that was shown, in hex.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path

from remoteobj.wire import Message, MessageType, encode
from tests.certificates import Authority

PATIENCE_S = 1.0
_CONNECT = b"".join(
    map(bytes, encode(Message(MessageType.CONNECT, 1, 0, 0, b"{'object': 'Pyro.Daemon'}")))
)
PLAIN = {"nothing": b"", "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT": _CONNECT}


def context_of(*files: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if files:
        context.load_cert_chain(*files)
    return context


Address = tuple[str, int]


def addresses_in(text: str) -> list[Address]:
    return [(host, port) for host, port in json.loads(text)]


def tell(
    address: Address, said: str, came: bytes, inside: bytes, certificate: bytes | None = None
) -> None:
    seen = {"came": came, "inside": inside, "certificate": certificate or b""}
    told = {name: data.hex() for name, data in seen.items()}
    print(json.dumps({"at": address, "said": said, **told}))


def talk_plain(address: Address, said: str) -> None:
    came = b""
    with contextlib.suppress(OSError), socket.create_connection(address, 2) as sock:
        sock.settimeout(PATIENCE_S)
        sock.sendall(PLAIN[said])
        while data := sock.recv(65536):
            came += data
    tell(address, said, came, b"")


def talk_tls(address: Address, said: str, context: ssl.SSLContext) -> None:
    """Shake hands, ask, and read on: what came inside of TLS is what could leak."""
    came = inside = b""
    shown = None
    with contextlib.suppress(OSError), socket.create_connection(address, 2) as plain:
        plain.settimeout(PATIENCE_S)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing)
        has_asked = False
        while True:
            try:
                if not has_asked:
                    tls.do_handshake()
                    shown = tls.getpeercert(binary_form=True)
                    tls.write(_CONNECT)
                    has_asked = True
                while data := tls.read(65536):
                    inside += data
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                said += f" ({error.reason})"
                break
            plain.sendall(outgoing.read())
            data = plain.recv(65536)
            if not data:
                break
            came += data
            incoming.write(data)
    tell(address, said, came, inside, shown)


def crowd(addresses: list[Address], count: int) -> None:
    """Hold *count* connections to each that begin and say no more."""
    held = []
    for number in range(count):
        for address in addresses:
            with contextlib.suppress(OSError):
                sock = socket.create_connection(address, 5)
                if number % 3 == 1:
                    sock.sendall(b"\x16\x03\x01\x02\x00\x01")
                held.append(sock)
        if number == 20:
            print("holds some", flush=True)
    print(f"opened {len(held)}", flush=True)
    sys.stdin.readline()


def lifetime_s(address: Address) -> float:
    """Return after how long a connection that says nothing is closed."""
    begun = time.monotonic()
    with socket.create_connection(address, 5) as sock:
        sock.settimeout(30)
        with contextlib.suppress(ConnectionError):
            sock.recv(1)
    return time.monotonic() - begun


def talk_udp(addresses: list[Address]) -> None:
    """Send datagrams; who answers is told."""
    question = bytes(4) + b"\x00\x01" + bytes(6) + b"\x05_pyro\x04_tcp\x05local\x00\x00\x0c\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        for address in addresses:
            for said in (b"x", PLAIN["HTTP"], _CONNECT, question):
                sock.sendto(said, address)
        with contextlib.suppress(TimeoutError):
            while True:
                print(sock.recvfrom(65536))


_MULTICAST = ("224.0.0.251", 5353)
_PTR, _TXT, _ANY = 12, 16, 255


def question(name: str, kind: int) -> bytes:
    """Return a question of mDNS, as bytes."""
    parts = b"".join(bytes([len(part)]) + part.encode() for part in name.strip(".").split("."))
    return (
        bytes(4) + b"\x00\x01" + bytes(6) + parts + b"\x00" + kind.to_bytes(2, "big") + b"\x00\x01"
    )


def talk_mdns(address: str, *services: str) -> None:
    """Ask all for these services, and then for all of what was answered; tell each record."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        sock.settimeout(PATIENCE_S)
        told: set[str] = set()
        asked = set(services)
        for service in services:
            sock.sendto(question(service, _PTR), _MULTICAST)
        with contextlib.suppress(TimeoutError):
            while True:
                for name, kind, data in records_in(sock.recv(65536)):
                    line = json.dumps({"name": name, "type": kind, "data": data})
                    if line not in told:
                        print(line)
                    told.add(line)
                    if kind == _PTR and data not in asked:
                        asked.add(data)
                        sock.sendto(question(data, _ANY), _MULTICAST)
                        sock.sendto(question(data, _PTR), _MULTICAST)


def records_in(answer: bytes) -> list[tuple[str, int, str]]:
    """Return name, type and data of all records in an answer; names as text, others in hex."""
    counts = [int.from_bytes(answer[at : at + 2], "big") for at in (4, 6, 8, 10)]
    at, found = 12, []
    for _ in range(counts[0]):
        at = name_in(answer, at)[1] + 4
    for _ in range(sum(counts[1:])):
        name, at = name_in(answer, at)
        kind, size = (int.from_bytes(answer[at + i : at + i + 2], "big") for i in (0, 8))
        at += 10
        data = name_in(answer, at)[0] if kind == _PTR else answer[at : at + size].hex()
        found.append((name, kind, data))
        at += size
    return found


def name_in(answer: bytes, at: int) -> tuple[str, int]:
    """Return the name that is written here, and where it ends."""
    parts: list[str] = []
    end = 0
    while size := answer[at]:
        if size >= 0xC0:  # it goes on where something like it was written before
            end = end or at + 2
            at = int.from_bytes(answer[at : at + 2], "big") & 0x3FFF
            continue
        parts.append(answer[at + 1 : at + 1 + size].decode(errors="replace"))
        at += 1 + size
    return ".".join(parts), end or at + 1


def main() -> None:
    if sys.argv[1] == "--mdns":
        talk_mdns(*sys.argv[2:])
        return
    if sys.argv[1] == "--crowd":
        crowd(addresses_in(sys.argv[2]), int(sys.argv[3]))
        return
    if sys.argv[1] == "--lifetime":
        print(" ".join(f"{lifetime_s(each):.2f}" for each in addresses_in(sys.argv[2])))
        return
    if sys.argv[1] == "--udp":
        talk_udp(addresses_in(sys.argv[2]))
        return
    addresses = addresses_in(sys.argv[1])
    foreign = sys.argv[3:5]
    with tempfile.TemporaryDirectory() as folder:
        made = Authority(Path(folder)).node("stranger", role="operator")
        ways = {
            "TLS without a certificate": context_of(),
            "TLS with one of a CA made for it": context_of(*map(str, made[1:])),
            "TLS with another cluster's": context_of(*foreign),
        }
        for address in addresses:
            for said in PLAIN:
                talk_plain(address, said)
            for said, context in ways.items():
                talk_tls(address, said, context)


if __name__ == "__main__":
    main()
