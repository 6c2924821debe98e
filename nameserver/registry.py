"""The rules of a name server, as plain values in memory: no socket, no lock, no clock.

1. A name stands for one record at a time.
2. A name that is taken can be registered again only by who asks to replace it.
3. What was removed is unknown.

Whoever uses this from several threads brings the lock. Time, when leases come, comes in as an
argument of each method.
"""

from __future__ import annotations

from nameserver.errors import NameTaken, NameUnknown
from nameserver.record import Record, check_name

__all__ = ["Registry"]


class Registry:
    """Records by name."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def register(self, record: Record, *, replace: bool = False) -> None:
        """Take in a record.

        Raises:
            NameTaken: Its name stands for another; nothing was changed.
            BadName: Its name may not be one.
        """
        check_name(record.name)
        holder = self._records.get(record.name)
        if holder is not None and not replace:
            raise NameTaken(
                f"the name {record.name!r} is taken, by {holder.uri}: choose another, "
                "remove it first, or replace it (replace=True, --replace at the command line)"
            )
        self._records[record.name] = record

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

    def remove(self, name: str) -> bool:
        """Forget a name; False where it was not there."""
        return self._records.pop(name, None) is not None

    def list(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records whose names begin with *prefix*, in the order of their names."""
        names = sorted(name for name in self._records if name.startswith(prefix))
        return tuple(self._records[name] for name in names)

    def count(self) -> int:
        """Return how many names there are."""
        return len(self._records)
