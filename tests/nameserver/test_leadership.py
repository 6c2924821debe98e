"""Who leads, against a world of holders, messages that come late or never, and uneven clocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from dataclasses import replace as replaced

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nameserver import MemoryStorage, NamingError, NotLeader
from nameserver.changes import Registrant
from nameserver.leadership import (
    GRACE_S,
    MOST_EPOCH,
    MOST_LEASE_S,
    Claim,
    Leadership,
    Leaderships,
    Manner,
    acts_until,
)

FARM = "0f" * 8
COPIES = ("copy-a", "copy-a", "copy-b", "copy-b", "copy-c")
NODES = {"copy-a": "node-a", "copy-b": "node-b", "copy-c": "node-a"}
RATES = st.sampled_from([0.99, 1.0, 1.01])


@dataclass(eq=False)
class Holder:
    """One process that would lead: with a copy, and a clock of its own."""

    number: int
    copy: str
    rate: float
    epoch: int = 0
    acts_until: float = 0.0
    turn: int = 0
    may_succeed: list[str] = field(default_factory=list)
    """Copies that may be named as its successor, as far as it knows: in order of its requests."""

    answered: int = 0
    has_resigned: bool = False

    def clock(self, now: float) -> float:
        return 1000.0 * self.number + now * self.rate

    def acts(self, now: float) -> bool:
        return not self.has_resigned and self.clock(now) < self.acts_until


@dataclass(frozen=True, eq=False)
class Request:
    holder: Holder
    claim: Claim
    sent_at: float
    """By the clock of the holder."""


@dataclass(frozen=True, eq=False)
class Answer:
    request: Request
    granted: Leadership


class World(RuleBasedStateMachine):
    """Requests and answers in any order; some are lost; the name server starts anew."""

    @initialize(rates=st.lists(RATES, min_size=6, max_size=6), is_fresh=st.booleans())
    def begin(self, rates: list[float], is_fresh: bool) -> None:
        self.now, self.rate = 0.0, rates[0]
        self.storage = MemoryStorage()
        self.leaderships = Leaderships((), self._server_clock())
        self.now = 0.0 if is_fresh else 2 * GRACE_S
        self.forgot = False
        self.everybody = [
            Holder(number, copy, rate)
            for number, (copy, rate) in enumerate(zip(COPIES, rates[1:], strict=True))
        ]
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self.by_epoch: dict[int, Holder] = {}
        self.before: Holder | None = None
        self.highest = 0

    @rule(
        number=st.integers(0, len(COPIES) - 1),
        lease_s=st.sampled_from([0.5, 2.0, 2.0, MOST_LEASE_S]),
        successor=st.sampled_from(["", "copy-a", "copy-b", "copy-c"]),
        as_successor=st.booleans(),
        fate=st.sampled_from(["answered", "answered", "unanswered", "late", "lost"]),
        takes_s=st.sampled_from([0.0, 0.0, 0.05, 1.5, 3.0]),
    )
    def ask(
        self,
        number: int,
        lease_s: float,
        successor: str,
        as_successor: bool,
        fate: str,
        takes_s: float,
    ) -> None:
        """As ``Leading`` does: it renews while it acts, and else takes, or succeeds."""
        holder = self.everybody[number]
        if holder.has_resigned:
            return
        manner, epoch = Manner.SUCCEED if as_successor else Manner.TAKE, holder.epoch + 1
        if holder.acts(self.now):
            manner, epoch = Manner.RENEW, holder.epoch
        holder.turn += 1
        successor = "" if successor == holder.copy else successor
        holder.may_succeed.append(successor)
        claim = Claim(
            FARM,
            holder.copy,
            epoch,
            lease_s,
            manner,
            successor=successor,
            run=str(holder.number),
            turn=holder.turn,
        )
        request = Request(holder, claim, holder.clock(self.now))
        if fate == "late":
            self.requests.append(request)
        elif fate != "lost":
            self._arrives(request)
            self.wait(takes_s)
            if fate == "answered" and self.answers and self.answers[-1].request is request:
                self._is_answered(self.answers.pop())

    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        """Any request that is on its way arrives; whoever sent it may be gone."""
        if self.requests:
            self._arrives(self.requests.pop(data.draw(st.integers(0, len(self.requests) - 1))))

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """Any answer that is on its way arrives."""
        if self.answers:
            self._is_answered(self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1))))

    @rule(number=st.integers(0, len(COPIES) - 1))
    def resign(self, number: int) -> None:
        holder = self.everybody[number]
        if not holder.acts(self.now):
            return
        holder.has_resigned = True
        holder.turn += 1
        by = Registrant(NODES[holder.copy], "member")
        decided = self.leaderships.resigned(
            FARM, holder.copy, holder.epoch, by, run=str(holder.number), turn=holder.turn
        )
        if decided is not None:
            self.leaderships.apply(decided, self._server_clock(), runs=False)

    @rule(number=st.integers(0, len(COPIES) - 1), rate=RATES)
    def start_anew(self, number: int, rate: float) -> None:
        """The process is killed, and another one begins with its copy."""
        before = self.everybody[number]
        if before.acts(self.now) and before.copy != "copy-a":  # of which there are two files
            before.has_resigned = True
        if not before.acts(self.now):
            self.everybody[number] = Holder(before.number + 10, before.copy, rate, before.epoch)

    @rule(s=st.sampled_from([0.01, 0.2, 0.49, 1.0, 1.98, 2.0, 4.9, GRACE_S]))
    def wait(self, s: float) -> None:
        self.now += s
        self.one_acts()

    @rule(keeps=st.booleans(), rate=RATES)
    def restart(self, keeps: bool, rate: float) -> None:
        """Requests end with the connections; answers may be on their way."""
        self.requests.clear()
        self.rate = rate
        kept = self.storage.load().leaderships if keeps else ()
        self.forgot |= not keeps
        if not keeps:
            self.storage = MemoryStorage()
        self.leaderships = Leaderships(kept, self._server_clock())

    @invariant()
    def one_acts(self) -> None:
        acting = [each for each in getattr(self, "everybody", ()) if each.acts(self.now)]
        assert len(acting) <= 1, f"{len(acting)} act at once: {acting}"

    def _arrives(self, request: Request) -> None:
        by = Registrant(NODES[request.claim.holder], "member")
        known = self.leaderships.leader(FARM, self._server_clock())
        try:
            decided = self.leaderships.ask(request.claim, by, self._server_clock())
        except NotLeader:
            return
        if self.leaderships.is_to_keep(decided):
            self.storage.save_leadership(decided)
        granted = self.leaderships.apply(decided, self._server_clock())
        self._check_epochs(request, known, granted)
        self.answers.append(Answer(request, granted))

    def _is_answered(self, answer: Answer) -> None:
        holder, claim = answer.request.holder, answer.request.claim
        until = acts_until(answer.request.sent_at, claim.lease_s)
        if holder.has_resigned:
            return
        if claim.manner is Manner.RENEW and not holder.acts(self.now):
            return  # it has stopped, and does not begin again by a late answer
        if until > holder.acts_until:
            holder.epoch, holder.acts_until = answer.granted.epoch, until
        holder.answered = max(holder.answered, claim.turn)

    def _check_epochs(
        self, request: Request, known: Leadership | None, granted: Leadership
    ) -> None:
        """Epochs never go down, each is of one process, and who comes after another one may."""
        holder = request.holder
        if known is not None:
            assert granted.epoch >= known.epoch
        if self.forgot:
            return
        assert granted.epoch >= self.highest
        self.highest = granted.epoch
        assert self.by_epoch.setdefault(granted.epoch, holder) is holder
        before = self.before
        if before is not None and before.copy != holder.copy:
            may = before.may_succeed[max(0, before.answered - 1) :]
            assert holder.copy in may, "its copy may lack something"
        self.before = holder

    def _server_clock(self) -> float:
        return 77.0 + self.now * self.rate


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)


def test_clocks_may_run_differently_fast() -> None:
    for lease_s in (0.2, 2.0, MOST_LEASE_S):
        acts_s = acts_until(0.0, lease_s)
        assert acts_s / 0.99 < lease_s / 1.01, "a slow holder, a quick name server"
    assert MOST_LEASE_S / 0.99 < GRACE_S / 1.01


# The lines of the table, one by one.

ANNA, HALL = Registrant("node-a", "member"), Registrant("node-b", "member")


def take(copy: str = "a", epoch: int = 1, **given: object) -> Claim:
    return replaced(Claim(FARM, copy, epoch, 2.0, run=f"run-{copy}", turn=1), **given)


def led(
    claim: Claim | None = None, *, now: float = 10.0, by: Registrant = ANNA
) -> tuple[Leaderships, Leadership]:
    """Return leaderships of which one is led, since *now*, and it."""
    leaderships = Leaderships((), 0.0)
    granted = leaderships.ask(claim or take(), by, now)
    return leaderships, leaderships.apply(granted, now)


def test_nothing_is_taken_just_after_a_start() -> None:
    leaderships = Leaderships((), 100.0)
    with pytest.raises(NotLeader, match=r"has just started.*ask again"):
        leaderships.ask(take(), ANNA, 100.0 + GRACE_S - 0.1)
    assert leaderships.ask(take(epoch=0), ANNA, 100.0 + GRACE_S).epoch == 1


def test_who_leads_is_believed_by_a_server_that_knows_nothing() -> None:
    leaderships = Leaderships((), 100.0)
    renewal = take(epoch=7, manner=Manner.RENEW, successor="b")
    granted = leaderships.apply(leaderships.ask(renewal, ANNA, 101.0), 101.0)
    assert (granted.epoch, granted.successor) == (7, "b")
    with pytest.raises(NotLeader, match="nothing is known"):
        Leaderships((), 100.0).ask(renewal, ANNA, 100.0 + GRACE_S)


def test_who_would_come_after_somebody_unknown_is_refused() -> None:
    with pytest.raises(NotLeader, match="not known whether b has all that was acknowledged"):
        Leaderships((), 0.0).ask(take("b", 9, manner=Manner.SUCCEED), HALL, 10.0)


def test_while_a_lease_runs_nobody_else_gets_it() -> None:
    leaderships, _ = led(take(successor="b"))
    for claim in (take("b", 5, manner=Manner.SUCCEED), take("c", 5), take(run="the next run")):
        with pytest.raises(NotLeader, match=r"led by a on the machine node-a, since epoch 1"):
            leaderships.ask(claim, ANNA, 11.9)


def test_the_holder_gets_the_same_again_when_its_answer_was_lost() -> None:
    leaderships, _ = led()
    assert leaderships.ask(take(turn=2), ANNA, 11.0).epoch == 1


def test_the_successor_and_the_same_copy_get_the_next_epoch_when_it_is_over() -> None:
    leaderships, _ = led(take(successor="b"))
    assert leaderships.ask(take("b", 0, manner=Manner.SUCCEED), HALL, 12.0).epoch == 2
    assert leaderships.ask(take(run="the next run"), ANNA, 12.0).epoch == 2
    assert leaderships.ask(take(epoch=9, run="the next run"), ANNA, 12.0).epoch == 9
    with pytest.raises(NotLeader, match=r"the copy c may lack.*follow.*--free"):
        leaderships.ask(take("c", 9), ANNA, 12.0)


def test_a_holder_and_a_successor_are_bound_to_their_machines() -> None:
    leaderships, _ = led(take(successor="b", successor_node="node-b"))
    with pytest.raises(NotLeader, match="bound to the machine node-a"):
        leaderships.ask(take(run="elsewhere"), HALL, 12.0)
    with pytest.raises(NotLeader, match="bound to the machine node-b"):
        leaderships.ask(take("b", manner=Manner.SUCCEED), ANNA, 12.0)
    with pytest.raises(NotLeader):
        leaderships.ask(take(manner=Manner.RENEW, turn=2), HALL, 11.0)
    assert leaderships.resigned(FARM, "a", 1, HALL, run="run-a", turn=2) is None


def test_a_renewal_of_an_older_epoch_is_refused() -> None:
    leaderships, _ = led(take(successor="b"))
    leaderships.apply(leaderships.ask(take("b", manner=Manner.SUCCEED), HALL, 12.0), 12.0)
    with pytest.raises(NotLeader, match=r"led by b .* since epoch 2: epoch 1 of a is over"):
        leaderships.ask(take(manner=Manner.RENEW, turn=2), ANNA, 12.1)


def test_a_request_that_was_overtaken_does_not_count() -> None:
    leaderships, _ = led()
    renewal = take(manner=Manner.RENEW, turn=3)
    leaderships.apply(leaderships.ask(renewal, ANNA, 11.0), 11.0)
    with pytest.raises(NotLeader, match="overtaken"):
        leaderships.ask(replaced(renewal, turn=2, successor="b"), ANNA, 11.1)


def test_who_has_resigned_need_not_be_waited_for() -> None:
    leaderships, _ = led(take(successor="b"))
    resigned = leaderships.resigned(FARM, "a", 1, ANNA, run="run-a", turn=5)
    assert resigned is not None
    leaderships.apply(resigned, 10.5, runs=False)
    with pytest.raises(NotLeader):
        leaderships.ask(take(manner=Manner.RENEW, turn=4), ANNA, 10.6)
    assert leaderships.ask(take("b", manner=Manner.SUCCEED), HALL, 10.6).epoch == 2


def test_an_operator_sets_a_name_free_whose_copies_are_lost() -> None:
    leaderships, _ = led(take(successor="b"))
    with pytest.raises(NotLeader, match="end its holder first"):
        leaderships.freed(FARM, 11.0)
    with pytest.raises(NotLeader, match="has just started"):
        leaderships.freed("another", 1.0)
    leaderships.apply(leaderships.freed(FARM, 12.0), 12.0, runs=False)
    with pytest.raises(NotLeader):
        leaderships.ask(take("b", manner=Manner.SUCCEED), HALL, 12.0)
    assert leaderships.ask(take("c", 1), HALL, 12.0).epoch == 2


def test_a_copy_that_was_led_before_is_not_led_by_who_knows_nothing() -> None:
    leaderships = Leaderships((), 0.0)
    for epoch in (2, 7):
        with pytest.raises(NotLeader, match=r"was led before, until epoch .*--free"):
            leaderships.ask(take(epoch=epoch), ANNA, 12.0)
    leaderships.apply(leaderships.freed(FARM, 12.0), 12.0, runs=False)
    assert leaderships.ask(take(epoch=7), ANNA, 12.0).epoch == 7


def test_a_holder_without_a_successor_is_believed_by_who_knows_nothing() -> None:
    leaderships = Leaderships((), 0.0)
    stays = take(epoch=7, manner=Manner.STAY)
    assert leaderships.apply(leaderships.ask(stays, ANNA, 12.0), 12.0).epoch == 7
    with pytest.raises(NotLeader, match="led by a"):
        leaderships.ask(take("b", 7, manner=Manner.STAY), ANNA, 13.0)


def test_what_was_kept_has_its_whole_lease_after_a_start() -> None:
    _, granted = led(take(successor="b"))
    again = Leaderships([replaced(granted, run="run-a", epoch=4)], 1000.0)
    assert again.ask(take(epoch=4, manner=Manner.RENEW), ANNA, 1001.0).epoch == 4
    with pytest.raises(NotLeader, match="has just started"):
        again.ask(take("b", manner=Manner.SUCCEED), HALL, 1003.0)
    assert again.ask(take("b", manner=Manner.SUCCEED), HALL, 1000.0 + GRACE_S).epoch == 5


def test_a_renewal_does_not_shorten_the_lease() -> None:
    leaderships, _ = led(take(lease_s=5.0))
    renewal = take(manner=Manner.RENEW, lease_s=0.5, turn=2)
    assert leaderships.apply(leaderships.ask(renewal, ANNA, 11.0), 11.0).left_s == 4.0


def test_nobody_uses_the_epochs_up() -> None:
    believed = take(epoch=MOST_EPOCH, manner=Manner.RENEW)
    leaderships = Leaderships((), 100.0)
    with pytest.raises(NamingError, match="ask for a lower epoch"):
        leaderships.ask(replaced(believed, epoch=MOST_EPOCH + 1), ANNA, 101.0)
    leaderships.apply(leaderships.ask(believed, ANNA, 101.0), 101.0)
    again = leaderships.ask(take(run="next"), ANNA, 110.0)
    assert again.epoch == MOST_EPOCH + 1
    leaderships.apply(again, 110.0)
    renewal = take(epoch=MOST_EPOCH + 1, manner=Manner.RENEW, run="next", turn=2)
    assert leaderships.ask(renewal, ANNA, 111.0).epoch == MOST_EPOCH + 1
