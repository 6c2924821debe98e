"""A copy that meets a master that answers late, or never."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from masterslave.journal.copying import Copy
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.following import FOLLOW_ID, Met, Poll, Rows
from masterslave.standby import Follower
from remoteobj import Daemon, DeadlinePassed, expose
from tests.conftest import PATIENCE_S, eventually


class LateDoor:
    """Answers a hello when it is told to.

    Attributes:
        asked: How many polls came while a hello was not answered.
        polled: One came after that.
    """

    def __init__(self) -> None:
        self.is_met, self.answers, self.polled = (threading.Event() for _ in range(3))
        self.may_go_on, self.asked = threading.Event(), 0
        self.may_go_on.set()

    @expose
    def meet(self, message: bytes) -> bytes:
        self.is_met.set()
        self.answers.wait()
        return encode(Met(farm_id="0f" * 8, epoch=1, session=7, poll_s=0.5))

    @expose
    def follow(self, message: bytes) -> bytes:
        self.may_go_on.wait()
        if decode(message, Poll).session == 7:
            self.polled.set()
            return encode(Rows(1, 1))
        self.asked += 1
        return encode(Rows(1, 1, is_unknown=True))


@pytest.fixture
def door() -> Iterator[LateDoor]:
    door = LateDoor()
    yield door
    door.answers.set()
    door.may_go_on.set()


class Following:
    """A follower of a door, in a thread."""

    def __init__(self, door: LateDoor, folder: Path) -> None:
        self.stopped = threading.Event()
        self.ended: Future[None] = Future()
        self._daemon = Daemon()
        uri = self._daemon.register(door, FOLLOW_ID)
        self._daemon.start()
        self._copy = Copy.open(folder / "copy.db", "survey")
        self._follower = Follower(self._copy, uri, stopped=self.stopped)
        threading.Thread(target=self._run).start()

    def _run(self) -> None:
        try:
            self._follower.run()
            self.ended.set_result(None)
        except BaseException as error:
            self.ended.set_exception(error)

    def close(self) -> None:
        self.stopped.set()
        self._copy.close()
        self._daemon.close()


@pytest.fixture
def following(door: LateDoor, tmp_path: Path) -> Iterator[Following]:
    following = Following(door, tmp_path)
    yield following
    door.answers.set()
    door.may_go_on.set()
    following.close()


def test_it_waits_for_a_master_that_is_there(door: LateDoor, following: Following) -> None:
    eventually(lambda: door.asked > 2, "it is asked meanwhile whether it is there")
    assert not following.ended.done()
    door.answers.set()
    assert door.polled.wait(PATIENCE_S)
    following.stopped.set()
    following.ended.result(PATIENCE_S)


def test_it_ends_when_it_is_stopped(door: LateDoor, following: Following) -> None:
    assert door.is_met.wait(PATIENCE_S)
    following.stopped.set()
    following.ended.result(PATIENCE_S)
    assert not door.answers.is_set()


def test_it_gives_up_a_master_that_answers_nothing(door: LateDoor, following: Following) -> None:
    door.may_go_on.clear()
    assert door.is_met.wait(PATIENCE_S)
    with pytest.raises(DeadlinePassed):
        following.ended.result(PATIENCE_S)
