"""The rules of names, leases and watches, against a model, with every storage; no server."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace as replaced
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nameserver import (
    BadName,
    MemoryStorage,
    NameTaken,
    NameUnknown,
    NamingError,
    SqliteStorage,
)
from nameserver.book import Book
from nameserver.changes import Lease, Revision
from nameserver.record import NAME_SERVER, Record, make_record
from nameserver.registry import Registry
from nameserver.storage import Storage
from nameserver.waiting import Answer
from remoteobj import URI

names = st.sampled_from(["a", "a.b", "a.c", "b", "b.a", "c"])
uris = st.sampled_from([f"PYRO:x@127.0.0.1:{port}" for port in (1, 2, 3)])
prefixes = st.sampled_from(["", "a", "a.", "b", "z"])
leases = st.sampled_from([None, Lease("one", 10.0), Lease("two", 25.0), Lease("three", 10.0)])
tags = st.frozensets(st.sampled_from(["red", "blue"]))
HISTORY = 12


class Follower:
    """A watcher, and what it believes."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.known: dict[str, Record] = {}
        self.since: Revision | None = None
        self.numbers: list[int] = []

    def take(self, answer: Answer, instance: str) -> None:
        if answer.records is not None:
            self.known = {record.name: record for record in answer.records}
        for change in answer.changes:
            self.numbers.append(change.number)
            name = change.record.name
            assert name.startswith(self.prefix)
            if change.kind == "registered":
                assert name not in self.known
            else:
                assert name in self.known
            if change.kind in ("removed", "expired"):
                del self.known[name]
            else:
                self.known[name] = change.record
        assert self.numbers == sorted(set(self.numbers)), "in order, and none twice"
        self.since = Revision(instance, answer.number)


class Names(RuleBasedStateMachine):
    """Any history of calls, restarts and time; ``model`` is what it should come to."""

    storage: Storage

    def make_storage(self) -> Storage:
        return MemoryStorage()

    def reopen(self) -> Storage:
        return self.storage

    @initialize()
    def begin(self) -> None:
        self.now = 1000.0
        self.run = 1
        self.storage = self.make_storage()
        self.book = self.open()
        self.model: dict[str, tuple[URI, frozenset[str], Lease | None]] = {}
        self.ends: dict[str, float] = {}
        self.taken: dict[str, set[str]] = defaultdict(set)  # by the lease they were taken from
        self.followers: list[Follower] = []

    def open(self) -> Book:
        return Book(f"run {self.run}", self.storage, history_size=HISTORY, clock=lambda: self.now)

    def teardown(self) -> None:
        if hasattr(self, "book"):
            self.book.close()

    @rule(name=names, uri=uris, tags=tags, lease=leases, replace=st.booleans())
    def register(
        self, name: str, uri: str, tags: frozenset[str], lease: Lease | None, replace: bool
    ) -> None:
        held = self.model.get(name)
        is_own = held is not None and lease is not None and held[2] == lease
        allowed = held is None or replace or (is_own and str(held[0]) == uri)
        try:
            self.book.register(make_record(name, uri, tags), lease, replace=replace)
        except NameTaken:
            assert not allowed
        else:
            assert allowed
            self.put(name, uri, tags, lease)

    def put(self, name: str, uri: str, tags: frozenset[str], lease: Lease | None) -> None:
        self.take(name)
        if lease is not None:
            self.taken[lease.id].discard(name)
        self.model[name] = URI(uri), tags, lease
        if lease is not None:
            self.ends[lease.id] = self.now + lease.lease_s

    def take(self, name: str) -> None:
        """Somebody removes or replaces a name."""
        *_, held = self.model.get(name, (None,))
        if held is not None:
            self.taken[held.id].add(name)

    @rule(name=names, uri=uris, before=uris, lease=leases)
    def compare_and_set(self, name: str, uri: str, before: str, lease: Lease | None) -> None:
        held = self.model.get(name)
        record = make_record(name, uri)
        try:
            self.book.register(record, lease, replaces=URI(before))
        except NameUnknown:
            assert held is None
        except NameTaken:
            assert held is not None
            assert str(held[0]) != before
        else:
            assert held is not None
            assert str(held[0]) == before
            self.put(name, uri, frozenset(), lease)

    @rule(name=names, tags=tags)
    def set_metadata(self, name: str, tags: frozenset[str]) -> None:
        try:
            self.book.set_metadata(name, tags)
        except NameUnknown:
            assert name not in self.model
        else:
            uri, _, lease = self.model[name]
            self.model[name] = uri, tags, lease

    @rule(some=st.lists(names, max_size=3))
    def remove(self, some: list[str]) -> None:
        there = {name for name in some if name in self.model}
        assert self.book.remove(some) == len(there)
        for name in there:
            self.take(name)
            del self.model[name]

    @rule(lease=leases.filter(bool))
    def renew(self, lease: Lease) -> None:
        is_held = any(held == lease for _, _, held in self.model.values())
        assert self.book.renew(lease.id) == (is_held, self.taken[lease.id])
        if is_held:
            self.ends[lease.id] = self.now + lease.lease_s

    @rule(lease=leases.filter(bool))
    def release(self, lease: Lease) -> None:
        its = [name for name, (_, _, held) in self.model.items() if held == lease]
        assert self.book.release(lease.id) == len(its)
        for name in its:
            del self.model[name]

    @rule(seconds=st.sampled_from([0.5, 5.0, 9.99, 10.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for name, (_, _, lease) in list(self.model.items()):
            if lease is not None and self.ends[lease.id] <= self.now:
                del self.model[name]

    @rule()
    def restart(self) -> None:
        number = self.book.revision().number
        self.book.close()
        self.run += 1
        self.storage = self.reopen()
        self.book = self.open()
        assert self.book.revision().number == number, "numbers only grow"
        self.taken.clear()  # a server that is started anew remembers no removal
        for _, _, lease in self.model.values():
            if lease is not None:  # its holder has time to come back
                self.ends[lease.id] = self.now + lease.lease_s

    @precondition(lambda self: len(self.followers) < 4)
    @rule(prefix=prefixes)
    def follow(self, prefix: str) -> None:
        self.followers.append(Follower(prefix))

    @rule(data=st.data())
    def catch_up(self, data: st.DataObject) -> None:
        if not self.followers:
            return
        follower = data.draw(st.sampled_from(self.followers))
        answer = self.book.watch(follower.prefix, follower.since, 100.0, str(id(follower)))
        if not answer.done():  # nothing has happened: the next change is told at once
            self.book.unwatch(str(id(follower)))
        follower.take(answer.result(timeout=0), self.book.instance)
        assert {name: (record.uri, record.metadata) for name, record in follower.known.items()} == {
            name: (uri, tags)
            for name, (uri, tags, _) in self.model.items()
            if name.startswith(follower.prefix)
        }

    @rule(name=names, prefix=prefixes)
    def is_told_at_once(self, name: str, prefix: str) -> None:
        waiting = self.book.watch(prefix, self.book.revision(), 100.0, "impatient")
        assert not waiting.done()
        self.book.register(make_record(name, f"PYRO:new@127.0.0.1:{self.run}"), replace=True)
        is_new = self.model.get(name, (None,))[0] != URI(f"PYRO:new@127.0.0.1:{self.run}")
        is_new = is_new or self.model[name][1:] != (frozenset(), None)
        self.put(name, f"PYRO:new@127.0.0.1:{self.run}", frozenset(), None)
        if waiting.done():
            (change,) = waiting.result().changes
            assert change.record.name == name
            assert name.startswith(prefix)
        else:
            assert not (is_new and name.startswith(prefix))
            self.book.unwatch("impatient")
            assert waiting.result(timeout=0).changes == ()

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "book"):
            return
        found = self.book.list()
        assert [record.name for record in found] == sorted(self.model)
        assert {record.name: (record.uri, record.metadata) for record in found} == {
            name: (uri, tags) for name, (uri, tags, _) in self.model.items()
        }
        assert self.book.count() == len(self.model)


class NamesInAFile(Names):
    """The same, where each restart reads the file."""

    def make_storage(self) -> Storage:
        self.folder = tempfile.TemporaryDirectory()
        return SqliteStorage(Path(self.folder.name) / "names")

    def reopen(self) -> Storage:
        return SqliteStorage(Path(self.folder.name) / "names")

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestNames = Names.TestCase
TestNames.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestNamesInAFile = NamesInAFile.TestCase
TestNamesInAFile.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def one(name: str = "lab.bell", port: int = 1) -> Record:
    return make_record(name, f"PYRO:bell@127.0.0.1:{port}")


def test_errors_say_what_to_do() -> None:
    registry = Registry()
    registry.apply(registry.register(one()), 0.0)
    with pytest.raises(NameTaken, match=r"replace=True, --replace"):
        registry.register(one(port=2))
    with pytest.raises(NameUnknown, match="nameserver list"):
        registry.lookup("lab.clock")
    with pytest.raises(BadName, match=r"reserved, choose another"):
        registry.register(one("Pyro.Mine"))


def test_the_name_servers_own_name_stays() -> None:
    registry = Registry()
    registry.apply(registry.register(one(NAME_SERVER)), 0.0)
    assert not registry.remove([NAME_SERVER])


def test_who_has_missed_too_much_is_told_all() -> None:
    with Book("run", history_size=3) as book:
        revision = book.revision()
        for port in range(1, 5):
            book.register(one(port=port), replace=True)
        answer = book.watch("", revision, 10.0, "late").result(timeout=0)
        assert [record.uri.port for record in answer.records or ()] == [4]
        assert not answer.changes


@pytest.mark.parametrize(
    "make",
    [lambda now: now, lambda now: Revision("another run", now.number)],
    ids=["from the future", "of another run"],
)
def test_who_knows_what_never_was_is_told_all(make: Callable[[Revision], Revision]) -> None:
    with Book("run") as book:
        now = book.revision()
        strange = make(Revision(now.instance, now.number + 1))
        answer = book.watch("", strange, 10.0, "strange").result(timeout=0)
        assert answer.records == ()


def test_one_machine_has_a_limited_number_of_names() -> None:
    registry = Registry(most_per_node=2)

    def register(name: str, node: str, *, replace: bool = False) -> None:
        record = make_record(name, "PYRO:x@127.0.0.1:1", {name} if replace else ())
        role = "operator" if node else ""
        registry.apply(
            registry.register(replaced(record, node=node, role=role), replace=replace), 0.0
        )

    for name in ("a", "b"):
        register(name, "ben")
    register("a", "ben", replace=True)
    with pytest.raises(NamingError, match=r"node ben\) has 2 names already.*remove some"):
        register("c", "ben")
    for name in ("x", "y", "z"):
        register(name, "")
    register("c", "eve")
    register("a", "eve", replace=True)
    register("d", "ben")
    registry.apply(registry.remove(["d"]), 0.0)
    register("e", "ben")
    kept = Registry(most_per_node=2)
    kept.load([(record, None) for record in registry.list()], 0.0)
    with pytest.raises(NamingError, match="already"):
        kept.register(replaced(make_record("f", "PYRO:x@127.0.0.1:1"), node="eve", role="member"))
