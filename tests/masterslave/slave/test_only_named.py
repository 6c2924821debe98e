"""A slave that takes named tasks only, and a master that sends it something else all the same."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cloudpickle
import pytest

from masterslave.codeset import CodeSet, with_code
from masterslave.lent import Lender
from masterslave.packed import PICKLED, pack_value
from masterslave.protocol.encoding import encode
from masterslave.protocol.functions import NAMED, hash_of
from masterslave.protocol.hand_outs import (
    BUNDLED,
    BUNDLED_STARRED,
    CALL,
    EACH,
    Form,
    WireTask,
)
from masterslave.protocol.joining import ONLY_NAMED, VERSION, GivenHandlers, Introduction
from masterslave.protocol.outcomes import NOT_DATA, RAISED, UNABLE
from masterslave.slave.link import Link
from masterslave.slave.offer import NamedTasks
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop
from remoteobj import codec
from tests.masterslave.liars import Touch
from tests.masterslave.slave.fake_master import FakeMaster, raised_of, value_of

STUDIO = str(Path(__file__).parents[1] / "named")
OFFERED = dict.fromkeys(["frame", "function", "fail", "kind_of"], "studio:Render")
FRAME = NAMED + b"frame"


class Liar(FakeMaster):
    """Sends bytes as they are."""

    is_seen_by_agent = False

    def send(self, function: bytes, arguments: bytes, form: Form = CALL, count: int = 1) -> int:
        digest = hash_of(function)
        with self.changed:
            self._functions[digest] = function
            self._tasks += 1
            task = WireTask(self._tasks, 1, count, form, digest, arguments)
            self._queue.append(task)
            self._open[task.task] = task
            self.changed.notify_all()
        return task.task


@pytest.fixture
def owned(tmp_path: Path) -> Path:
    """The file that is there when something was unpickled."""
    return tmp_path / "owned"


@pytest.fixture(params=["the agent refuses", "the child refuses"])
def liar(request: pytest.FixtureRequest, owned: Path) -> Iterator[Liar]:
    """A master whose slave takes named tasks only: its agent knows that, or the child alone."""
    by_agent = request.param == "the agent refuses"
    given = GivenHandlers({"frame": "evil:Touch"}, Touch.pickled(owned))
    if by_agent:  # and the master asks for whatever it likes
        touch = Touch.pickled(owned)
        master = Liar(initializer=touch, search_path=(str(owned.parent),), handlers=given)
    else:
        master = Liar(no_code=ONLY_NAMED, data_only=True, handlers=given)
    master.is_seen_by_agent = by_agent
    workshop = Workshop(1, named=NamedTasks(OFFERED, STUDIO, by_agent))
    workshop.open()
    me = Introduction(
        VERSION, "hand", "here", 1, 1, sys.version_info[:2], tasks=("frame",), only_named=by_agent,
        takes_handlers=True,
    )  # fmt: skip
    link = Link(master.uri, workshop, me, patience_s=10, identity=None, report=lambda line: None)
    thread = threading.Thread(target=link.run)
    thread.start()
    yield master
    link.leave_now()
    thread.join(20)
    workshop.close()
    master.close()
    assert not owned.exists()


def test_what_is_no_named_task_with_data_is_not_unpickled(liar: Liar, owned: Path) -> None:
    touch, call = Touch.pickled(owned), pack_value(((1,), {}))
    function = cloudpickle.dumps(lambda number: number)
    evil = pickle.dumps(((Touch(owned),), {}))
    lender = Lender()
    with closing(lender):
        lent = lender.lend(evil)
        assert lent is not None
        no_functions = [liar.send(function, call), liar.send(touch, call)]
        if liar.is_seen_by_agent:  # else it looks for what it is about
            coded = with_code(CodeSet(b"x" * 16, {}), touch)
            no_functions += [liar.send(coded, call), liar.send(b"", call)]
        no_data = [
            liar.send(FRAME, evil),
            liar.send(FRAME, PICKLED + evil),
            liar.send(FRAME, lent),
            liar.send(FRAME, PICKLED + pickle.dumps([Touch(owned)]), EACH, 1),
            liar.send(FRAME, encode([pack_value([1]), pickle.dumps([Touch(owned)])]), BUNDLED, 2),
            liar.send(FRAME, encode([PICKLED + pickle.dumps([Touch(owned)])]), BUNDLED_STARRED),
        ]
        for end in liar.wait_for(*no_data):
            raised = raised_of(end.payload)
            if liar.is_seen_by_agent or raised.type_name != "ValueError":
                assert (end.kind, raised.type_name) == (UNABLE, NOT_DATA)
                assert "only be pickled" in raised.message
            else:
                assert raised.message == "this is no packed value"
    for end in liar.wait_for(*no_functions):
        assert (end.kind, raised_of(end.payload).type_name) == (UNABLE, NOT_DATA)
        assert "takes no code (--only)" in raised_of(end.payload).message
    assert not owned.exists()
    bundle = encode([pack_value([1]), pack_value([2])])
    assert value_of(*liar.wait_for(liar.send(FRAME, bundle, BUNDLED, 2))) == [1, 2]
    assert value_of(*liar.wait_for(liar.send(FRAME, call))) == 1, "it works on"


@pytest.mark.parametrize("name", ["frame.__globals__", "__init__", "setup", "", "x", "do_frame"])
def test_what_is_not_offered_cannot_be_called(liar: Liar, name: str) -> None:
    (end,) = liar.wait_for(liar.send(NAMED + name.encode(), pack_value(((), {}))))
    assert end.kind == UNABLE
    assert "no slave offers task" in raised_of(end.payload).message
    (end,) = liar.wait_for(liar.send(NAMED + b"\xff", pack_value(((), {}))))
    assert end.kind in (UNABLE, RAISED)


def test_what_comes_back_is_data(liar: Liar) -> None:
    (end,) = liar.wait_for(liar.send(NAMED + b"function", pack_value(((), {}))))
    raised = raised_of(end.payload)
    assert raised.type_name == NOT_DATA
    assert "function" in raised.message
    assert "return plain data" in raised.message
    (end,) = liar.wait_for(liar.send(NAMED + b"fail", pack_value((("lost",), {}))))
    raised = raised_of(end.payload)
    assert (raised.pickled, raised.parts) == (b"", b"")
    assert isinstance(codec.decode(raised.data), KeyError)


def test_a_hash_says_nothing_of_what_was_sent_under_it() -> None:
    """Named once, replaced by code, never sent: the agent looks at the bytes that it has."""
    work = FarmWork(only_named=True)
    call = pack_value(((1,), {}))

    def send(batch: int, name: bytes, packed: bytes | None = None) -> list[bytes]:
        functions = {} if packed is None else {name: packed}
        work.waiting.clear()
        work.take_in(batch, [WireTask(batch, 1, 1, CALL, name, call)], functions, code=functions)
        return [job.pickled for job in work.waiting]

    assert send(1, b"f") == []
    assert send(2, b"f", FRAME) == [FRAME]
    assert send(3, b"f") == [FRAME]
    assert send(4, b"g", b"\x80evil") == []
    assert send(5, b"f") == [FRAME]
    assert send(6, b"g") == []
    assert send(7, b"f", b"\x80evil") == []
    assert send(8, b"f") == []
    for batch in range(9, 400):
        assert send(batch, b"%d" % batch) == []
    assert work.code == {}
    outcomes = work.to_deliver(10**6)[1]
    assert {outcome.kind for outcome in outcomes} == {UNABLE}
    assert len(outcomes) == 399 - 3
