"""Whose turn it is on a slave that several farms share, as pure rules.

Labels get equal shares of the slave's time, and so do the farms of one label: the turn goes to who
has used least. What is used is the time for which slots are occupied, as it passes; what was given
to slots and has not ended counts by what it is expected to take. A report of what a slot has run
divides the time since the one before among those it was run for. Who was away begins at the least
of those who were not: to idle earns nothing.

A slot that would have to be made ready for somebody else stays with those whom it suits until
somebody is so far behind them that it pays. So what a stay gives away is owed, and made up for by
the next one; nobody is ever further behind than that and a turn.

Source: start-time fair queueing (Goyal, Vin, Cheng 1996), on two floors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

__all__ = ["TURN_S", "Shares"]

TURN_S = 0.05
"""Most that a slot is given of one farm at a time, in seconds, while others have tasks, too."""

Farm = TypeVar("Farm", bound=Hashable)
Name = TypeVar("Name", bound=Hashable)


@dataclass(slots=True)
class _Account:
    """What a label or a farm has used, in seconds of slots, and what it holds."""

    used_s: float = 0.0
    expected_s: float = 0.0
    slots: int = 0
    since: float = 0.0
    is_active: bool = False
    members: dict[Any, _Account] = field(default_factory=dict)

    def settle(self, now: float) -> None:
        self.used_s += self.slots * (now - self.since)
        self.since = now

    @property
    def level(self) -> float:
        return self.used_s + self.expected_s


class Shares(Generic[Farm]):
    """Keeps accounts of labels and of the farms below them."""

    def __init__(self) -> None:
        self._labels: dict[str, _Account] = {}
        self._label_of: dict[Farm, str] = {}
        self._occupants: dict[Hashable, Farm] = {}
        self._told_at: dict[Hashable, float] = {}
        """Until when the time of a slot is divided for good."""
        self.is_alone = False
        """Whether there is one farm only, and so nothing to be counted."""

    def add(self, farm: Farm, label: str, now: float) -> None:
        """There is one more farm."""
        if len(self._label_of) == 1:
            self._begin_to_count(now)
        self._label_of[farm] = label
        self.is_alone = len(self._label_of) == 1
        account = self._labels.get(label)
        if account is None:
            account = self._labels[label] = _beside(self._labels)
        account.members[farm] = _beside(account.members)

    def remove(self, farm: Farm) -> None:
        """A farm is gone."""
        for slot in [slot for slot, each in self._occupants.items() if each == farm]:
            self.occupy(slot, None, self._accounts(farm)[0].since)
        label = self._label_of.pop(farm, None)
        if label is not None:
            account = self._labels[label]
            gone = account.members.pop(farm)
            account.expected_s = max(0.0, account.expected_s - gone.expected_s)
            if not account.members:
                del self._labels[label]
        self.is_alone = len(self._label_of) == 1

    def give(self, farm: Farm, expected_s: float) -> None:
        """Tasks of this farm were given to a slot; they are expected to take so long."""
        if not self.is_alone:
            for account in self._accounts(farm):
                account.expected_s += expected_s

    def take(self, farm: Farm, expected_s: float) -> None:
        """Tasks of which that was expected have ended, or were taken back."""
        if not self.is_alone:
            for account in self._accounts(farm):
                account.expected_s = max(0.0, account.expected_s - expected_s)

    def occupy(
        self,
        slot: Hashable,
        farm: Farm | None,
        now: float,
        has_run_s: Mapping[Farm, float] | None = None,
    ) -> None:
        """From now on, this slot works for that farm, or for nobody.

        Args:
            has_run_s: Seconds that ended tasks have taken since this was told last, by farm.
        """
        before = self._occupants.get(slot)
        if has_run_s and before is not None and not self.is_alone:
            self._divide(slot, before, farm, now, has_run_s)
        if before == farm:
            return
        self._told_at[slot] = now
        if farm is None:
            del self._occupants[slot], self._told_at[slot]
        else:
            self._occupants[slot] = farm
        if self.is_alone:
            return
        for each, change in ((before, -1), (farm, 1)):
            for account in self._accounts(each) if each is not None else ():
                account.settle(now)
                account.slots += change

    def _divide(
        self,
        slot: Hashable,
        before: Farm,
        after: Farm | None,
        now: float,
        has_run_s: Mapping[Farm, float],
    ) -> None:
        """Charge a slot's time, which has gone to its occupant so far, to those who had it.

        What is left of it belongs to the task that runs now, and has not ended.
        """
        passed_s = now - self._told_at.get(slot, now)
        self._told_at[slot] = now
        if has_run_s.keys() == {before} and after in (before, None):
            return
        run_s = sum(has_run_s.values())
        part = min(1.0, passed_s / run_s) if run_s > 0.0 else 0.0
        owing = after if after is not None else before
        changes = [(before, -passed_s), (owing, passed_s - run_s * part)]
        changes += [(farm, seconds * part) for farm, seconds in has_run_s.items()]
        for farm, change_s in changes:
            for account in self._accounts(farm):
                account.used_s += change_s

    def choose(
        self,
        is_waiting: Callable[[Farm], bool],
        now: float,
        suits: Callable[[Farm], bool] | None = None,
        stay_s: float = 0.0,
    ) -> Farm | None:
        """Return whose turn it is, of the farms of which something waits.

        Args:
            suits: Those for which this is true come before others...
            stay_s: ...that are no more than this behind them, in seconds of slots.
        """
        if self.is_alone:
            for farm in self._label_of:
                return farm if is_waiting(farm) else None
        waiting: dict[str, dict[Farm, _Account]] = {}
        for farm, label in self._label_of.items():
            if is_waiting(farm):
                waiting.setdefault(label, {})[farm] = self._labels[label].members[farm]
        _wake(self._labels, waiting, now)
        if not waiting:
            return None
        suiting = waiting if suits is None else _those(waiting, suits)
        label = _least({each: self._labels[each] for each in waiting}, suiting, stay_s)
        _wake(self._labels[label].members, waiting[label], now)
        return _least(waiting[label], suiting.get(label, ()), stay_s)

    def _begin_to_count(self, now: float) -> None:
        """Open the accounts of the one farm that was alone."""
        for label in self._labels.values():
            for account in (label, *label.members.values()):
                account.slots = len(self._occupants)
                account.since, account.used_s, account.expected_s = now, 0.0, 0.0
                account.is_active = True
        self._told_at = dict.fromkeys(self._occupants, now)

    def _accounts(self, farm: Farm) -> tuple[_Account, ...]:
        label = self._label_of.get(farm)
        if label is None:  # it is gone
            return ()
        account = self._labels[label]
        return account, account.members[farm]


def _those(
    waiting: dict[str, dict[Farm, _Account]], suits: Callable[[Farm], bool]
) -> dict[str, dict[Farm, _Account]]:
    """Return those farms that suit, by label."""
    chosen = {
        label: {farm: account for farm, account in members.items() if suits(farm)}
        for label, members in waiting.items()
    }
    return {label: members for label, members in chosen.items() if members}


def _least(accounts: Mapping[Name, _Account], suiting: Collection[Name], stay_s: float) -> Name:
    """Return who has used least, or of those who suit, if that one is not far behind them."""
    least = min(accounts, key=lambda each: accounts[each].level)
    if not suiting:
        return least
    best = min(suiting, key=lambda each: accounts[each].level)
    return least if accounts[best].level - accounts[least].level > stay_s else best


def _beside(others: Mapping[Any, _Account]) -> _Account:
    """Return the account of one who comes when *others* are here."""
    return _Account(min((each.used_s for each in others.values()), default=0.0))


def _wake(accounts: Mapping[Any, _Account], waiting: Mapping[Any, Any], now: float) -> None:
    """Let those who were away begin where the least of those who were not is."""
    base: float | None = None
    woken = []
    for key, account in accounts.items():
        account.settle(now)
        is_active = key in waiting or account.slots > 0
        if is_active and account.is_active:
            base = account.used_s if base is None else min(base, account.used_s)
        elif is_active:
            woken.append(account)
        account.is_active = is_active
    for account in woken:
        account.used_s = max(account.used_s, base or 0.0)
