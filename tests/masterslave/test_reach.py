"""How far a farm and a slave reach: what pairing has stored on the account decides."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from masterslave import CodeRefused, Farm
from masterslave.farm.reach import EVERYWHERE, choose_reach
from masterslave.protocol.joining import DOOR_ID
from nameserver import NameServer, NameServerClient
from remoteobj import BadInput, ConnectionLost, Identity, IdentityUnusable, InsecureWarning, Proxy
from tests.conftest import StartScript, eventually
from tests.masterslave.test_command_line import line_with
from tests.pairing import Pairing


@pytest.fixture
def config(own_machine: Path) -> Path:
    """The configuration directory of this account."""
    return own_machine / "config"


@pytest.fixture
def paired(config: Path) -> Pairing:
    """This account is in the cluster "lab"."""
    return Pairing("lab", config)


class Account:
    """Another user of this machine, or another machine, as far as files tell."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700)
        for part in ("run", "config"):
            (directory / part).mkdir(mode=0o700)
        self.config = directory / "config"
        self.environment = {
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "XDG_CONFIG_HOME": str(self.config),
        }

    def masterslave(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "masterslave", *arguments], capture_output=True, text=True,
            timeout=30, check=False, env={**os.environ, **self.environment},
        )  # fmt: skip


@pytest.fixture
def anna(own_machine: Path) -> Account:
    return Account(own_machine / "anna")


def reach(**given: object) -> object:
    arguments = {"host": None, "identity": "auto", "nameserver": None, "insecure": False,
                 "cluster": None, **given}  # fmt: skip
    found = choose_reach("test", **arguments)
    return found.host, found.identity is not None, found.nameserver, found.cluster


def test_an_account_that_is_not_paired_reaches_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reach() == (None, False, False, None)
    assert reach(nameserver=True) == (None, False, True, None)
    with pytest.raises(CodeRefused, match=r"cannot serve on 10\.0\.0\.5 .*'nameserver join'"):
        reach(host="10.0.0.5")
    monkeypatch.setenv("REMOTEOBJ_NAMESERVER", "127.0.0.1:9")
    assert reach() == (None, False, True, None)


def test_one_that_is_paired_reaches_its_cluster(paired: Pairing) -> None:
    assert reach() == (EVERYWHERE, True, True, "lab")
    assert reach(cluster="lab") == (EVERYWHERE, True, True, "lab")
    assert reach(host="10.0.0.5", nameserver=False) == ("10.0.0.5", True, False, "lab")
    assert reach(nameserver="10.0.0.5:9090") == (EVERYWHERE, True, "10.0.0.5:9090", "lab")


def test_and_stays_at_home_when_it_is_told_to(
    paired: Pairing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reach(identity=None) == (None, False, False, None)
    assert reach(nameserver=False) == (None, False, False, None)
    assert reach(insecure=True, nameserver=True) == (None, False, True, None)
    assert reach(cluster="other") == (None, False, False, "other")
    monkeypatch.setenv("REMOTEOBJ_CLUSTER", "other")
    assert reach() == (None, False, False, None)
    with pytest.raises(BadInput):
        reach(identity="somebody")


def test_an_identity_that_is_given_counts_as_paired(identity: Identity) -> None:
    assert reach(identity=identity) == (EVERYWHERE, True, True, None)
    assert reach(identity=identity, nameserver=False) == (None, True, False, None)


def test_what_is_stored_and_of_no_use_costs_a_local_farm_nothing(
    paired: Pairing, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Pairing("club", config)
    assert reach(cluster="club")[3] == "club"
    assert reach() == (None, False, False, None)
    (told,) = caplog.messages
    assert "farm 'test' is served to this user on this machine only: this account is in" in told
    assert "nameserver use" in told
    for asked_for in ({"host": "10.0.0.5"}, {"nameserver": True}):
        with pytest.raises(IdentityUnusable, match="several clusters"):
            reach(**asked_for)


def test_a_machine_paired_as_a_slave_has_farms_of_its_own_only(
    config: Path, anna: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Pairing("lab", config).pair(anna.config, "anna", role="slave")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(anna.config))
    with caplog.at_level(logging.INFO, "masterslave"):
        assert reach() == (None, False, False, None)
    assert "'anna' is paired as a slave" in caplog.text
    for asked_for in ({"nameserver": True}, {"identity": Identity.stored()}):
        with pytest.raises(IdentityUnusable, match="'anna' is paired as a slave"):
            reach(**asked_for)


def test_paired_accounts_meet_without_a_word_about_it(
    paired: Pairing, anna: Account, own_machine: Path, start_script: StartScript
) -> None:
    paired.pair(anna.config, "anna")
    stranger = Account(own_machine / "stranger")
    me = Identity.stored()
    with (
        NameServer("127.0.0.1", identity=me, announce=False, cluster="lab") as server,
        Farm("test", local_slaves=0, nameserver=server.address) as farm,
    ):
        at = ("--nameserver", server.address)
        outside = start_script("-m", "masterslave", "slave", *at, **stranger.environment)
        assert "looks for any farm" in line_with(outside, "looks for")
        start_script("-m", "masterslave", "slave", "test", "--slots", "1", *at, **anna.environment)
        assert farm.submit(os.getppid).result(timeout=20) != os.getpid()
        (slave,) = farm.slaves
        assert slave.address != "this machine"
        assert farm.uri.host != EVERYWHERE, "nobody elsewhere could call that"
        with NameServerClient(server.address, identity=me) as names:
            port = names.list("masterslave.")[0].uri.port
        (shown,) = json.loads(anna.masterslave("list", "--json", *at).stdout)
        assert (shown["label"], shown["uri"]) == ("test", str(farm.uri))
        assert len(shown["slaves"]) == 1

        refused = stranger.masterslave("list", "--json", *at)
        assert refused.returncode != 0
        assert refused.stdout == ""
        with pytest.warns(InsecureWarning):
            door = Proxy(f"PYRO:{DOOR_ID}@127.0.0.1:{port}", insecure=True)
        with pytest.raises(ConnectionLost, match="TLS is spoken here"), door:
            door.status()
        assert outside.poll() is None
        assert len(farm.slaves) == 1


def test_a_paired_farm_goes_on_alone(paired: Pairing, caplog: pytest.LogCaptureFixture) -> None:
    with Farm("test", local_slaves=1, nameserver="127.0.0.1:9") as farm:
        assert farm.submit(abs, -1).result(20) == 1
        eventually(lambda: "no name server at 127.0.0.1:9" in caplog.text, "that is said")
        assert farm.slaves[0].address == "this machine"
