"""Lists of revocations go from who knows to who does not: at each hello, and over open lines."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from remoteobj import Daemon, DeadlinePassed, Identity, PeerRefused, Proxy, Settings, expose
from remoteobj.client import following
from remoteobj.client.following import Follower
from remoteobj.client.trusting import ANY_MEMBER
from tests.certificates import Authority
from tests.conftest import eventually


@expose
class Bell:
    def ring(self) -> int:
        return 1


class Town:
    """Three machines, a daemon on the first, and lists that revoke the third."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self._files = {
            name: self.authority.node(name, role="member") for name in ("one", "two", "three")
        }
        self.one, self.two, self.three = (
            Identity.from_files(*files) for files in self._files.values()
        )
        self.daemon = Daemon("127.0.0.1", identity=self.one)
        self.uri = self.daemon.register(Bell(), "bell")
        self.daemon.start()

    def revoking_three(self, number: int = 1) -> bytes:
        return self.authority.revocations(self._files["three"].certificate, number=number)

    def daemons_own(self, who: Identity) -> Proxy:
        return Proxy(self.daemon.uri_of("Pyro.Daemon"), identity=who)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path / "town")
    with made.daemon:
        yield made


def test_a_daemon_hears_of_it_from_who_calls(town: Town) -> None:
    town.two.note_revoked(town.revoking_three())
    with Proxy(town.uri, identity=town.three) as three, Proxy(town.uri, identity=town.two) as two:
        assert three.ring() == 1
        assert two.ring() == 1
        assert town.one.revoked.number == 1
        with pytest.raises(PeerRefused, match="revoked"):
            three.ring()


def test_a_caller_hears_of_it_from_the_daemon(town: Town) -> None:
    town.one.note_revoked(town.revoking_three())
    with Proxy(town.uri, identity=town.two) as two:
        assert two.ring() == 1
    assert town.two.refuses(town.three.claims) is not None


def test_a_caller_that_hears_of_the_daemon_itself_does_not_call_it(
    town: Town, tmp_path: Path
) -> None:
    with Daemon("127.0.0.1", identity=town.three) as third:
        third.start()
        uri = third.register(Bell(), "bell")
        town.three.note_revoked(town.revoking_three())  # an honest one
        with pytest.raises(PeerRefused, match=r"not trusted: .*revoked"):
            Proxy(uri, identity=town.two).ring()
        assert third.statistics().calls == 1, "it was asked for the list, and for nothing else"


def test_a_list_of_another_authority_changes_nothing(town: Town, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    forged = other.revocations(other.node("two", role="member").certificate, number=9)
    with town.daemons_own(town.three) as daemon:
        for junk in (forged, b"", b"\0" * 100):
            with pytest.raises(Exception, match="list of revocations"):
                daemon.note_revoked(9, junk)
        with pytest.raises(TypeError):
            daemon.note_revoked(9, 10**9)
        daemon.note_revoked(0, b"whatever is not newer is not looked at")
    assert town.one.revoked.number == 0


def test_who_waits_is_told_at_once_and_holds_no_thread(town: Town) -> None:
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def wait() -> None:
        with town.daemons_own(town.two) as daemon:
            heard.put(daemon.revocations(0))

    waiting = [threading.Thread(target=wait) for _ in range(20)]
    for each in waiting:
        each.start()
    eventually(lambda: len(town.daemon._published.tidings._waiting) == 20, "all wait")
    eventually(lambda: town.daemon.statistics().threads < 20, "no thread waits with them")
    town.one.note_revoked(town.revoking_three())
    for _ in waiting:
        assert heard.get(timeout=5) == town.one.revoked.pem
    for each in waiting:
        each.join()


def test_a_daemon_that_closes_lets_them_go_at_once(town: Town) -> None:
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def wait() -> None:
        with town.daemons_own(town.two) as daemon:
            heard.put(daemon.revocations(0))

    thread = threading.Thread(target=wait)
    thread.start()
    tidings = town.daemon._published.tidings
    eventually(lambda: tidings._waiting, "it waits")
    town.daemon.close()
    assert heard.get(timeout=1) == b""
    thread.join()


def test_who_left_is_not_kept(town: Town) -> None:
    tidings = town.daemon._published.tidings
    with town.daemons_own(town.two) as daemon:
        daemon.ping()

        def wait() -> None:
            with contextlib.suppress(PeerRefused):
                daemon.revocations(0)

        thread = threading.Thread(target=wait)
        thread.start()
        eventually(lambda: tidings._waiting, "it waits")
        town.two.note_revoked(town.authority.revocations(town._files["one"].certificate, number=1))
    thread.join()
    eventually(lambda: not tidings._waiting, "nobody waits")


def test_who_asks_in_a_session_that_has_ended_holds_up_nobody(town: Town) -> None:
    own = town.daemon.uri_of("Pyro.Daemon")
    with Proxy(own, identity=town.three, settings=Settings(call_timeout_s=0.5)) as odd:
        odd.end_session()
        (caller,) = town.daemon._engine._callers._by_name.values()
        eventually(lambda: caller._ended, "its session is over, though it goes on")
        with pytest.raises(DeadlinePassed):
            odd.revocations(0)
        assert not town.daemon._published.tidings._waiting
        town.one.note_revoked(town.revoking_three())
    with Proxy(own, identity=town.two, settings=Settings(call_timeout_s=5.0)) as daemon:
        assert daemon.revocations(0) == town.one.revoked.pem


def test_what_a_process_hears_it_hands_on_to_whom_it_calls(town: Town) -> None:
    """Of a daemon that it calls, and that cannot ask anybody."""
    with Proxy(town.uri, identity=town.two) as two:
        two.ring()
        town.two.note_revoked(town.revoking_three())
        Follower(town.two)._hand_on()
        assert town.one.revoked.number == 1


def test_daemons_that_do_not_answer_hold_up_no_other(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(4)
    monkeypatch.setattr(following, "_HAND_ON_S", 30.0)

    def take(number: int, pem: bytes) -> None:
        together.wait(10.0)  # for the others, which one after another would not come

    with contextlib.ExitStack() as ends:
        for _ in range(4):
            daemon = ends.enter_context(Daemon("127.0.0.1", identity=town.one))
            monkeypatch.setattr(daemon._published.tidings, "take", take)
            uri = daemon.register(Bell(), "bell")
            daemon.start()
            ends.enter_context(Proxy(uri, identity=town.two)).ring()
        town.two.note_revoked(town.revoking_three())
        Follower(town.two)._hand_on()
        assert not together.broken


def test_who_knows_nothing_of_it_is_not_dialled_every_second(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> bytes:
        raise AttributeError("revocations")  # as an older release

    monkeypatch.setattr(town.daemon._published.tidings, "newer_than", fail)
    with Proxy(town.uri, identity=town.two) as two:
        two.ring()
        calls = town.daemon.statistics().calls
        assert not Follower(town.two)._ask(town.daemon.location, 60.0, ANY_MEMBER)
        assert town.daemon.statistics().calls == calls + 1
