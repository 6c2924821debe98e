"""Following name servers: one thread each, again when one is back, none at the end."""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue

import pytest

from masterslave.servers import ServerFollower
from nameserver import NameServer, NameServerClient
from remoteobj import ConnectionLost, InsecureWarning, RemoteObjError


def test_a_server_that_is_lost_is_followed_again_and_none_at_the_end() -> None:
    followed: SimpleQueue[str] = SimpleQueue()
    errors: SimpleQueue[RemoteObjError] = SimpleQueue()
    failures = iter([ConnectionLost("a cable was pulled", executed="no")])

    def follow(client: NameServerClient, closed: threading.Event) -> None:
        followed.put(client.address)
        for failure in failures:
            raise failure
        closed.wait()
        followed.put("ended")

    with pytest.warns(InsecureWarning):
        server = NameServer("127.0.0.1", insecure=True)
    with server:
        follower = ServerFollower(follow, lambda client, error: errors.put(error))
        follower.open(server.address, identity=None, insecure=True)
        address = followed.get(timeout=5)
        assert "pulled" in str(errors.get(timeout=5))
        assert followed.get(timeout=5) == address, "it is followed again"
        follower.close()
        assert followed.get(timeout=5) == "ended"
        assert errors.empty()


@pytest.mark.filterwarnings("ignore:plain TCP")
@pytest.mark.parametrize("is_told", [False, True], ids=["following", "telling"])
def test_a_mistake_ends_no_following(
    is_told: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    followed: SimpleQueue[str] = SimpleQueue()
    failures = iter([ValueError("a mistake")])

    def fail() -> None:
        for failure in failures:
            raise failure

    def follow(client: NameServerClient, closed: threading.Event) -> None:
        followed.put(client.address)
        if not is_told:
            fail()
        elif followed.qsize() < 2:
            raise RemoteObjError("something about this server")
        closed.wait()

    def tell(_client: NameServerClient, _error: RemoteObjError) -> None:
        fail()

    with NameServer("127.0.0.1", insecure=True, announce=False) as server:
        follower = ServerFollower(follow, tell)
        follower.open(server.address, identity=None, insecure=True)
        with caplog.at_level(logging.ERROR, "masterslave"):
            assert followed.get(timeout=5) == followed.get(timeout=5) == server.address
        follower.close()
    assert (
        f"following the name server at {server.address} has failed; again in 0.5 s" in caplog.text
    )
    assert "ValueError: a mistake" in caplog.text
