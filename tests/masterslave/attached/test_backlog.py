"""Whatever is lost on the way, comes twice or late: each task is taken once and answered once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from masterslave import FarmSettings
from masterslave.farm.attached.master import RemoteMaster
from masterslave.farm.attached.sending import Told
from masterslave.farm.futures import FarmFuture
from masterslave.farm.options import CallOptions
from masterslave.farm.spans import Arrival, ItemSpan
from masterslave.farm.submitting import Submitter
from masterslave.farm.travelling import LocalCode
from masterslave.master.carrier import Carrier
from masterslave.protocol.attaching import Answers, Cancel, Collect, Greeting
from masterslave.protocol.hand_outs import EACH
from tests.masterslave.attached.model import ModelFarm

FATES = st.sampled_from(["arrives", "twice", "request lost", "answer lost"])
NUMBERS = st.integers(-100, 100)


class AtOnce(Carrier):
    """Calls back at once."""

    def carry(self, act: Callable[[], None]) -> None:
        act()


class Script(RuleBasedStateMachine):
    """A script and its farm; between them, a connection that may fail at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.farm = ModelFarm()
        self.master = RemoteMaster("a farm")
        self.submitter = Submitter(
            self.master, AtOnce(), "model", FarmSettings(),
            data_only=False, code=LocalCode(), handlers=b"",
        )  # fmt: skip
        self.options = CallOptions(is_attached=True)
        self.told = Told()
        self.is_connected = False
        self.late: list[tuple[int, Answers]] = []
        self.futures: list[tuple[int, FarmFuture[Any]]] = []
        self.settled: list[int] = []
        self.items: list[tuple[list[int], ItemSpan, list[tuple[int, Any]]]] = []

    # The script.

    @rule(number=NUMBERS)
    def submit(self, number: int) -> None:
        future = self.submitter.submit(self.options, abs, (number,), {})
        place = len(self.futures)
        future.add_done_callback(lambda _: self.settled.append(place))
        self.futures.append((number, future))

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=5))
    def map(self, numbers: list[int]) -> None:
        came: list[tuple[int, Any]] = []

        def put(arrival: Arrival) -> None:
            for place, (value, error) in enumerate(
                arrival.results(data_only=False), arrival.offset
            ):
                came.append((place, error or value))

        function = self.submitter.pack(abs)
        span = ItemSpan(function, self.options.terms_of(function), EACH, numbers, put)
        self.submitter.submit_span(span, abs, self.options)
        self.items.append((numbers, span, came))

    @precondition(lambda self: self.futures)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        _, future = data.draw(st.sampled_from(self.futures))
        was_done = future.done()
        assert future.cancel() is (not was_done or future.cancelled())

    @precondition(lambda self: self.items)
    @rule(data=st.data())
    def cancel_span(self, data: st.DataObject) -> None:
        _, span, came = data.draw(st.sampled_from(self.items))
        self.master.cancel_spans(span.members)
        assert len(came) == span.count

    # The line.

    @precondition(lambda self: not self.is_connected)
    @rule()
    def connect(self) -> None:
        with self.master as backlog:
            is_first, rows = not backlog.session, backlog.open_rows()
        admission = self.farm.attach(
            Greeting(1, "script", "host", 1, (3, 11), is_whole=is_first, open=rows)
        )
        with self.master as backlog:
            backlog.admit(admission.taken)
        self.told, self.is_connected = Told(), True

    @precondition(lambda self: self.is_connected)
    @rule(fate=FATES, most=st.integers(1, 6))
    def send(self, fate: str, most: int) -> None:
        self.master.take_in()
        with self.master as backlog:
            portions = backlog.next_portions(most, 1 << 20)
        request = self.told.request("T", portions)
        if fate != "request lost":
            taken = self.farm.submit(request)
        if fate == "twice":
            taken = self.farm.submit(request)
        if "lost" in fate:
            self.is_connected = False
            return
        self.told.note(request)
        with self.master as backlog:
            backlog.take(taken.taken)

    @precondition(lambda self: self.is_connected)
    @rule(fate=FATES)
    def send_cancels(self, fate: str) -> None:
        with self.master as backlog:
            unwanted = backlog.unwanted()
        for _ in range({"twice": 2, "request lost": 0}.get(fate, 1)):
            self.farm.cancel(Cancel("T", unwanted))
        if "lost" in fate:
            self.is_connected = False
            return
        with self.master as backlog:
            backlog.note_cancelled(unwanted)

    @precondition(lambda self: self.is_connected)
    @rule(fate=FATES)
    def collect(self, fate: str) -> None:
        with self.master as backlog:
            session, received = backlog.session, backlog.received
        if fate == "request lost":
            self.is_connected = False
            return
        answers = self.farm.collect(Collect("T", received))
        if fate == "answer lost":  # or it comes when there is another connection
            self.is_connected = False
            self.late.append((session, answers))
            return
        for _ in range(1 + (fate == "twice")):
            self.master.receive(session, answers)

    @precondition(lambda self: self.late)
    @rule()
    def hear_what_is_late(self) -> None:
        if not self.is_connected:
            self.connect()
        self.master.receive(*self.late.pop())

    # The farm.

    @precondition(lambda self: self.farm.undone)
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        self.farm.do(data.draw(st.sampled_from(self.farm.undone)))

    @rule(data=st.data(), fate=FATES)
    def go_on(self, data: st.DataObject, fate: str) -> None:
        if not self.is_connected:
            self.connect()
        self.send("arrives", 100)
        for serial in data.draw(st.permutations(self.farm.undone)):
            self.farm.do(serial)
        self.collect(fate)

    @rule()
    def restart_farm(self) -> None:
        self.farm.restart()
        self.is_connected = False

    @invariant()
    def nothing_twice(self) -> None:
        assert len(self.settled) == len(set(self.settled))
        assert all(count == 1 for count in self.farm.ran.values())
        for _, _, came in self.items:
            places = [place for place, _ in came]
            assert len(places) == len(set(places))

    def teardown(self) -> None:
        """All is answered in the end, and rightly."""
        is_heard = False
        while not is_heard:
            if not self.is_connected:
                self.connect()
            self.send("arrives", 100)
            self.send_cancels("arrives")
            for serial in self.farm.undone:
                self.farm.do(serial)
                with self.master as backlog:
                    assert backlog.find(serial) is not None, "nobody wants it"
            with self.master as backlog:
                before = backlog.received
            self.collect("arrives")
            with self.master as backlog:
                is_heard = backlog.received == before and backlog.is_flushed
        for number, future in self.futures:
            try:
                assert future.result(0) == abs(number)
            except CancelledError:
                assert future.cancelled()
        assert sorted(self.settled) == list(range(len(self.futures)))
        for numbers, span, came in self.items:
            assert sorted(place for place, _ in came) == list(range(span.count))
            for place, value in came:
                assert isinstance(value, CancelledError) or value == abs(numbers[place])
        with self.master as backlog:
            assert backlog.open == 0
            assert backlog.taken == backlog.submitted == self.farm.taken
        self.nothing_twice()


def test_what_the_farm_was_never_told_of_is_not_asked_for() -> None:
    script = Script()
    script.submit(1)
    script.map([2, 3])
    script.master.take_in()
    with script.master as backlog:
        assert backlog.open_rows() == ()
        backlog.next_portions(2, 1000)
        assert backlog.open_rows() == ((0, 2),)
    script.teardown()


Script.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
TestScript = Script.TestCase
