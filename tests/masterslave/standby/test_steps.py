"""What is acknowledged is on the disk of whoever the name server lets take over (by chance)."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from masterslave.journal.steps import Phase, Position, Steps

FOLLOW_S = 2.0
COPIES = st.sampled_from(["anna", "ben"])


class Following(RuleBasedStateMachine):
    """A master, two copies, and a name server, whose answers may get lost."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.steps = Steps(Position(1, 0), follow_s=FOLLOW_S)
        self.on_disk = {"anna": Position(0, 0), "ben": Position(0, 0)}
        self.successor = ""
        self.recorded = 0
        self.called: list[tuple[int, Position]] = []

    def call(self, callbacks: list) -> None:
        for callback in callbacks:
            callback()

    @rule()
    def take_the_lead(self) -> None:
        self.steps.may_name = True

    @rule(facts=st.integers(0, 2), payloads=st.integers(0, 2), waiting=st.integers(0, 2))
    def write(self, facts: int, payloads: int, waiting: int) -> None:
        before = self.steps.written
        written = Position(before.seq + facts, before.row + payloads)
        numbers = range(self.recorded, self.recorded + waiting)
        self.recorded += waiting
        self.call(self.steps.wrote(
            written, [lambda at=at: self.called.append((at, written)) for at in numbers], self.now
        ))  # fmt: skip

    @rule(copy=COPIES, share=st.sampled_from([0.0, 0.5, 1.0]), is_near=st.booleans())
    def ask(self, copy: str, share: float, is_near: bool) -> None:
        has, written = self.on_disk[copy], self.steps.written
        gained = (int((there - here) * share) for here, there in zip(has, written, strict=True))
        self.on_disk[copy] = Position(*map(sum, zip(has, gained, strict=True)))
        self.call(self.steps.heard(copy, self.on_disk[copy], is_near=is_near))

    @rule(copy=COPIES)
    def answer(self, copy: str) -> None:
        self.steps.answered(copy, self.now)

    @rule(copy=COPIES)
    def leave(self, copy: str) -> None:
        self.call(self.steps.left(copy))

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.call(self.steps.look(self.now))

    @rule(comes_back=st.booleans())
    def carry_out(self, comes_back: bool) -> None:
        order = self.steps.order
        if order is not None:
            self.successor = order
            if comes_back:
                self.call(self.steps.said(order))

    @rule()
    def shut(self) -> None:
        self.steps.shut()

    @invariant()
    def the_successor_has_what_was_acknowledged(self) -> None:
        if self.successor:
            for _, written in self.called:
                assert self.on_disk[self.successor].has(written)

    @invariant()
    def it_is_called_in_order_and_once(self) -> None:
        assert [at for at, _ in self.called] == list(range(len(self.called)))

    @invariant()
    def who_is_in_step_is_known_as_the_successor(self) -> None:
        awaited = self.steps.awaited
        if awaited is not None and awaited[1] is Phase.IN_STEP:
            assert self.successor == awaited[0]


class GoingOn(Following):
    """Nobody shuts it: whatever has happened, all is acknowledged in the end."""

    @rule()
    def shut(self) -> None:
        pass

    def teardown(self) -> None:
        for _ in range(3):
            self.carry_out(comes_back=True)
            self.steps.answered("anna", self.now)
            self.steps.answered("ben", self.now)
            self.wait(10 * FOLLOW_S)
        assert len(self.called) == self.recorded


TestFollowing = Following.TestCase
TestGoingOn = GoingOn.TestCase


def test_a_silent_copy_that_was_not_named_is_not_waited_for() -> None:
    steps, called = Steps(Position(5, 0), follow_s=FOLLOW_S), []
    steps.may_name = True
    steps.heard("anna", Position(4, 0), is_near=True)
    assert steps.awaited == ("anna", Phase.JOINING)
    assert steps.wrote(Position(6, 0), [lambda: called.append(6)], 0.0) == []
    assert steps.look(FOLLOW_S - 0.1) == []
    for callback in steps.look(FOLLOW_S):
        callback()
    assert called == [6]
    assert steps.awaited is None
    assert steps.order is None


def test_who_is_shut_acknowledges_nothing() -> None:
    steps = Steps(Position(1, 0), follow_s=FOLLOW_S)
    steps.shut()
    assert steps.wrote(Position(2, 0), [lambda: None], 0.0) == []
    assert steps.look(100.0) == []
