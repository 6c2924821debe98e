"""Who may run code may send pickles, to children; nothing else of farm and slave loads any.

At a farm's door: what was not let in, or says something else than outcomes of its tasks. In an
agent: all of it, for its children load what they run. (``results="data"`` and ``--only``, where
children and scripts load none either: test_data_results.py and slave/test_only_named.py.)
"""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import threading
from typing import Any

import msgspec
import pytest

from masterslave import Farm
from masterslave.blobs.segments import Part
from masterslave.cli import main_group
from masterslave.master.door import Door
from masterslave.naming import read_record, read_slave_record
from masterslave.packed import PICKLED, pack_value
from masterslave.protocol.encoding import encode
from masterslave.protocol.fetching import BlobAnswer, BlobAsk, PieceAsk
from masterslave.protocol.joining import (
    DOOR_ID,
    VERSION,
    Decline,
    GivenHandlers,
    Introduction,
    Welcome,
)
from masterslave.protocol.outcomes import Outcome, Raised
from masterslave.protocol.verbs import Ask, Delivery, Instructions, Line
from masterslave.slave.giving import Giver
from masterslave.slave.link import Link
from masterslave.slave.workshop import Workshop
from nameserver import Directory
from nameserver.record import make_record
from remoteobj import Daemon, Proxy, RemoteObjError, expose
from remoteobj.cli import run_command
from tests.bombs import Bomb
from tests.conftest import eventually
from tests.masterslave.slave.fake_master import FakeMaster, value_of

VERBS = ("join", "next", "deliver", "blob", "piece", "decline", "steer", "release", "status")


def of_strangers(data: bytes) -> list[bytes]:
    """Return messages of somebody who has not joined, with it in each place."""
    text = data.decode("latin-1")
    outcomes = tuple(
        Outcome(0, 1, 1, kind, payload)
        for kind in range(14)
        for payload in (data, PICKLED + data, pack_value(data), _raised(data))
    )
    python = sys.version_info[:2]
    told: list[Any] = [
        Introduction(0, text, text, 1, 1, python, text, {text: 1.0}, (text,), gives=text),
        Introduction(VERSION, text, text, -1, -1, python, text, {text: 1.0}, (text,), gives=text),
        Ask(text, 1, 0, 1, outcomes),
        Delivery(text, 1, outcomes, 1, 1, lines=(Line(0, text, 3, 40, text, text),), line=1),
        BlobAsk(text, data, text, 0, text, 0, {text: 1}),
        PieceAsk(text, data, 0, 0, 100),
        Decline(text, text, text),
    ]
    return [data, msgspec.msgpack.encode(data), msgspec.msgpack.encode([data] * 5), b"\x80" + data,
            *map(encode, told)]  # fmt: skip


def _raised(data: bytes) -> bytes:
    return encode(Raised("E", "so it says", "", data, data, data=data))


def test_no_message_at_the_door_of_a_farm_that_takes_pickles(bomb: Bomb) -> None:
    own = {"lead_with"}  # what the farm itself calls
    assert set(VERBS) | own == {name for name in vars(Door) if not name.startswith("_")}
    with Farm("test", local_slaves=0) as farm, Proxy(farm.uri) as door:
        for name in own:
            with pytest.raises(AttributeError):
                getattr(door, name)(1)
        future = farm.submit(abs, -1)
        for data in bomb.forms().values():
            for message in of_strangers(data):
                for verb in VERBS:
                    for args in ((message,), (message, message), ()):
                        with contextlib.suppress(Exception):
                            door._channel.call(verb, args, {}, 2.0)
        assert not future.done()
        assert future.cancel()


def test_what_is_said_of_farms_and_slaves_is_text(bomb: Bomb) -> None:
    for text in bomb.texts().values():
        for fact in ("host", "pid", "script", "name", "slots"):
            for name in ("masterslave.test.1", "masterslave-slave.1"):
                printable = "".join(each for each in text if each.isprintable())[:300]
                for said in (f"{fact}={printable}", printable):
                    record = make_record(name, "PYRO:x@127.0.0.1:1", {said})
                    read_record(record)
                    read_slave_record(record)


def test_no_status_that_a_command_shows(bomb: Bomb) -> None:
    liar = Doorkeeper()
    with Daemon() as daemon, Directory() as names:
        names.register("masterslave.test.1", daemon.register(liar, DOOR_ID))
        daemon.start()
        for data, text in zip(bomb.forms().values(), bomb.texts().values(), strict=True):
            for status in (
                data,
                {"label": data, "slaves": data, "statistics": data},
                {"label": text, "slaves": [{"name": data, text: data}], "farm": text},
            ):
                liar.answer = status
                for command in (["list"], ["list", "--json"], ["show", "test"], ["doctor"]):
                    with (
                        contextlib.redirect_stdout(io.StringIO()),
                        contextlib.redirect_stderr(io.StringIO()),
                        contextlib.suppress(Exception),
                    ):
                        run_command(main_group, command)
        assert liar.asked > 20


class Doorkeeper:
    """A door that answers with what a test says, to all."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.asked = 0

    def _say(self) -> Any:
        self.asked += 1
        return self.answer

    @expose
    def status(self) -> Any:
        return self._say()

    @expose
    def join(self, message: bytes) -> Any:
        return self._say()

    @expose
    def piece(self, message: bytes) -> Any:
        return self._say()


# Slaves.


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was unpickled in this process."""
    seen: list[bytes] = []
    real = pickle.loads

    def load(data: Any, **options: Any) -> Any:
        seen.append(bytes(data))
        return real(data, **options)

    monkeypatch.setattr(pickle, "loads", load)
    return seen


class Serving:
    """An agent's link, in this process, to a master that does what a test says."""

    def __init__(self, master: FakeMaster, patience_s: float = 10.0) -> None:
        self.workshop = Workshop(1, shows_output=True)
        self.workshop.open()
        me = Introduction(VERSION, "hand", "here", 1, 1, sys.version_info[:2], takes_handlers=True)
        self.link = Link(
            master.uri, self.workshop, me, patience_s=patience_s, identity=None, report=print
        )
        self._thread = threading.Thread(target=self.link.run)
        self._thread.start()

    def close(self) -> None:
        self.link.leave_now()
        self._thread.join(20.0)
        assert not self._thread.is_alive()
        self.workshop.close()


class Liar(FakeMaster):
    """Answers slaves with bytes of a test's, once they are there."""

    def __init__(self) -> None:
        self.lies: list[bytes] = []
        self.told = 0
        super().__init__(heartbeat_s=0.1)

    @expose
    def next(self, message: bytes) -> bytes:
        if self.lies:
            self.told += 1
            return self.lies.pop()
        return super().next(message)


def test_an_agent_unpickles_nothing_of_what_its_children_run(loads: list[bytes]) -> None:
    master = FakeMaster(lends=True)
    serving = Serving(master)
    try:
        done = master.submit(sum, [1, 2])
        large = master.submit(len, b"x" * (1 << 20))
        first, second = master.wait_for(done, large)
        assert not loads
        assert (value_of(first), value_of(second)) == (3, 1 << 20)
    finally:
        serving.close()
        master.close()


def of_masters(data: bytes) -> list[bytes]:
    """Return what a master may answer to ``next``, with it where no child is meant."""
    text = data.decode("latin-1")
    part = Part(text, 1, 1, 0, 10)
    told: list[Any] = [
        Instructions(dropped=(data,)),
        Welcome(slave=text, label=text, no_code=text, refused=text, log_levels={text: 1}),
        Welcome(handlers=GivenHandlers({text: text}, code=data, parts={data: data})),
        BlobAnswer((part,), text, text, (data,)),
    ]
    return [data, msgspec.msgpack.encode(data), b"\x80" + data, *map(encode, told)]


def test_no_instruction_is_unpickled_by_the_agent(bomb: Bomb, loads: list[bytes]) -> None:
    for data in bomb.forms().values():
        for lie in of_masters(data):
            with contextlib.closing(Liar()) as master:
                master.lies.append(lie)
                serving = Serving(master, patience_s=1.0)
                try:
                    eventually(lambda master=master: master.told, "it is told")
                finally:
                    serving.close()
    assert not loads


def test_no_question_to_a_slave_that_gives(bomb: Bomb, loads: list[bytes]) -> None:
    asked: list[PieceAsk] = []

    def read(ask: PieceAsk, wait_s: float) -> bytes:
        asked.append(ask)
        return b""

    giver = Giver(None, identity=None)
    with contextlib.closing(giver), Proxy(giver.uri) as proxy:
        giver.add(read)
        for data in bomb.forms().values():
            for message in of_strangers(data):
                with contextlib.suppress(RemoteObjError, TypeError):
                    assert proxy.piece(message) == b""
    assert {ask.digest for ask in asked} == set(bomb.forms().values())
    assert not loads
