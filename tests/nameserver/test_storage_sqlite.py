"""A file of names that is damaged, foreign, in use or full: it is said in words, and none is lost.

A log beside a file is made by copying both while the file is in use, as a killed process leaves it.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from nameserver import SqliteStorage, StorageFailed
from nameserver.changes import Change
from nameserver.record import make_record
from nameserver.storage import Kept
from tests.conftest import StartScript

Names = dict[str, str]
Damage = Callable[[Path], None]
PAGE, LOG_HEADER, FRAME = 4096, 32, 4096 + 24


def registered(number: int) -> Change:
    uri = f"PYRO:obj_{number}@192.168.1.{number % 255}:4711"
    record = make_record(f"lab.camera{number}", uri, {f"room{number}", "camera"})
    return Change("registered", number, record)


def fill(path: Path, count: int = 300, *, at_once: bool = True) -> SqliteStorage:
    storage = SqliteStorage(path)
    changes = [registered(number) for number in range(1, count + 1)]
    for batch in [changes] if at_once else ([change] for change in changes):
        storage.save(batch)
    return storage


def names_of(kept: Kept) -> Names:
    return {record.name: str(record.uri) for record, _ in kept.entries}


def names_up_to(number: int) -> Names:
    changes = map(registered, range(1, number + 1))
    return {change.record.name: str(change.record.uri) for change in changes}


def open_and_load(path: Path) -> Kept:
    with closing(SqliteStorage(path)) as storage:
        return storage.load()


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def copy(path: Path, to: Path) -> Path:
    """Copy a file, and what is beside it, to a folder."""
    to.mkdir(exist_ok=True)
    for each in path.parent.glob(f"{path.name}*"):
        shutil.copy(each, to / each.name)
    return to / path.name


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def contents(folder: Path) -> set[bytes]:
    """Return what is in the files, whatever they are called; an empty one holds nothing."""
    return {each.read_bytes() for each in folder.iterdir()} - {b""}


def assert_refused_and_kept(path: Path) -> str:
    """Check that a damaged file is refused, and is there under another name, as it was."""
    before = contents(path.parent)
    with pytest.raises(StorageFailed) as caught:
        open_and_load(path)
    said = str(caught.value)
    assert said.startswith(f"{path} is damaged (")
    assert f"It was kept as {path}.damaged-" in said
    assert said.endswith(": bring back a copy from before, or start again with no names")
    assert "\n" not in said
    assert not path.exists()
    assert contents(path.parent) == before
    return said


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with 300 names that was closed."""
    path = tmp_path_factory.mktemp("sound") / "names"
    fill(path).close()
    return path


@pytest.fixture(scope="module")
def with_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose 60 names are all in the log beside it."""
    path = tmp_path_factory.mktemp("used") / "names"
    with closing(fill(path, 60, at_once=False)):
        return copy(path, path.parent / "killed")


# Damage.


def _junk(path: Path) -> None:
    path.write_text("Dear diary, today I have damaged a file.\n" * 200)


def _stray_byte(path: Path) -> None:
    overwrite(path, path.read_bytes().index(b"obj_150@"), b"\xff")


DAMAGES: dict[str, Damage] = {
    "empty": lambda path: os.truncate(path, 0),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "one page": lambda path: os.truncate(path, PAGE),
    "a byte less": lambda path: os.truncate(path, path.stat().st_size - 1),
    "half a header": lambda path: os.truncate(path, 50),
    "no header": lambda path: overwrite(path, 0, bytes(100)),
    "a page of zeros": lambda path: overwrite(path, 4 * PAGE, bytes(PAGE)),
    "a page of another place": lambda path: overwrite(path, 5 * PAGE, path.read_bytes()[:PAGE]),
    "text in the middle": lambda path: overwrite(path, path.stat().st_size // 2, b"damaged!" * 64),
    "a byte that is no text": _stray_byte,
    "a text file": _junk,
    "free pages that lead astray": lambda path: overwrite(path, 32, b"\0\0\0\1\0\0\0\1"),
    "a log of something else": lambda path: log_of(path).write_bytes(b"something else" * 99),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_kept_aside(damage: Damage, sound: Path, tmp_path: Path) -> None:
    path = copy(sound, tmp_path / "copy")
    assert names_of(open_and_load(path)) == names_up_to(300)
    damage(path)
    assert_refused_and_kept(path)
    before = contents(path.parent)
    assert open_and_load(path).entries == []  # started again with no names
    assert before < contents(path.parent)


def test_whatever_is_overwritten_no_name_is_lost_or_changed(sound: Path, tmp_path: Path) -> None:
    size, chance = sound.stat().st_size, random.Random(4)
    refused = 0
    for turn in range(60):
        path = copy(sound, tmp_path / str(turn))
        overwrite(path, chance.randrange(size - 16), chance.randbytes(16))
        try:
            kept = open_and_load(path)
        except StorageFailed:
            refused += 1
        else:
            assert names_of(kept) == names_up_to(300)  # what it hit was not in use
    assert refused > 20


def test_damaged_files_do_not_take_each_others_place(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "names"
    for turn in range(3):
        path.write_text(f"no database {turn}" * 99)
        assert_refused_and_kept(path)
    assert len(contents(tmp_path)) == 3  # though it was the same second


def test_a_log_that_is_damaged_anywhere_is_found_out(with_log: Path, tmp_path: Path) -> None:
    size, chance = log_of(with_log).stat().st_size, random.Random(4)
    assert (size - LOG_HEADER) % FRAME == 0
    assert names_of(open_and_load(copy(with_log, tmp_path / "whole"))) == names_up_to(60)
    places = [chance.randrange(LOG_HEADER)]
    places += [chance.randrange(start, start + FRAME) for start in range(LOG_HEADER, size, FRAME)]
    for turn, at in enumerate(places[:-1]):
        path = copy(with_log, tmp_path / str(turn))
        byte = log_of(path).read_bytes()[at]
        overwrite(log_of(path), at, bytes([byte ^ 1 + chance.randrange(255)]))
        assert "changes in names-wal cannot be read" in assert_refused_and_kept(path)


def test_a_log_that_was_not_written_to_its_end_is_read_to_its_last_change(
    with_log: Path, tmp_path: Path
) -> None:
    size = log_of(with_log).stat().st_size
    seen = set()
    for cut in range(0, size, 5003):
        path = copy(with_log, tmp_path / str(cut))
        os.truncate(log_of(path), cut)
        kept = open_and_load(path)
        assert names_of(kept) == names_up_to(kept.number)
        seen.add(kept.number)
    assert seen == set(range(60))


def test_an_emptied_file_is_kept_with_its_log(with_log: Path, tmp_path: Path) -> None:
    path = copy(with_log, tmp_path / "copy")
    os.truncate(path, 0)
    assert_refused_and_kept(path)
    assert any(each.name.endswith("-wal") and each.stat().st_size for each in path.parent.iterdir())


def test_the_end_of_a_log_may_be_what_an_earlier_use_has_left(tmp_path: Path) -> None:
    path = tmp_path / "names"
    with closing(fill(path, 400, at_once=False)) as storage:  # the log begins anew after 1000 pages
        size = log_of(path).stat().st_size
        for number in range(401, 500):
            storage.save([registered(number)])
        assert log_of(path).stat().st_size <= size + 20 * FRAME, "it has begun anew"
        killed = copy(path, tmp_path / "killed")
    kept = open_and_load(killed)
    assert kept.number == 499
    assert names_of(kept) == names_up_to(499)


def test_a_file_that_breaks_while_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "names"
    fill(path, 30_000).close()
    with closing(SqliteStorage(path)) as storage:
        size = path.stat().st_size
        overwrite(path, PAGE * 2, b"damaged!" * ((size - PAGE * 2) // 8))
        with pytest.raises(StorageFailed, match=r"is damaged .* was kept as") as caught:
            for number in range(1, 30_000, 100):
                storage.save([registered(number)])
        aside = Path(str(caught.value).partition("kept as ")[2].partition(":")[0])
        assert aside.stat().st_size == size
        for use in (lambda: storage.save([registered(1)]), storage.load):
            with pytest.raises(StorageFailed, match="closed"):
                use()
        assert aside.stat().st_size == size
        assert not path.exists()


# Files of others.


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    with closing(fill(tmp_path / "names", at_once=False)):
        for each in tmp_path.iterdir():
            assert each.stat().st_mode & 0o077 == 0, "who can read a lease's id can end it"


def test_a_database_of_another_program_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE accounts (owner TEXT)")
    before = path.read_bytes()
    with pytest.raises(StorageFailed, match="a database of another program: give a path of its ow"):
        SqliteStorage(path)
    assert path.read_bytes() == before


def test_a_file_of_a_later_release_stays_as_it_is(sound: Path, tmp_path: Path) -> None:
    path = copy(sound, tmp_path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 4")
    before = path.read_bytes()
    with pytest.raises(StorageFailed, match="written by a later release of this program: update"):
        SqliteStorage(path)
    assert path.read_bytes() == before


def test_a_log_without_its_file_is_not_passed_over(with_log: Path, tmp_path: Path) -> None:
    path = copy(with_log, tmp_path / "copy")
    path.rename(tmp_path / "moved")
    with pytest.raises(StorageFailed, match="names-wal beside it holds changes of it: bring it ba"):
        SqliteStorage(path)
    (tmp_path / "moved").rename(path)
    assert names_of(open_and_load(path)) == names_up_to(60)


HOLDER = """
import sys
from nameserver import SqliteStorage
storage = SqliteStorage(sys.argv[1])
print("holds it", flush=True)
sys.stdin.read()
"""


def test_two_processes_do_not_use_one_file(
    sound: Path, tmp_path: Path, start_script: StartScript
) -> None:
    path = copy(sound, tmp_path)
    holder = start_script("-c", HOLDER, str(path))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holds it\n"
    with pytest.raises(StorageFailed, match="another process uses it: one name server, one file"):
        SqliteStorage(path)
    holder.kill()
    holder.wait()
    with closing(SqliteStorage(path)) as storage:
        assert names_of(storage.load()) == names_up_to(300)


# Places that cannot be used.


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="is its directory there"):
        SqliteStorage(tmp_path / "missing" / "names")
    with pytest.raises(StorageFailed, match="could not be opened"):
        SqliteStorage(tmp_path)


OPENER = """
import os, sys
from nameserver import SqliteStorage, StorageFailed
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)  # nothing is forbidden to root
try:
    SqliteStorage(sys.argv[1]).load()
except StorageFailed as error:
    print(error)
"""


@pytest.mark.parametrize("closed", ["folder", "file", "folder of a new file", "unreadable file"])
def test_what_this_user_may_not_write_is_said(
    closed: str, sound: Path, own_machine: Path, start_script: StartScript
) -> None:
    folder = own_machine / "store"
    path = copy(sound, folder)
    if closed == "folder of a new file":
        path.unlink()
    else:
        path.chmod({"folder": 0o666, "file": 0o444, "unreadable file": 0o000}[closed])
    folder.chmod(0o555 if "folder" in closed else 0o777)
    own_machine.chmod(0o755)
    before = contents(folder)
    said, errors = start_script("-c", OPENER, str(path)).communicate(timeout=20)
    assert errors == ""
    assert said.startswith(f"{path} could not be ")
    assert "may this user write" in said
    assert len(said.splitlines()) == 1
    assert contents(folder) == before


def test_a_closed_storage_says_so_and_leaves_the_file(tmp_path: Path) -> None:
    storage = fill(tmp_path / "names")
    storage.close()
    for use in (lambda: storage.save([registered(301)]), storage.load):
        with pytest.raises(StorageFailed, match="closed"):
            use()
    assert names_of(open_and_load(tmp_path / "names")) == names_up_to(300)
