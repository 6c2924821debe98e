"""nameserver backup and restore: the authority on another machine."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from nameserver import NameServer, locate
from remoteobj import Identity
from remoteobj.errors import BadInput
from remoteobj.identity.membership import Membership
from remoteobj.identity.office import found_cluster
from remoteobj.identity.sealing import Backup, seal, unseal
from remoteobj.identity.secret import Secret
from tests.nameserver.pairing.accounts import Account
from tests.nameserver.pairing.halls import Hall, said_on

WORD = "correct horse battery"


def test_the_authority_moves_and_knows_its_members(
    hall: Hall, account: Account, tmp_path: Path
) -> None:
    token, other = hall.token("--role", "member"), hall.token()
    account("anna")
    assert said_on(token, "join", "--name", "anna").code == 0
    account("ben")
    assert said_on(other, "join", "--name", "ben").code == 0
    account("hall")
    assert said_on("", "revoke", "ben", "--yes", *hall.at).code == 0
    file = tmp_path / "lab.backup"
    said = said_on(WORD + "\n", "backup", str(file))
    assert (said.code, said.err) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"PRIVATE KEY" not in file.read_bytes()
    hall.server.close()

    account("loft")
    assert said_on(WORD, "restore", str(file)).code == 0
    loft = Identity.stored("lab")
    assert loft.claims.role == "operator"
    with NameServer(
        "127.0.0.1", identity=loft, announce=False, cluster="lab", join_port=0
    ) as server:
        moved = Hall(loft, server)
        states = {each["name"]: each["state"] for each in moved.members()}
        states.pop(loft.claims.name)
        assert states == {"hall": "member", "anna": "member", "ben": "revoked"}
        token = moved.token()
        account("cleo")
        assert said_on(token, "join", "--name", "cleo").code == 0
        account("anna")
        with locate(server.address, identity=Identity.stored("lab")) as client:
            client.ping()


def test_a_slave_that_gets_the_authority_becomes_an_operator(
    hall: Hall, account: Account, tmp_path: Path
) -> None:
    file, token = tmp_path / "lab.backup", hall.token()
    assert said_on(WORD, "backup", str(file)).code == 0
    account("anna")
    assert said_on(token, "join").code == 0
    assert said_on(WORD, "restore", str(file)).code == 0
    assert Identity.stored("lab").claims.role == "operator"


def test_nothing_is_overwritten(account: Account, tmp_path: Path) -> None:
    account("hall")
    found_cluster("lab", name="hall", now=time.time())
    file = tmp_path / "lab.backup"
    assert said_on(WORD, "backup", str(file)).code == 0
    before = file.read_bytes()
    said = said_on(WORD, "backup", str(file))
    assert said.code == 2
    assert "not overwritten" in said.err
    assert file.read_bytes() == before
    for called in ((), ("--cluster", "again")):  # there is one authority of a cluster
        said = said_on(WORD, "restore", str(file), *called)
        assert said.code == 2
        assert "on this account, as 'lab'" in said.err
    account("anna")
    found_cluster("lab", name="anna", now=time.time())
    said = said_on(WORD, "restore", str(file))
    assert said.code == 2
    assert "not overwritten" in said.err
    assert said_on(WORD, "restore", str(file), "--cluster", "lab-2").code == 0


@pytest.mark.parametrize(
    ("word", "says"), [("", "no passphrase"), ("short", "is short"), ("wörter" * 2, "")]
)
def test_which_passphrases_are_taken(
    account: Account, tmp_path: Path, word: str, says: str
) -> None:
    account("hall")
    found_cluster("lab", name="hall", now=time.time())
    secret = tmp_path / "secret"
    secret.write_text(word + "\n", encoding="utf-8")
    file = tmp_path / "lab.backup"
    said = said_on("", "backup", str(file), "--passphrase", str(secret))
    assert (said.code, file.exists()) == ((2, False) if says else (0, True))
    assert says in said.err


def test_who_has_no_authority_has_nothing_to_back_up(
    hall: Hall, account: Account, tmp_path: Path
) -> None:
    token = hall.token("--role", "operator")
    account("anna")
    assert said_on(token, "join").code == 0
    said = said_on(WORD, "backup", str(tmp_path / "lab.backup"))
    assert said.code == 2
    assert "on the machine that has it" in said.err


def test_what_was_changed_or_has_another_passphrase_is_refused() -> None:
    backup = Backup("lab", b"key", b"ca", Membership(), b"")
    data = seal(backup, Secret(WORD.encode()))
    assert unseal(data, Secret(WORD.encode())) == backup
    assert "key" not in repr(backup)
    with pytest.raises(BadInput, match="passphrase"):
        unseal(data, Secret(b"another one"))
    for at in (0, 5, 20, 40, len(data) - 1):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(BadInput):
            unseal(changed, Secret(WORD.encode()))
    for end in (0, 19, 30, len(data) - 1):
        with pytest.raises(BadInput):
            unseal(data[:end], Secret(WORD.encode()))
