"""A farm's name that somebody takes away, in whichever moment, and farms of a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from masterslave.farm.places import Places
from masterslave.naming import FarmRecord, metadata_of, name_of
from nameserver import NameServer, NameServerClient
from nameserver.admission import Admission
from nameserver.book import Book
from nameserver.proving import Prover
from nameserver.record import NAME_SERVER
from nameserver.service import NameService
from remoteobj import URI, Daemon
from tests.conftest import StartScript, eventually

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

FARM = FarmRecord("test", "0f" * 4, URI("PYRO:door@127.0.0.1:4711"), "host", 1, "script.py")


class Robbed(Book):
    """Takes a farm's name away before whoever registers it has heard that it is there."""

    registrations = 0

    def register(self, record: Any, *args: Any, **options: Any) -> None:
        super().register(record, *args, **options)
        self.registrations += 1
        if self.registrations == 1:
            assert self.remove([record.name]) == 1


@dataclass
class Place:
    book: Robbed
    address: str


@pytest.fixture
def place() -> Iterator[Place]:
    with Robbed("run") as book, Daemon("127.0.0.1", insecure=True) as daemon:
        prover = Prover(None)
        daemon.register(NameService(book, Admission(book, prover, is_private=True)), NAME_SERVER)
        daemon.start()
        yield Place(book, daemon.location)
        prover.close()


def test_a_name_that_goes_as_soon_as_it_is_there_comes_back(place: Place) -> None:
    places = Places(FARM, FARM, nameserver=place.address, identity=None, insecure=True)
    places.open()
    try:
        name = name_of(FARM.label, FARM.farm)
        eventually(lambda: [each.name for each in place.book.list()] == [name], "it is back")
        assert place.book.registrations == 2
    finally:
        places.close()
    assert place.book.list() == ()


# Clusters.


def server_of(cluster: str) -> NameServer:
    return NameServer("127.0.0.1", insecure=True, announce=False, cluster=cluster)


def places_of(server: NameServer, cluster: str) -> Places:
    return Places(
        FARM, FARM, nameserver=server.address, identity=None, insecure=True, cluster=cluster
    )


def test_a_farm_registers_at_servers_of_its_cluster_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with server_of("lab") as lab:
        others, its = places_of(lab, "shop"), places_of(lab, "lab")
        others.open()
        eventually(lambda: "'lab', not of 'shop'" in caplog.text, "it is said")
        assert others.servers == ()
        others.close()
        its.open()
        eventually(lambda: its.servers == (lab.address,), "it registers")
        its.close()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "masterslave", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_the_command_line_chooses_a_cluster(start_script: StartScript) -> None:
    with server_of("lab") as lab, NameServerClient(lab.address, insecure=True, quiet=True) as names:
        name = name_of(FARM.label, FARM.farm)
        names.register(name, FARM.uri, metadata=metadata_of(FARM), lease_s=None)
        ask = ("--nameserver", lab.address, "--insecure", "--cluster")
        listed = run("list", "--json", *ask, "lab")
        assert listed.returncode == 0, listed.stderr
        assert [farm["label"] for farm in json.loads(listed.stdout)] == ["test"]
        for command in (["list"], ["show", "test"]):
            refused = run(*command, *ask, "shop")
            assert refused.returncode == 1
            assert "is of the cluster 'lab', not of 'shop'" in refused.stderr
        slave = start_script("-m", "masterslave", "slave", "--slots", "1", *ask, "shop")
        assert slave.stderr is not None
        assert "is of the cluster 'lab', not of 'shop'" in slave.stderr.readline()
    no_name = run("slave", "--cluster", "no name!", "--insecure")
    assert no_name.returncode == 2
    assert "is no name of a cluster" in no_name.stderr
    assert len(no_name.stderr.splitlines()) == 1, "no traceback"
