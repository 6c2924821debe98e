"""Thousands of watchers at one server: told in time, without a thread for each."""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nameserver import NameServerClient
from tests.conftest import StartScript, eventually
from tests.nameserver.raw_watchers import RawWatchers

pytestmark = pytest.mark.serial

WATCHERS = int(os.environ.get("WATCHERS", "2000"))
IN_TIME_S, MOST_THREADS = 1.0, 32
HERE = "PYRO:x@127.0.0.1:4711"

SERVER = """
import resource, sys, warnings
warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
from nameserver import NameServer
with NameServer("127.0.0.1", insecure=True, announce=False) as server:
    print(server.address, flush=True)
    for line in sys.stdin:
        print(server._book.watchers, flush=True)  # which nobody else needs to know
"""


@pytest.fixture
def files() -> Iterator[int]:
    """How many files a process may open, raised as far as this test needs it."""
    needed = WATCHERS + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        pytest.skip(f"a process may open {hard} files here: {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield needed
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_change_reaches_all_who_watch(
    files: int, start_script: StartScript, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start_script("-c", SERVER, str(files))
    assert server.stdout is not None
    assert server.stdin is not None
    address = server.stdout.readline().strip()

    def status(field: str) -> int:
        text = Path(f"/proc/{server.pid}/status").read_text()
        found = re.search(rf"^{field}:\s*(\d+)", text, re.M)
        assert found is not None
        return int(found[1])

    def waiting() -> int:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write("\n")
        server.stdin.flush()
        return int(server.stdout.readline())

    threads, took_s = [], []
    with NameServerClient(address, insecure=True, quiet=True) as client:
        client.register("lab.first", HERE, lease_s=None)
        before_kb = status("VmRSS")
        with RawWatchers(address, WATCHERS) as watchers:
            watchers.ask("lab.", "", 0, 60.0)
            told = watchers.told()
            assert all([record[0] for record in each["records"]] == ["lab.first"] for each in told)
            for turn in range(3):
                watchers.ask("lab.", told[0]["instance"], told[0]["number"], 60.0)
                eventually(lambda: waiting() == WATCHERS, "all wait")
                used_kb = status("VmRSS") - before_kb
                threads.append(status("Threads"))
                client.register("other.name", HERE, lease_s=None, replace=True)  # concerns nobody
                began = time.perf_counter()
                client.register(f"lab.n{turn}", HERE, lease_s=None)
                told = watchers.told()
                took_s.append(time.perf_counter() - began)
                threads.append(status("Threads"))
                for each in told:
                    (change,) = each["changes"]
                    assert (change[0], change[2][0]) == ("registered", f"lab.n{turn}")
                assert len({each["number"] for each in told}) == 1
    with capsys.disabled():
        print(
            f"\n  {WATCHERS} watchers: told after {max(took_s):.2f} s, {max(threads)} threads, "
            f"{used_kb / WATCHERS:.1f} KiB for each"
        )
    assert max(took_s) < IN_TIME_S
    assert max(threads) <= MOST_THREADS
