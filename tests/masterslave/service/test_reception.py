"""What scripts say to the reception, and what they are told: of a service in this process."""

from __future__ import annotations

import logging
import math
import random
import time
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm
from masterslave.errors import CannotAttach, FarmError
from masterslave.farm.packing import pack_arguments
from masterslave.protocol.attaching import (
    CANCELLED,
    FAILED,
    GIVEN_UP,
    OUTCOME,
    PREDECESSOR_FAILED,
    Request,
    SentTasks,
)
from masterslave.protocol.outcomes import PART, RAISED
from tests.conftest import eventually
from tests.masterslave.gates import wait_at
from tests.masterslave.service.bare import Bare, packed_terms, sent_function
from tests.masterslave.service.conftest import Open, reception_of


def square(number: int) -> int:
    return number * number


def add(one: int, other: int) -> int:
    return one + other


def fail(number: int) -> int:
    raise ValueError(number)


def odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError(number)
    return number


def die(_: int) -> None:
    import os

    os.kill(os.getpid(), 9)


def count_up(to: int) -> Any:
    yield from range(to)
    return "all"


def pass_gate(gate: str) -> str:
    wait_at(gate)
    return "passed"


def test_all_kinds_of_tasks_and_answers_and_all_of_them_survive(open_service: Open) -> None:
    service = open_service(local_slaves=2)
    with Bare(reception_of(service)) as script:
        script.calls(square, range(10))  # 0 - 9
        script.items(square, range(10))  # 10 - 19
        script.items(add, [(1, 2), (3, 4)], starred=True)  # 20, 21
        script.calls(fail, [1])  # 22
        script.calls(square, [3], after=(22,))  # 23
        script.items(odd, range(4))  # 24 - 27
        script.calls(die, [0], max_attempts=2)  # 28
        script.calls(count_up, [3])  # 29
        script.calls(square, [5], after=(9, 29))  # 30
        script.calls(square, [6], after=(22,))  # 31: when that has its answer
        script.collect_all()
        assert not script.cancel((0, 32)).refused  # all are answered: nothing happens
        answers, values = script.answers, script.values
        assert [part for part in script.parts if part[1] == PART] == [
            (29, PART, item) for item in range(3)
        ]
    assert [values[at] for at in range(22)] == [*(n * n for n in range(10))] * 2 + [3, 7]
    assert (answers[22].what, answers[22].kind) == (OUTCOME, RAISED)
    for serial in (23, 31):
        assert (answers[serial].what, answers[serial].predecessor) == (PREDECESSOR_FAILED, 22)
    assert [values.get(at) for at in range(24, 28)] == [None, 1, None, 3]
    assert answers[28].what == GIVEN_UP
    assert b"SIGKILL" in answers[28].payload
    assert (values[29], values[30]) == ("all", 25)
    (job,) = service.jobs()
    eventually(lambda: service.jobs()[0]["state"] == "detached", "the script is gone")
    assert (job["tasks"], job["done"], job["failed"], job["waiting"]) == (32, 32, 6, 0)
    for _ in range(2):  # from the journal, and from one that was compacted meanwhile
        service.close()
        service = open_service()
        with Bare(reception_of(service), script.ticket) as again:
            assert again.admission.taken == 32
            assert again.admission.tasks[0] == (0, 10, "square")
            again.collect_all()
            assert again.answers == answers
        assert service.jobs()[0]["failed"] == 6
        service.close()
        service.journal.compact(service.journal.path, "survey")


def test_large_arguments_are_read_when_they_are_handed_out(open_service: Open) -> None:
    service = open_service()
    sizes = [1000, 100_000, 5_000_000]
    with Bare(reception_of(service)) as script:
        script.calls(len, [bytes(size) for size in sizes])
        script.items(len, [bytes(size) for size in sizes])
    service.close()
    service = open_service(local_slaves=1)  # takes them up
    with Bare(reception_of(service), script.ticket) as again:
        again.calls(len, [bytes(size) for size in sizes])
        again.collect_all()
        assert list(again.values.values()) == sizes * 3


@pytest.mark.parametrize("is_noticed", [False, True], ids=["when it is read", "at the start"])
def test_tasks_that_a_damaged_file_has_lost_are_answered_too(
    open_service: Open, caplog: pytest.LogCaptureFixture, *, is_noticed: bool
) -> None:
    service = open_service()
    path, needle = service.journal.path, b"needle" * 100
    with Bare(reception_of(service)) as script:
        script.calls(len, [needle, needle])
        script.items(len, [needle])
    if is_noticed:  # what is dead for the most part is compacted, and so read as a whole
        with Bare(reception_of(service)) as gone:
            gone.calls(len, [random.randbytes(1_000_000)] * 10)
            gone.leave(forget=True)
    service.close()
    content = path.read_bytes()
    path.write_bytes(content.replace(needle, bytes(len(needle))))
    assert path.read_bytes() != content
    service = open_service(local_slaves=1)
    assert ("was damaged" in caplog.text) is is_noticed
    with Bare(reception_of(service), script.ticket) as again:
        again.calls(len, [needle])
        assert again.collect_all() == {3: len(needle)}
        assert [again.answers[serial].what for serial in range(3)] == [FAILED] * 3
        assert b"a part of the journal that was lost" in again.answers[0].payload
    service.close()
    with Bare(reception_of(open_service()), script.ticket) as later:
        later.collect_all()
        assert later.answers == again.answers


def test_what_follows_a_task_that_was_lost_does_not_run(open_service: Open) -> None:
    service = open_service()
    path, needle, code = service.journal.path, b"needle" * 30, b"hay in the code" * 10

    def lost(_: int) -> bytes:
        return code

    with Bare(reception_of(service)) as script:
        script.calls(square, [1])
        script.calls(len, [needle])  # 1: its arguments are lost
        script.calls(lost, [1])  # 2: its function is
        script.calls(square, [3], after=(1,))
        script.calls(square, [4], after=(0, 3))
        script.calls(square, [5], after=(2,))
        script.items(square, [6, 7], after=(1,))
        script.calls(square, [8], after=(0,))
    service.close()
    content = path.read_bytes()
    for one in (needle, code):
        assert one in content
        content = content.replace(one, bytes(len(one)))
    path.write_bytes(content)
    for _ in range(2):
        service = open_service(local_slaves=1)
        with Bare(reception_of(service), script.ticket) as again:
            assert again.collect_all() == {0: 1, 8: 64}
            assert [again.answers[serial].what for serial in (1, 2)] == [FAILED] * 2
            followers = {
                serial: (again.answers[serial].what, again.answers[serial].predecessor)
                for serial in range(3, 8)
            }
        assert followers == {
            serial: (PREDECESSOR_FAILED, predecessor)
            for serial, predecessor in ((3, 1), (4, 3), (5, 2), (6, 1), (7, 1))
        }
        service.close()


def test_what_was_taken_is_passed_over(open_service: Open) -> None:
    service = open_service(local_slaves=1)
    function = sent_function(math.isqrt)
    packed = tuple(pack_arguments("isqrt", (number * number,), {}) for number in range(10))
    with Bare(reception_of(service)) as script:

        def send(first: int, end: int) -> int:
            tasks = SentTasks(first, function.digest, packed_terms(), packed[first:end])
            return script.submit(Request(script.ticket, (function,), (tasks,))).taken

        assert [send(0, 3), send(0, 3), send(1, 6), send(0, 2), send(6, 10)] == [3, 3, 6, 6, 10]
        assert script.collect_all(10) == {number: number for number in range(10)}
    assert service.jobs()[0]["tasks"] == 10


def test_a_script_leaves_and_comes_back(open_service: Open, tmp_path: Path) -> None:
    service, gate = open_service(local_slaves=1), tmp_path / "gate"
    with Bare(reception_of(service)) as script:
        script.calls(square, [2])
        script.calls(pass_gate, [str(gate), str(gate)])
        script.collect_all(1)
    eventually(lambda: service.jobs()[0]["state"] == "detached", "the script is gone")
    gate.touch()
    eventually(lambda: service.jobs()[0]["waiting"] == 0, "what it has left is done")
    with Bare(reception_of(service), script.ticket, is_whole=False, open=((1, 2),)) as again:
        assert again.collect_all(2) == {1: "passed", 2: "passed"}
        again.calls(square, [3])
        assert again.collect_all(3)[3] == 9
    with Bare(reception_of(service), script.ticket) as whole:
        assert whole.collect_all() == {0: 4, 1: "passed", 2: "passed", 3: 9}
        assert not whole.leave(forget=True).refused
        assert service.jobs() == []
    gone = Bare(reception_of(service), script.ticket)
    assert "there is no ticket" in gone.admission.refused
    gone.close()


def test_answers_come_again_until_they_are_acknowledged(open_service: Open) -> None:
    service = open_service(local_slaves=1)
    with Bare(reception_of(service)) as script:
        script.calls(square, range(3))
        script.collect_all()
    with Bare(reception_of(service), script.ticket) as script:
        first = script.collect()
        assert len(first.answers) == 3
        assert script.collect(0) == first
        partly = script.collect(1)
        assert (partly.since, partly.answers) == (1, first.answers[1:])
        started = time.monotonic()
        nothing = script.collect(3)
        assert (nothing.since, nothing.answers, nothing.waits) == (3, (), "")
        assert time.monotonic() - started >= 0.5  # a heartbeat
        script.calls(square, [9])
        assert script.collect_all()[3] == 81


def test_what_is_cancelled_is_answered_and_stays_so(open_service: Open, tmp_path: Path) -> None:
    service, gate = open_service(local_slaves=1), tmp_path / "gate"
    with Bare(reception_of(service)) as script:
        script.calls(pass_gate, [str(gate)])
        script.calls(square, [1], after=(0,))
        script.items(square, range(100))
        script.cancel((1, 51), (-5, 2), (90, 100_000))
        gate.touch()
        script.collect_all()
        what = {serial: answer.what for serial, answer in script.answers.items()}
        assert set(what) == set(range(102))
        dropped = {serial for serial, one in what.items() if one == CANCELLED}
        assert dropped <= {*range(1, 52), *range(90, 102)}
        assert 1 in dropped
    service.close()
    with Bare(reception_of(open_service()), script.ticket) as again:
        again.collect_all()
        assert {serial: answer.what for serial, answer in again.answers.items()} == what


def test_a_broken_start_leaves_the_journal_free(open_service: Open) -> None:
    with pytest.raises(FarmError):
        open_service(host="127.0.0.1", identity=None)
    open_service()


def test_who_ends_a_service_has_not_lost_its_slaves(
    open_service: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service = open_service(local_slaves=2)
    eventually(lambda: caplog.text.count(" joined from ") == 2, "both are here")
    service.close()
    assert " lost" not in caplog.text


def test_a_mistake_of_the_service_is_no_lost_connection(
    open_service: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise AttributeError("a mistake")

    service = open_service()
    with Farm.attach("survey") as farm:
        future = farm.submit(abs, -1)
        monkeypatch.setattr(service._reception.lobby, "wait", fail)
        with pytest.raises(CannotAttach, match="cannot be heard: a mistake"):
            future.result(20)
