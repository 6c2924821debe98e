"""Random weather: daemons die and come back, processes fork, frames come in any order and pace."""

from __future__ import annotations

import os
import random
import select
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from raw_peers import PATIENCE_S, RawCaller, batch_of, call
from servants import StartScript

from remoteobj import ConnectionLost, Daemon, Identity, Proxy, Settings, expose, oneway
from remoteobj.codec.calls import decode_error, decode_reply, decode_results
from remoteobj.wire import Flag
from tests.certificates import Files
from tests.conftest import eventually

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")


class Echo:
    @expose
    def echo(self, value: Any) -> Any:
        return value


# What a caller is told of its calls, while the daemon dies again and again.

REGISTER = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")
from remoteobj import Daemon, expose
class Register:
    @expose
    def enter(self, number):
        os.write(book, b"%d\\n" % number)
        return number
    @expose
    def enter_slowly(self, number):
        os.write(book, b"%d\\n" % number)
        time.sleep(0.01)
        return number
book = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
daemon = Daemon("127.0.0.1", int(sys.argv[1]), insecure=True)
daemon.register(Register(), "it")
signal.signal(signal.SIGTERM, lambda *_: daemon.close())
print(daemon.port, flush=True)
daemon.serve_forever()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "closed"])
def test_what_is_said_of_a_call_is_true_while_daemons_come_and_go(
    start_script: StartScript, own_machine: Path, how: signal.Signals
) -> None:
    """Answered: it ran once. "no": it did not run. "maybe": at most once."""
    book, numbers, stop = own_machine / "book", iter(range(10**9)), threading.Event()
    said: dict[int, str] = {}

    def start(port: int) -> tuple[Any, int]:
        process = start_script("-c", REGISTER, str(port), str(book))
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    process, port = start(0)
    proxy: Any = Proxy(
        f"PYRO:it@127.0.0.1:{port}", insecure=True, settings=Settings(connect_timeout_s=5.0)
    )

    def work(slowly: bool) -> None:
        while not stop.is_set():
            number = next(numbers)
            try:
                answer = proxy.enter_slowly(number) if slowly else proxy.enter(number)
                said[number] = "answered" if answer == number else f"wrong: {answer}"
            except ConnectionLost as error:
                said[number] = error.executed
                stop.wait(0.002)
            except BaseException as error:
                said[number] = repr(error)

    threads = [threading.Thread(target=work, args=(number % 2 == 0,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            before = sum(word == "answered" for word in list(said.values()))
            eventually(
                lambda before=before: list(said.values()).count("answered") > before + 50, "calls"
            )
            process.send_signal(how)
            process.wait()
            process, port = start(port)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        process.kill()
    with proxy:
        pass
    ran = Counter(map(int, book.read_text().split()))
    allowed = {"answered": {1}, "no": {0}, "maybe": {0, 1}}
    wrong = {
        number: (word, ran[number])
        for number, word in said.items()
        if ran[number] not in allowed.get(word, ())
    }
    assert not wrong
    assert set(ran) <= set(said)
    assert {"answered", "no"} <= set(said.values())


# Ctrl-C at any moment.

INTERRUPTED = """
import random, signal, sys, time, warnings
warnings.simplefilter("ignore")
from remoteobj import Proxy, options
chance, proxy = random.Random(3), Proxy(sys.argv[1], insecure=True)
calls = (
    lambda n: proxy.echo(n) == n,
    lambda n: proxy.echo((n, [n])) == (n, [n]),
    lambda n: options(proxy, timeout_s=5.0).echo(value=n) == n,
    lambda n: proxy.echo([n, bytes(100_000)]) == [n, bytes(100_000)],
)
def interrupt(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
number = interrupted = 0
while interrupted < 300:
    number += 1
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.choice((1e-5, 3e-5, 1e-4, 3e-4, 1e-3)))
        assert calls[number % 4](number), number
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupted += 1
print("every answer was right", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize("kind", ["daemon", "tcp_daemon"])
def test_a_storm_of_ctrl_c_gives_no_wrong_answer(
    request: pytest.FixtureRequest, kind: str, start_script: StartScript
) -> None:
    daemon: Daemon = request.getfixturevalue(kind)
    process = start_script("-c", INTERRUPTED, str(daemon.register(Echo(), "it")))
    output, errors = process.communicate(timeout=30)
    assert output == "every answer was right\n", errors
    eventually(lambda: daemon.statistics().connections == 0, "it has gone")


# Forks.

FORKING = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from remoteobj import Proxy
proxy = Proxy(sys.argv[1], insecure=True)
stop, failures = threading.Event(), []
def use():
    number = 0
    while not stop.is_set():
        number += 1
        if proxy.echo(number) != number or proxy.echo([number] * 3000) != [number] * 3000:
            failures.append(number)
threads = [threading.Thread(target=use) for _ in range(4)]
for thread in threads:
    thread.start()
ended = []
for turn in range(12):
    child = os.fork()
    if not child:
        right = all(proxy.echo((turn, n)) == (turn, n) for n in range(20))
        os._exit(0 if right else 1)
    ended.append(os.waitpid(child, 0)[1])
stop.set()
for thread in threads:
    thread.join()
print(set(ended), failures, proxy.echo("still there"), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("kind", ["daemon", "tcp_daemon"])
def test_forks_while_other_threads_call(
    request: pytest.FixtureRequest, kind: str, start_script: StartScript
) -> None:
    daemon: Daemon = request.getfixturevalue(kind)
    process = start_script("-c", FORKING, str(daemon.register(Echo(), "it")))
    output, errors = process.communicate(timeout=30)
    assert output == "{0} [] still there\n", errors
    eventually(lambda: daemon.statistics().connections == 0, "all have gone")


FORKING_AMID_IMPORTS = """
import os, queue, signal, sys, threading, warnings
warnings.simplefilter("ignore")
from remoteobj import Identity, Proxy
uri, files = sys.argv[1], sys.argv[2:]
identity = Identity.from_files(*files) if files else None
def make():
    return Proxy(uri, identity=identity, insecure=identity is None)
imports, proxy, values = queue.Queue(), make(), (7, bytes(2_000_000))
class Finder:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            go_on = threading.Event()
            imports.put((name, go_on))
            go_on.wait(0.3)  # if the fork waits for the import, the import does not wait for it
def use():
    for value in values:
        assert proxy.echo(value) == value
    imports.put((None, None))
sys.meta_path.insert(0, Finder())
thread = threading.Thread(target=use)
thread.start()
stuck = set()
while True:
    name, go_on = imports.get()
    if name is None:
        break
    child = os.fork()
    if not child:
        signal.alarm(3)
        os._exit(0 if all(make().echo(value) == value for value in values) else 1)
    if os.waitpid(child, 0)[1]:
        stuck.add(name)
    go_on.set()
thread.join()
print(sorted(stuck), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("kind", ["unix", "tcp", "tls"])
def test_forks_while_another_thread_imports_what_its_first_call_needs(
    kind: str, cluster: dict[str, Files], start_script: StartScript
) -> None:
    files = cluster["master"] if kind == "tls" else ()
    made = (
        Daemon()
        if kind == "unix"
        else Daemon(
            "127.0.0.1",
            identity=Identity.from_files(*files) if files else None,
            insecure=not files,
        )
    )
    with made as daemon:
        daemon.start()
        process = start_script(
            "-c", FORKING_AMID_IMPORTS, str(daemon.register(Echo(), "it")), *map(str, files)
        )
        output, errors = process.communicate(timeout=60)
    assert output == "[]\n", errors


# Frames in any order and pace.


class Bench:
    """Answers at once, later, or never; each answer says to which call it belongs."""

    def __init__(self) -> None:
        self.orders: list[tuple[Future[Any], int]] = []
        self.told: list[int] = []

    @expose
    def echo(self, number: int, size: int = 0) -> Any:
        return [number, "x" * size]

    @expose
    def data(self, number: int, size: int) -> Any:
        return [number, bytes(size)]

    @expose
    def fail(self, number: int) -> None:
        raise LookupError(number)

    @expose
    def order(self, number: int) -> Future[Any]:
        future: Future[Any] = Future()
        self.orders.append((future, number))
        return future

    @expose
    async def think(self, number: int) -> Any:
        return [number, "thought"]

    @expose
    @oneway
    def tell(self, number: int) -> None:
        self.told.append(number)


def frames_of(chance: random.Random, count: int) -> Iterator[tuple[bytes, Any]]:
    """Make calls, each with what has to come back; None where nothing does."""
    for sequence in range(1, count + 1):
        size = chance.choice((0, 0, 0, 10, 5000, 70_000))
        match chance.randrange(8):
            case 0 | 1 | 2:
                yield call("echo", sequence, size, sequence=sequence), [sequence, "x" * size]
            case 3:
                yield call("data", sequence, size, sequence=sequence), [sequence, bytes(size)]
            case 4:
                yield call("fail", sequence, sequence=sequence), LookupError
            case 5:
                yield call("order", sequence, sequence=sequence), [sequence, "order"]
            case 6:
                yield call("tell", sequence, sequence=sequence, flags=Flag.ONEWAY), None
            case _:
                made = [("echo", (sequence,)), ("think", (sequence,)), ("order", (sequence,))]
                results = [[sequence, ""], [sequence, "thought"], [sequence, "order"]]
                yield batch_of(*made, sequence=sequence), results


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["daemon", "tcp_daemon"])
def test_every_answer_finds_its_call_in_any_weather(
    request: pytest.FixtureRequest, kind: str, seed: int
) -> None:
    chance, bench = random.Random(seed), Bench()
    daemon: Daemon = request.getfixturevalue(kind)
    daemon.register(bench, "it")
    made = list(frames_of(chance, 250))
    expected = {n: answer for n, (_, answer) in enumerate(made, 1) if answer is not None}
    stop = threading.Event()

    def complete() -> None:
        while not stop.wait(0.001):
            orders, bench.orders = bench.orders, []
            for future, number in orders:
                future.set_result([number, "order"])

    completer = threading.Thread(target=complete)
    completer.start()
    try:
        with RawCaller(daemon) as raw:
            seen = talk(raw, chance, b"".join(frame for frame, _ in made), set(expected))
    finally:
        stop.set()
        completer.join()
    assert {n: answer for n, answer in seen.items() if expected[n] is not LookupError} == {
        n: answer for n, answer in expected.items() if answer is not LookupError
    }
    assert all(isinstance(seen[n], LookupError) for n in seen if expected[n] is LookupError)
    told = [n for n, (_, answer) in enumerate(made, 1) if answer is None]
    eventually(lambda: sorted(bench.told) == told, "what nobody waits for")


def talk(raw: RawCaller, chance: random.Random, data: bytes, due: set[int]) -> dict[int, Any]:
    """Send all of it in pieces of any size, and read as it comes, now more and now less."""
    seen: dict[int, Any] = {}
    at = 0
    while due - set(seen):
        wanted = [raw.sock] if at < len(data) else []
        readable, writable, _ = select.select([raw.sock], wanted, [], PATIENCE_S)
        assert readable or writable, f"nothing comes; {len(seen)} of {len(due)} have"
        if writable:
            at += raw.sock.send(data[at : at + chance.choice((1, 7, 40, 41, 500, 5000, 90_000))])
        if readable and (not writable or not chance.randrange(4)):
            raw.skim_some(chance.choice((1, 100, 3000, 1 << 20)))
            for reply in raw.messages():
                assert reply.sequence in due
                assert reply.sequence not in seen
                seen[reply.sequence] = value_of(reply)
    return seen


def value_of(reply: Any) -> Any:
    if reply.flags & Flag.EXCEPTION:
        return decode_error(reply.payload)
    if reply.flags & Flag.BATCH:
        values, error = decode_results(reply.payload, reply.buffers)
        assert error is None
        return values
    return decode_reply(reply.payload, reply.buffers)
