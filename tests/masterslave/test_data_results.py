"""``Farm(results="data")``: wherever bytes of a slave are taken, nothing is unpickled."""

from __future__ import annotations

import contextlib
import logging
import pickle
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from masterslave import DependencyFailed, NotData, NotPicklable, SlaveSilent
from masterslave.packed import PICKLED, pack_value
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.fetching import BlobAnswer, BlobAsk
from masterslave.protocol.outcomes import (
    BROKEN,
    GIVEN_BACK,
    LOST,
    MIXED,
    PART,
    PROGRESS,
    RAISED,
    REPORT,
    UNABLE,
    VALUE,
    ItemOutcome,
    Outcome,
    Raised,
)
from masterslave.protocol.verbs import Delivery, Line
from remoteobj import RemoteObjError
from tests.conftest import eventually
from tests.masterslave.liars import Touch


@pytest.fixture
def owned(tmp_path: Path) -> Path:
    """The file that is there when something was unpickled."""
    return tmp_path / "owned"


def raised_evil(owned: Path) -> bytes:
    """Return an exception with pickles wherever there is room for one."""
    touch = Touch.pickled(owned)
    parts = pickle.dumps((Touch(owned), (), {}))
    return encode(Raised("E", "so it says", "", touch, parts, data=touch))


def evil_payloads(owned: Path) -> list[bytes]:
    """Return pickles as they could come, and what could be taken for them."""
    touch = Touch.pickled(owned)
    return [
        PICKLED + touch,
        touch,
        b"D" + touch,
        b"B" + touch,
        encode((ItemOutcome(VALUE, PICKLED + touch), ItemOutcome(RAISED, raised_evil(owned)))),
        raised_evil(owned),
        pack_value([PICKLED + touch, touch]),
    ]


def test_the_pickle_works_where_it_is_taken(owned: Path, meet: Any) -> None:
    farm, slave = meet()
    future = farm.submit(abs, -1)
    (task,) = slave.ask(1, 0).tasks
    slave.deliver(1, Outcome(task.task, 1, 1, VALUE, PICKLED + Touch.pickled(owned)))
    assert future.result(5) is None
    assert owned.exists(), "so the tests below would see it"


@pytest.mark.parametrize(
    "kind", [VALUE, RAISED, MIXED, LOST, BROKEN, UNABLE, GIVEN_BACK, PART, PROGRESS, REPORT, 77]
)
def test_no_outcome_of_a_call(meet: Any, owned: Path, kind: int) -> None:
    farm, slave = meet(results="data")
    batch = 0
    for number, evil in enumerate(evil_payloads(owned), 1):
        future = farm.options(retries=1, max_attempts=1).submit(abs, -1)
        parts = future.parts()
        told = slave.ask(8, batch)
        batch = told.batch or batch
        task = next((each for each in told.tasks if each.task == number - 1), None)
        if task is None:  # it is quarantined, or cannot run it, as it has said itself
            break
        slave.deliver(number, Outcome(task.task, 1, 1, kind, evil, 0.0, 0))
        if kind == PART:
            with contextlib.suppress(NotPicklable):
                assert isinstance(next(parts), list)
        wait([future], 0.05)
        if future.done():
            future.exception()
            assert future.progress is None
        if kind == BROKEN:
            break
    assert not owned.exists()


@pytest.mark.parametrize("kind", [VALUE, RAISED, MIXED, UNABLE])
def test_no_outcome_of_items(meet: Any, owned: Path, kind: int) -> None:
    farm, slave = meet(results="data")
    batch = 0
    for number, evil in enumerate(evil_payloads(owned), 1):
        results = farm.options(retries=1).map(abs, [-1, -2], chunksize=2, timeout=0.2)
        told = slave.ask(8, batch)
        batch = told.batch or batch
        if not told.tasks:
            break
        outcomes = [Outcome(one.task, one.attempt, one.count, kind, evil) for one in told.tasks]
        slave.deliver(number * 10, *outcomes)
        with contextlib.suppress(Exception):
            assert next(results) != owned
    assert not owned.exists()


def test_a_pickle_is_refused_in_words(meet: Any, owned: Path) -> None:
    farm, slave = meet(results="data")
    future = farm.submit(abs, -1)
    after = farm.submit(abs, future)
    (task,) = slave.ask(1, 0).tasks
    slave.deliver(1, Outcome(task.task, 1, 1, VALUE, PICKLED + Touch.pickled(owned)))
    with pytest.raises(NotData, match=r"of abs\(\) from slave liar was refused: it came pickl"):
        future.result(5)
    with pytest.raises(DependencyFailed):
        after.result(5)
    results = farm.map(abs, [-1])
    (task,) = slave.ask(1, 1).tasks
    item = ItemOutcome(VALUE, PICKLED + Touch.pickled(owned))
    slave.deliver(2, Outcome(task.task, 1, 1, MIXED, encode((item,))))
    with pytest.raises(NotData, match="return plain data"):
        next(results)
    assert not owned.exists()


def test_a_result_that_others_fetch_is_no_pickle(meet: Any, owned: Path) -> None:
    farm, slave = meet(results="data")
    future = farm.submit(abs, -1)
    farm.submit(abs, future)
    (task,) = slave.ask(1, 0).tasks
    (promised,) = farm._submitter.results._promised.values()
    slave.deliver(1, Outcome(task.task, 1, 1, VALUE, PICKLED + Touch.pickled(owned)))
    assert future.exception(5) is not None
    ask = BlobAsk(slave.slave, promised.digest, farm._master.origin)
    answer = decode(slave.door.blob(encode(ask)), BlobAnswer)
    assert not answer.parts
    assert "data only" in answer.refused


def test_no_line_that_is_printed(
    meet: Any, owned: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    farm, slave = meet(results="data")
    farm.submit(abs, -1)
    (task,) = slave.ask(1, 0).tasks
    evil = Touch.pickled(owned).decode("latin-1")
    with caplog.at_level(logging.INFO):
        for number, kind in enumerate((0, 1, 2, 3, 9), 1):
            line = Line(task.task, evil, kind, logging.ERROR, evil, f"%(x)s {evil} ({number})")
            delivery = Delivery(slave.slave, 0, (), 1, 1, False, (line,), number)
            slave.door.deliver(encode(delivery))
        shown = [""]

        def is_shown() -> bool:
            shown[0] += capsys.readouterr().err
            return "(5)" in shown[0]

        eventually(is_shown, "the last line is shown")
    assert not owned.exists()


@pytest.mark.parametrize("verb", ["join", "next", "deliver", "blob", "piece"])
def test_no_message(meet: Any, owned: Path, verb: str) -> None:
    farm, slave = meet(results="data")
    for evil in evil_payloads(owned):
        with pytest.raises(RemoteObjError):
            getattr(slave.door, verb)(evil)
    assert not owned.exists()
    assert farm.submit(abs, -1).cancel(), "it goes on"


def test_no_report_of_a_slave(meet: Any, owned: Path) -> None:
    farm, slave = meet(results="data")
    (record,) = farm.slaves
    with pytest.raises(SlaveSilent):
        record.status(timeout_s=0.1)
    (errand,) = slave.ask(1, 0).errands
    for number, evil in enumerate(evil_payloads(owned), 1):
        slave.deliver(number, Outcome(-1, errand.number, 1, REPORT, evil))
    assert not owned.exists()
    assert len(farm.slaves) == 1
