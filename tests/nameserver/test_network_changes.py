"""What is open on each address while addresses come and go: without a network."""

from __future__ import annotations

import asyncio
import logging
import queue
from contextlib import closing

import pytest

from nameserver import NamingError
from nameserver.discovery import browsing, following
from nameserver.discovery.following import Following
from tests.conftest import eventually


class Opened:
    """Something that is open on an address."""

    def __init__(self, log: queue.SimpleQueue[str], address: str) -> None:
        self._log, self.address = log, address
        self.instances: set[str] = set()
        self.fails = False
        log.put(f"open {address}")

    async def close(self) -> None:
        await asyncio.sleep(0)  # as zeroconf does, it lets others run meanwhile
        if self.fails:
            raise ZeroDivisionError
        self._log.put(f"close {self.address}")


class Machine:
    """One whose addresses a test sets."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.broken: set[str] = set()
        self.log: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.looks = self.changes = 0

    def look(self) -> tuple[str, ...]:
        self.looks += 1
        if "unknown" in self.addresses:
            raise OSError("no list")
        return self.addresses

    async def open_on(self, address: str) -> Opened:
        if address in self.broken:
            raise NamingError("no multicast")
        return Opened(self.log, address)

    def note_change(self) -> None:
        self.changes += 1

    def follow(self) -> Following[Opened]:
        followed = Following(self.look, self.open_on, changed=self.note_change)
        followed.start()
        return followed

    def told(self, count: int) -> set[str]:
        return {self.log.get(timeout=5) for _ in range(count)}


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_S", 0.01)


def test_addresses_come_and_go() -> None:
    machine = Machine("a", "b")
    with closing(machine.follow()) as followed:
        assert machine.told(2) == {"open a", "open b"}, "at once"
        assert followed.addresses == ("a", "b")
        machine.addresses = ("b", "c")
        assert machine.told(2) == {"close a", "open c"}
        machine.addresses = ()
        assert machine.told(2) == {"close b", "close c"}
        machine.addresses = ("a",)
        assert machine.told(1) == {"open a"}
        eventually(lambda: machine.changes == 4, "each change is told")
    assert machine.told(1) == {"close a"}
    followed.close()
    assert machine.log.empty()


def test_one_that_fails_is_tried_again_and_spoils_no_other() -> None:
    machine = Machine("a", "b")
    machine.broken = {"a"}
    with closing(machine.follow()) as followed:
        assert machine.told(1) == {"open b"}
        assert followed.problems() == {"a": "no multicast"}
        machine.broken = set()
        assert machine.told(1) == {"open a"}
        eventually(lambda: not followed.problems(), "nothing is wrong any more")
        machine.broken, machine.addresses = {"c"}, ("a", "b", "c")
        eventually(followed.problems, "another is wrong")
        machine.addresses = ("a", "b")
        eventually(lambda: not followed.problems(), "it has gone")


def test_a_machine_that_cannot_say_its_addresses_keeps_what_it_has() -> None:
    machine = Machine("a")
    with closing(machine.follow()) as followed:
        machine.addresses = ("unknown",)
        before = machine.looks
        eventually(lambda: machine.looks > before + 2, "it looks")
        assert followed.addresses == ("a",)
        machine.addresses = ("b",)
        assert machine.told(3) == {"open a", "close a", "open b"}


def test_what_fails_in_an_unknown_way_is_logged_once_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine("a")
    is_broken = True

    async def open_on(address: str) -> Opened:
        if is_broken:
            raise ZeroDivisionError("how?")
        opened = Opened(machine.log, address)
        opened.fails = True
        return opened

    followed = Following(machine.look, open_on)
    with caplog.at_level(logging.ERROR, "nameserver.discovery"), closing(followed):
        followed.start()
        before = machine.looks
        eventually(lambda: machine.looks > before + 2, "it looks again")
        assert followed.problems() == {"a": "how?"}
        assert caplog.text.count("nothing can be opened on a: how?") == 1
        is_broken = False
        assert machine.told(1) == {"open a"}
        machine.addresses = ("b",)
        assert machine.told(1) == {"open b"}
        eventually(lambda: "could not be closed" in caplog.text, "it is logged")


def test_an_error_of_ours_ends_it_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> tuple[str, ...]:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR, "nameserver.discovery"):
        followed = Following(fail, Machine().open_on)
        followed.start()
        followed.close()
    assert "followed no longer" in caplog.text


def test_what_is_seen_on_two_interfaces_has_gone_when_it_is_seen_on_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine("a", "b")
    queriers: dict[str, Opened] = {}
    gone: queue.SimpleQueue[str] = queue.SimpleQueue()

    async def open_on(_: browsing.Browsing, address: str) -> Opened:
        queriers[address] = await machine.open_on(address)
        return queriers[address]

    monkeypatch.setattr(browsing.Browsing, "_look", lambda _: machine.look())
    monkeypatch.setattr(browsing.Browsing, "_open_on", open_on)
    with closing(browsing.browse(lambda _: None, gone.put)) as browsed:
        queriers["a"].instances = {"x", "y"}
        queriers["b"].instances = {"x"}
        machine.addresses = ("b",)
        assert gone.get(timeout=5) == "y"
        assert browsed.interfaces == ("b",)
        queriers["b"].instances = set()
        browsed._gone("x")
        assert gone.get(timeout=5) == "x"
    assert gone.empty()
