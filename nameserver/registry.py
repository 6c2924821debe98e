"""The rules of a name server, as plain values in memory: no socket, no lock, no clock, no disk.

1. A name stands for one record at a time.
2. A name that is taken is registered again only by who asks to replace it, or says what it was.
3. A name with a lease is there until that was not renewed for its time; one without, for ever.
4. What was removed or has expired is unknown.
5. A name that was taken from a lease, because somebody else removed or replaced it, stays so:
   whoever renews the lease is told, and does not register it again by itself.
6. Each change has a number, one more than the one before.
7. A name that a machine of the cluster has registered is changed and removed by that machine only,
   and by operators.
8. One machine has a limited number of names, so that it takes no memory without end.

A change is decided first, which changes nothing, and applied when it was kept::

    changes = registry.register(record, lease)    # or it raises
    storage.save(changes)                         # or it raises
    registry.apply(changes, now)

Whoever uses this from several threads brings the lock, from the decision until it was applied.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace as replaced

from nameserver.changes import Change, History, Kind, Lease, Registrant, Renewal
from nameserver.errors import BadName, NameTaken, NameUnknown, NamingError
from nameserver.lease_table import LeaseTable, Taken
from nameserver.record import NAME_SERVER, RESERVED_PREFIX, Record, check_name
from remoteobj.errors import NotAllowed
from remoteobj.uri import URI

__all__ = ["Registry"]

HISTORY_SIZE = 10_000
MOST_NAMES_PER_NODE = 10_000
_MOST_TAKEN = 10_000


class Registry:
    """Records by name.

    Args:
        history_size: How many changes are remembered for those who watch.
        number: Of the last change that a storage knows of.
        most_per_node: How many names one machine of the cluster may have.
    """

    __slots__ = (
        "_history",
        "_leases",
        "_most_per_node",
        "_names",
        "_of_node",
        "_records",
        "_taken",
    )

    def __init__(
        self,
        *,
        history_size: int = HISTORY_SIZE,
        number: int = 0,
        most_per_node: int = MOST_NAMES_PER_NODE,
    ) -> None:
        self._records: dict[str, Record] = {}
        self._of_node: Counter[str] = Counter()
        self._most_per_node = most_per_node
        self._names: list[str] = []  # in their order, so that a prefix is found in no time
        self._leases = LeaseTable()
        self._taken = Taken(_MOST_TAKEN)
        self._history = History(history_size, number)

    @property
    def number(self) -> int:
        """Of the last change."""
        return self._history.number

    # What is asked.

    def lookup(self, name: str) -> Record:
        """Return the record of a name.

        Raises:
            NameUnknown: There is none.
        """
        record = self._records.get(name)
        if record is None:
            raise NameUnknown(
                f"nothing is registered as {name!r}: 'nameserver list' shows the names"
            )
        return record

    def list(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records whose names begin with *prefix*, in the order of their names."""
        return tuple(self._records[name] for name in self._names_with(prefix))

    def with_metadata(self, tags: Iterable[str], *, every: bool) -> tuple[Record, ...]:
        """Return the records that have one of these *tags*, or *every* one of them."""
        wanted = frozenset(tags)
        found = (self._records[name] for name in self._names)
        if every:
            return tuple(record for record in found if wanted <= record.metadata)
        return tuple(record for record in found if wanted & record.metadata)

    def count(self) -> int:
        """Return how many names there are."""
        return len(self._records)

    def lease_of(self, name: str) -> Lease | None:
        """Return what keeps a name; None where it stays for ever."""
        return self._leases.of(name)

    def since(self, number: int, prefix: str) -> Sequence[Change] | None:
        """Return the changes after *number*; None where they are not all remembered."""
        return self._history.since(number, prefix)

    # What is decided. Nothing changes yet.

    def register(
        self,
        record: Record,
        lease: Lease | None = None,
        *,
        replace: bool = False,
        replaces: URI | None = None,
    ) -> Sequence[Change]:
        """Take in a record; no change where the same is registered already.

        Args:
            record: It.
            lease: What keeps it; None: it stays.
            replace: Whatever its name stands for now.
            replaces: Only if its name stands for this now.
        Raises:
            NameTaken: Its name stands for something else.
            NameUnknown: Its name stands for nothing, and *replaces* was given.
            BadName: Its name may not be one, or is a name server's own.
            NotAllowed: Its name is another machine's.
            NamingError: Its machine has so many names already.
        """
        name = check_name(record.name)
        if name.startswith(RESERVED_PREFIX) and name != NAME_SERVER:
            raise BadName(
                f"{name!r} is a name server's own: names that begin with {RESERVED_PREFIX!r} are "
                "reserved, choose another"
            )
        holder = self._records.get(name)
        if holder is None:
            if replaces is not None:
                raise NameUnknown(f"nothing is registered as {name!r} that could be replaced")
            self._refuse_many(record)
            return self._number([("registered", record, lease)])
        self._refuse_taken(record, lease, holder, replace, replaces)
        if name != NAME_SERVER:  # which nobody but the server itself registers
            _refuse_others(Registrant(record.node, record.role), holder)
        if _says_the_same(record, holder) and lease == self.lease_of(name):
            return []
        return self._number([("changed", record, lease)])

    def set_metadata(
        self, name: str, metadata: frozenset[str], by: Registrant | None = None
    ) -> Sequence[Change]:
        """Give a name other metadata, for whoever asks for it; None: the server itself.

        Raises:
            NameUnknown: Nothing is registered so.
            NotAllowed: It is another machine's.
        """
        record = self.lookup(name)
        _refuse_others(by, record)
        if record.metadata == metadata:
            return []
        return self._number([("changed", replaced(record, metadata=metadata), self.lease_of(name))])

    def remove(self, names: Iterable[str], by: Registrant | None = None) -> Sequence[Change]:
        """Forget names, where they are there, for whoever asks; the name server's own stays.

        Raises:
            NotAllowed: One is another machine's; then none is removed.
        """
        ended = [name for name in names if name != NAME_SERVER]
        for record in filter(None, map(self._records.get, ended)):
            _refuse_others(by, record)
        return self._ended("removed", ended)

    def release(self, lease: str, name: str | None = None) -> Sequence[Change]:
        """Forget the names that a lease keeps, or one of them, because its holder wants it so."""
        names = self._leases.names(lease)
        given_up = names if name is None else [each for each in names if each == name]
        return self._ended("removed", given_up, by_holder=True)

    def expire(self, now: float) -> Sequence[Change]:
        """Forget the names whose leases were not renewed in time."""
        return self._ended("expired", self._leases.ended(now))

    # What happens.

    def apply(self, changes: Sequence[Change], now: float) -> None:
        """Make decided changes; what is registered with a lease has its time from *now* on."""
        for change in changes:
            self._apply(change, now)
            self._history.add(change)

    def load(self, entries: Iterable[tuple[Record, Lease | None]], now: float) -> None:
        """Take in what a storage has kept; it is no change. Leases have their time from *now*."""
        for record, lease in entries:
            self._put(record)
            self._names.append(record.name)
            self._leases.hold(record.name, lease, now)
        self._names.sort()

    def renew(self, lease: str, now: float) -> Renewal:
        """Give a lease its time anew, if there is one; tell what was taken from it."""
        return Renewal(self._leases.renew(lease, now), self._taken.of(lease))

    def next_expiry(self) -> float | None:
        """Return when ``expire`` may find something; None where nothing can expire."""
        return self._leases.next_end()

    def note(self, record: Record) -> None:
        """Take in what was found out about a name; it is no change of what it stands for."""
        if record.name in self._records:
            self._put(record)

    def _refuse_many(self, record: Record) -> None:
        # Without TLS nobody says which machine it is.
        if record.node and self._of_node[record.node] >= self._most_per_node:
            raise NamingError(
                f"{record.name!r} is not registered: its machine (node {record.node}) has "
                f"{self._most_per_node} names already (MOST_NAMES_PER_NODE); remove some, "
                "'nameserver remove'"
            )

    def _put(self, record: Record) -> None:
        self._forget(record.name)
        self._records[record.name] = record
        self._of_node[record.node] += 1

    def _forget(self, name: str) -> None:
        record = self._records.pop(name, None)
        if record is not None:
            self._of_node[record.node] -= 1
            if not self._of_node[record.node]:
                del self._of_node[record.node]

    def _refuse_taken(
        self,
        record: Record,
        lease: Lease | None,
        holder: Record,
        replace: bool,
        replaces: URI | None,
    ) -> None:
        name = record.name
        if replaces is not None and holder.uri != replaces:
            raise NameTaken(
                f"the name {name!r} stands for {holder.uri} now, not for {replaces}: look it up, "
                "and decide again"
            )
        held = self.lease_of(name)
        is_own = lease is not None and held is not None and held.id == lease.id
        if not (replace or replaces is not None or (is_own and record.uri == holder.uri)):
            raise NameTaken(
                f"the name {name!r} is taken, by {holder.uri}: choose another, "
                "remove it first, or replace it (replace=True, --replace at the command line)"
            )

    def _names_with(self, prefix: str) -> Iterator[str]:
        names = self._names
        for at in range(bisect_left(names, prefix), len(names)):
            if not names[at].startswith(prefix):
                return
            yield names[at]

    def _ended(
        self, kind: Kind, names: Iterable[str], *, by_holder: bool = False
    ) -> Sequence[Change]:
        found = dict.fromkeys(name for name in names if name in self._records)
        return self._number([(kind, self._records[name], None) for name in found], by_holder)

    def _number(
        self, made: Sequence[tuple[Kind, Record, Lease | None]], by_holder: bool = False
    ) -> Sequence[Change]:
        return [
            Change(kind, number, record, lease, by_holder)
            for number, (kind, record, lease) in enumerate(made, self.number + 1)
        ]

    def _apply(self, change: Change, now: float) -> None:
        name, lease = change.record.name, change.lease
        held = self.lease_of(name)
        if lease is not None and held == lease:  # which is not prolonged by it
            self._put(change.record)
            return
        if held is not None and change.kind != "expired" and not change.by_holder:
            self._taken.note(held.id, name)
        if lease is not None:
            self._taken.forget(lease.id, name)
        self._leases.let_go(name)
        if change.kind in ("removed", "expired"):
            self._forget(name)
            del self._names[bisect_left(self._names, name)]
            return
        if name not in self._records:
            insort(self._names, name)
        self._put(change.record)
        self._leases.hold(name, lease, now)


def _says_the_same(one: Record, other: Record) -> bool:
    return (
        one.uri == other.uri
        and one.metadata == other.metadata
        and one.hosts == other.hosts
        and one.node == other.node
        and one.role == other.role
        and one.is_elsewhere == other.is_elsewhere
    )


def _refuse_others(by: Registrant | None, record: Record) -> None:
    if by is not None and not by.may_change(record):
        raise NotAllowed(
            f"the name {record.name!r} was registered by another machine (node {record.node}): "
            "only that one and operators may change or remove it"
        )
