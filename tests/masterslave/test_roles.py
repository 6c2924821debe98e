"""What a slave's certificate is good for: to work, and neither to steer nor to pose as a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.naming import FarmRecord
from masterslave.protocol.encoding import encode
from masterslave.protocol.joining import Decline
from masterslave.slave.agent import Agent
from masterslave.slave.whose import owner_at
from remoteobj import Daemon, Identity, NotAllowed, PeerRefused, Proxy
from tests.certificates import Authority, Files, make_cluster
from tests.conftest import StartScript, eventually

Cluster = dict[str, Files]


@pytest.fixture
def roles(tmp_path: Path) -> Cluster:
    """The files of a member and of two machines that may be slaves only."""
    return make_cluster(
        tmp_path / "roles",
        ("hall", "anna", "ben"),
        {"hall": "member", "anna": "slave", "ben": "slave"},
    )


SLAVE = """
import sys
from masterslave.naming import FarmRecord
from masterslave.slave.agent import Agent
from remoteobj import URI, Identity
uri, *files = sys.argv[1:]
agent = Agent(slots=1, identity=Identity.from_files(*files), once=True)
agent.open()
agent.found(FarmRecord("test", "1234", URI(uri), "far", 1, "x.py"), "a name server")
agent.wait_until_left()
agent.close()
"""


def test_a_slaves_certificate_is_enough_to_work(roles: Cluster, start_script: StartScript) -> None:
    hall = Identity.from_files(*roles["hall"])
    with Farm("test", local_slaves=0, host="127.0.0.1", identity=hall) as farm:
        start_script("-c", SLAVE, str(farm.uri), *map(str, roles["anna"]))
        shared = farm.share(b"x" * 100_000)
        assert farm.submit(len, shared).result(20) == 100_000
        assert farm.slaves[0].address.startswith("127.0.0.1:")


def test_a_slaves_certificate_neither_looks_nor_steers(roles: Cluster) -> None:
    hall, anna = (Identity.from_files(*roles[name]) for name in ("hall", "anna"))
    with Farm("test", local_slaves=0, host="127.0.0.1", identity=hall) as farm:
        with Proxy(farm.uri, identity=anna) as door:
            for method, arguments in (
                ("status", ()),
                ("steer", ("box", "stop")),
                ("release", ("box",)),
            ):
                with pytest.raises(NotAllowed):
                    getattr(door, method)(*arguments)
            door.decline(encode(Decline("box", "anna", "rests")))
        waiting = farm.submit(abs, -1)
        eventually(lambda: "it rests" in farm.why_waiting(), "the farm is told")
        assert waiting.cancel()
        with Proxy(farm.uri, identity=hall) as door:
            assert door.status()["label"] == "test"


def test_a_slave_is_nobodys_master(roles: Cluster) -> None:
    """What stands at an address that was announced falsely, or taken over."""
    anna, ben = (Identity.from_files(*roles[name]) for name in ("anna", "ben"))
    with Daemon("127.0.0.1", identity=ben) as daemon:
        daemon.start()
        uri = daemon.uri_of("masterslave.door")
        with pytest.raises(PeerRefused, match=r"its role is 'slave', and a farm's script runs on"):
            owner_at(uri, anna)
        said: list[str] = []
        agent = Agent(slots=1, identity=anna, report=said.append)
        agent.found(FarmRecord("test", "1234", uri, "far", 1, "x.py"), "a name server")
        eventually(lambda: said, "it is refused")
        assert "refuses this slave, or is refused by it (ben (node " in said[0]


def test_the_machine_that_registered_a_farm_has_to_answer(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "roles")
    hall, other = authority.node("hall", role="member"), authority.node("other", role="member")
    here = Identity.from_files(*hall)
    with Daemon("127.0.0.1", identity=here) as daemon:
        daemon.start()
        uri = daemon.uri_of("masterslave.door")
        node, wrong = here.claims.node, Identity.from_files(*other).claims.node
        assert owner_at(uri, here, node).node == node
        with pytest.raises(PeerRefused, match=f"the farm was registered by node {wrong}"):
            owner_at(uri, here, wrong)
        assert here.note_revoked(authority.revocations(hall.certificate))
        with pytest.raises(PeerRefused, match=r"hall \(node .* answers at"):
            owner_at(uri, here)
