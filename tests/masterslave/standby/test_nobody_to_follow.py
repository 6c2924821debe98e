"""A standby that finds nothing to follow says so, and why."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm
from masterslave.naming import FarmRecord, metadata_of, name_of
from masterslave.protocol.following import FOLLOW_ID
from masterslave.standby import Standby
from nameserver import Directory
from remoteobj import Daemon, Identity, expose
from tests.certificates import Files
from tests.conftest import eventually

PATIENCE_S = 20.0


class Reserved:
    """What a master has for copies, for peers of a higher role."""

    @expose(role="operator")
    def meet(self, message: bytes) -> bytes:
        raise AssertionError

    follow = meet


@contextmanager
def seen(label: str, identity: Identity, copies: object | None) -> Iterator[None]:
    """Have a master seen; None: it is just gone."""
    with Daemon("127.0.0.1", identity=identity) as daemon, Directory() as directory:
        uri = daemon.uri_of("door")
        if copies is not None:
            daemon.register(copies, FOLLOW_ID)
            daemon.start()
        record = FarmRecord(label, "1", uri, "far", 1, "masterslave master", farm_id="f" * 16)
        directory.register(name_of(label, "1"), uri, metadata=metadata_of(record))
        if copies is None:
            daemon.close()
        yield


@contextmanager
def standby(label: str, folder: Path, **arguments: Any) -> Iterator[list[str]]:
    """Run a standby; yields what it says."""
    said: list[str] = []
    stop = threading.Event()
    folder.mkdir(exist_ok=True)
    following = Standby(label, folder / f"{label}-copy.db", report=said.append, **arguments)
    thread = threading.Thread(target=following.run_until, args=[stop])
    thread.start()
    try:
        yield said
    finally:
        stop.set()
        thread.join()


@pytest.mark.usefixtures("own_machine")
def test_why_nothing_is_followed_is_said_once(tmp_path: Path) -> None:
    with (
        Farm("script", local_slaves=0),
        Farm("kept", local_slaves=0, journal=tmp_path / "kept.db"),
        standby("script", tmp_path) as script,
        standby("kept", tmp_path) as kept,
        standby("nobody", tmp_path) as nobody,
    ):
        all_said = (script, kept, nobody)
        eventually(lambda: all(len(lines) > 1 for lines in all_said), "all say it", PATIENCE_S)
    assert [len(lines) for lines in all_said] == [2, 2, 2]
    for said in (script, kept):
        assert "is a script's own: only 'masterslave master' has standbys" in said[1]
        assert "Farm.attach" in said[1]
    assert nobody[1].startswith("no farm 'nobody' is seen, in this user's directory or ")


@pytest.mark.usefixtures("own_machine")
def test_why_a_master_that_is_seen_cannot_be_followed_is_said(
    tmp_path: Path, identity: Identity, cluster: dict[str, Files], foreign: Files
) -> None:
    of_cluster, stranger = Identity.from_files(*cluster["slave"]), Identity.from_files(*foreign)
    me: dict[str, Any] = {"identity": identity, "nameserver": False}
    with (
        seen("higher", of_cluster, Reserved()),
        seen("foreign", stranger, Reserved()),
        seen("gone", of_cluster, None),
        standby("higher", tmp_path, **me) as higher,
        standby("foreign", tmp_path, **me) as foreigner,
        standby("gone", tmp_path, **me) as gone,
        standby("gone", tmp_path / "unpaired", identity=None) as unpaired,
    ):
        all_said = (higher, foreigner, gone, unpaired)
        eventually(lambda: all(len(lines) > 1 for lines in all_said), "all say it", PATIENCE_S)
    assert [len(lines) for lines in all_said] == [2, 2, 2, 2]
    for said in all_said:
        assert "is seen, and cannot be followed now: it " in said[1]
    assert "does not let this machine in" in higher[1]
    assert "is for peers of role 'operator'" in higher[1]
    assert "does not let this machine in" in foreigner[1]
    assert "does not answer" in gone[1]
    assert "is on another machine: run 'nameserver invite'" in unpaired[1]
