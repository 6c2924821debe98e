"""A service that hears of a later master from a slave: a slave may lie, the name server decides."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.joining import VERSION, Introduction, Welcome
from masterslave.service.service import Service
from nameserver import NameServer, NameServerClient
from nameserver.leadership import Manner
from remoteobj import Proxy
from tests.conftest import eventually

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

OTHER = "b" * 16


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer("127.0.0.1", insecure=True, announce=False) as names:
        yield names


@pytest.fixture
def service(names: NameServer, tmp_path: Path) -> Iterator[Service]:
    service = Service("lab", tmp_path / "lab.db", nameserver=names.address, insecure=True)
    service.open()
    yield service
    service.close()


def join(service: Service, epoch: int) -> Welcome:
    """Join as a slave that has seen this epoch."""
    me = Introduction(
        VERSION, "hand", "here", 1, 1, sys.version_info[:2], farm_id=service.farm_id, epoch=epoch
    )
    with Proxy(service.local_uri) as door:
        return decode(door.join(encode(me)), Welcome)


def test_a_slave_that_lies_is_not_let_in_and_stops_nobody(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    assert "served a later master of this farm, with epoch 7" in join(service, 7).refused
    assert not join(service, 0).refused
    assert "the name server is asked" in caplog.text
    eventually(
        lambda: "lead look" not in {one.name for one in threading.enumerate()}, "it was answered"
    )
    assert service.lost == ""


def test_a_master_that_was_taken_over_stops(names: NameServer, service: Service) -> None:
    with NameServerClient(names.address, insecure=True, quiet=True) as client:
        client.lead(service.farm_id, OTHER, epoch=7, lease_s=5.0, manner=Manner.RENEW)
    assert join(service, 7).refused
    eventually(lambda: service.lost, "it has heard")
    assert "was taken over, with epoch 7, and this is an older copy" in service.lost
    assert "masterslave standby" in service.lost
