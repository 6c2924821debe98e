"""Children that die, tasks that are stopped, hand-outs that are taken back, slaves that leave."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from masterslave.protocol.hand_outs import EACH
from masterslave.protocol.outcomes import GIVEN_BACK, LOST, VALUE, PostMortem
from tests.conftest import StartScript, eventually
from tests.masterslave.slave.acts import act, fork_and_finish
from tests.masterslave.slave.conftest import MakeMaster, Serve
from tests.masterslave.slave.fake_master import FakeMaster, value_of

NOTHING = pickle.dumps(((), {}))


def packed(*args: object) -> bytes:
    return pickle.dumps((args, {}))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def started(gate: Path) -> None:
    eventually(Path(f"{gate}.started").exists, "the long task runs")


def taken_in(master: FakeMaster) -> None:
    eventually(master.is_taken_in, "the slave has taken in what there was")


def know(master: FakeMaster) -> None:
    """Let the slave measure ``act``, so that it feeds children ahead."""
    master.wait_for(*(master.submit(act, 0) for _ in range(30)))


@pytest.fixture
def ahead(master: FakeMaster) -> FakeMaster:
    know(master)
    return master


def test_only_the_task_that_ran_when_its_child_died_is_lost(ahead: FakeMaster) -> None:
    calls = [packed(number) for number in range(50)]
    calls[20] = packed("die")
    tasks = ahead.submit_many(act, calls)
    outcomes = ahead.wait_for(*tasks)
    assert [index for index, outcome in enumerate(outcomes) if outcome.kind == LOST] == [20]
    assert outcomes[20].item == 0
    post_mortem = msgspec.msgpack.decode(outcomes[20].payload, type=PostMortem)
    assert post_mortem.how == "its process ended itself with exit code 9"
    others = outcomes[:20] + outcomes[21:]
    assert [value_of(outcome) for outcome in others] == [*range(20), *range(21, 50)]
    assert not [outcome for outcome in ahead.outcomes if outcome.kind == GIVEN_BACK]


def test_the_item_that_ran_when_its_child_died_is_named(master: FakeMaster) -> None:
    span = master.submit_span(act, [1, 2, 3, "die", 5], EACH)
    (outcome,) = master.wait_for(span)
    assert (outcome.kind, outcome.item, outcome.count) == (LOST, 3, 5)


def test_a_child_that_is_killed_from_outside_is_replaced(master: FakeMaster) -> None:
    pid = value_of(master.wait_for(master.submit(os.getpid))[0])
    os.kill(pid, signal.SIGKILL)
    again = value_of(master.wait_for(master.submit(os.getpid))[0])
    assert again != pid


def test_results_of_short_calls_do_not_wait_for_a_long_one(
    ahead: FakeMaster, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    calls = [packed(number) for number in range(20)] + [packed("wait", str(gate))]
    *short, long = ahead.submit_many(act, calls)
    assert [value_of(outcome) for outcome in ahead.wait_for(*short)] == [*range(20)]
    assert long not in ahead.settled
    gate.touch()
    ahead.wait_for(long)


def test_what_was_fed_ahead_goes_to_the_child_that_is_idle(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    master = make_master()
    serve(master, slots=2)
    know(master)
    gate = tmp_path / "gate"
    long, *short = master.submit_many(
        act, [packed("wait", str(gate))] + [packed(number) for number in range(40)]
    )
    master.wait_for(*short)
    assert long not in master.settled
    gate.touch()
    master.wait_for(long)


def test_a_recall_gives_back_what_was_not_started(ahead: FakeMaster, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    long, *short = ahead.submit_many(
        act, [packed("wait", str(gate))] + [packed(number) for number in range(2000)]
    )
    started(gate)
    ahead.recall(long, *short)
    outcomes = ahead.wait_for(*short)
    assert {outcome.kind for outcome in outcomes} == {GIVEN_BACK}
    gate.touch()
    assert value_of(ahead.wait_for(long)[0]) == "wait"


def test_a_running_task_is_stopped_and_the_next_one_runs(ahead: FakeMaster, tmp_path: Path) -> None:
    long, *short = ahead.submit_many(act, [packed("stubborn"), *map(packed, range(5))])
    taken_in(ahead)
    start = time.monotonic()
    ahead.stop(long)
    assert [value_of(outcome) for outcome in ahead.wait_for(*short)] == [*range(5)]
    assert time.monotonic() - start < 1
    assert long not in ahead.settled
    assert not [outcome for outcome in ahead.outcomes if outcome.kind == LOST]


def test_a_task_that_ends_soon_after_its_stop_keeps_its_child(
    master: FakeMaster, tmp_path: Path
) -> None:
    def work(gate: str) -> None:
        Path(gate).touch()
        time.sleep(0.02)

    pid = value_of(master.wait_for(master.submit(os.getpid))[0])
    task = master.submit(work, str(tmp_path / "gate"))
    eventually((tmp_path / "gate").exists, "it runs")
    master.stop(task)
    assert value_of(master.wait_for(master.submit(os.getpid))[0]) == pid
    assert task not in master.settled


def test_a_waiting_task_that_is_stopped_does_not_run(ahead: FakeMaster, tmp_path: Path) -> None:
    gate, mark = tmp_path / "gate", tmp_path / "mark"
    long = ahead.submit(act, "wait", str(gate))
    started(gate)
    waiting = ahead.submit(Path.touch, mark)
    taken_in(ahead)
    ahead.stop(waiting)
    taken_in(ahead)
    gate.touch()
    ahead.wait_for(long, ahead.submit(act, 1))
    assert not mark.exists()


@pytest.mark.parametrize("way", ["by itself", "stopped"])
def test_a_process_that_a_task_forked_keeps_no_slot(
    master: FakeMaster, tmp_path: Path, way: str
) -> None:
    pid = tmp_path / "pid"
    task = master.submit(fork_and_finish, str(pid), way)
    eventually(lambda: pid.exists() and pid.read_text(), "the task has forked")
    if way == "stopped":
        master.stop(task)
    assert value_of(master.wait_for(master.submit(abs, -1))[0]) == 1
    eventually(lambda: not is_alive(int(pid.read_text())), "what it forked ends with it")
    assert [o.task for o in master.outcomes if o.kind == LOST] == [task] * (way == "by itself")


def test_draining_finishes_what_runs_and_gives_back_the_rest(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    master = make_master()
    slave = serve(master)
    know(master)
    gate = tmp_path / "gate"
    long, *short = master.submit_many(act, [packed("wait", str(gate)), *map(packed, range(100))])
    started(gate)
    slave.link.drain()
    assert {outcome.kind for outcome in master.wait_for(*short)} == {GIVEN_BACK}
    assert not master.has_left
    gate.touch()
    assert slave.wait() == "was left"
    assert master.has_left
    assert value_of(master.settled[long]) == "wait"


def test_leaving_at_once_gives_back_everything(make_master: MakeMaster, serve: Serve) -> None:
    master = make_master()
    slave = serve(master)
    know(master)
    tasks = master.submit_many(act, [packed("stubborn"), *map(packed, range(100))])
    taken_in(master)
    start = time.monotonic()
    slave.link.leave_now()
    assert slave.wait() == "was left"
    assert time.monotonic() - start < 2
    assert {master.settled[task].kind for task in tasks} == {GIVEN_BACK}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_child_that_dies_while_it_reads_a_hand_out_costs_it_nothing(master: FakeMaster) -> None:
    def starve() -> None:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**24, used + 2**24))

    master.wait_for(master.submit(starve))
    (outcome,) = master.wait_for(master.submit(len, bytes(100 * 2**20)))
    assert value_of(outcome) == 100 * 2**20, "the next child has memory"


def test_a_slave_that_was_forgotten_joins_anew_and_loses_nothing(ahead: FakeMaster) -> None:
    tasks = [ahead.submit(act, number) for number in range(200)]
    ahead.forget()
    assert [value_of(outcome) for outcome in ahead.wait_for(*tasks)] == [*range(200)]
    assert ahead.joined > 1000


AGENT = """
import sys
from masterslave.protocol.joining import VERSION, Introduction
from masterslave.slave.link import Link
from masterslave.slave.workshop import Workshop
from remoteobj import URI

shop = Workshop(2)
shop.open()
me = Introduction(VERSION, "hand", "here", 1, 2, sys.version_info[:2])
Link(URI(sys.argv[1]), shop, me, patience_s=10, identity=None, report=print).run()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_agent_that_is_killed_leaves_no_child(
    make_master: MakeMaster, start_script: StartScript, tmp_path: Path
) -> None:
    master = make_master()
    agent = start_script("-c", AGENT, str(master.uri))
    file = tmp_path / "pids"

    def spin(path: str) -> None:
        sleeper = subprocess.Popen(["sleep", "1000"])
        with open(path, "a") as notes:
            print(os.getpid(), sleeper.pid, file=notes)
        while True:
            pass

    for _ in range(2):
        master.submit(spin, str(file))
    eventually(lambda: file.exists() and len(file.read_text().split()) == 4, "both run")
    agent.kill()
    agent.wait()
    pids = [int(word) for word in file.read_text().split()]
    eventually(lambda: not any(map(is_alive, pids)), "what it had started is gone")


def test_a_lone_task_is_not_kept_for_company(ahead: FakeMaster) -> None:
    (outcome,) = ahead.wait_for(ahead.submit(act, 1))
    assert outcome.kind == VALUE
