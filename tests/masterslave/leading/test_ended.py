"""Whoever has ended, or has to, takes no lead; and who loses it while it opens serves nobody."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.farm.reach import Reach
from masterslave.journal import Journal
from masterslave.naming import PREFIX
from masterslave.service.leadership import FarmLead
from masterslave.service.service import Service
from nameserver import Directory, NameServer, NameServerClient, NotLeader
from nameserver.leadership import Manner
from tests.conftest import PATIENCE_S, StartScript, eventually
from tests.nameserver.relay import Relay

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

FARM, A, OTHER = "0f" * 8, "a" * 16, "b" * 16


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer("127.0.0.1", insecure=True, announce=False) as names:
        yield names


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "lab.db"


def lead(address: str, farm_id: str, holder: str, *, epoch: int, lease_s: float) -> None:
    with NameServerClient(address, insecure=True, quiet=True) as client:
        client.lead(farm_id, holder, epoch=epoch, lease_s=lease_s, manner=Manner.RENEW)


def have_had_a_standby(path: Path) -> Journal:
    """Have a journal say so; returns it, closed."""
    with Journal.open(path, "lab") as journal:
        journal.lead_with(1, "")
    return journal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_master_that_asks_for_the_lead_ends_at_a_signal(
    start_script: StartScript, journal: Path, number: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(2 * PATIENCE_S)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        have_had_a_standby(journal)
        command = ("master", "lab", "--journal", str(journal), "--nameserver", address)
        master = start_script("-m", "masterslave", *command, "--insecure")
        with silent.accept()[0]:  # it asks, and nobody answers
            master.send_signal(number)
            said, complaint = master.communicate(timeout=2 * PATIENCE_S)
    assert (master.returncode, complaint) == (0, "")
    assert said == (
        f"farm 'lab' ended; what is open goes on when it is started again: {journal}\n"
    ), "as of any other end, and not that it is served"


def test_who_was_closed_takes_no_lead(names: NameServer) -> None:
    lead = FarmLead(FARM, A, 1, Reach(None, None, names.address, True, None))
    lead.close()
    with pytest.raises(NotLeader, match="has ended here"):
        lead.take()
    assert lead.epoch == 0


class Once(logging.Handler):
    """Does something within the first line that is logged so."""

    def __init__(self, line: str, act: Callable[[], None]) -> None:
        super().__init__()
        self.line, self.act, self.has_acted = line, act, False

    def emit(self, record: logging.LogRecord) -> None:
        if self.line in record.getMessage() and not self.has_acted:
            self.has_acted = True
            self.act()


def test_who_loses_the_lead_while_it_opens_serves_nobody(names: NameServer, journal: Path) -> None:
    service = Service("lab", journal, nameserver=False)
    service.open()
    with Farm.attach("lab") as script:
        script.submit(abs, -1)
        script.detach()
    service.close()
    led = have_had_a_standby(journal)
    lead(names.address, led.farm_id, led.copy_id, epoch=1, lease_s=0.2)  # so that it is known
    with Relay(names.address) as relay, ExitStack() as stack:
        service = Service("lab", journal, nameserver=relay.address, insecure=True)

        def lose() -> None:
            later = stack.enter_context(NameServer("127.0.0.1", insecure=True, announce=False))
            lead(later.address, led.farm_id, OTHER, epoch=7, lease_s=5.0)
            relay.lead_to(later.address)
            relay.cut()
            eventually(lambda: service.lost, "it has stopped at once")

        once = Once("tasks of earlier runs are taken up", lose)
        log = logging.getLogger("masterslave")
        log.addHandler(once)
        try:
            assert not service.open()
        finally:
            log.removeHandler(once)
            with Directory() as directory:
                told = directory.list(PREFIX)
            service.close()
    assert once.has_acted
    assert f"led by {OTHER}" in service.lost
    assert not told, "nobody is told of its door"
