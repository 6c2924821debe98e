"""A disk that is full: it is said in words, nothing is lost, and later it goes on."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from nameserver import NameServerClient, NameUnknown, SqliteStorage, StorageFailed
from tests.conftest import StartScript
from tests.small_disk import SMALL_DISK

Names = dict[str, str]

FULL = (
    SMALL_DISK
    + """
import warnings
warnings.simplefilter("ignore")
from nameserver import NameServer, SqliteStorage

def serve(port=0):
    storage = SqliteStorage(path)
    server = NameServer("127.0.0.1", port, insecure=True, announce=False, storage=storage)
    server.start()
    return server

server = serve()
print(server.address, flush=True)
for line in sys.stdin:
    match line.strip():
        case "fill":
            fill(9000 + max(os.path.getsize(path), os.path.getsize(path + "-wal")))
        case "make room":
            make_room()
        case "again":
            server.close()
            server = serve(int(server.address.rpartition(":")[2]))
    print("done", flush=True)
server.close()
"""
)


MUCH = [f"{number:0500}" for number in range(40)]


@pytest.mark.parametrize("kind", ["limit", "disk"])
def test_a_full_disk_loses_nothing_that_was_acknowledged(
    kind: str, tmp_path: Path, start_script: StartScript
) -> None:
    process = start_script("-c", FULL, str(tmp_path / "names"), kind)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    if not address:
        assert process.stderr is not None
        assert process.stderr.read().strip() == "may not"
        pytest.skip("this user may not mount a small disk")
    known: Names = {}

    def register(client: NameServerClient, numbers: range) -> None:
        for number in numbers:
            uri = f"PYRO:{'x' * 500}@127.0.0.1:{number}"
            client.register(f"lab.camera{number}", uri, lease_s=None, replace=True)
            known[f"lab.camera{number}"] = uri

    def tell(command: str) -> None:
        order(process, command)

    def listed(client: NameServerClient) -> Names:
        return {record.name: str(record.uri) for record in client.list("lab.")}

    with NameServerClient(address, insecure=True, quiet=True) as client:
        register(client, range(1, 20))
        tell("fill")
        with pytest.raises(StorageFailed, match=f"{tmp_path}/names could not be written: .*disk"):
            register(client, range(20, 500))
        lost = f"lab.camera{len(known) + 1}"
        for _ in range(3):
            with pytest.raises(StorageFailed):
                client.register(lost, "PYRO:y@127.0.0.1:1", metadata=MUCH, lease_s=None)
        assert listed(client) == known
        with pytest.raises(NameUnknown):
            client.lookup(lost)
        tell("make room")
        register(client, range(10, 60))
        assert client.remove("lab.camera5")
        del known["lab.camera5"]
        assert listed(client) == known
        if kind == "disk":  # which ends with the process
            tell("again")
            assert listed(client) == known
        else:
            process.kill()
            process.wait()
            with closing(SqliteStorage(tmp_path / "names")) as storage:
                kept = {record.name: str(record.uri) for record, _ in storage.load().entries}
            del kept["Pyro.NameServer"]
            assert kept == known


def order(process: subprocess.Popen[str], command: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{command}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"
