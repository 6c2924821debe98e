"""Leaderships at a real name server: over the wire, on the disk, at the command line."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nameserver import (
    MemoryStorage,
    NameServer,
    NameServerClient,
    NamingError,
    NotLeader,
    SqliteStorage,
    StorageFailed,
)
from nameserver.book import Book
from nameserver.changes import Registrant
from nameserver.leader_wire import claim_from, plain_claim
from nameserver.leadership import GRACE_S, Claim, Leadership, Manner
from remoteobj import Identity, NotAllowed
from remoteobj.identity.office import Office, found_cluster
from tests.conftest import eventually
from tests.nameserver.command import command
from tests.pairs import join

FARM, A, B = "0f" * 8, "a" * 16, "b" * 16
RENEW, TAKE, SUCCEED = Manner.RENEW, Manner.TAKE, Manner.SUCCEED
ANYBODY = Registrant("", "member")

Ask = Callable[[Identity], NameServerClient]


def test_one_leads_and_others_are_told_who(client: NameServerClient) -> None:
    assert client.leader(FARM) is None
    granted = client.lead(FARM, A, epoch=3, lease_s=4.0, successor=B, manner=RENEW)
    assert (granted.name, granted.epoch, granted.holder, granted.successor) == (FARM, 3, A, B)
    assert 3.0 < granted.left_s <= 4.0
    for manner in Manner:
        with pytest.raises(NotLeader, match=r"led by a+, since epoch 3|just started"):
            client.lead(FARM, B, epoch=3, lease_s=1.0, manner=manner, run="another")
    assert client.leader(FARM) is not None
    assert [each.holder for each in client.leaders()] == [A]
    assert not client.resign(FARM, A, 2)
    assert client.resign(FARM, A, 3)
    led = client.leader(FARM)
    assert led is not None
    assert led.left_s == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease_s": 60.0},
        {"lease_s": 0.0},
        {"lease_s": float("nan")},
        {"epoch": -1},
        {"epoch": 2**60},
        {"successor": A},
        {"holder": ""},
        {"name": "x" * 201},
    ],
)
def test_what_is_no_claim_is_refused_in_words(
    client: NameServerClient, wrong: dict[str, object]
) -> None:
    asked = {"name": FARM, "holder": A, "epoch": 1, "lease_s": 2.0} | wrong
    with pytest.raises(NamingError) as refusal:
        client.lead(asked.pop("name"), asked.pop("holder"), **asked)
    assert not isinstance(refusal.value, NotLeader)
    assert re.search("leadership|lease|epoch", str(refusal.value))  # and not in its traceback alone


@pytest.mark.parametrize(
    "plain", [None, 7, [], ["a"] * 9, [FARM, A, 1, 2.0, "steal", "", "", "", 1]]
)
def test_no_bytes_make_a_wrong_claim(plain: object) -> None:
    with pytest.raises(NamingError):
        claim_from(plain)
    claim = Claim(FARM, A, 1, 2.0, SUCCEED, B, "node", "run", 7)
    assert claim_from([*plain_claim(claim), "of a later release"]) == claim


def test_what_is_not_on_the_disk_is_not_answered() -> None:
    class Full(MemoryStorage):
        def save_leadership(self, leadership: Leadership) -> None:
            raise StorageFailed("the disk is full")

    now = 100.0
    with Book("run", Full(), clock=lambda: now) as book:
        now += GRACE_S
        with pytest.raises(StorageFailed, match="full"):
            book.lead(Claim(FARM, A, 1, 2.0), ANYBODY)
        assert book.leader(FARM) is None


def test_a_file_keeps_who_leads_and_a_renewal_writes_nothing(tmp_path: Path) -> None:
    saved = []

    class Counting(SqliteStorage):
        def save_leadership(self, leadership: Leadership) -> None:
            saved.append(leadership)
            super().save_leadership(leadership)

    now = 100.0
    with Book("run", Counting(tmp_path / "names"), clock=lambda: now) as book:
        now += GRACE_S
        book.lead(Claim(FARM, A, 1, 2.0, successor=B, run="r", turn=1), ANYBODY)
        for turn in range(2, 10):
            book.lead(Claim(FARM, A, 1, 2.0, RENEW, B, run="r", turn=turn), ANYBODY)
    assert len(saved) == 1
    with Book("next", SqliteStorage(tmp_path / "names"), clock=lambda: now) as book:
        with pytest.raises(NotLeader, match="just started"):
            book.lead(Claim(FARM, B, 0, 2.0, SUCCEED), ANYBODY)
        book.lead(Claim(FARM, A, 1, 2.0, RENEW, B, run="r", turn=10), ANYBODY)
        now += GRACE_S
        assert book.lead(Claim(FARM, B, 0, 2.0, SUCCEED), ANYBODY).epoch == 2


def test_the_command_line_lists_and_frees(server: NameServer) -> None:
    def leaders(*arguments: str) -> str:
        said = command("leaders", "--nameserver", server.address, "--insecure", *arguments)
        assert said.code == 0, said.err
        return said.out

    assert leaders() == ""
    assert json.loads(leaders("--json")) == []
    with closing(NameServerClient(server.address, insecure=True, quiet=True)) as client:
        client.lead(FARM, A, epoch=3, lease_s=0.3, successor=B, manner=RENEW)
        client.lead("another", A, epoch=1, lease_s=5.0, manner=RENEW)
    this, other = json.loads(leaders("--json"))
    assert (this["name"], this["epoch"], this["holder"], this["successor"]) == (FARM, 3, A, B)
    assert other["left_s"] > 1.0
    assert leaders().splitlines()[0].startswith(f"{FARM}\t3\t{A}\t\t{B}\t")

    def is_freed() -> bool:
        said = command("leaders", "--free", FARM, "--nameserver", server.address, "--insecure")
        assert said.code == 0 or "end its holder first" in said.err or "started" in said.err
        return said.code == 0

    assert not is_freed(), "it may act still"
    eventually(is_freed, "its lease and the first seconds of the server are over")
    assert json.loads(leaders("--json"))[0]["holder"] == ""


@pytest.fixture
def office() -> Office:
    return found_cluster("lab", name="hall", now=time.time())


@pytest.fixture
def ask(office: Office) -> Iterator[Ask]:
    with contextlib.ExitStack() as stack:
        hall = stack.enter_context(NameServer("127.0.0.1", announce=False))

        def ask(identity: Identity) -> NameServerClient:
            return stack.enter_context(closing(NameServerClient(hall.address, identity=identity)))

        yield ask


def test_only_members_lead_each_on_its_own_machine(
    office: Office, ask: Ask, tmp_path: Path
) -> None:
    ben, eve, slave, olga = (
        join(office, tmp_path / name, name, role)
        for name, role in (
            ("ben", "member"),
            ("eve", "member"),
            ("slave", "slave"),
            ("olga", "operator"),
        )
    )
    granted = ask(ben).lead(FARM, A, epoch=2, lease_s=4.0, manner=RENEW)
    assert granted.node == ben.claims.node
    with pytest.raises(NotLeader, match=f"on the machine {ben.claims.node}"):
        ask(eve).lead(FARM, A, epoch=2, lease_s=4.0, manner=RENEW)
    assert not ask(eve).resign(FARM, A, 2), "another machine cannot let it be over"
    for change in (
        lambda: ask(slave).lead("another", A, epoch=2, lease_s=4.0, manner=RENEW),
        lambda: ask(slave).leaders(),
        lambda: ask(eve).free(FARM),
    ):
        with pytest.raises(NotAllowed):
            change()
    with pytest.raises(NotLeader, match="end its holder first"):
        ask(olga).free(FARM)
