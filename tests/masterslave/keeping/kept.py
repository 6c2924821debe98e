"""Farms that are kept: masters of one farm that come one after the other, each with numbers of its
own, and what they are told of the work of those before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from unittest import mock

import masterslave.farm.farm as farm_module
from masterslave import Farm
from masterslave.master.inheritance import Inheritance
from masterslave.master.seats import Seat
from masterslave.packed import unpack_value
from masterslave.protocol.hand_outs import RUN_BITS
from masterslave.protocol.joining import Hold, Welcome
from masterslave.protocol.outcomes import VALUE, Outcome

__all__ = ["Inherited", "kept_farm"]


class Inherited(Inheritance):
    """Notes what a master is told of the work of those before it.

    Args:
        takes: Whether it is of use.
        log: Where it is written, too, before the slave hears that it has arrived.
    """

    def __init__(self, *, takes: bool = True, log: str = "") -> None:
        super().__init__()
        self.takes, self._log = takes, log
        self.holds: list[list[Hold]] = []
        self.outcomes: list[Outcome] = []
        self.gone: list[str] = []

    def joined(self, seat: Seat, holds: Sequence[Hold]) -> None:
        self.holds.append(list(holds))
        self._write("hold", (each.task for each in holds))

    def take(self, seat: Seat, outcome: Outcome) -> bool:
        self.outcomes.append(outcome)
        self._write("outcome", [outcome.task])
        return self.takes

    def left(self, seat: Seat) -> None:
        self.gone.append(seat.introduction.name)

    def _write(self, what: str, tasks: Iterable[int]) -> None:
        if self._log:
            with open(self._log, "a") as file:
                file.writelines(f"{what} {task}\n" for task in tasks)

    @property
    def values(self) -> dict[int, Any]:
        """What tasks have returned, by their numbers."""
        return {one.task: unpack_value(one.payload) for one in self.outcomes if one.kind == VALUE}


def kept_farm(
    label: str,
    *,
    farm_id: str,
    keep_s: float,
    run: int,
    inherited: Inherited | None = None,
    epoch: int = 0,
    **options: Any,
) -> Farm:
    """Return a farm that is kept, with numbers of this run."""

    def welcome(**given: Any) -> Welcome:
        return Welcome(**{**given, "farm_id": farm_id, "keep_s": keep_s, "epoch": epoch})

    with mock.patch.object(farm_module, "Welcome", welcome):
        farm = Farm(label, **options)
    decisions = farm._master._decisions
    decisions.book.next = run << RUN_BITS
    decisions.inherited = inherited
    return farm
