"""All slaves, in the lines in which they are served."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from masterslave.scheduler.demands import Demands
from masterslave.scheduler.events import Terms
from masterslave.scheduler.feeding import Feeding
from masterslave.scheduler.pieces import Pieces
from masterslave.scheduler.shares import Shares
from masterslave.scheduler.slaves import ANY_FUNCTION, RECALL_WORTH_S, Demand, Slave

__all__ = ["Roster"]


class Roster:
    """All slaves; the lines of those that can take something are at the demands.

    Attributes:
        by_name: The one that was heard of longest ago first.
        demands: What tasks demand of them.
        free: Those with a free slot.
        free_slots: All that are free.
        able: Slaves that may get tasks.
        recalls: Hand-outs that were recalled, and are neither given back nor started.
        touched: Slaves of which something has changed in this event: their lines may be others.
    """

    __slots__ = (
        "_feeding",
        "able",
        "by_name",
        "demands",
        "free",
        "free_slots",
        "recalls",
        "touched",
    )

    def __init__(self, feeding: Feeding, shares: Shares) -> None:
        self._feeding = feeding
        self.by_name: OrderedDict[str, Slave] = OrderedDict()
        self.demands = Demands(feeding, shares)
        self.free: dict[str, Slave] = {}
        self.free_slots = 0
        self.able = 0
        self.recalls = 0
        self.touched: dict[str, Slave] = {}

    def demand_of(self, terms: Terms) -> Demand:
        """Return what tasks on these terms demand."""
        demand = self.demands.find(terms)
        if demand is None:
            demand = self.demands.make(terms)
            for slave in demand.slaves.values():
                self._line_up_for((demand,), slave)
        return demand

    def ask_again(self, demand: Demand) -> None:
        """Tasks of a demand are to wait: if nobody who is here is able, all are asked anew."""
        function = demand.function
        if function == ANY_FUNCTION or demand.slaves:
            return
        for slave in self.by_name.values():
            if function in slave.unable and demand.could_be_met_by(slave):
                del slave.unable[function]
                for one in self.demands.of_function(function):
                    if one.is_met_by(slave):
                        self.demands.link(one, slave)
                self.touched[slave.name] = slave

    def hear(self, name: str, now: float) -> Slave | None:
        """Note a sign of life; returns the slave if it is here."""
        slave = self.by_name.get(name)
        if slave is not None:
            slave.heard_at = now
            self.by_name.move_to_end(name)
        return slave

    def join(self, slave: Slave) -> None:
        """A slave is here."""
        self.by_name[slave.name] = slave
        self.demands.admit(slave)
        self.touched[slave.name] = slave

    def settle_lines(self, pieces: Pieces, now: float) -> None:
        """Have the slaves of which something has changed start what they can, and line up."""
        touched = self.touched
        while touched:
            _, slave = touched.popitem()
            if slave.ahead_count:
                slave.start_next(pieces.by_first, now)
            self.line_up(slave)

    def line_up(self, slave: Slave) -> None:
        """Put the slave into the lines where it belongs."""
        slots = 0 if slave.is_quarantined else slave.slots
        free = max(0, slots - len(slave.started))
        if slots != slave.slots_counted or free != slave.free_counted:
            self._count(slave, slots, free)
        if len(slave.recalled) != slave.recalls_counted:
            self.recalls += len(slave.recalled) - slave.recalls_counted
            slave.recalls_counted = len(slave.recalled)
        self._line_up_for(slave.demands, slave)

    def _count(self, slave: Slave, slots: int, free: int) -> None:
        """Count its slots anew, wherever they are counted."""
        is_able = (slots > 0) - (slave.slots_counted > 0)
        more_slots, more_free = slots - slave.slots_counted, free - slave.free_counted
        self.able += is_able
        self.free_slots += more_free
        for demand in slave.demands:
            demand.able += is_able
            demand.slots += more_slots
            demand.free_slots += more_free
            if more_slots:
                demand.hungry.remove(slave.name)
        slave.slots_counted, slave.free_counted = slots, free
        if free:
            self.free[slave.name] = slave
        else:
            self.free.pop(slave.name, None)

    def _line_up_for(self, demands: Sequence[Demand], slave: Slave) -> None:
        name, feed, slots, is_free = slave.name, self._feeding, slave.slots_counted, False
        level_s = slave.ahead_s / slots if slots and slave.ahead_count else 0.0
        if slave.free_counted:
            is_free, has_room = True, False
        else:
            has_room = (
                slots > 0
                and level_s < feed.feed_ahead_s
                and slave.ahead_count < feed.max_ahead * slots
                and slave.ahead_bytes < feed.ahead_bytes
            )
        is_rich = level_s > RECALL_WORTH_S and not slave.recalled
        stirred, uneven = self.demands.stirred, self.demands.uneven
        # The weight of a line is cheap to ask for: this is done for each task that comes alone.
        for demand in demands:
            needs, free = demand.needs, demand.free
            if is_free and (not needs or slave.has_left(needs)):
                free[name] = slave
                if demand.waiting:
                    stirred[demand] = None
            elif free:
                free.pop(name, None)
            if needs:
                continue
            if has_room:
                demand.hungry.put(name, slave, level_s, slots)
                if demand.waiting:
                    stirred[demand] = None
            elif demand.hungry.weight:
                demand.hungry.remove(name)
            if is_rich and (slave.ahead_of is demand or slave.is_mixed):
                demand.rich.put(name, slave, level_s)
            elif demand.rich.weight:
                demand.rich.remove(name)
            if free and demand.rich.weight:
                uneven[demand] = None
            elif uneven:
                uneven.pop(demand, None)

    def drop(self, slave: Slave) -> None:
        """The slave is gone."""
        del self.by_name[slave.name]
        slave.slots = 0
        slave.recalled.clear()
        self.line_up(slave)
        self.demands.dismiss(slave)
        self.touched.pop(slave.name, None)
