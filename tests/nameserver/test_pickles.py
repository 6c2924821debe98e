"""Wherever the name server, its clients and pairing take bytes, a pickle is loaded nowhere.

Sent: as every argument of every method; as records, metadata and news; in announcements. Read from
the disk: records of this machine, the file of names, what was remembered, what is stored of a
cluster.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zeroconf

from nameserver import Directory, NameServer, NameServerClient, SqliteStorage, discovery, locate
from nameserver.discovery import mdns
from nameserver.pairing.presence import AUTHORITY
from nameserver.record import NAME_SERVER
from nameserver.remembered import Memory
from remoteobj import Daemon, Identity, Proxy, RemoteObjError, expose
from remoteobj.identity.office import Office, found_cluster
from remoteobj.identity.sealing import unseal
from remoteobj.identity.secret import Secret
from remoteobj.identity.store import Store
from tests.bombs import Bomb
from tests.conftest import eventually
from tests.nameserver.test_storage_sqlite import fill

HERE = "PYRO:x@127.0.0.1:4711"


def values(bomb: Bomb) -> list[Any]:
    """Return what is given as an argument."""
    found: list[Any] = []
    for data, text in zip(bomb.forms().values(), bomb.texts().values(), strict=True):
        found += [data, text, [data], [text], (text, data), {text: data}, {text}]
    return found


def call_all(proxy: Proxy, methods: list[str], bomb: Bomb) -> None:
    """Call each method with it in each place, among arguments that are right."""
    for method in methods:
        for value in values(bomb):
            for args in ((value,), (value,) * 2, ("a", value), ("a", HERE, value),
                         ("a", HERE, [], value), ("a", HERE, [], None, False, value),
                         ("a", HERE, [], None, False, None, value),
                         ("", value, 0, 0.0, "w"), ("", "", value, 0.0, "w"),
                         ("", "", 0, 0.0, value),
                         (value,) * 7):  # fmt: skip
                with contextlib.suppress(Exception):
                    proxy._channel.call(method, args, {}, 5.0)


def test_no_argument_of_a_name_servers_methods(bomb: Bomb) -> None:
    found_cluster("lab", name="hall", now=time.time())
    identity = Identity.stored("lab")
    with NameServer("127.0.0.1", identity=identity, announce=False, join_port=0) as server:
        for object_id in (NAME_SERVER, AUTHORITY, "Pyro.Daemon"):
            with Proxy(f"PYRO:{object_id}@{server.address}", identity=identity) as proxy:
                methods = [name for name in dir(proxy) if name != "close_code"]
                assert len(methods) > 5
                call_all(proxy, methods, bomb)
        with locate(server.address, identity=identity) as client:
            for text in bomb.texts().values():
                with contextlib.suppress(RemoteObjError):
                    client.register("lab.a", HERE, metadata={text}, replace=True, lease_s=None)
            client.register("lab.a", HERE, metadata={"right"}, replace=True, lease_s=None)
            assert client.lookup("lab.a").metadata == {"right"}
            assert client.list("lab.")


class Liar:
    """A name server whose every answer is a pickle, or has one in it."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.answered = 0


def _answer(name: str) -> Any:
    def answer(self: Liar, *_: Any) -> Any:
        self.answered += 1
        return self.answer

    answer.__name__ = name
    return expose(answer)


for _name in ("ping", "find", "list", "lookup", "records", "instance", "about", "put", "register",
              "renew", "release", "watch", "unwatch", "remove", "set_metadata", "speak",
              "revocations"):  # fmt: skip
    setattr(Liar, _name, _answer(_name))


def answers(bomb: Bomb) -> Iterator[Any]:
    for data, text in zip(bomb.forms().values(), bomb.texts().values(), strict=True):
        record = [text, HERE, [text], None, None, [text], text, text, text, data]
        plain = ["lab.a", HERE, [data], data, data, [data], data, data, data, data]
        yield from (data, text, [data], [record], [plain], {"lab.a": (HERE, {text})})
        yield from ((HERE, {text}), {text: text, "release": data})
        for news in ([[data, 1, plain]], [["registered", data, plain]], [data], data):
            yield {"instance": data, "number": 1, "changes": news}
            yield {"instance": "x", "number": data, "records": [plain, record]}


def test_no_answer_of_a_name_server(bomb: Bomb) -> None:
    liar = Liar()
    with Daemon() as daemon:
        where = daemon.register(liar, NAME_SERVER).location or ""
        daemon.start()
        for answer in answers(bomb):
            liar.answer = answer
            with closing(NameServerClient(where)) as client:
                for ask in (
                    client.ping,
                    client.instance,
                    client.about,
                    client.list,
                    lambda client=client: client.lookup("lab.a"),
                    lambda client=client: client.remove("lab.a"),
                    lambda client=client: client.register("lab.a", HERE, lease_s=None),
                    lambda client=client: client.set_metadata("lab.a", {"x"}),
                    lambda client=client: client.changes("", None, 0.0, "w"),
                    lambda client=client: client._call("revocations"),
                ):
                    with contextlib.suppress(Exception):
                        ask()
                with contextlib.suppress(Exception), client.watch(patience_s=0.0) as events:
                    next(events)
        assert liar.answered > 500


@pytest.mark.usefixtures("own_network")
def test_no_announcement(bomb: Bomb) -> None:
    seen: list[discovery.Sighting] = []
    with closing(zeroconf.Zeroconf(["127.0.0.1"])) as stranger:
        for number, data in enumerate(bomb.forms().values()):
            said = dict.fromkeys(("v", "id", "transport", "cluster", "x"), data[:250])
            said[data[:60].hex()] = data[:120]
            name = f"liar{number}.{mdns.SERVICE_TYPE}"
            stranger.register_service(
                zeroconf.ServiceInfo(
                    mdns.SERVICE_TYPE, name, port=9, parsed_addresses=["127.0.0.1"], properties=said
                ),
                cooperating_responders=True,
            )
        with closing(discovery.browse(seen.append, print)):
            eventually(lambda: len(seen) >= len(bomb.forms()), "all of them are seen")
        with contextlib.suppress(RemoteObjError):
            locate(timeout_s=0.5, insecure=True)
        stranger.unregister_all_services()


# From the disk.


def test_no_record_of_this_machine_and_nothing_remembered(bomb: Bomb, own_machine: Path) -> None:
    with Directory() as directory, Directory() as other:
        for number, data in enumerate(bomb.forms().values()):
            directory.register(f"bad{number}", HERE)
            (own_machine / f"remoteobj/names/bad{number}.json").write_bytes(data)
        assert other.list() == ()
    memory = own_machine / "remoteobj/located"
    memory.mkdir(mode=0o700)
    for data in bomb.forms().values():
        (memory / "tls-lab").write_bytes(data)
        assert Memory("tls", "lab").recall() is None


def test_no_file_of_names(bomb: Bomb, tmp_path: Path) -> None:
    path = tmp_path / "names.db"
    for data in bomb.forms().values():
        path.write_bytes(data)
        with contextlib.suppress(RemoteObjError), closing(SqliteStorage(path)) as storage:
            storage.load()
        for each in tmp_path.glob("names.db*"):
            each.unlink()
        fill(path, 3).close()
        with closing(sqlite3.connect(path)) as database:
            columns = [row[1] for row in database.execute("PRAGMA table_info(names)")]
            sets = ", ".join(f"{column} = :data" for column in columns if column != "name")
            where = "WHERE name = 'lab.camera2'"
            assert database.execute(f"UPDATE names SET {sets} {where}", {"data": data}).rowcount
            database.execute(f"UPDATE names SET name = :data {where}", {"data": data})
            database.commit()
        with contextlib.suppress(RemoteObjError), closing(SqliteStorage(path)) as storage:
            storage.load()
        for each in tmp_path.glob("names.db*"):
            each.unlink()


def test_no_file_of_a_cluster(bomb: Bomb) -> None:
    found_cluster("lab", name="hall", now=time.time())
    store = Store.of("lab")
    names = [path.name for path in store.directory.iterdir() if path.is_file()]
    assert {"ca.pem", "ca.key", "members.json"} <= set(names)
    for name in {*names, "revoked.pem", "invitations.json"}:
        path = store.directory / name
        before = path.read_bytes() if path.exists() else None
        for data in bomb.forms().values():
            path.write_bytes(data)
            path.chmod(0o600)
            for read in (
                store.prove,
                store.members,
                store.revoked,
                store.authority,
                lambda: Identity.stored("lab"),
                lambda: Office(store).members(),
                lambda: NameServer("127.0.0.1", announce=False).close(),
            ):
                with contextlib.suppress(RemoteObjError, ValueError):
                    read()
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)


def test_no_backup(bomb: Bomb) -> None:
    for data in bomb.forms().values():
        for whole in (data, b"remoteobj backup 1\n" + data):
            with pytest.raises(RemoteObjError):
                unseal(whole, Secret(b"a long passphrase"))
