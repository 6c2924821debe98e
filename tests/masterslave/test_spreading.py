"""Who is sent to whom for a shared object."""

from __future__ import annotations

import sys
import threading

import pytest

from masterslave.master.seats import Seat, address_of
from masterslave.master.spreading import Spreading
from masterslave.master.table import Table
from masterslave.protocol.fetching import FINE, LOST, WRONG, BlobAsk
from masterslave.protocol.joining import VERSION, Introduction
from remoteobj import THIS_MACHINE

BLOB = b"blob"


class Slaves(Table):
    """A table whose slaves are known by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.spreading = Spreading(threading.Lock(), self)

    def seat(self, name: str, *, gives: bool = True, peer: str = "10.0.0.1:5") -> Seat:
        at = "./u:/run/it.sock" if peer == THIS_MACHINE else f"{name}:9"
        version = sys.version_info[:2]
        gives_at = f"PYRO:giver@{at}" if gives else ""
        who = Introduction(VERSION, name, "here", 1, 1, version, gives=gives_at)
        seat = self.by_token[name] = self.seats[name] = Seat(name, name, who, peer)
        return seat

    def ask(self, name: str, giver: str = "", how: int = FINE, first: int = 0) -> str:
        """Ask for the blob; returns who is to give it, by name."""
        self.by_token[name].blobs.add(BLOB)
        at = f"PYRO:giver@{giver}:9" if giver else ""
        ask = BlobAsk(name, BLOB, "a farm", first, at, how)
        return self.spreading.find_giver(ask).removeprefix("PYRO:giver@").removesuffix(":9")

    def leave(self, name: str) -> None:
        self.take_away(name, "left")


@pytest.fixture
def table() -> Slaves:
    made = Slaves()
    for name in "abcdefg":
        made.seat(name)
    return made


def test_the_first_is_sent_to_nobody_and_no_one_gives_to_all(table: Slaves) -> None:
    assert [table.ask(name) for name in "abcdefg"] == ["", "a", "a", "b", "b", "c", "c"]


def test_those_that_give_nothing_are_given(table: Slaves) -> None:
    table.seat("mute", gives=False)
    assert table.ask("mute") == ""
    assert table.ask("a") == ""
    assert table.ask("mute") == "a"


def test_it_goes_on_with_the_same_one(table: Slaves) -> None:
    table.ask("a")
    assert [table.ask("b"), table.ask("b", "a", first=16)] == ["a", "a"]
    assert table.seats["a"].gives == {BLOB: 1}


def test_nobody_is_sent_to_one_that_left_or_rests(table: Slaves) -> None:
    table.ask("a")
    table.seats["a"].says = "somebody uses the machine"
    assert table.ask("b") == ""
    assert table.ask("c") == "b"
    table.leave("b")
    assert table.ask("d") == "c"
    assert table.ask("c", "b", first=16) == "", "that one waits for the one who asks"


def test_one_that_does_not_give_is_not_named_again_for_this(table: Slaves) -> None:
    table.ask("a")
    assert table.ask("b") == "a"
    assert table.ask("b", "a", LOST) == ""
    assert table.ask("c") == "b"
    assert table.seats["a"].lost_pieces == 1


def test_one_that_never_gives_is_named_no_more_at_all(table: Slaves) -> None:
    for _ in range(4):
        table.ask("a")
        assert table.ask("b") == "a"
        table.ask("b", "a", LOST)
        table.seats["b"].gives.clear()
    table.ask("a")
    assert table.ask("b") == ""
    table.seats["a"].given_bytes = 1 << 30
    assert table.ask("b") == "a"


def test_one_that_lies_is_named_no_more(table: Slaves) -> None:
    table.ask("a")
    table.ask("b")
    assert table.ask("b", "a", WRONG) == ""
    table.ask("a")
    table.seats["b"].gives.clear()
    assert table.ask("c") == ""
    assert table.seats["a"].wrong_pieces == 1


@pytest.mark.parametrize("how", [LOST, WRONG, 99])
def test_nobody_is_blamed_by_who_was_not_sent_there(table: Slaves, how: int) -> None:
    table.ask("a")
    table.ask("c", "a", how)
    assert (table.seats["a"].lost_pieces, table.seats["a"].wrong_pieces) == (0, 0)
    assert table.ask("b") == "a"


def test_two_never_wait_for_each_other(table: Slaves) -> None:
    table.ask("a")
    assert [table.ask("b"), table.ask("c"), table.ask("d")] == ["a", "a", "b"]
    assert table.ask("a") == "", "it let go of it, and asks again, while all follow it"
    table.spreading.note_given(BlobAsk("c", BLOB, "a farm", given={"PYRO:giver@a:9": 7}))
    assert table.ask("a") == "c", "which has it all by now"
    assert table.seats["a"].given_bytes == table.spreading.given_bytes == 7


def test_what_is_gone_is_forgotten(table: Slaves) -> None:
    table.ask("a")
    table.seats["a"].blobs.clear()
    assert table.ask("b") == ""


def test_who_came_by_a_socket_is_met_at_one(table: Slaves) -> None:
    table.seat("here", peer=THIS_MACHINE)
    table.seat("too", peer=THIS_MACHINE)
    table.ask("a")
    assert table.ask("here") == ""
    assert table.ask("too") == "./u:/run/it.sock"
    assert table.ask("b") == "a"


@pytest.mark.parametrize(
    ("uri", "peer", "address"),
    [
        ("", "10.0.0.7:1", ""),
        ("junk", "10.0.0.7:1", ""),
        ("PYRONAME:giver", "10.0.0.7:1", ""),
        ("PYRO:giver@10.0.0.9:4", "10.0.0.7:1", "PYRO:giver@10.0.0.9:4"),
        ("PYRO:giver@0.0.0.0:4", "10.0.0.7:1", "PYRO:giver@10.0.0.7:4"),
        ("PYRO:giver@[::]:4", "[fe80::1]:1", "PYRO:giver@[fe80::1]:4"),
        ("PYRO:giver@0.0.0.0:4", THIS_MACHINE, ""),
        ("PYRO:giver@./u:/run/it.sock", "10.0.0.7:1", ""),
        ("PYRO:giver@./u:/run/it.sock", THIS_MACHINE, "PYRO:giver@./u:/run/it.sock"),
    ],
)
def test_where_a_slave_is_met(uri: str, peer: str, address: str) -> None:
    assert address_of(uri, peer) == address


def test_a_stranger_is_told_and_believed_nothing(table: Slaves) -> None:
    table.ask("a")
    ask = BlobAsk("stranger", BLOB, "a farm", 0, given={"PYRO:giver@a:9": 7})
    assert table.spreading.find_giver(ask) == ""
    table.spreading.note_given(ask)
    table.spreading.note_sent("stranger", 5)
    assert (table.spreading.given_bytes, table.seats["a"].given_bytes) == (0, 0)
