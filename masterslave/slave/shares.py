"""Whose turn it is on a slave that several farms share, as pure rules.

Labels get equal shares of the slave's time, and so do the farms of one label: the turn goes to who
has used least. Time is counted when it is used, and what runs counts by what it is expected to
take, or has taken already. Who was away begins at what the least of the others has used: to idle
earns nothing.

Source: start-time fair queueing (Goyal, Vin, Cheng 1996), with two floors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Shares"]


@dataclass(slots=True)
class _Account:
    used_s: float = 0.0
    pending_s: float = 0.0
    running: int = 0
    since: float = 0.0
    is_active: bool = False
    members: dict[Hashable, _Account] = field(default_factory=dict)

    def level(self, now: float) -> float:
        elapsed = self.running and now - self.since
        return self.used_s + max(self.pending_s, elapsed)


class Shares:
    """Keeps accounts of labels and of the farms below them."""

    def __init__(self) -> None:
        self._labels: dict[str, _Account] = {}
        self._label_of: dict[Hashable, str] = {}

    def add(self, farm: Hashable, label: str) -> None:
        """There is one more farm."""
        self._label_of[farm] = label
        self._labels.setdefault(label, _Account()).members[farm] = _Account()

    def remove(self, farm: Hashable) -> None:
        """A farm is gone."""
        label = self._label_of.pop(farm, None)
        if label is not None:
            members = self._labels[label].members
            del members[farm]
            if not members:
                del self._labels[label]

    def begin(self, farm: Hashable, expected_s: float, count: int, now: float) -> None:
        """Tasks of this farm are given to a child; together they are expected to take so long."""
        for account in self._accounts(farm):
            if not account.running:
                account.since = now
            account.running += count
            account.pending_s += expected_s

    def end(
        self, farm: Hashable, expected_s: float, seconds: float, count: int, now: float
    ) -> None:
        """Tasks of which that was expected have ended, or were taken back; and what they took."""
        for account in self._accounts(farm):
            account.running -= count
            account.pending_s = max(0.0, account.pending_s - expected_s) if account.running else 0.0
            account.used_s += seconds
            account.since = now

    def choose(self, is_waiting: Callable[[Hashable], bool], now: float) -> Hashable | None:
        """Return whose turn it is, of the farms of which something waits."""
        if len(self._label_of) == 1:
            (farm,) = self._label_of
            return farm if is_waiting(farm) else None
        candidates: dict[str, list[Hashable]] = {}
        for farm, label in self._label_of.items():
            if is_waiting(farm):
                candidates.setdefault(label, []).append(farm)
        if not candidates:
            self._wake(self._labels, candidates)
            return None
        self._wake(self._labels, candidates)
        label = min(candidates, key=lambda each: self._labels[each].level(now))
        members = self._labels[label].members
        self._wake(members, candidates[label])
        return min(candidates[label], key=lambda each: members[each].level(now))

    @staticmethod
    def _wake(accounts: Mapping[Any, _Account], waiting: Iterable[Hashable]) -> None:
        """Let those who were away begin where the least of those who were not is."""
        waiting = set(waiting)
        here = [
            account.used_s
            for key, account in accounts.items()
            if account.is_active and (key in waiting or account.running)
        ]
        for key, account in accounts.items():
            is_active = key in waiting or account.running > 0
            if is_active and not account.is_active and here:
                account.used_s = max(account.used_s, min(here))
            account.is_active = is_active

    def _accounts(self, farm: Hashable) -> tuple[_Account, ...]:
        label = self._label_of.get(farm)
        if label is None:  # it is gone
            return ()
        account = self._labels[label]
        return account, account.members[farm]
