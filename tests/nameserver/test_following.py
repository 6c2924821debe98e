"""``Proxy("PYRONAME:x")`` follows its object to where it is registered now."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nameserver import NameServer, NameServerClient
from remoteobj import ConnectionLost, Daemon, ObjectUnknown, Proxy, expose
from tests.conftest import StartScript

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

BELL = """
import sys
from nameserver import NameServerClient
from remoteobj import Daemon, expose
import warnings
warnings.simplefilter("ignore")
@expose
class Bell:
    def where(self):
        return sys.argv[2]
daemon = Daemon("127.0.0.1", insecure=True)
with NameServerClient(sys.argv[1], insecure=True) as names:
    names.register("bell", daemon.register(Bell(), "bell"), replace=True)
daemon.start()
print("ready", flush=True)
sys.stdin.readline()
"""


@expose
class Bell:
    def __init__(self, place: str) -> None:
        self._place = place

    def where(self) -> str:
        return self._place


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServerClient]:
    monkeypatch.setenv("REMOTEOBJ_INSECURE", "1")
    with (
        NameServer("127.0.0.1", insecure=True, announce=False) as server,
        NameServerClient(server.address, insecure=True) as client,
    ):
        yield client


@pytest.fixture
def daemons() -> Iterator[tuple[Daemon, Daemon]]:
    with (
        Daemon("127.0.0.1", insecure=True) as first,
        Daemon("127.0.0.1", insecure=True) as second,
    ):
        first.start()
        second.start()
        yield first, second


def proxy_of(names: NameServerClient) -> Proxy:
    return Proxy(f"PYRONAME:bell@{names.address}", insecure=True)


def test_a_daemon_that_was_closed(names: NameServerClient, daemons: tuple[Daemon, Daemon]) -> None:
    first, second = daemons
    names.register("bell", first.register(Bell("first"), "bell"))
    with proxy_of(names) as bell:
        assert bell.where() == "first"
        first.close()
        names.register("bell", second.register(Bell("second"), "bell2"), replace=True)
        assert bell.where() == "second"


def test_an_object_that_has_moved_while_its_daemon_lives_on(
    names: NameServerClient, daemons: tuple[Daemon, Daemon]
) -> None:
    first, second = daemons
    names.register("bell", first.register(Bell("first"), "bell"))
    with proxy_of(names) as bell:
        assert bell.where() == "first"
        first.unregister("bell")
        names.register("bell", second.register(Bell("second"), "bell2"), replace=True)
        assert bell.where() == "second"


def test_an_object_that_is_nowhere_any_more(
    names: NameServerClient, daemons: tuple[Daemon, Daemon]
) -> None:
    first, _ = daemons
    names.register("bell", first.register(Bell("first"), "bell"))
    with proxy_of(names) as bell:
        assert bell.where() == "first"
        first.unregister("bell")
        with pytest.raises(ObjectUnknown, match="bell"):
            bell.where()


def test_a_process_that_was_killed(names: NameServerClient, start_script: StartScript) -> None:
    first, second = (start_script("-c", BELL, names.address, place) for place in "ab")
    for script in (first, second):
        assert script.stdout is not None
        assert script.stdout.readline() == "ready\n"
    with proxy_of(names) as bell:
        here, there = (first, second) if bell.where() == "a" else (second, first)
        here.kill()
        here.wait()
        with pytest.raises(ConnectionLost) as caught:
            bell.where()
        assert caught.value.executed == "no"
        third = start_script("-c", BELL, names.address, "c")
        assert third.stdout is not None
        assert third.stdout.readline() == "ready\n"
        assert bell.where() == "c"
    there.communicate("end\n", timeout=10)


def test_a_daemon_that_is_closed_takes_its_names_along(
    names: NameServerClient, daemons: tuple[Daemon, Daemon]
) -> None:
    first, second = daemons
    names.register("lab.bell", first.register(Bell("first"), "bell"))
    names.register("lab.clock", second.register(Bell("second"), "clock"))
    names.register("lab.guest", first.register(Bell("guest"), "guest"), lease_s=None)
    first.close()
    assert [record.name for record in names.list("lab.")] == ["lab.clock", "lab.guest"]


def test_it_leaves_the_name_to_who_has_it_now(
    names: NameServerClient, daemons: tuple[Daemon, Daemon]
) -> None:
    first, second = daemons
    names.register("lab.bell", first.register(Bell("first"), "bell"))
    there = second.register(Bell("second"), "bell")
    names.register("lab.bell", there, lease_s=None, replace=True)
    first.close()
    assert names.lookup("lab.bell").uri == there


def test_who_takes_a_name_back_leaves_it_to_who_has_it_now(
    names: NameServerClient, daemons: tuple[Daemon, Daemon]
) -> None:
    first, second = daemons
    here = first.register(Bell("first"), "bell")
    names.register("lab.bell", here)
    names.take_back("lab.bell")
    assert not names.list("lab.")
    names.register("lab.bell", here)
    there = second.register(Bell("second"), "bell")
    names.register("lab.bell", there, lease_s=None, replace=True)
    names.take_back("lab.bell")
    assert names.lookup("lab.bell").uri == there
