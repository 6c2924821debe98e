"""The contract of storages: ours keep it, and the kit tells of each that does not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nameserver import MemoryStorage, NameServer, NameServerClient, SqliteStorage, Storage
from nameserver.changes import Change, Lease
from nameserver.leadership import Leadership
from nameserver.record import Record, make_record
from nameserver.storage import Entry, Kept
from nameserver.testing import check_storage

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")


def test_memory_keeps_the_contract() -> None:
    storage = MemoryStorage()
    check_storage(lambda: storage)


def test_a_sqlite_file_keeps_the_contract(tmp_path: Path) -> None:
    check_storage(lambda: SqliteStorage(tmp_path / "names"))


class Broken(MemoryStorage):
    """Keeps the contract, until a test breaks it."""


class IsNotEmpty(Broken):
    def __init__(self) -> None:
        super().__init__()
        self._entries["a"] = make_record("a", "PYRO:x@h:1"), None


class StartsAtOne(Broken):
    def __init__(self) -> None:
        super().__init__()
        self._number = 1


class CannotClose(Broken):
    def close(self) -> None:
        raise OSError("no")


class EndsWithTheServer(Broken):
    def close(self) -> None:
        self._entries.clear()


class ForgetsTheNumber(Broken):
    def close(self) -> None:
        self._number = 0


class CannotLoad(Broken):
    def load(self) -> Kept:
        if self._entries:
            raise OSError("no")
        return super().load()


class LoadsOnce(Broken):
    def load(self) -> Kept:
        kept = super().load()
        self._entries = {}
        return kept


class LoadsALiveView(Broken):
    def load(self) -> Kept:
        return Kept(self._number, self._entries.values())


class LoadsTwice(Broken):
    def load(self) -> Kept:
        kept = super().load()
        return Kept(kept.number, [*kept.entries, *kept.entries[:1]])


class Saves(Broken):
    """What is saved goes through ``keep`` first."""

    def keep(self, entry: Entry) -> Entry:
        return entry

    def load(self) -> Kept:
        kept = super().load()
        return Kept(kept.number, [self.keep(entry) for entry in kept.entries])


def losing(field: str, value: object) -> type[Broken]:
    def keep(self: Saves, entry: Entry) -> Entry:
        return replace(entry[0], **{field: value}), entry[1]

    return type(f"Loses{field}", (Saves,), {"keep": keep})


class LosesLeases(Saves):
    def keep(self, entry: Entry) -> Entry:
        return entry[0], None


class MixesLeasesUp(Saves):
    def keep(self, entry: Entry) -> Entry:
        lease = entry[1]
        return entry[0], lease and Lease(lease.id, 30.0)


class RoundsTime(Saves):
    def keep(self, entry: Entry) -> Entry:
        since = entry[0].since
        return replace(entry[0], since=since and round(since)), entry[1]


class JoinsWithCommas(Saves):
    def keep(self, entry: Entry) -> Entry:
        tags = ",".join(entry[0].metadata)
        return replace(entry[0], metadata=frozenset(tags.split(",") if tags else ())), entry[1]


class KnowsAscii(Saves):
    def keep(self, entry: Entry) -> Entry:
        tags = {tag.encode("ascii", "replace").decode() for tag in entry[0].metadata}
        return replace(entry[0], metadata=frozenset(tags)), entry[1]


class CutsTexts(Saves):
    def keep(self, entry: Entry) -> Entry:
        return replace(entry[0], metadata=frozenset(tag[:255] for tag in entry[0].metadata)), entry[
            1
        ]


class ConfusesCase(Broken):
    def save(self, changes: Sequence[Change]) -> None:
        super().save([_renamed(change, change.record.name.lower()) for change in changes])


class TakesNumbersForNumbers(Broken):
    def save(self, changes: Sequence[Change]) -> None:
        names = [change.record.name for change in changes]
        made = [str(int(name)) if name.isdigit() else name for name in names]
        super().save([_renamed(*each) for each in zip(changes, made, strict=True)])


def _renamed(change: Change, name: str) -> Change:
    record: Record = replace(change.record, name=name)
    return replace(change, record=record)


class Ignores(Broken):
    kind = ""

    def save(self, changes: Sequence[Change]) -> None:
        super().save([change for change in changes if change.kind != self.kind])
        self._number = changes[-1].number if changes else self._number


class IgnoresRegistrations(Ignores):
    kind = "registered"


class IgnoresChanges(Ignores):
    kind = "changed"


class IgnoresRemovals(Ignores):
    kind = "removed"


class IgnoresEnds(Ignores):
    kind = "expired"


class CountsRegistrationsOnly(Broken):
    def save(self, changes: Sequence[Change]) -> None:
        before = self._number
        super().save(changes)
        if all(change.kind == "removed" for change in changes):
            self._number = before


class CountsForItself(Broken):
    def save(self, changes: Sequence[Change]) -> None:
        before = self._number
        super().save(changes)
        self._number = before + 1


class SavesBackwards(Broken):
    def save(self, changes: Sequence[Change]) -> None:
        super().save(changes[::-1])
        self._number = changes[-1].number if changes else self._number


class SavesHalf(Broken):
    def save(self, changes: Sequence[Change]) -> None:
        for change in changes:
            super().save([change])


class HidesFailures(Broken):
    def save(self, changes: Sequence[Change]) -> None:
        with contextlib.suppress(Exception):
            super().save(changes)


class FailsForeverAfterOne(Broken):
    failed = False

    def save(self, changes: Sequence[Change]) -> None:
        if self.failed:
            raise OSError("broken")
        try:
            super().save(changes)
        except Exception:
            self.failed = True
            raise


class NeedsChanges(Broken):
    def save(self, changes: Sequence[Change]) -> None:
        self._number = changes[-1].number
        super().save(changes)


class KnowsWhatItHolds(Broken):
    def save(self, changes: Sequence[Change]) -> None:
        for change in tuple(changes):
            if change.kind == "removed" and len(changes) == 1:
                del self._entries[change.record.name]
        super().save(changes)


class TakesAThousand(Broken):
    def save(self, changes: Sequence[Change]) -> None:
        super().save(changes[:1000])
        self._number = changes[-1].number if changes else self._number


class ForgetsWhoLeads(Broken):
    def load(self) -> Kept:
        return replace(super().load(), leaderships=())


class KnowsOneLeader(Broken):
    def save_leadership(self, leadership: Leadership) -> None:
        self._leaderships.clear()
        super().save_leadership(leadership)


BROKEN: dict[type[Broken], str] = {
    IsNotEmpty: r"make\(\) returned a storage that holds 1 names",
    StartsAtOne: "an empty storage says that 1 changes",
    CannotClose: r"close\(\) fails: OSError",
    EndsWithTheServer: "'a' is not there any more",
    ForgetsTheNumber: r"closed and opened again: load\(\) says that 0 is the number",
    CannotLoad: r"load\(\) fails after registrations: OSError",
    LoadsOnce: "is not there any more",
    LoadsALiveView: r"what load\(\) has returned has changed by a later save",
    LoadsTwice: r"load\(\) returns 'a' twice",
    losing("metadata", frozenset()): "the metadata of 'a': frozenset\\(\\) instead of",
    losing("hosts", ()): r"the hosts of 'a': \(\) instead of",
    losing("since", None): "the since of 'a': None instead of",
    losing("lease_s", None): r"the lease_s of 'leased\.\d': None instead of 30",
    LosesLeases: r"the lease of 'leased\.\d': None instead of",
    MixesLeasesUp: r"the lease of 'leased\.\d': Lease\(.*lease_s=30.0\) instead of .*86400.5",
    RoundsTime: "the since of 'a': 1763800000 instead of",
    JoinsWithCommas: "with unusual metadata: the metadata of 'tags'",
    KnowsAscii: "with unusual metadata: the metadata of 'tags'",
    CutsTexts: "with long texts: the metadata of 'long'",
    ConfusesCase: "with names that look like others, or like numbers: 'Lab' is not there",
    TakesNumbersForNumbers: "with names that look like others, or like numbers: '01' is not there",
    IgnoresRegistrations: "after registrations: 'a' is not there any more",
    IgnoresChanges: "after a change: the uri of 'a'",
    IgnoresRemovals: "after a removal: 'b' is there, but was removed",
    IgnoresEnds: "after a name has expired: 'c' is there, but was removed",
    CountsRegistrationsOnly: "after a removal: load.. says that 4 is the number .* 5 was saved",
    CountsForItself: r"several changes of one name in one save\(\): load.. says that",
    SavesBackwards: r"after several changes of one name in one save\(\)",
    SavesHalf: "after a save.. that could not end: .*none of its changes may be kept",
    HidesFailures: r"save\(\) returned, although it could not read the last change",
    FailsForeverAfterOne: r"save\(\) fails with changes that a name server makes: OSError",
    NeedsChanges: r"save\(\) fails with changes that a name server makes: IndexError",
    KnowsWhatItHolds: r"save\(\) fails with changes that a name server makes: KeyError",
    TakesAThousand: r"after 5000 changes in one save\(\): 'many.1000' is not there",
    ForgetsWhoLeads: "with a leadership: the leaderships are {} instead of",
    KnowsOneLeader: "when another one leads: the leaderships are",
}


@pytest.mark.parametrize(("make", "said"), BROKEN.items(), ids=[each.__name__ for each in BROKEN])
def test_a_broken_storage_is_found_out(make: Callable[[], Storage], said: str) -> None:
    storage = make()
    with pytest.raises(AssertionError, match=said):
        check_storage(lambda: storage)


def test_a_storage_that_minds_being_closed_twice_is_found_out(tmp_path: Path) -> None:
    class ClosesOnce(SqliteStorage):
        is_closed = False

        def close(self) -> None:
            if self.is_closed:
                raise OSError("it is closed")
            self.is_closed = True
            super().close()

    with pytest.raises(AssertionError, match=r"close\(\) fails when it is called again: OSError"):
        check_storage(lambda: ClosesOnce(tmp_path / "names"))


# How long a start takes.

MANY, MOST_S = 30_000, 3.0
"""3 s are promised for 100,000, which ``make bench-nameserver`` measures; here the machine may be
busy, so that a third of them has as long."""


@pytest.mark.serial
def test_a_start_with_many_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = SqliteStorage(tmp_path / "names")
    storage.save([change(number) for number in range(1, MANY + 1)])
    storage.close()
    began = time.perf_counter()
    with NameServer(
        "127.0.0.1", insecure=True, announce=False, storage=SqliteStorage(tmp_path / "names")
    ) as server:
        with NameServerClient(server.address, insecure=True, quiet=True) as client:
            assert client.lookup(f"lab{MANY % 99}.camera{MANY}").uri.port == MANY % 9000 + 8999
        took_s = time.perf_counter() - began
        assert server.statistics().names == MANY + 1
    with capsys.disabled():
        print(f"\n  a name server with {MANY} names in SQLite answers after {took_s:.2f} s")
    assert took_s < MOST_S


def change(number: int) -> Change:
    record = make_record(
        f"lab{number % 99}.camera{number}",
        f"PYRO:obj_{number}@192.168.1.{number % 255}:{number % 9000 + 8999}",
        {"camera", f"room{number % 10}"},
        lease_s=30.0,
        since=1_763_800_000.0 + number,
        hosts=(f"192.168.1.{number % 255}",),
    )
    return Change("registered", number, record, Lease(f"{number:032x}", 30.0))
