"""The demands of which something is open, and those that were so last; each with its slaves."""

from __future__ import annotations

from collections.abc import Iterator

from masterslave.scheduler.events import Terms
from masterslave.scheduler.feeding import Feeding
from masterslave.scheduler.levels import Levels
from masterslave.scheduler.queue import Queue
from masterslave.scheduler.shares import Shares
from masterslave.scheduler.slaves import ANY_FUNCTION, RECALL_WORTH_S, Demand, Needs, Slave

__all__ = ["Demands"]

# Those of which nothing is open are kept until there are so many: the next task may demand what one
# before did, and to find who meets it takes a look at all slaves that have its tags.
_SWEEP_AT = 8

Key = tuple[Needs, frozenset[str], int]


class Demands:
    """All demands, by what they are made of.

    Attributes:
        by_key: By needs, tags and function.
        partial: Functions that some slave cannot run: their tasks are of demands of their own.
        stirred: Demands of which something may be handed out now.
        uneven: Those with a free slave, and one that is rich.
    """

    __slots__ = (
        "_all",
        "_by_tag",
        "_feeding",
        "_known",
        "_known_terms",
        "_shares",
        "_sweep_at",
        "by_key",
        "partial",
        "stirred",
        "uneven",
    )

    def __init__(self, feeding: Feeding, shares: Shares) -> None:
        self.by_key: dict[Key, Demand] = {}
        self.partial: set[int] = set()
        self.stirred: dict[Demand, None] = {}
        self.uneven: dict[Demand, None] = {}
        self._feeding = feeding
        self._shares = shares
        self._all: dict[str, Slave] = {}
        self._by_tag: dict[str, dict[str, Slave]] = {}
        self._sweep_at = _SWEEP_AT
        self._known_terms: Terms | None = None
        self._known: Demand | None = None

    def __iter__(self) -> Iterator[Demand]:
        return iter(self.by_key.values())

    def find(self, terms: Terms) -> Demand | None:
        """Return what tasks on these terms demand, None if that has to be made."""
        if terms is self._known_terms:
            return self._known
        demand = self.by_key.get(self._key_of(terms))
        if demand is not None:
            self._known_terms, self._known = terms, demand
        return demand

    def make(self, terms: Terms) -> Demand:
        """Make what tasks on these terms demand, and find those that meet it."""
        if len(self.by_key) >= self._sweep_at:
            self._sweep()
        needs, tags, function = self._key_of(terms)
        longest_s = 2 * self._feeding.feed_ahead_s
        demand = Demand(
            needs,
            tags,
            function,
            Levels(RECALL_WORTH_S, longest_s),
            Levels(RECALL_WORTH_S, longest_s),
            Queue(self._shares),
        )
        self.by_key[needs, tags, function] = demand
        having = [self._by_tag.get(tag, {}) for tag in sorted(tags)]
        for slave in min(having, key=len, default=self._all).values():
            if demand.is_met_by(slave):
                self.link(demand, slave)
        return demand

    def of_function(self, function: int) -> list[Demand]:
        """Return the demands of a partial function."""
        return [demand for demand in self if demand.function == function]

    def forget_known(self) -> None:
        """A function has become partial, or is so no more: its tasks are of other demands."""
        self._known_terms = None

    def admit(self, slave: Slave) -> None:
        """A slave is here."""
        self._all[slave.name] = slave
        for tag in slave.tags:
            self._by_tag.setdefault(tag, {})[slave.name] = slave
        for demand in self:
            if demand.is_met_by(slave):
                self.link(demand, slave)

    def dismiss(self, slave: Slave) -> None:
        """A slave is gone, and out of all lines."""
        del self._all[slave.name]
        for tag in slave.tags:
            having = self._by_tag[tag]
            del having[slave.name]
            if not having:
                del self._by_tag[tag]
        for demand in list(slave.demands):
            self.unlink(demand, slave)

    def link(self, demand: Demand, slave: Slave) -> None:
        """A slave meets a demand; it has to be lined up."""
        demand.slaves[slave.name] = slave
        slave.demands.append(demand)
        demand.able += slave.slots_counted > 0
        demand.slots += slave.slots_counted
        demand.free_slots += slave.free_counted

    def unlink(self, demand: Demand, slave: Slave) -> None:
        """A slave does not meet a demand any more."""
        name = slave.name
        del demand.slaves[name]
        slave.demands.remove(demand)
        demand.able -= slave.slots_counted > 0
        demand.slots -= slave.slots_counted
        demand.free_slots -= slave.free_counted
        demand.free.pop(name, None)
        demand.hungry.remove(name)
        demand.rich.remove(name)
        if not (demand.free and demand.rich):
            self.uneven.pop(demand, None)

    def _key_of(self, terms: Terms) -> Key:
        function = terms.function if terms.function in self.partial else ANY_FUNCTION
        return terms.needs, terms.tags, function

    def _sweep(self) -> None:
        """Forget the demands of which nothing is open."""
        for demand in [one for one in self if not one.open]:
            self._drop(demand)
        self._sweep_at = max(_SWEEP_AT, 2 * len(self.by_key))

    def _drop(self, demand: Demand) -> None:
        self.stirred.pop(demand, None)
        self.uneven.pop(demand, None)
        del self.by_key[demand.needs, demand.tags, demand.function]
        self._known_terms = None
        for slave in demand.slaves.values():
            slave.demands.remove(demand)
            if slave.ahead_of is demand:
                slave.ahead_of = None
