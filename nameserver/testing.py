"""Test kits for whoever extends nameserver: does a storage of your own keep the contract?

>>> from nameserver import MemoryStorage
>>> storage = MemoryStorage()
>>> check_storage(lambda: storage)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import overload

from nameserver.changes import Change, Kind, Lease
from nameserver.leadership import Leadership
from nameserver.record import MAX_METADATA, MAX_METADATA_LENGTH, Record, make_record
from nameserver.storage import Entry, Kept, Storage

__all__ = ["check_storage"]

Names = dict[str, Entry]

_LEASE, _OTHER_LEASE = Lease("0f" * 16, 30.0), Lease('it\'s; "another" --', 86_400.5)
_TAGS = (
    "",
    " ",
    ",",
    "a,b",
    "'",
    '"',
    "\\",
    "[]",
    "null",
    "1",
    "01",
    "Ä",
    "ä",
    "日本",
    "😀",
    "; --",
)
_MANY = 5_000


def check_storage(make: Callable[[], Storage]) -> None:
    """Fail with an AssertionError that says which sentence of the contract a storage breaks.

    Args:
        make: Opens the storage, at the same place each time, and empty the first time. It is called
            again after ``close()`` only.
    Raises:
        AssertionError: It does not keep the contract, which is ``nameserver.storage.Storage``.

    Blocks: about a second, on the storage.
    """
    place = _Place(make)
    _check_that_it_begins_empty(place)
    for check in (
        _check_kinds,
        _check_order,
        _check_fields,
        _check_strange_texts,
        _check_leases,
        _check_what_was_loaded,
        _check_nothing,
        _check_interruption,
        _check_many,
        _check_leaderships,
    ):
        check(place)
        place.reopen(f"after {check.__name__.removeprefix('_check_')}")
    place.storage.close()
    with _must_not_fail("close() fails when it is called again"):
        place.storage.close()


class _Place:
    """A storage, and what should be in it."""

    def __init__(self, make: Callable[[], Storage]) -> None:
        self._make = make
        self.storage = make()
        self.number = 0
        self.names: Names = {}
        self.leaderships: dict[str, Leadership] = {}

    def lead(self, leadership: Leadership) -> None:
        """Save who leads a name."""
        with _must_not_fail("save_leadership() fails"):
            self.storage.save_leadership(leadership)
        self.leaderships[leadership.name] = replace(leadership, left_s=0.0)

    def save(self, *made: tuple[Kind, Record, Lease | None]) -> None:
        """Save changes in one batch."""
        changes = self.number_changes(*made)
        with _must_not_fail("save() fails with changes that a name server makes"):
            self.storage.save(changes)
        self.number += len(made)
        for kind, record, lease in made:
            if kind in ("removed", "expired"):
                self.names.pop(record.name, None)
            else:
                self.names[record.name] = record, lease

    def number_changes(self, *made: tuple[Kind, Record, Lease | None]) -> list[Change]:
        """Return changes with the next numbers."""
        return [
            Change(kind, number, record, lease)
            for number, (kind, record, lease) in enumerate(made, self.number + 1)
        ]

    def expect(self, what: str) -> None:
        """Compare what is held with what should be."""
        with _must_not_fail(f"load() fails {what}"):
            kept = self.storage.load()
        assert kept.number == self.number, (
            f"{what}: load() says that {kept.number} is the number of the last change; "
            f"{self.number} was saved"
        )
        held: Names = {}
        for record, lease in kept.entries:
            assert record.name not in held, f"{what}: load() returns {record.name!r} twice"
            held[record.name] = record, lease
        for name in self.names:
            assert name in held, f"{what}: {name!r} is not there any more"
        for name in held:
            assert name in self.names, f"{what}: {name!r} is there, but was removed or never saved"
        for name, (record, lease) in self.names.items():
            its_record, its_lease = held[name]
            for field in ("uri", "metadata", "hosts", "since", "lease_s"):
                found, saved = getattr(its_record, field), getattr(record, field)
                assert found == saved, (
                    f"{what}: the {field} of {name!r}: {_short(found)} instead of {_short(saved)}"
                )
            assert its_lease == lease, (
                f"{what}: the lease of {name!r}: {its_lease} instead of {lease}"
            )
        led = {each.name: each for each in kept.leaderships}
        assert led == self.leaderships, (
            f"{what}: the leaderships are {_short(led)} instead of {_short(self.leaderships)}"
        )

    def reopen(self, what: str) -> None:
        """Compare, also when it was closed and opened anew."""
        self.expect(what)
        with _must_not_fail("close() fails"):
            self.storage.close()
        with _must_not_fail(f"it cannot be opened again {what}"):
            self.storage = self._make()
        self.expect(f"{what}, when it was closed and opened again")


class _Interrupted(Exception):
    """Stands for what may end a save: a full disk, no memory left."""


class _Interrupting(Sequence[Change]):
    """Changes of which the last cannot be had."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes

    def __len__(self) -> int:
        return len(self._changes)

    @overload
    def __getitem__(self, at: int) -> Change: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Change]: ...
    def __getitem__(self, at: int | slice) -> Change | Sequence[Change]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        if at in (-1, len(self) - 1):
            raise _Interrupted
        return self._changes[at]


def _one(
    name: str = "lab.bell",
    port: int = 4711,
    lease: Lease | None = None,
    since: float | None = 1_763_800_000.123456,
) -> tuple[Record, Lease | None]:
    record = make_record(
        name,
        f"PYRO:bell@192.168.1.20:{port}",
        {"lab", f"port {port}"},
        lease_s=lease.lease_s if lease else None,
        since=since,
        hosts=("192.168.1.20", "10.0.0.7"),
    )
    return replace(record, node="0f" * 8, role="member", is_elsewhere=port == 4711), lease


def _check_that_it_begins_empty(place: _Place) -> None:
    kept: Kept = place.storage.load()
    assert not kept.entries, f"make() returned a storage that holds {len(kept.entries)} names"
    assert kept.number == 0, f"an empty storage says that {kept.number} changes were saved, not 0"


def _check_kinds(place: _Place) -> None:
    for name in ("a", "b", "c"):
        place.save(("registered", *_one(name)))
    place.expect("after registrations")
    place.save(("changed", *_one("a", 2)))
    place.expect("after a change")
    place.save(("removed", *_one("b")))
    place.expect("after a removal")
    place.save(("expired", *_one("c")))
    place.expect("after a name has expired")


def _check_order(place: _Place) -> None:
    place.save(
        ("registered", *_one("first")),
        ("changed", *_one("first", 2)),
        ("changed", *_one("first", 3)),
        ("registered", *_one("second")),
        ("removed", *_one("second")),
        ("registered", *_one("third")),
        ("expired", *_one("third")),
        ("registered", *_one("third", 2)),
    )
    place.expect("after several changes of one name in one save()")


def _check_fields(place: _Place) -> None:
    bare = make_record("bare", "PYRO:x@./u:/run/user/1000/x.sock")
    place.save(("registered", bare, None), ("registered", *_one("full")))
    place.expect("with a record of a name and a URI alone")
    full, _ = _one("full", 2, since=0.1 + 0.2)
    place.save(("changed", full, None), ("changed", *_one("bare")))
    place.expect("when all fields of a record have changed")
    place.save(("changed", make_record("full", "PYRO:x@[fe80::1%eth0]:1"), None))
    place.expect("when fields of a record are empty now")


def _check_strange_texts(place: _Place) -> None:
    place.save(("registered", make_record("tags", "PYRO:x@h:1", _TAGS), None))
    place.expect("with unusual metadata")
    for name in (
        "lab",
        "Lab",
        "LAB",
        "lab.x",
        "lab_x",
        "lab-x",
        "1",
        "01",
        "1e1",
        "None",
        "n" * 200,
    ):
        place.save(("registered", *_one(name)))
    place.expect("with names that look like others, or like numbers")
    place.save(("removed", *_one("Lab")))
    place.expect("after the removal of 'Lab', which is not 'lab'")
    tags = [f"{'t' * (MAX_METADATA_LENGTH - 3)}{n}" for n in range(MAX_METADATA)]
    place.save(
        ("registered", make_record("object", f"PYRO:{'ö' * 900};'\"@./u:/tmp/ü.sock"), None),
        ("registered", make_record("long", "PYRO:x@h:1", tags), None),
    )
    place.expect("with long texts")


def _check_leases(place: _Place) -> None:
    place.save(
        ("registered", *_one("leased.1", lease=_LEASE)),
        ("registered", *_one("leased.2", lease=_LEASE)),
        ("registered", *_one("leased.3", lease=_OTHER_LEASE)),
        ("registered", *_one("leased.4")),
    )
    place.expect("with leases")
    place.save(
        ("removed", *_one("leased.1", lease=_LEASE)),
        ("changed", *_one("leased.2")),
        ("changed", *_one("leased.3", lease=_LEASE)),
        ("changed", *_one("leased.4", lease=_OTHER_LEASE)),
    )
    place.expect("when leases have changed")


def _check_leaderships(place: _Place) -> None:
    first = Leadership("farm", 1, "0f" * 8, lease_s=2.0, left_s=1.5)
    place.lead(first)
    place.expect("with a leadership")
    second = Leadership(
        "farm",
        2**53,
        "f0" * 8,
        successor="0f" * 8,
        node="1e" * 8,
        lease_s=0.1 + 0.2,
        successor_node="e1" * 8,
        run="it's",
        turn=2**53,
    )
    place.lead(second)
    place.lead(replace(second, name="another", holder=""))
    place.expect("when another one leads")


def _check_what_was_loaded(place: _Place) -> None:
    before = place.storage.load()
    number, entries = before.number, list(before.entries)
    place.save(("registered", *_one("later")), ("removed", entries[0][0], None))
    assert (before.number, list(before.entries)) == (number, entries), (
        "what load() has returned has changed by a later save()"
    )
    place.expect("when it is loaded for the first time after a save()")
    place.expect("when it is loaded a second time")


def _check_nothing(place: _Place) -> None:
    place.save()
    place.expect("after a save() of no changes")
    place.save(("removed", *_one("never.there")))
    place.expect("after the removal of a name that it did not hold")


def _check_interruption(place: _Place) -> None:
    some = next(iter(place.names))
    changes = place.number_changes(
        ("registered", *_one("half")),
        ("changed", *_one(some, 7)),
        ("removed", *_one(some)),
        ("registered", *_one("last")),
    )
    try:
        place.storage.save(_Interrupting(changes))
    except Exception:
        place.expect("after a save() that could not end: none of its changes may be kept")
    else:
        raise AssertionError("save() returned, although it could not read the last change")
    place.save(("registered", *_one("whole")))
    place.expect("after a save() that follows one that could not end")


def _check_many(place: _Place) -> None:
    place.save(*[("registered", *_one(f"many.{n}", n + 1)) for n in range(_MANY)])
    place.expect(f"after {_MANY} changes in one save()")
    for n in range(0, _MANY, _MANY // 50):
        place.save(("changed", *_one(f"many.{n}", n + 2, lease=_LEASE)))
    place.save(*[("removed", *_one(f"many.{n}")) for n in range(0, _MANY, 2)])
    place.expect(f"after {_MANY // 2} removals in one save()")


@contextmanager
def _must_not_fail(what: str) -> Iterator[None]:
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{what}: {error!r}") from error


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
