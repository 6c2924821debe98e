"""Pyro5's own tools and clients at our name server, and ours at Pyro5's, in processes of their own.

What they say at Pyro5's own server is what they have to say at ours.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nameserver import (
    BadName,
    NameServer,
    NameServerClient,
    NameTaken,
    NameUnknown,
    NamingError,
)
from remoteobj import Daemon, Proxy, expose
from tests.conftest import StartScript

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

HERE = "PYRO:x@127.0.0.1:4711"

StartStock = Callable[..., str]


@pytest.fixture
def start_stock(own_machine: Path) -> Iterator[StartStock]:
    """Start Pyro5's own name server, the program that it comes with."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> str:
        process = subprocess.Popen(
            [tool("pyro5-ns"), "-n", "127.0.0.1", "-p", "0", "-x", *options],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        started.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("URI = "):
                return line.strip().rpartition("@")[2]
        raise AssertionError("pyro5-ns did not start")

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def stock(start_stock: StartStock) -> str:
    return start_stock()


def tool(name: str) -> str:
    """Return the path of a program that was installed together with this Python."""
    return str(Path(sys.executable).with_name(name))


# pyro5-nsc.

COMMANDS = [
    ["ping"],
    ["register", "lab.bell", HERE],
    ["register", "lab.clock", "PYRO:y@./u:/run/y.sock"],
    ["register", "lab.bell", "PYRO:z@127.0.0.1:1"],
    ["register", "lab.bad", "nonsense"],
    ["lookup", "lab.bell"],
    ["lookup", "lab.nothing"],
    ["setmeta", "lab.bell", "loud"],
    ["setmeta", "lab.clock", "loud", "round"],
    ["setmeta", "lab.nothing", "loud"],
    ["lookup", "lab.bell"],
    ["list", "lab."],
    ["list", "shop."],
    ["listmatching", r"lab\.c.*"],
    ["listmatching", "("],
    ["yplookup_all", "loud"],
    ["yplookup_all", "loud", "round"],
    ["yplookup_all", "loud", "square"],
    ["yplookup_any", "square", "round"],
    ["setmeta", "lab.bell"],
    ["yplookup_any", "loud"],
    ["remove", "lab.bell"],
    ["remove", "lab.bell"],
    ["remove", "Pyro.NameServer"],
    ["removematching", r"lab\..*"],
    ["list", "lab."],
]


NSC = """
import contextlib, io, json, sys
import Pyro5.nsc
answers = []
for command in json.load(sys.stdin):
    said, code = io.StringIO(), 0
    sys.stdin = io.StringIO("y\\n")
    with contextlib.redirect_stdout(said):
        try:
            Pyro5.nsc.main(["-n", sys.argv[1], "-p", sys.argv[2], *command])
        except Exception:
            code = 1
    answers.append((code, said.getvalue()))
print(json.dumps(answers))
"""


def said_by_nsc(address: str) -> dict[tuple[str, ...], list[tuple[int, str]]]:
    """Do all commands, one after another; return what is said, as far as it can be the same."""
    done = subprocess.run(
        [sys.executable, "-c", NSC, *address.rsplit(":", 1)],
        input=json.dumps(COMMANDS),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    for command, (code, text) in zip(COMMANDS, json.loads(done.stdout), strict=True):
        # The words of an error are each server's own, and a set has no order.
        said = re.sub(r"(Error: \w+) - .*", r"\1", text)
        said = re.sub(r"\{.*\}", lambda tags: str(sorted(tags[0])), said)
        found.setdefault(tuple(command), []).append((code, said))
    return found


def test_pyro5_nsc_says_the_same_at_both_servers(server: NameServer, stock: str) -> None:
    ours, theirs = said_by_nsc(server.address), said_by_nsc(stock)
    # A text that is no URI is an error of its own with us, and no PyroError.
    assert ours.pop(("register", "lab.bad", "nonsense")) == [(1, "Error: ValueError\n")]
    assert theirs.pop(("register", "lab.bad", "nonsense")) == [(1, "Error: PyroError\n")]
    assert ours == theirs
    assert ours["lookup", "lab.nothing"] == [(1, "Error: NamingError\n")]
    assert ours["list", "lab."][0][1].count("-->") == 2
    assert ours["list", "lab."][1][1].count("-->") == 0
    assert "1 items removed." in ours["removematching", r"lab\..*"][0][1]


def test_the_program_pyro5_nsc_works_at_our_server(server: NameServer) -> None:
    host, port = server.address.rsplit(":", 1)

    def nsc(*command: str) -> str:
        return subprocess.check_output(
            [tool("pyro5-nsc"), "-n", host, "-p", port, *command], text=True, timeout=20
        )

    assert nsc("register", "lab.bell", HERE) == "Registered lab.bell\n"
    assert nsc("setmeta", "lab.bell", "loud") == "Metadata updated\n"
    assert nsc("lookup", "lab.bell") == f"{HERE}\nmetadata: {{'loud'}}\n"
    assert f"\nlab.bell --> {HERE}\n    metadata: {{'loud'}}\n" in nsc("list")
    assert f"Pyro.NameServer --> PYRO:Pyro.NameServer@{server.address}\n" in nsc("list")
    assert f"lab.bell --> {HERE}" in nsc("yplookup_all", "loud")
    assert f"lab.bell --> {HERE}" in nsc("yplookup_any", "loud", "soft")
    assert nsc("remove", "lab.bell") == "Removed lab.bell\n"


# locate_ns, and the methods of what it returns.

CLIENT = """
import json, sys
import Pyro5.api, Pyro5.core, Pyro5.errors
from Pyro5.api import URI
ns = Pyro5.api.locate_ns(sys.argv[1], int(sys.argv[2]))
lines = []
def plain(value):
    if isinstance(value, (set, frozenset, tuple, list)):
        values = [plain(each) for each in value]
        if isinstance(value, (set, frozenset)):
            values.sort(key=repr)
        return [type(value).__name__, *values]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if name != "Pyro.NameServer"}
    return [type(value).__name__, str(value)] if isinstance(value, URI) else value
for code in json.loads(sys.stdin.read()):
    try:
        lines.append(plain(eval(code)))
    except Exception as error:
        lines.append(["raised", type(error).__module__ + "." + type(error).__name__])
print(json.dumps(lines))
"""

CALLS = [
    "ns.ping()",
    "ns.register('lab.bell', 'PYRO:x@127.0.0.1:1')",
    "ns.register('lab.clock', URI('PYRO:y@127.0.0.1:1'), metadata=['round', 'loud'])",
    "ns.register('lab.door', 'PYRO:z@./u:/run/z.sock', False, {'loud'})",
    "ns.register('lab.bell', 'PYRO:x@127.0.0.1:2')",
    "ns.register('lab.bell', 'PYRO:x@127.0.0.1:3', safe=True)",
    "ns.register('lab.bell', 'PYRO:x@127.0.0.1:2', safe=True)",
    "ns.lookup('lab.bell')",
    "ns.lookup('lab.bell', return_metadata=True)",
    "ns.lookup('lab.clock', True)",
    "ns.lookup('lab.nothing')",
    "ns.lookup('lab.nothing', return_metadata=True)",
    "ns.count()",
    "ns.list()",
    "ns.list(prefix='lab.')",
    "ns.list('lab.c')",
    "ns.list(prefix='shop.')",
    "ns.list(regex='.*o.*')",
    "ns.list(regex='o')",
    "ns.list(regex='(')",
    "ns.list(prefix='lab', regex='lab')",
    "ns.list(return_metadata=True)",
    "ns.list(prefix='lab.d', return_metadata=True)",
    "ns.set_metadata('lab.bell', {'loud'})",
    "ns.set_metadata('lab.bell', ['loud', 'loud'])",
    "ns.set_metadata('lab.nothing', {'loud'})",
    "ns.lookup('lab.bell', True)",
    "ns.yplookup(meta_all={'loud'})",
    "ns.yplookup(meta_all=['loud', 'round'])",
    "ns.yplookup(meta_all=('loud', 'square'))",
    "ns.yplookup(meta_any=['square', 'round'])",
    "ns.yplookup(meta_any={'loud'}, return_metadata=False)",
    "ns.yplookup(meta_all={'loud'}, meta_any={'loud'})",
    "ns.yplookup(meta_all='loud')",
    "ns.yplookup(meta_any='loud')",
    "ns.yplookup()",
    "ns.set_metadata('lab.bell', None)",
    "ns.lookup('lab.bell', True)",
    "ns.remove('lab.nothing')",
    "ns.remove('Pyro.NameServer')",
    "ns.remove(prefix='Pyro')",
    "ns.remove()",
    "ns.remove('lab.bell')",
    "ns.remove(regex='.*clock')",
    "ns.remove(prefix='lab.')",
    "ns.count()",
    "(lambda calls: [calls.ping(), calls.count(), list(calls())])(Pyro5.api.BatchProxy(ns))",
    "sorted(ns._pyroMethods & {'count', 'list', 'lookup', 'ping', 'register', 'yplookup'})",
    "ns.nonsense()",
]


def test_a_stock_client_sees_the_same_at_both_servers(server: NameServer, stock: str) -> None:
    ours, theirs = (answers(at, CALLS) for at in (server.address, stock))
    assert dict(zip(CALLS, ours, strict=True)) == dict(zip(CALLS, theirs, strict=True))
    ours_of = dict(zip(CALLS, ours, strict=True))
    assert ours_of["ns.lookup('lab.nothing')"] == ["raised", "Pyro5.errors.NamingError"]


def answers(address: str, calls: list[str]) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, *address.rsplit(":", 1)],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


STOCK_DAEMON = """
import sys
import Pyro5.api
@Pyro5.api.expose
class Bell:
    def ring(self):
        return "ding"
Pyro5.config.NS_HOST, Pyro5.config.NS_PORT = sys.argv[1], int(sys.argv[2])
daemon = Pyro5.api.Daemon(host="127.0.0.1")
with Pyro5.api.locate_ns() as ns:
    ns.register("lab.stock", daemon.register(Bell), metadata={"loud"})
print("registered", flush=True)
daemon.requestLoop()
"""

STOCK_CALLER = """
import sys
import Pyro5.api
Pyro5.config.NS_HOST, Pyro5.config.NS_PORT = sys.argv[1], int(sys.argv[2])
for uri in sys.argv[3:]:
    with Pyro5.api.Proxy(uri) as bell:
        print(bell.ring())
"""


@expose
class Bell:
    def ring(self) -> str:
        return "dong"


def test_objects_of_stock_peers_and_ours_find_each_other(
    server: NameServer, client: NameServerClient, start_script: StartScript
) -> None:
    host, port = server.address.rsplit(":", 1)
    stock = start_script("-c", STOCK_DAEMON, host, port)
    assert stock.stdout is not None
    assert stock.stdout.readline() == "registered\n"
    assert client.lookup("lab.stock").metadata == {"loud"}
    with Daemon("127.0.0.1", insecure=True) as daemon:
        daemon.start()
        client.register("lab.ours", daemon.register(Bell(), "bell"), metadata={"soft"})
        uris = ["PYRONAME:lab.stock", "PYRONAME:lab.ours", "PYROMETA:loud", "PYROMETA:soft"]
        uris.append(f"PYRONAME:lab.ours@{server.address}")
        caller = start_script("-c", STOCK_CALLER, host, port, *uris)
        rung, errors = caller.communicate(timeout=20)
        assert errors == ""
        assert rung.split() == ["ding", "dong", "ding", "dong", "dong"]
        with Proxy(client.lookup("lab.stock").uri, insecure=True) as bell:
            assert bell.ring() == "ding"


# Our server, where Pyro5's would let everything pass.


def test_nobody_takes_the_server_s_own_name(server: NameServer, client: NameServerClient) -> None:
    own = f"PYRO:Pyro.NameServer@{server.address}"
    refused = [
        f"ns.register('Pyro.NameServer', '{HERE}')",
        "ns.set_metadata('Pyro.NameServer', {'cluster:mine'})",
        f"ns.register('Pyro.Other', '{HERE}')",
    ]
    assert answers(server.address, refused) == [["raised", "Pyro5.errors.NamingError"]] * 3
    for lease_s in (None, 1.0):
        with pytest.raises(BadName, match="the name server itself: choose another"):
            client.register("Pyro.NameServer", HERE, lease_s=lease_s, replace=True)
    with pytest.raises(BadName, match="the name server itself"):
        client.set_metadata("Pyro.NameServer", {"cluster:mine"})
    assert [str(record.uri) for record in client.list()] == [own]


# Our client at Pyro5's own server.


def test_our_client_at_pyro5_s_server(stock: str) -> None:
    with NameServerClient(stock, insecure=True, quiet=True) as client:
        client.ping()
        assert client.instance() == ""
        client.register("lab.bell", HERE, metadata={"loud"})
        with pytest.raises(NameTaken, match=r"'lab\.bell' is taken"):
            client.register("lab.bell", "PYRO:y@127.0.0.1:1")
        client.register("lab.bell", "PYRO:y@127.0.0.1:1", replace=True, metadata={"soft"})
        record = client.lookup("lab.bell")
        assert (str(record.uri), record.metadata) == ("PYRO:y@127.0.0.1:1", {"soft"})
        assert (record.lease_s, record.since, record.hosts) == (None, None, ())
        client.set_metadata("lab.bell", {"loud", "round"})
        assert client.lookup("lab.bell").metadata == {"loud", "round"}
        client.register("lab.clock", HERE, lease_s=None)
        assert [each.name for each in client.list("lab.")] == ["lab.bell", "lab.clock"]
        assert {each.name for each in client.list()} > {"lab.bell", "lab.clock"}
        for ask in (client.lookup, lambda name: client.set_metadata(name, {"loud"})):
            with pytest.raises(NameUnknown, match=r"'lab\.nothing'"):
                ask("lab.nothing")
        with pytest.raises(NamingError, match="Pyro5's own, which does not know replaces=: use re"):
            client.register("lab.bell", HERE, replaces=HERE)
        assert client.remove("lab.bell")
        assert not client.remove("lab.bell")
        assert not client.remove("Pyro.NameServer")


def test_names_that_only_pyro5_s_server_takes_are_listed(stock: str) -> None:
    odd = ["ns.register('two words', 'PYRO:x@h:1')", "ns.register('n', 'PYRONAME:other')"]
    assert answers(stock, odd) == [None, None]
    with NameServerClient(stock, insecure=True, quiet=True) as client, client.watch() as watch:
        names = {record.name for record in client.list()}
        assert names == {"Pyro.NameServer", "n", "two words"}
        assert {next(watch).name for _ in names} == names
        assert str(client.lookup("n").uri) == "PYRONAME:other"


def test_a_prefix_is_a_prefix_whatever_pyro5_s_database_takes_it_for(
    start_stock: StartStock, tmp_path: Path
) -> None:
    stock = start_stock("-s", f"sql:{tmp_path / 'stock.db'}")
    with NameServerClient(stock, insecure=True, quiet=True) as client:
        for name in ("lab_a", "labXa", "LAB_a", "lab_b"):
            client.register(name, HERE)
        assert [record.name for record in client.list("lab_")] == ["lab_a", "lab_b"]
