"""Shared objects at slaves of other machines: fetched once, in pieces, and mapped by all slots."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm
from masterslave.protocol.fetching import MAX_PIECE_BYTES
from nameserver import NameServer
from remoteobj import Identity
from tests.certificates import Files
from tests.conftest import StartScript, eventually

np = pytest.importorskip("numpy")


@pytest.fixture
def server(identity: Identity) -> Iterator[NameServer]:
    """A name server of the cluster, on loopback and not announced."""
    with NameServer("127.0.0.1", identity=identity, announce=False) as running:
        yield running


def memory_of(array: Any) -> tuple[str, int, float]:
    """Return whose memory an array is in, its inode, and what is in the array."""
    maps = Path("/proc/self/maps").read_text().splitlines() if sys.platform == "linux" else []
    mapped = {line.split()[4] for line in maps if "memfd:shared" in line}
    return ",".join(mapped), os.getpid(), float(array.sum())


def test_a_slave_from_elsewhere_fetches_once_for_all_its_slots(
    server: NameServer,
    identity: Identity,
    cluster: dict[str, Files],
    start_script: StartScript,
    own_machine: Path,
) -> None:
    folder = own_machine / "elsewhere"
    folder.mkdir(mode=0o700)
    security = ("--identity", *map(str, cluster["slave"]))
    at = ("--nameserver", server.address)
    slave = ("-m", "masterslave", "slave", "test", "--slots", "2", *at, *security)
    start_script(*slave, XDG_RUNTIME_DIR=str(folder))
    array = np.ones(MAX_PIECE_BYTES // 8 + 1000)
    with Farm(
        "test", local_slaves=0, host="127.0.0.1", identity=identity, nameserver=server.address
    ) as farm:
        made = farm.empty(1000)
        handle = farm.share([array, made])
        seen: set[tuple[str, int]] = set()

        def both_have_run() -> bool:
            futures = [farm.submit(memory_of, handle_of_first) for _ in range(8)]
            for future in futures:
                inodes, pid, total = future.result(timeout=15)
                assert total == len(array)
                seen.add((inodes, pid))
            return len({pid for _, pid in seen}) == 2

        handle_of_first = farm.share(array)
        eventually(both_have_run, "both slots have run it")
        assert len({inodes for inodes, _ in seen}) == 1, "both map the same memory"
        if sys.platform == "linux":
            ours = {str(place.part.inode) for place in handle_of_first._blob.places}
            assert not ours & {inodes for inodes, _ in seen}, "which is their slave's own"
        assert farm.submit(lambda pair: [each.size for each in pair], handle).result() == [
            len(array),
            1000,
        ]
