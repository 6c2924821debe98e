"""Farms and slaves with identities: code crosses TLS and this user's sockets, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterslave import CodeRefused, Farm
from masterslave.naming import FarmRecord
from masterslave.slave.agent import Agent
from nameserver import Directory, NameServer, NameServerClient
from remoteobj import URI, BadInput, Identity, InsecureWarning
from tests.certificates import Files
from tests.conftest import StartScript, eventually

Shown = list[dict[str, object]]


@pytest.fixture
def server(identity: Identity) -> Iterator[NameServer]:
    """A name server of the cluster, on loopback and not announced."""
    with NameServer("127.0.0.1", identity=identity, announce=False) as running:
        yield running


@pytest.fixture
def elsewhere(own_machine: Path) -> dict[str, str]:
    """The environment of a user of this machine who has another directory of names."""
    folder = own_machine / "elsewhere"
    folder.mkdir(mode=0o700)
    return {"XDG_RUNTIME_DIR": str(folder)}


def masterslave(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "masterslave", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **environment},
    )


def in_one_variable(files: Files) -> dict[str, str]:
    return {"REMOTEOBJ_IDENTITY": os.pathsep.join(map(str, files))}


def test_a_slave_from_elsewhere_comes_over_tls(
    server: NameServer,
    identity: Identity,
    cluster: dict[str, Files],
    start_script: StartScript,
    elsewhere: dict[str, str],
) -> None:
    security = ("--identity", *map(str, cluster["slave"]))
    at = ("--nameserver", server.address)
    slave = ("-m", "masterslave", "slave", "test", "--slots", "1", *at, *security)
    start_script(*slave, **elsewhere)
    with Farm(
        "test", local_slaves=0, host="127.0.0.1", identity=identity, nameserver=server.address
    ) as farm:
        assert farm.submit(os.getpid).result(timeout=15) != os.getpid()
        (there,) = farm.slaves
        assert there.address.startswith("127.0.0.1:")
        assert farm.uri.port is not None

        farm.add_local_slaves(1)
        eventually(lambda: len(farm.slaves) == 2, "the local slave joins")
        addresses = {slave.address for slave in farm.slaves}
        assert addresses == {there.address, "this machine"}, "it needs no identity"

        with Directory() as names, NameServerClient(server.address, identity=identity) as client:
            assert names.list("masterslave.test.")[0].uri.sockname is not None
            assert client.list("masterslave.test.")[0].uri == farm.uri
        for command in (("list", "--json"), ("show", "test", "--json")):
            for options, variables in ((security, {}), ((), in_one_variable(cluster["slave"]))):
                done = masterslave(*command, *at, *options, **elsewhere, **variables)
                (shown,) = json.loads(done.stdout)
                assert shown["uri"] == str(farm.uri)
                assert len(shown["slaves"]) == 2
                assert done.stderr == ""
        (here,) = json.loads(masterslave("list", "--json", *at, *security).stdout)
        assert len(here["slaves"]) == 2, "known in two places, it is listed once"


def test_a_farm_does_not_serve_without_an_identity(identity: Identity) -> None:
    for insecure in (False, True):
        with pytest.raises(CodeRefused, match=r"127\.0\.0\.1 without an identity: tasks are code"):
            Farm("test", local_slaves=0, host="127.0.0.1", insecure=insecure)
    with pytest.raises(BadInput, match="give one of them"):
        Farm("test", local_slaves=0, identity=identity, insecure=True)


def test_a_host_that_is_not_ours_leaves_nothing_behind(identity: Identity) -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1"):
        Farm("test", local_slaves=0, host="192.0.2.1", identity=identity)
    with Directory() as names:
        assert names.list() == ()


def test_a_slave_without_an_identity_refuses_a_farm_on_tcp() -> None:
    said: list[str] = []
    agent = Agent(slots=1, report=said.append)
    uri = URI("PYRO:masterslave.door@192.0.2.1:9")
    for _ in range(2):
        agent.found(FarmRecord("test", "1234", uri, "far", 1, "x.py"), "a name server")
    (line,) = said
    assert line.startswith("farm 'test' at 192.0.2.1:9 is refused: code does not cross plain TCP")
    assert "run 'nameserver invite' on the machine that has the name server" in line


def test_a_farm_on_tls_is_not_asked_without_an_identity() -> None:
    with pytest.warns(InsecureWarning):
        plain = NameServer("127.0.0.1", insecure=True, announce=False)
    with plain, NameServerClient(plain.address, insecure=True, quiet=True) as names:
        names.register("masterslave.far.1234", "PYRO:masterslave.door@127.0.0.1:9")
        done = masterslave("list", "--json", "--insecure", "--nameserver", plain.address)
    (farm,) = json.loads(done.stdout)
    assert farm["unreachable"] == (
        "127.0.0.1:9 is another machine's: run 'nameserver invite' on the machine that has the "
        "name server, and 'nameserver join' here"
    )


def test_what_is_no_identity_is_told_in_one_line(cluster: dict[str, Files]) -> None:
    ca, certificate, key = map(str, cluster["master"])
    for command, options, variables, words in (
        (["slave"], [ca, "no.pem", key], {}, "cannot read no.pem (No such file or directory)"),
        (["slave", "a"], [ca, key, certificate], {}, f"{key} has a PRIVATE KEY where a CERTIFIC"),
        (["slave"], [ca, certificate, key, "--insecure"], {}, "plain TCP: give one of them"),
        (["list"], [ca, certificate], {}, "'--identity' requires 3 arguments"),
        (["list"], [ca, certificate, key, "--insecure"], {}, "plain TCP: give one of them"),
        (["show", "a"], [ca, "no.pem", key], {}, "cannot read no.pem"),
        (["slave"], [], {"REMOTEOBJ_IDENTITY": "a"}, "REMOTEOBJ_IDENTITY is 'a': it holds three"),
        (["show", "a"], [], {"REMOTEOBJ_IDENTITY": "a"}, "REMOTEOBJ_IDENTITY is 'a'"),
    ):
        identity = ["--identity", *options] if options else []
        done = masterslave(*command, *identity, **variables)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert words in done.stderr
        assert done.stderr.startswith("masterslave: ")
        assert len(done.stderr.splitlines()) == 1


def test_slaves_of_this_machine_need_none_and_mind_no_bad_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REMOTEOBJ_IDENTITY", "no such file")
    with Farm("test", local_slaves=1) as farm:
        variables = farm.submit(dict, os.environ).result(timeout=15)
        assert variables["REMOTEOBJ_IDENTITY"] == "no such file", "a task may have use for it"


SCRIPT = """
import os, sys
from masterslave import Farm
from remoteobj import Identity
_, option, *files = sys.argv
assert option == "--identity" and os.environ["REMOTEOBJ_IDENTITY"] == "mine"
identity = Identity.from_files(*files)
with Farm("test", local_slaves=0, host="127.0.0.1", identity=identity) as farm:
    print(farm.submit(abs, -3).result(), {slave.address for slave in farm.slaves})
"""


def test_a_script_makes_its_own_identity(cluster: dict[str, Files], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    files = [str(path) for path in cluster["master"]]
    done = masterslave("run", str(script), "--identity", *files, REMOTEOBJ_IDENTITY="mine")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "3 {'this machine'}\n"
