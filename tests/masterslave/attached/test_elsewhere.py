"""A service of another machine of the cluster, found through a name server, over TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from masterslave import CannotAttach, Farm
from nameserver import NameServer
from remoteobj import Identity
from tests.certificates import Files
from tests.conftest import StartScript


def test_a_service_of_another_machine_is_attached_to_and_found_again(
    start_script: StartScript,
    identity: Identity,
    cluster: dict[str, Files],
    own_machine: Path,
    tmp_path: Path,
) -> None:
    there = own_machine / "there"  # whose directory is not seen here
    there.mkdir(mode=0o700)
    with NameServer("127.0.0.1", identity=identity, announce=False) as server:

        def start() -> subprocess.Popen[str]:
            service = start_script(
                "-m", "masterslave", "master", "lab", "--journal", str(tmp_path / "lab.db"),
                "--host", "127.0.0.1", "--nameserver", server.address, "--local-slaves", "1",
                "--identity", *map(str, cluster["master"]), XDG_RUNTIME_DIR=str(there),
            )  # fmt: skip
            assert service.stdout is not None
            assert "127.0.0.1" in service.stdout.readline()
            return service

        service = start()
        with pytest.raises(CannotAttach, match="no farm 'lab' is found"):
            Farm.attach("lab", identity=None, timeout_s=0)
        with pytest.raises(CannotAttach, match=r"no farm 'lab' to attach to: no name server"):
            Farm.attach("lab", nameserver="127.0.0.1:1", identity=identity, timeout_s=0)
        with Farm.attach("lab", nameserver=server.address, identity=identity) as farm:
            assert farm.submit(abs, -1).result(timeout=30) == 1
            service.kill()
            service.wait()
            later = farm.submit(abs, -2)
            start()
            assert later.result(timeout=30) == 2
            assert farm.statistics().reconnected >= 1
