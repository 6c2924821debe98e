"""Throws broken frames at a daemon in another process, while a well-behaved client watches.

    python tests/remoteobj/hostile.py --frames 1000000
    python tests/remoteobj/hostile.py --seconds 60 --seed 7 --tcp

Each hostile connection sends a greeting, many frames that a daemon survives (right calls, and
wrong ones that are answered with an error), and last one that may break the stream. The client has
to get right answers in time all along. In the end the daemon must have logged no error, and hold
no more connections, threads, file descriptors and memory than before.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import contextlib
import gc
import json
import logging
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import msgspec
from raw_peers import batch_of, call, dial, hello, stock_call
from servants import frame

from remoteobj import Daemon, Proxy, Settings, batch, behavior, expose, on_disconnect, oneway
from remoteobj.codec.calls import encode_call
from remoteobj.transport.shared import word_of_limit
from remoteobj.transport.sockets import set_timeout
from remoteobj.wire import Flag, Message, MessageType, encode

LIMIT = 1 << 20
IN_TIME_S = 1.5
PATIENCE_S = 0.1  # with a connection on which an answer is due that never comes
BOUNDS = {"rss_mib": 32, "threads": 24, "fds": 4, "connections": 8}

# The daemon.


class Target:
    """What is shot at: one method for each way to answer."""

    def __init__(self) -> None:
        self._orders: deque[tuple[Future[Any], Any]] = deque()
        self._shelf: Any = None

    def complete(self, stop: threading.Event) -> None:
        """Answer orders, nearly all of them, in a thread that nobody calls."""
        while not stop.wait(0.005):
            with contextlib.suppress(IndexError):
                while True:
                    future, value = self._orders.popleft()
                    if value != "never":
                        future.set_result(value)

    @expose
    def null(self) -> None: ...

    @expose
    def add(self, left: int, right: int = 1) -> int:
        return left + right

    @expose
    def echo(self, value: Any) -> Any:
        return value

    @expose
    def fail(self, text: str = "") -> None:
        raise LookupError(text)

    @expose
    def order(self, value: Any = None) -> Future[Any]:
        future: Future[Any] = Future()
        self._orders.append((future, value))
        return future

    @expose
    async def think(self, value: Any = None) -> Any:
        await asyncio.sleep(0)
        return value

    @expose
    def numbers(self, until: int = 5) -> Iterator[int]:
        yield from range(until)

    @expose
    @oneway
    def tell(self, value: Any = None) -> None:
        on_disconnect(lambda: None)

    @property
    @expose
    def shelf(self) -> Any:
        return self._shelf

    @shelf.setter
    def shelf(self, value: Any) -> None:
        self._shelf = None


@behavior(instance_mode="session")
class Seat:
    """Made for each session, of which a caller may name any number."""

    @expose
    def me(self) -> int:
        on_disconnect(lambda: None)
        return id(self)


class Warden:
    """Tells how the daemon is."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._errors: list[str] = []
        handler = logging.Handler(logging.ERROR)
        handler.emit = self._note
        logging.getLogger().addHandler(handler)

    def _note(self, record: logging.LogRecord) -> None:
        is_a_methods = record.msg.startswith("oneway call of")  # whose caller cannot be told
        if not is_a_methods and len(self._errors) < 20:
            self._errors.append(logging.Formatter().format(record))

    @expose
    def state(self) -> dict[str, Any]:
        gc.collect()
        seen = self._daemon.statistics()
        with open("/proc/self/statm") as file:
            rss_mib = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20
        return {
            "rss_mib": rss_mib,
            "threads": threading.active_count(),
            "fds": len(os.listdir("/proc/self/fd")),
            "connections": seen.connections,
            "calls": seen.calls,
            "errors": self._errors,
        }


def serve(kind: str) -> None:
    """Serve until standard input ends; what this writes there are the URIs, and the last state."""
    warnings.simplefilter("ignore")
    where: dict[str, Any] = {"host": "127.0.0.1", "insecure": True} if kind == "tcp" else {}
    settings = Settings(max_message_bytes=LIMIT, handshake_timeout_s=1.0, send_timeout_s=2.0)
    with Daemon(**where, settings=settings) as daemon:
        warden = Warden(daemon)
        target, over = Target(), threading.Event()
        completer = threading.Thread(target=target.complete, args=(over,))
        completer.start()
        daemon.register(target, "it")
        daemon.register(Seat, "seat")
        daemon.register(warden, "warden")
        daemon.start()
        print(daemon.location, flush=True)
        sys.stdin.read()
        over.set()
        completer.join()
    left = [each.name for each in threading.enumerate() if each is not threading.main_thread()]
    print(json.dumps({"threads": left, "errors": warden.state()["errors"]}), flush=True)


# Frames.

Make = Callable[[random.Random], bytes]
_INVOKE = MessageType.INVOKE
_METHODS = ("null", "add", "echo", "fail", "order", "think", "numbers", "tell", "me", "shelf")
_NAMES = (*_METHODS, "_hidden", "__init__", "__getattr__", "__class__", "no_such", "", "é" * 99)
_OBJECTS = ("it", "it", "it", "seat", "warden", "Pyro.Daemon", "no such", "")
_DAEMON = ("ping", "info", "registered", "get_metadata", "describe", "get_next_stream_item",
           "close_stream", "end_session", "revocations", "note_revoked")  # fmt: skip
_SERIALIZERS = (82, 82, 82, 1, 3, 4)
_pack = msgspec.msgpack.encode


def value_of(chance: random.Random, depth: int = 0) -> Any:
    """Make up a value that travels."""
    if depth < 3 and not chance.randrange(3):
        items = [value_of(chance, depth + 1) for _ in range(chance.randrange(4))]
        return chance.choice((items, tuple(items), dict(enumerate(items)), {len(items), "x"}))
    return chance.choice(
        (
            lambda: chance.randrange(-(2**63), 2**64),
            lambda: chance.choice((None, True, 1.5, float("nan"), float("inf"), "", b"", ())),
            lambda: "".join(map(chr, (chance.randrange(1, 0xD800) for _ in range(9)))),
            lambda: chance.randbytes(chance.choice((1, 30, 5000))),
            lambda: bytearray(chance.randbytes(chance.choice((1, 5000)))),
            lambda: memoryview(chance.randbytes(4096)),
        )
    )()


def right_call(chance: random.Random) -> bytes:
    method = chance.choice(_METHODS)
    arguments = [value_of(chance) for _ in range(chance.choice((0, 1, 1, 1, 2, 5)))]
    session = chance.choice((0, 1, 2, chance.randrange(2**20), -1))
    sequence = chance.randrange(65536)
    object_id = chance.choice(_OBJECTS)
    return call(method, *arguments, sequence=sequence, session=session, object_id=object_id)


def plain_call(chance: random.Random) -> bytes:
    return call("add", chance.randrange(1000), sequence=chance.randrange(65536))


def named_call(chance: random.Random) -> bytes:
    return call(chance.choice(_NAMES), *chance.choices(_NAMES, k=chance.randrange(4)),
                object_id=chance.choice(_OBJECTS))  # fmt: skip


def daemon_call(chance: random.Random) -> bytes:
    arguments = [value_of(chance) for _ in range(chance.randrange(3))]
    return call(chance.choice(_DAEMON), *arguments, object_id="Pyro.Daemon",
                session=chance.randrange(3))  # fmt: skip


def of_stock_peers(chance: random.Random) -> bytes:
    arguments = [chance.choice((1, "x", None, [1, {"a": (2, 3)}], b"bytes", 1.5))]
    return stock_call(chance.choice(_METHODS), *arguments, sequence=chance.randrange(65536))


def in_json(chance: random.Random) -> bytes:
    said = {"object": "it", "method": chance.choice(_NAMES), "params": [1, "x"], "kwargs": {}}
    return invoke(3, json.dumps(chance.choice((said, said, [said], 5, {}))).encode())


def in_msgpack(chance: random.Random) -> bytes:
    return invoke(4, _pack(chance.choice((("it", chance.choice(_NAMES), (1,), {}), 5, [[]]))))


def batched(chance: random.Random) -> bytes:
    calls = [(chance.choice(_NAMES), (value_of(chance),)) for _ in range(chance.randrange(6))]
    return batch_of(*calls, flags=chance.choice((0, 0, Flag.ONEWAY)))


def unanswered(chance: random.Random) -> bytes:
    return call(chance.choice(("tell", "null", "think", "order")), 1, flags=Flag.ONEWAY)


def unfinished(chance: random.Random) -> bytes:
    return call("order", "never", sequence=chance.randrange(65536))


def ping(chance: random.Random) -> bytes:
    annotations = {} if chance.randrange(4) else {"RSEG": word_of_limit(LIMIT)}
    return frame(Message(MessageType.PING, 82, 0, 1, b"ping", annotations=annotations))


def junk(chance: random.Random) -> bytes:
    """A right header, and a payload that is anything."""
    data = chance.randbytes(chance.choice((0, 1, 5, 40, 300)))
    return invoke(chance.choice(_SERIALIZERS), data, chance.choice((0, 0, 0, 4, 8, 12)))


def shuffled(chance: random.Random) -> bytes:
    """A right header, and a payload that was right before some bytes of it were changed."""
    whole = chance.choice(_STOCKED)(chance)
    begin = 40 + int.from_bytes(whole[16:20], "big")
    data = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 8))):
        if len(data) > begin:
            data[chance.randrange(begin, len(data))] = chance.randrange(256)
    return bytes(data)


def odd_header(chance: random.Random) -> bytes:
    """Numbers that mean nothing where a message says what it is; its lengths are right."""
    data = bytearray(plain_call(chance))
    at = chance.choice((7, 8, 9, 10, 11, *range(20, 38)))
    data[at] = chance.randrange(256)
    return bytes(data)


def annotated(chance: random.Random) -> bytes:
    annotations = {
        "".join(chance.choices("ABRUFSEGTM", k=4)): chance.randbytes(chance.randrange(30))
        for _ in range(chance.randrange(4))
    }
    if not chance.randrange(3):
        annotations["RSEG"] = chance.choice(
            (
                b"",
                b"\xc1",
                _pack([0, 0, False, [], [1, 2], [3]]),
                _pack([1, 2**40, True]),
                _pack([]),
            )
        )
    data = encode_call("it", "add", (1,), {}, 1, [])
    return frame(Message(_INVOKE, 82, 0, 1, data, annotations=annotations))


def deep(chance: random.Random) -> bytes:
    depth = chance.choice((50, 199, 201, 5000))
    return chance.choice(
        (
            lambda: invoke(82, b"\x95\xa2it\xa4echo\x91" + b"\x91" * depth + b"\xc0\xc0\x01"),
            lambda: invoke(1, b"('it', 'echo', (" + b"[" * depth + b"]" * depth + b",), {})"),
            lambda: invoke(3, b"[" * depth + b"]" * depth),
            lambda: invoke(82, b"\x91" * depth + b"\xc0"),
        )
    )()


def compressed(chance: random.Random) -> bytes:
    plain = chance.choice((b"('it', 'add', (1,), {})", bytes(4 * LIMIT), chance.randbytes(50)))
    data = bytearray(zlib.compress(plain))
    if not chance.randrange(3):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return invoke(chance.choice((1, 82, 4)), bytes(data), Flag.COMPRESSED)


def with_buffers(chance: random.Random) -> bytes:
    """Buffers of every kind; sometimes fewer or more than the payload speaks of."""
    held: list[memoryview] = []
    data = encode_call("it", "echo", (chance.randbytes(5000), bytearray(6000)), {}, 1, held)
    held = held[: chance.randrange(4)] + [memoryview(b"x" * chance.choice((0, 1, 5000)))] * (
        chance.randrange(4) // 3
    )
    return frame(Message(_INVOKE, 82, 0, 1, data, buffers=held))


def invoke(serializer: int, data: bytes, flags: int = 0) -> bytes:
    return frame(Message(_INVOKE, serializer, flags, 1, data))


_STOCKED: tuple[Make, ...] = (right_call, of_stock_peers, in_json, in_msgpack, batched, daemon_call)

SURVIVED: dict[str, tuple[int, Make]] = {
    "right": (6, right_call),
    "plain": (6, plain_call),
    "names": (3, named_call),
    "daemon": (2, daemon_call),
    "serpent": (3, of_stock_peers),
    "json": (2, in_json),
    "msgpack": (2, in_msgpack),
    "batch": (3, batched),
    "oneway": (2, unanswered),
    "never": (1, unfinished),
    "ping": (1, ping),
    "junk": (5, junk),
    "shuffled": (8, shuffled),
    "annotated": (2, annotated),
    "deep": (1, deep),
    "compressed": (1, compressed),
    "buffers": (2, with_buffers),
}
"""Frames after which the stream can be read on (nearly always), and how often each is drawn."""


def changed(chance: random.Random) -> bytes:
    data = bytearray(chance.choice(_STOCKED)(chance))
    for _ in range(chance.choice((1, 2, 9))):
        data[chance.randrange(min(len(data), 60))] = chance.randrange(256)
    return bytes(data)


def cut(chance: random.Random) -> bytes:
    data = chance.choice((*_STOCKED, with_buffers))(chance)
    return data[: chance.randrange(len(data))]


def noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(1, 300))


def announced(chance: random.Random) -> bytes:
    """Sizes that are too large, or of which nothing comes."""
    sizes = [
        struct.pack("!QB", chance.choice((0, 1, 100, LIMIT, 2**32, 2**64 - 1)), chance.randrange(4))
        for _ in range(chance.choice((1, 3, 2000)))
    ]
    told = b"".join(sizes) + chance.randbytes(chance.choice((0, 0, 1)))
    return b"".join(encode(Message(_INVOKE, 82, 0, 1, b"\xc0", annotations={"RBUF": told})))


def out_of_place(chance: random.Random) -> bytes:
    kind = chance.choice((1, 2, 3, 5, 0, 7, 255))
    return frame(Message(kind, chance.randrange(5), chance.randrange(128), 1, b"x"))


BREAKING: tuple[Make, ...] = (changed, cut, noise, announced, out_of_place, odd_header)


_GREETED = (
    b"(" * 3000,
    b"{'object': 5}",
    b"5",
    repr({"object": "it", "remoteobj": {"version": -1, "oldest": "x", "codecs": 5}}).encode(),
)


def greeting(chance: random.Random) -> bytes:
    """A greeting, which is right three times out of four."""
    data = bytearray(hello(chance.choice(("it", "seat")), is_stock=not chance.randrange(4)))
    match chance.randrange(16):
        case 0:
            data[chance.randrange(len(data))] = chance.randrange(256)
        case 1:
            del data[chance.randrange(len(data)) :]
        case 2:
            return noise(chance)
        case 3:
            said = chance.choice(_GREETED)
            kind, flags = chance.randrange(6), chance.randrange(128)
            return frame(Message(MessageType.CONNECT, kind, flags, 0, said))
        case _:
            pass
    return bytes(data)


class Quiver:
    """Frames drawn in advance: making one takes longer than a daemon takes to refuse it."""

    def __init__(self, seed: int, size: int = 6000) -> None:
        chance = random.Random(seed)
        makers = [make for weight, make in SURVIVED.values() for _ in range(weight)]
        self.survived = [chance.choice(makers)(chance) for _ in range(size)]
        self.breaking = [chance.choice(BREAKING)(chance) for _ in range(size // 6)]
        self.greetings = [greeting(chance) for _ in range(size // 6)]


# The attack.


@dataclass
class Attack:
    """One thread of it: connection after connection, each with many frames."""

    location: str
    quiver: Quiver
    chance: random.Random
    frames: int = 0
    connections: int = 0

    def go_on(self, is_over: Callable[[], bool]) -> None:
        left_open: deque[socket.socket] = deque()
        while not is_over():
            with contextlib.suppress(OSError):
                left = self._strike()
                if left is not None:
                    left_open.append(left)
            if len(left_open) > 5:
                left_open.popleft().close()
        while left_open:
            left_open.popleft().close()

    def _strike(self) -> socket.socket | None:
        chance, quiver = self.chance, self.quiver
        volley = [chance.choice(quiver.greetings)]
        volley += chance.choices(quiver.survived, k=chance.choice((0, 5, 40, 40, 80, 160)))
        volley.append(chance.choice(quiver.breaking))
        self.connections += 1
        sock = dial(self.location)
        try:
            sock.settimeout(None)  # with one, Python would wait before each recv()
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                set_timeout(sock, option, PATIENCE_S)
            self._send(sock, b"".join(volley))
            self.frames += len(volley)
            match chance.randrange(20):
                case 0:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                case 1:
                    return sock  # in mid-message, for a while
                case 2:
                    pass
                case _:
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(1 << 16):
                        pass
        except BaseException:
            sock.close()
            raise
        sock.close()
        return None

    def _send(self, sock: socket.socket, data: bytes) -> None:
        chance = self.chance
        if sock.family == socket.AF_UNIX and not chance.randrange(30):
            with open(os.devnull) as file:  # a descriptor that nobody has announced
                rights = array.array("i", [file.fileno()] * chance.choice((1, 3, 12)))
                sock.sendmsg([data[:100]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                data = data[100:]
        at = 0
        while at < len(data):  # while answers are taken, or both would wait for each other
            end = at + chance.choice((7, 1000, 30_000, 30_000))
            sock.sendall(data[at:end])
            at = end
            with contextlib.suppress(BlockingIOError):
                while sock.recv(1 << 16, socket.MSG_DONTWAIT):
                    pass


class Watch:
    """The well-behaved client: its answers have to be right, and to come in time."""

    def __init__(self, location: str) -> None:
        self.uri = f"PYRO:it@{location}"
        self.calls = 0
        self.slowest_s = 0.0
        self.failure: BaseException | None = None

    def go_on(self, is_over: Callable[[], bool]) -> None:
        chance, apart = random.Random(0), Settings(connect_timeout_s=IN_TIME_S)
        try:
            with Proxy(self.uri, insecure=True) as proxy:
                while not is_over():
                    self._use(proxy, chance)
                    with Proxy(self.uri, insecure=True, settings=apart) as newcomer:
                        self._use(newcomer, chance)
        except BaseException as error:
            self.failure = error

    def _use(self, proxy: Any, chance: random.Random) -> None:
        number = chance.randrange(1000)
        for ask, answer in (
            (lambda: proxy.add(number), number + 1),
            (lambda: proxy.echo([number, {"a": (1, 2)}]), [number, {"a": (1, 2)}]),
            (lambda: proxy.echo(b"x" * 20_000), b"x" * 20_000),
            (lambda: proxy.think(number), number),
            (lambda: list(proxy.numbers(3)), [0, 1, 2]),
            (lambda: batched_by(proxy, number), [number + 1, None]),
        ):
            started = time.perf_counter()
            seen = ask()
            took_s = time.perf_counter() - started
            self.slowest_s = max(self.slowest_s, took_s)
            self.calls += 1
            if seen != answer:
                raise AssertionError(f"{seen!r} came where {answer!r} was due")
            if took_s > IN_TIME_S:
                raise AssertionError(f"an answer came after {took_s:.2f} s")
            time.sleep(0.001)


def batched_by(proxy: Any, number: int) -> list[Any]:
    calls = batch(proxy)
    calls.add(number)
    calls.null()
    return list(calls())


@dataclass(frozen=True)
class Report:
    """What came of it."""

    frames: int
    connections: int
    seconds: float
    good_calls: int
    slowest_s: float
    before: dict[str, Any]
    after: dict[str, Any]
    complaints: list[str]

    def __str__(self) -> str:
        grown = {
            key: f"{self.before[key]} -> {self.after[key]}" for key in BOUNDS if key in self.after
        }
        return (
            f"{self.frames} frames over {self.connections} connections in {self.seconds:.1f} s: "
            f"{self.frames / self.seconds:.0f} frames/s, "
            f"{self.after.get('calls', 0) - self.before['calls']} calls; "
            f"{self.good_calls} calls of the client "
            f"beside them, the slowest {self.slowest_s * 1000:.0f} ms; {grown}; "
            + ("; ".join(self.complaints) or "no complaint")
        )


def attack(
    *, frames: int | None = None, seconds: float = 3600.0, seed: int = 502, kind: str = "unix"
) -> Report:
    """Start a daemon, throw frames at it, and see whether it has taken harm."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        location = process.stdout.readline().strip()
        if not location:
            raise RuntimeError(process.communicate()[1])
        return _attack(process, location, frames, seconds, seed)
    finally:
        process.kill()
        process.communicate()


def _attack(
    process: subprocess.Popen[str], location: str, frames: int | None, seconds: float, seed: int
) -> Report:
    quiver = Quiver(seed)
    complaints: list[str] = []
    warden = Proxy(f"PYRO:warden@{location}", insecure=True)
    watch = Watch(location)
    attacks = [Attack(location, quiver, random.Random(seed + n)) for n in range(4)]
    _run(attacks, watch, time.monotonic() + min(10.0, seconds / 4), None)  # to warm up
    before = _settled(warden)
    warm, started = sum(each.frames for each in attacks), time.monotonic()
    connections = sum(each.connections for each in attacks)
    _run(attacks, watch, started + seconds, frames and warm + frames)
    took_s = time.monotonic() - started
    if watch.failure is not None:
        complaints.append(f"the client: {type(watch.failure).__name__}: {watch.failure}")
    after: dict[str, Any] = {}
    try:
        after = _settled(warden)
        complaints += after["errors"]
        complaints += [
            f"{key}: {before[key]} before, {after[key]} after"
            for key, most in BOUNDS.items()
            if after[key] - before[key] > most
        ]
    except Exception as error:
        complaints.append(f"the daemon does not say how it is: {error}")
    del warden
    gc.collect()
    complaints += _stop(process)
    return Report(
        sum(each.frames for each in attacks) - warm,
        sum(each.connections for each in attacks) - connections,
        took_s,
        watch.calls,
        watch.slowest_s,
        before,
        after,
        complaints,
    )


def _run(attacks: list[Attack], watch: Watch, until: float, frames: int | None) -> None:
    def is_over() -> bool:
        return (
            time.monotonic() > until
            or watch.failure is not None
            or (frames is not None and sum(each.frames for each in attacks) >= frames)
        )

    over = threading.Event()
    threads = [threading.Thread(target=each.go_on, args=(over.is_set,)) for each in attacks]
    threads.append(threading.Thread(target=watch.go_on, args=(over.is_set,)))
    for thread in threads:
        thread.start()
    try:
        while not is_over():
            time.sleep(0.02)
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _settled(warden: Any) -> dict[str, Any]:
    """Ask how the daemon is, until what the attack has left is gone, or that takes too long."""
    end = time.monotonic() + 8.0
    state: dict[str, Any] = warden.state()
    while time.monotonic() < end and (state["connections"] > 2 or state["threads"] > 24):
        time.sleep(0.05)
        state = warden.state()
    return state


def _stop(process: subprocess.Popen[str]) -> list[str]:
    try:
        output, errors = process.communicate("", timeout=10)
    except subprocess.TimeoutExpired:
        return ["the daemon does not end"]
    if process.returncode:
        return [f"the daemon ended with {process.returncode}: {errors[-2000:]}"]
    left = json.loads(output.splitlines()[-1])
    complaints = [f"it ended with the threads {left['threads']}"] if left["threads"] else []
    return complaints + [f"it said: {errors[-2000:]}"] * bool(errors)


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=502)
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return 0
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="ro-") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        kind = "tcp" if given.tcp else "unix"
        report = attack(frames=given.frames, seconds=given.seconds, seed=given.seed, kind=kind)
    print(report)
    return bool(report.complaints)


if __name__ == "__main__":
    sys.exit(main())
