"""Masters by their own bookkeeping, those without a successor too, in the world of the rules.

Each copy is one file, which one process has at a time; the name server keeps what it knows. Then a
master that was told that it has no successor acts on without a lease, and still no two act.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from masterslave.leading.lease import OwnLease, Sent
from nameserver import MemoryStorage, NotLeader
from nameserver.changes import Registrant
from nameserver.leadership import GRACE_S, Claim, Leadership, Leaderships, Manner

FARM = "0f" * 8
COPIES = ("a", "b", "c")
ANYBODY = Registrant("", "member")
RATES = st.sampled_from([0.99, 1.0, 1.01])


@dataclass(eq=False)
class Master:
    """What ``Leading`` does, without its threads."""

    copy: str
    run: int
    rate: float
    lease: OwnLease
    epoch: int = 1
    has_led: bool = False
    has_ended: bool = False
    asks: list[tuple[Claim, Sent]] = field(default_factory=list)
    """Requests that nobody waits for any more, and that may arrive."""

    def clock(self, now: float) -> float:
        return 1000.0 * self.run + now * self.rate

    def acts(self, now: float) -> bool:
        if self.has_led and not self.lease.acts(self.clock(now)):
            self.has_ended = True  # it has stopped, and does not begin again
        return self.has_led and not self.has_ended


class Masters(RuleBasedStateMachine):
    """Three copies, and those who work on them."""

    @initialize(rates=st.lists(RATES, min_size=4, max_size=4))
    def begin(self, rates: list[float]) -> None:
        self.now, self.rate, self.turn, self.runs = 0.0, rates[0], 0, 0
        self.storage = MemoryStorage()
        self.leaderships = Leaderships((), self._server_clock())
        self.now = 2 * GRACE_S
        self.masters = {
            copy: self._start(copy, rate) for copy, rate in zip(COPIES, rates[1:], strict=True)
        }
        self.ask("a", "", Manner.TAKE, "answered", 0.0)
        self.renew("b", "answered", 0.0)

    @rule(
        successor=st.sampled_from(["", *COPIES]),
        fate=st.sampled_from(["answered", "answered", "unanswered", "late", "lost"]),
        takes_s=st.sampled_from([0.0, 0.0, 0.05, 1.4, 3.0]),
    )
    def renew(self, successor: str, fate: str, takes_s: float) -> None:
        """Whoever acts names a successor, or none."""
        acting = [copy for copy, master in self.masters.items() if master.acts(self.now)]
        if acting:
            self.ask(acting[0], successor, Manner.RENEW, fate, takes_s)

    @rule(
        copy=st.sampled_from(["a", "a", "b", "b", "c"]),
        successor=st.sampled_from(["", *COPIES]),
        manner=st.sampled_from([Manner.TAKE, Manner.SUCCEED]),
        fate=st.sampled_from(["answered", "answered", "unanswered", "late", "lost"]),
        takes_s=st.sampled_from([0.0, 0.0, 0.05, 1.4, 3.0]),
    )
    def ask(self, copy: str, successor: str, manner: Manner, fate: str, takes_s: float) -> None:
        master = self.masters[copy]
        is_led = master.acts(self.now)
        if master.has_ended:
            return
        if is_led:
            master.lease.wish("" if successor == copy else successor, "")
        sent = master.lease.sends(master.clock(self.now))
        self.turn += 1
        claim = Claim(
            FARM,
            copy,
            master.epoch,
            master.lease.lease_s,
            Manner.RENEW if is_led else manner,
            successor=sent.successor,
            run=str(master.run),
            turn=self.turn,
        )
        if fate == "late":
            master.asks.append((claim, sent))
        if fate in ("late", "lost"):
            return
        try:
            told = self._arrives(claim)
        except NotLeader:
            if is_led:
                master.has_ended = True
            return
        self.wait(takes_s)
        if fate == "answered" and not (is_led and not master.acts(self.now)):
            master.epoch, master.has_led = told.epoch, True
            master.lease.granted(sent)

    @rule(copy=st.sampled_from(COPIES))
    def arrive_late(self, copy: str) -> None:
        for claim, _ in self.masters[copy].asks[:1]:
            del self.masters[copy].asks[0]
            with contextlib.suppress(NotLeader):
                self._arrives(claim)

    @rule(copy=st.sampled_from(COPIES), rate=RATES, is_killed=st.booleans())
    def start_anew(self, copy: str, rate: float, is_killed: bool) -> None:
        before = self.masters[copy]
        if before.acts(self.now) and not is_killed:
            return
        self.masters[copy] = self._start(copy, rate)
        self.masters[copy].asks, self.masters[copy].epoch = before.asks, before.epoch

    @rule(s=st.sampled_from([0.01, 0.2, 0.49, 1.0, 1.5, 1.98, 2.0, 4.9, GRACE_S]))
    def wait(self, s: float) -> None:
        self.now += s
        self.one_acts()

    @rule(rate=RATES, is_meant=st.integers(0, 3))
    def restart(self, rate: float, is_meant: int) -> None:
        """Not often: for some seconds nobody gets anything then."""
        if is_meant:
            return
        self.rate = rate
        for master in self.masters.values():
            master.asks.clear()
        self.leaderships = Leaderships(self.storage.load().leaderships, self._server_clock())

    @invariant()
    def one_acts(self) -> None:
        masters = getattr(self, "masters", {})
        acting = [copy for copy, master in masters.items() if master.acts(self.now)]
        assert len(acting) <= 1, f"{acting} act at once"

    def _start(self, copy: str, rate: float) -> Master:
        self.runs += 1
        return Master(copy, self.runs, rate, OwnLease(2.0))

    def _arrives(self, claim: Claim) -> Leadership:
        decided = self.leaderships.ask(claim, ANYBODY, self._server_clock())
        if self.leaderships.is_to_keep(decided):
            self.storage.save_leadership(decided)
        return self.leaderships.apply(decided, self._server_clock())

    def _server_clock(self) -> float:
        return 77.0 + self.now * self.rate


TestMasters = Masters.TestCase
TestMasters.settings = settings(max_examples=400, stateful_step_count=50, deadline=None)
