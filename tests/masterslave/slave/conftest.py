"""A slave in this process, with real children, and a master that does what a test says."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from masterslave.protocol.joining import VERSION, Introduction
from masterslave.slave.link import Link
from masterslave.slave.workshop import Workshop
from remoteobj import URI, Identity
from tests.conftest import PATIENCE_S
from tests.masterslave.slave.fake_master import FakeMaster

MakeMaster = Callable[..., FakeMaster]
Serve = Callable[..., "Slave"]


class Slave:
    """A link that runs in a thread."""

    def __init__(self, workshop: Workshop, uri: URI, *, identity: Identity | None = None) -> None:
        introduction = Introduction(
            VERSION, "hand", "here", 1, workshop.slots, sys.version_info[:2]
        )
        self.workshop = workshop
        self.link = Link(
            uri,
            workshop,
            introduction,
            patience_s=10.0,
            identity=identity,
            report=lambda line: None,
        )
        self.how = ""
        self._thread = threading.Thread(target=self._run, name="link")
        self._thread.start()

    def _run(self) -> None:
        self.how = self.link.run()

    def wait(self) -> str:
        """Wait until it has left, and return how it ended."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the slave did not leave"
        return self.how


@pytest.fixture
def make_master() -> Iterator[MakeMaster]:
    """Make masters, with whatever of their ``Welcome`` is given."""
    made: list[FakeMaster] = []

    def make(**welcome: Any) -> FakeMaster:
        made.append(FakeMaster(**welcome))
        return made[-1]

    yield make
    for master in made:
        master.close()


@pytest.fixture
def serve(make_master: MakeMaster) -> Iterator[Serve]:  # it ends before the masters do
    """Have a slave serve masters."""
    slaves: list[Slave] = []

    def start(*masters: FakeMaster, slots: int = 1, uri: URI | None = None) -> Slave:
        workshop = Workshop(slots, shows_output=True)
        workshop.open()
        slaves.extend(Slave(workshop, uri or master.uri) for master in masters)
        return slaves[-1]

    yield start
    for slave in slaves:
        slave.link.leave_now()
    for slave in slaves:
        slave.wait()
        slave.workshop.close()


@pytest.fixture
def master(make_master: MakeMaster, serve: Serve) -> FakeMaster:
    """A master with a slave of one slot."""
    made = make_master()
    serve(made)
    return made
