"""Which leases there are, until when, and what each keeps: plain values, as the registry's.

A lease ends with its last name, or when it was not renewed for its time. The ends are in a heap, so
that what has ended is found without a look at the others. A renewal leaves the heap as it is: an
end that was put off is put back when it comes up.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from nameserver.changes import Lease

__all__ = ["LeaseTable", "Taken"]

_MANY = 64


class _Held:
    __slots__ = ("end", "lease", "names", "queued")

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.end = 0.0
        self.names: set[str] = set()  # empty: it has ended
        self.queued: float | None = None  # the end that the heap knows


class LeaseTable:
    """Leases, and the names that they keep."""

    __slots__ = ("_count", "_ends", "_held", "_of")

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}  # by the id of the lease
        self._of: dict[str, _Held] = {}  # by name
        self._ends: list[tuple[float, int, _Held]] = []  # a heap; some are not true any more
        self._count = itertools.count()

    def of(self, name: str) -> Lease | None:
        """Return what keeps a name; None where it stays for ever."""
        held = self._of.get(name)
        return None if held is None else held.lease

    def names(self, lease: str) -> Sequence[str]:
        """Return the names that a lease keeps, in their order."""
        held = self._held.get(lease)
        return [] if held is None else sorted(held.names)

    def hold(self, name: str, lease: Lease | None, now: float) -> None:
        """Have a lease, and no other one, keep a name; all its names have its time from *now* on.

        Args:
            name: It.
            lease: What keeps it; None: it stays for ever.
            now: The time.
        """
        self.let_go(name)
        if lease is None:
            return
        held = self._held.setdefault(lease.id, _Held(lease))
        held.lease = lease
        held.names.add(name)
        self._of[name] = held
        self._put_off(held, now)

    def let_go(self, name: str) -> None:
        """Nothing keeps a name any more. A lease ends with its last one."""
        held = self._of.pop(name, None)
        if held is not None:
            held.names.discard(name)
            if not held.names:
                del self._held[held.lease.id]

    def renew(self, lease: str, now: float) -> bool:
        """Give a lease its time anew; False where there is none."""
        held = self._held.get(lease)
        if held is not None:
            self._put_off(held, now)
        return held is not None

    def next_end(self) -> float | None:
        """Return when the next lease ends; None where there is none."""
        self._tidy()
        return self._ends[0][0] if self._ends else None

    def ended(self, now: float) -> Sequence[str]:
        """Return the names whose leases have ended; costs as much as there are of those."""
        found = list(self._pop_ended(now))
        for each in found:  # they are let go when that was kept
            heapq.heappush(self._ends, each)
        return [name for _, _, held in found for name in sorted(held.names)]

    def _pop_ended(self, now: float) -> Iterator[tuple[float, int, _Held]]:
        while True:
            self._tidy()
            if not self._ends or self._ends[0][0] > now:
                return
            yield heapq.heappop(self._ends)

    def _put_off(self, held: _Held, now: float) -> None:
        held.end = now + held.lease.lease_s
        if held.queued is None or held.end < held.queued:  # a lease may be a shorter one now
            self._queue(held)

    def _queue(self, held: _Held) -> None:
        if len(self._ends) > 2 * len(self._held) + _MANY:  # most of them are not true any more
            self._ends = [each for each in self._ends if _is_true(*each)]
            heapq.heapify(self._ends)
        held.queued = held.end
        heapq.heappush(self._ends, (held.end, next(self._count), held))

    def _tidy(self) -> None:
        """Bring the next end to the top: what is there may have ended, or been put off."""
        while self._ends:
            end, _, held = self._ends[0]
            if _is_true(*self._ends[0]) and end == held.end:
                return
            heapq.heappop(self._ends)
            if held.names and held.queued == end:
                self._queue(held)


def _is_true(end: float, _: int, held: _Held) -> bool:
    return bool(held.names) and held.queued == end


class Taken:
    """Names that somebody else removed or replaced while a lease kept them, for its holder to hear.

    Args:
        most: How many are remembered; those of the lease that lost none for longest go first.
    """

    __slots__ = ("_count", "_most", "_names")

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: OrderedDict[str, set[str]] = OrderedDict()  # by the id of the lease
        self._count = 0

    def note(self, lease: str, name: str) -> None:
        """A name was taken from a lease."""
        names = self._names.setdefault(lease, set())
        self._names.move_to_end(lease)
        self._count += name not in names
        names.add(name)
        while self._count > self._most:
            oldest = next(iter(self._names))
            self._discard(oldest, next(iter(self._names[oldest])))

    def forget(self, lease: str, name: str) -> None:
        """The holder of a lease has registered a name again, or gives it up."""
        if name in self._names.get(lease, ()):
            self._discard(lease, name)

    def of(self, lease: str) -> frozenset[str]:
        """Return what was taken from a lease."""
        return frozenset(self._names.get(lease, ()))

    def _discard(self, lease: str, name: str) -> None:
        names = self._names[lease]
        names.discard(name)
        self._count -= 1
        if not names:
            del self._names[lease]
