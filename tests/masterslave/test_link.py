"""A slave's end of the conversation, with a master that says what a test wants said."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable

import pytest

from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.hand_outs import WireTask
from masterslave.protocol.joining import DOOR_ID, VERSION, Introduction, Welcome
from masterslave.protocol.verbs import Ask, Delivery, Instructions
from masterslave.slave.child.frames import Ready
from masterslave.slave.link import Link
from remoteobj import Daemon, expose
from tests.masterslave.test_workshop import Shop


class Door:
    """Forgets the slave after its first task, while a batch for it is still on its way."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.joined = 0
        self.formerly: list[str] = []
        self.joined_anew = threading.Event()
        self.asked_again = threading.Event()

    @expose
    def join(self, message: bytes) -> bytes:
        self.joined += 1
        self.formerly.append(decode(message, Introduction).formerly)
        return encode(Welcome(f"hand#{self.joined}", 1.0))

    @expose
    def next(self, message: bytes) -> bytes:
        ask = decode(message, Ask)
        self.asks.append(ask)
        if ask.slave == "hand#2":
            return encode(Instructions(ended=True))
        number = ask.acknowledged + 1
        if number == 2:
            self.asked_again.set()
            self.joined_anew.wait(10)
        task = WireTask(number, 1, 1, 0, b"f", pickle.dumps(((), {})))
        return encode(Instructions(number, (task,), {b"f": pickle.dumps(dict)}))

    @expose
    def deliver(self, message: bytes) -> bytes:
        delivery = decode(message, Delivery)
        self.asked_again.wait(10)
        if delivery.slave == "hand#2":
            self.joined_anew.set()
        return encode(Instructions(delivered=delivery.sequence, unknown=delivery.slave == "hand#1"))


class Babbler(Door):
    """Answers what is no message."""

    @expose
    def deliver(self, message: bytes) -> bytes:
        self.joined_anew.set()  # lets the poll come back
        return b"what?"


Serve = Callable[[Door], tuple[str, Link]]


@pytest.fixture
def serve() -> Serve:
    """Serve a door until it ends, with a child that finishes its task at once."""

    def serve_door(door: Door) -> tuple[str, Link]:
        shop = Shop()
        (child,) = shop.children

        def finish() -> None:
            if child.load.jobs:
                child.finish(*child.load.jobs, seconds=0.1)

        child.say(Ready())
        child.on_sent = finish
        me = Introduction(VERSION, "hand", "here", 1, 1, sys.version_info[:2])
        with Daemon() as daemon:
            uri = daemon.register(door, DOOR_ID)
            daemon.start()
            link = Link(uri, shop, me, patience_s=10.0, identity=None, report=lambda line: None)
            how = link.run()
            door.joined_anew.set()
        shop.close()
        return how, link

    return serve_door


def test_a_batch_for_a_lost_seat_is_not_taken_for_one_of_the_new(serve: Serve) -> None:
    door = Door()
    how, link = serve(door)
    assert how == "has ended"
    asks = [(ask.slave, ask.acknowledged) for ask in door.asks]
    assert asks == [("hand#1", 0), ("hand#1", 1), ("hand#2", 0)]
    assert door.formerly == ["", "hand#1"], "it says who it was"
    assert not link.work.waiting


def test_a_master_that_babbles_is_left(serve: Serve) -> None:
    door = Babbler()
    how, _ = serve(door)
    assert "does not speak as a farm does" in how
