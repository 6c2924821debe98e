"""Names on this machine: the lock is the life, and only the dead are swept."""

from __future__ import annotations

import logging
import os
import signal
import stat
import threading
from pathlib import Path

import pytest

from nameserver import BadName, Directory, NameTaken, NameUnknown, NamingError
from remoteobj.runtime import LockedFile
from tests.conftest import StartScript

HERE = "PYRO:x@127.0.0.1:4711"

OWNER = """
import sys
from nameserver import Directory
directory = Directory()
directory.register(sys.argv[1], "PYRO:x@127.0.0.1:4711", metadata={"farm"})
print("registered", flush=True)
sys.stdin.read()
directory.close()
"""

FORKER = """
import os, sys
from nameserver import Directory
directory = Directory()
directory.register("parent", "PYRO:x@127.0.0.1:4711")
if os.fork():
    os._exit(0)
directory.register("child", "PYRO:x@127.0.0.1:4711")
print([record.name for record in directory.list()], directory, flush=True)
sys.stdin.read()
os._exit(0)
"""


def folder() -> Path:
    return Path(os.environ["XDG_RUNTIME_DIR"], "remoteobj", "names")


def names(directory: Directory, prefix: str = "") -> list[str]:
    return [record.name for record in directory.list(prefix)]


def test_a_name_comes_and_goes() -> None:
    with Directory() as directory:
        directory.register("lab.b", HERE, metadata={"t"})
        directory.register("lab.a", HERE)
        directory.register("other", HERE)
        record = directory.lookup("lab.b")
        assert (record.name, str(record.uri), record.metadata) == ("lab.b", HERE, {"t"})
        assert record.pid == os.getpid()
        assert names(directory) == ["lab.a", "lab.b", "other"]
        assert names(directory, "lab.") == ["lab.a", "lab.b"]
        assert directory.remove("lab.b")
        assert not directory.remove("lab.b")
        with pytest.raises(NameUnknown, match=r"lab\.b"):
            directory.lookup("lab.b")
    assert os.listdir(folder()) == []


def test_records_are_this_user_s_alone() -> None:
    with Directory() as directory:
        directory.register("a", HERE)
        assert stat.S_IMODE(folder().stat().st_mode) == 0o700
        assert stat.S_IMODE((folder() / "a.json").stat().st_mode) == 0o600


def test_a_taken_name_is_refused_and_may_be_replaced_by_its_owner_only() -> None:
    with Directory() as mine, Directory() as other:
        mine.register("a", HERE)
        with pytest.raises(NameTaken, match="by this process"):
            mine.register("a", HERE)
        for replace in (False, True):
            with pytest.raises(NameTaken, match=f"process {os.getpid()}"):
                other.register("a", "PYRO:y@127.0.0.1:1", replace=replace)
        with pytest.raises(NamingError, match=f"belongs to process {os.getpid()}"):
            other.remove("a")
        assert str(other.lookup("a").uri) == HERE
        mine.register("a", "PYRO:y@127.0.0.1:1", replace=True)
        assert other.lookup("a").uri.object == "y"
        other.register("b", HERE)
        assert names(mine) == names(other) == ["a", "b"]
    assert os.listdir(folder()) == []


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".lock", "a b"])
def test_no_name_leaves_the_folder(name: str) -> None:
    with Directory() as directory:
        for use in (
            directory.lookup,
            directory.remove,
            lambda name: directory.register(name, HERE),
        ):
            with pytest.raises(BadName):
                use(name)


def test_a_killed_owner_s_name_vanishes(start_script: StartScript) -> None:
    owner = start_script("-c", OWNER, "victim")
    assert owner.stdout is not None
    assert owner.stdout.readline() == "registered\n"
    with Directory() as directory:
        assert directory.lookup("victim").pid == owner.pid
        with pytest.raises(NameTaken, match=f"process {owner.pid}"):
            directory.register("victim", HERE)
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
        assert (folder() / "victim.json").exists()
        assert directory.list() == ()
        assert not (folder() / "victim.json").exists()
        directory.register("victim", HERE)
        assert directory.lookup("victim").pid == os.getpid()


def test_an_owner_that_leaves_takes_its_name_along(start_script: StartScript) -> None:
    owner = start_script("-c", OWNER, "leaver")
    assert owner.stdout is not None
    owner.stdout.readline()
    assert owner.communicate("")[1] == ""
    assert os.listdir(folder()) == []


def test_a_forked_child_owns_nothing_of_its_parent_s(start_script: StartScript) -> None:
    child = start_script("-c", FORKER)
    assert child.stdout is not None
    # The parent is gone when its process is waited for; its child goes on.
    assert child.wait() == 0
    seen_by_child = child.stdout.readline()
    with Directory() as directory:
        assert names(directory) == ["child"]
    assert "1 own names" in seen_by_child


def test_a_damaged_record_is_skipped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with Directory() as directory, Directory() as other:
        directory.register("good", HERE)
        for number, junk in enumerate((b"", b"{", b"[]", b'{"name": 1}', b"\xff")):
            directory.register(f"bad{number}", HERE)
            (folder() / f"bad{number}.json").write_bytes(junk)
        with caplog.at_level(logging.WARNING, "nameserver"):
            assert names(other) == ["good"]
        assert len(caplog.records) == 5
        assert "bad1.json is damaged" in caplog.text
        with pytest.raises(NameUnknown):
            other.lookup("bad1")
        with pytest.raises(NameTaken, match="process unknown"):
            other.register("bad1", HERE)
    (folder() / "half.json").write_bytes(b'{"na')  # whose writer was killed while it wrote
    with Directory() as directory:
        assert directory.list() == ()
    assert os.listdir(folder()) == []


def test_listing_never_makes_an_owner_fail(caplog: pytest.LogCaptureFixture) -> None:
    failed: list[BaseException] = []
    rounds, at_once = 40, threading.Barrier(5)

    def own(number: int) -> None:
        try:
            with Directory() as directory:
                at_once.wait()
                for _ in range(rounds):
                    directory.register(f"n{number}", HERE, metadata={"x" * 500})
                    assert directory.lookup(f"n{number}").pid
                    assert directory.remove(f"n{number}")
        except BaseException as error:
            failed.append(error)

    owners = [threading.Thread(target=own, args=(number,)) for number in range(4)]
    for owner in owners:
        owner.start()
    with Directory() as directory:
        at_once.wait()
        while any(owner.is_alive() for owner in owners):
            directory.list()
    for owner in owners:
        owner.join()
    assert failed == []
    assert caplog.text == ""  # no half record was read


def test_of_many_who_want_a_name_one_gets_it() -> None:
    directories = [Directory() for _ in range(6)]
    at_once, outcomes = threading.Barrier(6), []

    def want(directory: Directory) -> None:
        at_once.wait()
        try:
            directory.register("wanted", HERE)
            outcomes.append("got")
        except NameTaken:
            outcomes.append("taken")

    threads = [threading.Thread(target=want, args=(each,)) for each in directories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for directory in directories:
        directory.close()
    assert sorted(outcomes) == ["got"] + ["taken"] * 5


def test_a_folder_that_is_held_is_said_in_time() -> None:
    with Directory(lock_timeout_s=0.05) as directory:
        directory.register("a", HERE)
        held = LockedFile.acquire(folder() / ".lock")
        assert held is not None
        with pytest.raises(NamingError, match=r"locked by another process for 0\.05 s"):
            directory.list()
        directory.close()  # its names go all the same
        held.remove()
    assert os.listdir(folder()) == []


def test_a_folder_that_is_gone_is_said_in_one_line() -> None:
    directory = Directory()
    folder().rmdir()
    with pytest.raises(NamingError, match="cannot use"):
        directory.list()
