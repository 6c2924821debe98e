"""On accounts that are paired nothing is given: identities are who pairing has made them."""

from __future__ import annotations

import pickle
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from nameserver import NameServer, NameServerNotFound, locate
from nameserver.servers import watch_for_servers
from remoteobj import (
    ConnectionLost,
    Daemon,
    Identity,
    IdentityUnusable,
    InsecureRefused,
    InsecureWarning,
    Proxy,
    expose,
)
from remoteobj.identity.office import Office, found_cluster
from tests.conftest import StartScript, eventually
from tests.nameserver.command import command
from tests.pairs import join


@expose
class Bell:
    def ring(self) -> str:
        return "ding"


@pytest.fixture
def office() -> Office:
    """This account is the first of a cluster."""
    return found_cluster("lab", name="hall", now=time.time())


@pytest.fixture
def hall(office: Office) -> Identity:
    return Identity.stored()


@pytest.fixture
def running(hall: Identity) -> Iterator[NameServer]:
    with NameServer("127.0.0.1", announce=False) as running:
        yield running


def test_nobody_gives_an_identity_and_all_is_tls(running: NameServer) -> None:
    assert running.cluster == "lab"
    with warnings.catch_warnings():
        warnings.simplefilter("error", InsecureWarning)
        with Daemon("127.0.0.1") as daemon, locate(running.address) as server:
            daemon.start()
            server.register("lab.bell", daemon.register(Bell(), "bell"))
            with Proxy(f"PYRONAME:lab.bell@{running.address}") as bell:
                assert bell.ring() == "ding"
                with pickle.loads(pickle.dumps(bell)) as again:
                    assert again.ring() == "ding", "nothing of the identity travels with it"
            uri = daemon.uri_of("bell")
            with Proxy(uri) as bell:
                assert bell.ring() == "ding"
            with pytest.raises(InsecureRefused, match="nameserver invite"):
                Proxy(uri, identity=None).ring()


def test_none_is_nobody(running: NameServer) -> None:
    with pytest.raises(InsecureRefused, match="'nameserver invite' on the machine"):
        locate(running.address, identity=None)
    with pytest.raises(InsecureRefused, match="'nameserver join' here; or pass identity="):
        Daemon("127.0.0.1", identity=None)
    with pytest.warns(InsecureWarning):
        daemon = Daemon("127.0.0.1", insecure=True)
    with daemon:
        daemon.start()
        uri = daemon.register(Bell(), "bell")
        with Proxy(uri) as bell, pytest.raises(ConnectionLost, match="speak TLS"):
            bell.ring()


@pytest.mark.usefixtures("own_network", "hall")
def test_it_is_found_by_whoever_is_paired_and_by_nobody_else() -> None:
    with NameServer("127.0.0.1") as running:
        with locate(timeout_s=5) as server:
            assert server.address == running.address
        found: list[str] = []
        with watch_for_servers(lambda client: found.append(client.address)):
            eventually(lambda: found == [running.address], "it is found")
        with pytest.raises(NameServerNotFound, match="speaks TLS: run 'nameserver invite'"):
            locate(timeout_s=1, identity=None)


def test_commands_take_the_stored_identity(running: NameServer) -> None:
    at = ("--nameserver", running.address)
    said = command("list", *at)
    assert (said.code, said.err) == (0, "")
    assert "Pyro.NameServer" in said.out
    assert command("ping", *at, "--cluster", "lab").code == 0
    said = command("ping", *at, "--cluster", "studio")
    assert said.code == 2
    assert "run 'nameserver invite'" in said.err, "this account is not in that one"
    assert command("ping", *at, "--insecure").code == 1


def test_of_several_clusters_one_is_chosen(
    running: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_cluster("studio", name="hall", now=time.time())
    with pytest.raises(IdentityUnusable, match="several clusters"):
        locate(running.address)
    assert command("ping", "--nameserver", running.address, "--cluster", "lab").code == 0
    with locate(running.address, cluster="lab") as server:
        server.ping()
    monkeypatch.setenv("REMOTEOBJ_CLUSTER", "lab")
    with locate(running.address) as server:
        server.ping()
    monkeypatch.setenv("REMOTEOBJ_CLUSTER", "studio")
    with pytest.raises(NameServerNotFound, match="both machines must belong to the same cluster"):
        locate(running.address)


def test_other_accounts_of_the_cluster(
    running: NameServer, office: Office, tmp_path: Path, start_script: StartScript
) -> None:
    join(office, tmp_path / "ben", "ben")
    script = (
        "from nameserver import locate\n"
        f"with locate({running.address!r}) as server: print(len(server.list()))"
    )
    process = start_script("-c", script, XDG_CONFIG_HOME=str(tmp_path / "ben"))
    assert process.communicate(timeout=20) == ("1\n", "")


def test_unix_sockets_read_nothing_of_it(start_script: StartScript) -> None:
    """A daemon of this user, and a proxy to it, cost what they cost without a network."""
    script = """
import sys
from remoteobj import Daemon, Proxy, expose
class Bell:
    @expose
    def ring(self): return "ding"
with Daemon() as daemon:
    daemon.start()
    with Proxy(daemon.register(Bell())) as bell: print(bell.ring())
print([name for name in ("cryptography", "zeroconf") if name in sys.modules])
"""
    process = start_script("-c", script)
    assert process.communicate(timeout=20) == ("ding\n[]\n", "")


# nameserver run.

RUN = ("-m", "nameserver", "run", "--port", "0", "--no-announce")


def end(process: subprocess.Popen[str]) -> str:
    process.terminate()
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    return err


def first_lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


def test_run_alone_founds_the_cluster_the_first_time(start_script: StartScript) -> None:
    server = start_script(*RUN)
    line, founded = first_lines(server, 2)
    assert founded == (
        "founded the cluster 'default', with this machine as the first of it; "
        "invite machines: nameserver invite\n"
    )
    assert Identity.stored().claims.role == "operator"
    port = line.split()[3].rstrip(",").rpartition(":")[2]
    assert command("ping", "--nameserver", f"127.0.0.1:{port}").code == 0, "it is at all addresses"
    assert end(server) == ""
    again = start_script(*RUN)
    (line,) = first_lines(again, 1)
    again.terminate()
    out, _ = again.communicate(timeout=10)
    assert out == "name server ended; its names are gone\n", "and there is one cluster"


def test_run_takes_the_cluster_that_is_named(start_script: StartScript) -> None:
    server = start_script(*RUN, "--host", "127.0.0.1", "--cluster", "studio")
    line, founded = first_lines(server, 2)
    assert "founded the cluster 'studio'" in founded
    with locate(line.split()[3].rstrip(",")) as found:
        assert "cluster:studio" in found.lookup("Pyro.NameServer").metadata
    end(server)


def test_a_member_without_the_authority_runs_a_second_one(
    office: Office, running: NameServer, tmp_path: Path, start_script: StartScript
) -> None:
    join(office, tmp_path / "ben", "ben")
    join(office, tmp_path / "carl", "carl", "slave")
    second = start_script(*RUN, "--host", "127.0.0.1", XDG_CONFIG_HOME=str(tmp_path / "ben"))
    address = first_lines(second, 1)[0].split()[3].rstrip(",")
    with locate(address) as server:
        server.ping()
    end(second)
    third = start_script(*RUN, "--host", "127.0.0.1", XDG_CONFIG_HOME=str(tmp_path / "carl"))
    _, err = third.communicate(timeout=20)
    assert third.returncode == 2
    assert "this machine is in its cluster as a slave" in err


def test_plain_tcp_has_to_be_said_with_an_address() -> None:
    said = command("run", "--insecure")
    assert said.code == 2
    assert "--host is missing" in said.err
