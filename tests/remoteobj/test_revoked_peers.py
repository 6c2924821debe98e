"""A peer that is revoked: its connections end at both ends, and it does not come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remoteobj import ConnectionLost, Daemon, Identity, PeerRefused, Proxy, expose
from tests.certificates import Authority, Files
from tests.conftest import eventually

IN_TIME_S = 1.0


@expose
class Bell:
    def __init__(self) -> None:
        self.rung = threading.Event()
        self.over = threading.Event()

    def ring(self) -> int:
        return 1

    def hold(self) -> int:
        self.rung.set()
        self.over.wait(20.0)
        return 2


class Town:
    """Two machines, a daemon on the first, and a list that revokes any of them."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.files = {name: self.authority.node(name, role="member") for name in ("one", "two")}
        self.one = Identity.from_files(*self.files["one"])
        self.two = Identity.from_files(*self.files["two"])
        self.bell = Bell()
        self.daemon = Daemon("127.0.0.1", identity=self.one)
        self.uri = self.daemon.register(self.bell, "bell")
        self.daemon.start()

    def revoking(self, name: str) -> bytes:
        files: Files = self.files[name]
        return self.authority.revocations(files.certificate, number=1)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path / "town")
    with made.daemon:
        yield made
        made.bell.over.set()


def call_in_a_thread(proxy: Proxy) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            proxy.hold()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def test_who_was_revoked_before_is_told_so(town: Town) -> None:
    town.one.note_revoked(town.revoking("two"))
    with pytest.raises(PeerRefused, match=r"this peer is not let in: .*revoked") as hit:
        Proxy(town.uri, identity=town.two).ring()
    assert hit.value.executed == "no"
    assert town.daemon.statistics().calls == 0


def test_a_server_that_was_revoked_before_is_not_called(town: Town) -> None:
    town.two.note_revoked(town.revoking("one"))
    with pytest.raises(PeerRefused, match=r"is not trusted: .*revoked"):
        Proxy(town.uri, identity=town.two).ring()
    assert town.daemon.statistics().calls == 0


@pytest.mark.parametrize("who_hears", ["daemon", "caller"])
def test_a_connection_ends_when_its_peer_is_revoked(town: Town, who_hears: str) -> None:
    with Proxy(town.uri, identity=town.two) as proxy:
        assert proxy.ring() == 1
        thread, errors = call_in_a_thread(proxy)
        assert town.bell.rung.wait(5.0)
        started = time.monotonic()
        if who_hears == "daemon":
            town.one.note_revoked(town.revoking("two"))
        else:
            town.two.note_revoked(town.revoking("one"))
        thread.join(5.0)
        took_s = time.monotonic() - started
        print(f"{who_hears} hears of it: the call ended after {took_s * 1000:.0f} ms")
        assert took_s < IN_TIME_S
        [error] = errors
        assert isinstance(error, PeerRefused), error
        assert "revoked" in str(error)
        assert error.executed == "maybe"
        with pytest.raises(ConnectionLost, match="revoked"):  # and it does not come back
            proxy.ring()
        town.bell.over.set()
        eventually(
            lambda: town.daemon.statistics().connections == 0, "the connections have ended", 5.0
        )


def test_idle_connections_end_too_and_others_stay(town: Town) -> None:
    three = Identity.from_files(*town.authority.node("three", role="member"))
    with Proxy(town.uri, identity=town.two) as gone, Proxy(town.uri, identity=three) as stays:
        assert (gone.ring(), stays.ring()) == (1, 1)
        assert town.daemon.statistics().connections == 2
        town.one.note_revoked(town.revoking("two"))
        eventually(lambda: town.daemon.statistics().connections == 1, "one has ended", IN_TIME_S)
        assert stays.ring() == 1
        with pytest.raises(PeerRefused, match="revoked"):
            gone.ring()
