"""What lies on disk: who may read it, what a crash leaves, which of several clusters is meant."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from servants import StartScript

from remoteobj import BadInput, IdentityUnusable
from remoteobj.identity import AUTO, Identity, choose_identity, private
from remoteobj.identity.authority import Authority
from remoteobj.identity.office import Office, found_cluster
from remoteobj.identity.places import config_dir, stored_clusters, use_cluster
from remoteobj.identity.private import locked, read_private, write_private
from remoteobj.identity.request import make_request
from remoteobj.identity.store import Store

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away"
)
NO_TEXT, DEEP = b'{"members":[{"node":"\xff\xfe"}]}', b"[" * 100_000
HOW_TO_PAIR = "run 'nameserver invite' on the machine"


@pytest.fixture
def office() -> Office:
    return found_cluster("lab", name="hall", now=time.time())


@pytest.fixture
def store(office: Office) -> Store:
    return Store.of("lab")


def join(office: Office, cluster: str, role: str = "slave") -> Store:
    """Be another machine of the office's cluster, under another name on this account."""
    key, request = make_request("anna")
    certificate = office.issue(request, name="anna", role=role, now=time.time())
    store = Store.named(cluster)
    store.save_identity(office.ca_pem, certificate, key)
    return store


def test_founding_a_cluster(office: Office, store: Store) -> None:
    identity = Identity.stored()
    assert (identity.cluster, identity.subject, identity.claims.role) == ("lab", "hall", "operator")
    assert identity.ca_fingerprint == office.fingerprint
    assert [member.node for member in office.members().members] == [identity.claims.node]
    again = found_cluster("lab", name="other", now=time.time())
    assert again.fingerprint == office.fingerprint
    assert len(again.members().members) == 1
    assert store.has_authority
    assert repr((office, store)) == f"(Office('lab'), Store('{config_dir()}/clusters/lab'))"


@posix
def test_modes(store: Store) -> None:
    old = os.umask(0)
    try:
        found_cluster("open", name="hall", now=time.time())
    finally:
        os.umask(old)
    for directory in (store.directory, Store.of("open").directory):
        assert directory.stat().st_mode & 0o777 == 0o700
        assert {path.name for path in directory.iterdir()} == {
            ".lock", "ca.key", "ca.pem", "members.json", "node.pem",
        }  # fmt: skip
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert config_dir().stat().st_mode & 0o777 == 0o700


@posix
@pytest.mark.parametrize("name", ["", "node.pem"])
def test_what_is_open_to_others(store: Store, name: str) -> None:
    path = store.directory / name
    path.chmod(0o755 if not name else 0o640)
    with pytest.raises(
        IdentityUnusable, match=rf"others can read or change {path} \(mode 0.*chmod"
    ):
        Identity.stored()
    with pytest.raises(IdentityUnusable, match="chmod"):
        choose_identity(AUTO)
    path.chmod(0o600 if name else 0o700)
    assert Identity.stored().subject == "hall"


@posix
def test_what_others_may_not_change(store: Store) -> None:
    for path in (config_dir(), store.directory.parent):
        path.chmod(0o755)  # as ~/.config often is
        assert Identity.stored().subject == "hall"
        path.chmod(0o777)
        with pytest.raises(IdentityUnusable, match=f"others can change {path} .*chmod 700"):
            Identity.stored()
        path.chmod(0o700)
    for name in ("ca.key", "members.json"):
        (store.directory / name).chmod(0o604)
        with pytest.raises(IdentityUnusable, match=f"{name} .*chmod 600"):
            (store.authority if name == "ca.key" else store.members)()
        (store.directory / name).chmod(0o600)


@as_root
@pytest.mark.parametrize("name", ["..", "", "node.pem", "ca.key"])
def test_what_is_somebody_elses(store: Store, name: str) -> None:
    path = store.directory.parent if name == ".." else store.directory / name
    os.chown(path, 12345, -1)
    with pytest.raises(IdentityUnusable, match=r"belongs to another account \(uid 12345, and this"):
        store.authority() if name == "ca.key" else Identity.stored()


@posix
def test_links_and_pipes_are_refused(store: Store, tmp_path: Path) -> None:
    moved = tmp_path / "node.pem"
    store.identity_path.rename(moved)
    store.identity_path.symlink_to(moved)
    with pytest.raises(IdentityUnusable, match="is a link or no file"):
        Identity.stored()
    store.identity_path.unlink()
    os.mkfifo(store.identity_path, 0o600)
    with pytest.raises(IdentityUnusable, match="is a link or no file"):
        Identity.stored()


@pytest.mark.parametrize("name", ["ca.pem", "node.pem", "revoked.pem", "members.json", "ca.key"])
def test_what_is_cut_or_damaged(office: Office, store: Store, name: str) -> None:
    join(office, "away")
    office.revoke("anna", now=time.time())
    path = store.directory / name
    whole = path.read_bytes()

    def read() -> object:
        return (Identity.stored("lab"), store.members(), store.authority(), Office(store))

    read()
    for broken in (
        b"",
        whole[: len(whole) // 2],
        whole[:-30],
        b"\0" * len(whole),
        b"\xff junk",
        NO_TEXT,
        DEEP,
    ):
        path.write_bytes(broken)
        with pytest.raises(IdentityUnusable):
            read()
    path.write_bytes(whole)
    read()


def test_a_crash_before_the_rename(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.identity_path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(private.os, "replace", lambda *_: 1 // 0)
        with locked(store.directory), pytest.raises(ZeroDivisionError):
            write_private(store.identity_path, b"new")
    assert store.identity_path.read_bytes() == before
    assert not list(store.directory.glob("*.new"))


KILLED = """
import os, sys
from pathlib import Path
from remoteobj.identity import private
from remoteobj.identity.private import locked, write_private
private.os.replace = lambda *_: os._exit(9)
path = Path(sys.argv[1])
with locked(path.parent):
    write_private(path, b"half")
"""


def test_a_process_that_dies_while_it_writes(store: Store, start_script: StartScript) -> None:
    before = store.identity_path.read_bytes()
    assert start_script("-c", KILLED, str(store.identity_path)).wait(20) == 9
    assert len(list(store.directory.glob("*.new"))) == 1
    assert store.identity_path.read_bytes() == before
    assert Identity.stored().subject == "hall"
    with locked(store.directory):  # its lock has gone with it, and so has what it left
        assert not list(store.directory.glob("*.new"))


def test_a_full_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(private.os, "fsync", full)
        with pytest.raises(IdentityUnusable, match=r"No space left on device\); what was there"):
            store.save_authority(store.authority())
    assert store.authority() is not None
    assert not list(store.directory.glob("*.new"))


TWO = """
import sys, time
from remoteobj.identity.office import found_cluster
from remoteobj.identity.request import make_request
input()
office = found_cluster("lab", name="hall", now=time.time())
for number in range(10):
    office.issue(make_request("x")[1], name=f"{sys.argv[1]}{number}", role="slave", now=time.time())
    office.revoke(f"{sys.argv[1]}{number}", now=time.time())
print(office.fingerprint)
"""


def test_two_processes_at_once(start_script: StartScript) -> None:
    started = [start_script("-c", TWO, name) for name in "ab"]
    said = []
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        said.append(output)
    assert said[0] == said[1]
    office = Office(Store.of("lab"))
    names = sorted(member.name for member in office.members().members if member.role == "slave")
    assert names == sorted(f"{who}{number}" for who in "ab" for number in range(10))
    assert len(office.revocations(now=time.time()).nodes) == 20
    assert [one.role for one in office.members().members if one.name == "hall"].count(
        "operator"
    ) == 1


def test_a_lock_that_is_not_let_go(store: Store) -> None:
    with (
        locked(store.directory),
        pytest.raises(IdentityUnusable, match=r"another process has been changing .* for 0\.05 s"),
        locked(store.directory, wait_s=0.05),
    ):
        pass
    with locked(store.directory, wait_s=0.05):
        pass


def test_which_cluster_is_meant(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Identity.stored().cluster == "lab"
    join(office, "studio")
    assert stored_clusters() == ["lab", "studio"]
    several = r"in several clusters \(lab, studio\): run 'nameserver use NAME'"
    for choose in (Identity.stored, lambda: choose_identity(AUTO)):
        with pytest.raises(IdentityUnusable, match=several):
            choose()
    use_cluster("studio")
    assert Identity.stored().cluster == "studio"
    assert Identity.stored("lab").subject == "hall"
    monkeypatch.setenv("REMOTEOBJ_CLUSTER", "lab")
    assert Identity.stored().cluster == "lab"
    assert Identity.stored("studio").subject == "anna"
    with pytest.raises(
        IdentityUnusable, match=r"not in a cluster 'attic' \(it is in lab, studio\)"
    ):
        Identity.stored("attic")
    with pytest.raises(IdentityUnusable, match="not in a cluster 'attic'"):
        use_cluster("attic")
    with pytest.raises(BadInput, match="is no name of a cluster"):
        Store.named("../lab")
    monkeypatch.delenv("REMOTEOBJ_CLUSTER")
    Store.of("studio").leave()
    assert Identity.stored().cluster == "lab"  # the only one, whatever was chosen


def test_an_account_in_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for cluster in (None, "lab"):
        with pytest.raises(IdentityUnusable, match=HOW_TO_PAIR):
            Identity.stored(cluster)
        assert choose_identity(AUTO, cluster=cluster) is None
    assert not config_dir().exists()  # looking leaves nothing behind
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", "/nowhere")
    assert config_dir() == Path("/nowhere/.config/remoteobj")
    assert stored_clusters() == []


def test_leaving(office: Office, store: Store) -> None:
    with pytest.raises(BadInput, match="'nameserver backup' it"):
        store.leave()
    away = join(office, "away")
    away.leave()
    away.leave()
    assert stored_clusters() == ["lab"]
    assert [path.name for path in away.directory.iterdir()] == [".lock"]
    store.leave(with_authority=True)
    assert stored_clusters() == []


def test_another_authority_of_the_same_name(office: Office, store: Store) -> None:
    other = Authority.create("lab", time.time())
    key, request = make_request("anna")
    certificate = other.sign(request, node="0" * 16, name="anna", role="slave", now=time.time())
    with pytest.raises(IdentityUnusable, match="'nameserver leave' it first"):
        store.save_identity(other.certificate_pem, certificate, key)
    with pytest.raises(IdentityUnusable, match="'nameserver leave' it first"):
        store.save_authority(other)
    join(office, "away")
    with pytest.raises(IdentityUnusable, match="'away' is on another machine"):
        found_cluster("away", name="hall", now=time.time())
    with pytest.raises(IdentityUnusable, match="'nameserver restore' its backup"):
        Office(Store.of("away"))
    assert Identity.stored("lab").subject == "hall"


def test_what_does_not_fit_replaces_nothing(office: Office, store: Store) -> None:
    (key, _), (_, request) = make_request("anna"), make_request("anna")
    before = store.identity_path.read_bytes()
    certificate = office.issue(request, name="anna", role="slave", now=time.time())
    with pytest.raises(IdentityUnusable, match=r"key node\.pem does not belong to"):
        store.save_identity(office.ca_pem, certificate, key)
    assert store.identity_path.read_bytes() == before
    assert key.reveal().splitlines()[1].decode() not in repr(vars(Store)) + repr(store)


def test_a_clock_of_1970(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: 1000.0)
        with pytest.raises(IdentityUnusable, match=r"set the clock.*it is 1970-01-01 00:16 UTC"):
            Identity.stored()
        with pytest.raises(BadInput, match=r"it is 1970-01-01 00:16 UTC.*set the clock first"):
            found_cluster("other", name="hall", now=time.time())
    assert Identity.stored().subject == "hall"


def test_revocations_outlive_the_process(office: Office, store: Store) -> None:
    away = join(office, "away")
    gone, here = Identity.stored("away"), Identity.stored("lab")
    member = office.revoke("anna", now=time.time())
    assert member.revoked_at is not None
    signed = office.revocations(now=time.time())
    assert store.revoked() == signed  # the office has kept it at once
    assert here.note_revoked(signed.pem)
    assert Identity.stored("lab").refuses(gone.claims) is not None
    assert gone.note_revoked(signed.pem)
    assert away.revoked() == signed
    assert not away.save_revoked(signed)
    with pytest.raises(
        IdentityUnusable, match=r"cannot take part in 'away': 'anna' .* was revoked"
    ):
        Identity.stored("away")
    with pytest.raises(BadInput, match="was revoked: invite it"):
        office.renew(gone.claims.node, make_request("anna")[1], now=time.time())


def test_an_old_backup_does_not_let_anybody_back(office: Office, store: Store) -> None:
    join(office, "away")
    backup = (store.directory / "members.json").read_bytes()
    office.revoke("anna", now=time.time())
    first = office.revocations(now=time.time())
    (store.directory / "members.json").write_bytes(backup)
    second = Office(store).revocations(now=time.time())
    assert second.nodes == first.nodes
    assert second.number >= first.number
    assert Office(store).members().find("anna").revoked_at is not None
    (store.directory / "revoked.pem").unlink()  # as after a crash between book and list
    assert Office(store).revocations(now=time.time()).nodes == first.nodes


def test_what_is_read_is_what_was_written(store: Store) -> None:
    with locked(store.directory):
        write_private(store.directory / "x", b"1")
        write_private(store.directory / "x", b"22")
    assert read_private(store.directory / "x") == b"22"
    assert read_private(store.directory / "y") is None
