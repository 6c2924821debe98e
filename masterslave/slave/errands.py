"""What a master asks of a slave beside tasks, and what the slave tells it of itself."""

from __future__ import annotations

from collections.abc import Callable

from masterslave.errands import DRAIN, STATUS, STOP, Errand
from masterslave.protocol.encoding import encode
from masterslave.protocol.outcomes import REPORT, Outcome
from masterslave.slave.state import report_of
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop

__all__ = ["Errands"]

_DRAINS = "it finishes what runs, and leaves"


class Errands:
    """Does what the master of one farm asks for.

    Args:
        label: Returns the farm's.
        deliver_soon: Has what was told delivered.
        drain: Has the slave leave when what runs is done, and *leave_now* at once.
        report: Called with lines for people.

    Attributes:
        why_resting: Why the slave takes nothing for now, in words; empty: it does.
    """

    def __init__(
        self,
        workshop: Workshop,
        work: FarmWork,
        *,
        label: Callable[[], str],
        deliver_soon: Callable[[], None],
        drain: Callable[[], None],
        leave_now: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        self.why_resting = ""
        self._workshop, self._work = workshop, work
        self._label, self._report = label, report
        self._deliver_soon, self._drain, self._leave_now = deliver_soon, drain, leave_now

    def obey(self, errands: tuple[Errand, ...]) -> None:
        """Do what is asked for."""
        for errand in errands:
            if errand.kind == STATUS:
                self.tell(errand.number)
            elif errand.kind == DRAIN:
                self._report(f"farm {self._label()!r} wants no more of this slave: {_DRAINS}")
                self.tell(errand.number, _DRAINS)
                self._drain()
            elif errand.kind == STOP:
                self._report(f"farm {self._label()!r} tells this slave to leave at once")
                self._leave_now()

    def tell(self, number: int = 0, state: str = "") -> None:
        """Tell the master how the slave is: as the answer to an errand, or unasked."""
        state = state or (_DRAINS if self._work.draining else self.why_resting)
        report = encode(report_of(self._workshop, self._work, state))
        with self._workshop.lock:
            self._work.tell([Outcome(-1, number, 1, REPORT, report)])
        self._deliver_soon()
