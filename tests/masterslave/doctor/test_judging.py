"""What ``masterslave doctor`` says of facts that were made up, and what mends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterslave.doctor import Facts, judge
from masterslave.doctor.facts import FarmSeen, Folder, Machine, ServerSeen, SlaveSeen
from nameserver.doctor import Finding
from nameserver.doctor.facts import Credentials, Missing, Package

GIB = 1024**3
SURVEY = FarmSeen("survey", "survey.py", "anna", 100, "./u:/run/x.sock", slave_pids=(7,))
SLAVE = SlaveSeen(7, "*", python="3.11")
WELL = Facts(
    python="3.11.7",
    packages=(Package("msgspec", "0.19.0", "0.19"),),
    now=datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp(),
    folder=Folder("/run/user/1000/remoteobj", free_bytes=GIB),
    machine=Machine(4, 4, 1024, 4096, 8 * GIB),
    user="anna",
    credentials=Credentials(subject="anna", days_left=300),
    server=ServerSeen("192.168.1.20:9090", "zeroconf"),
    farms=(SURVEY,),
    slaves=(SLAVE,),
)
FAR = replace(SURVEY, pid=5, host="hall", address="192.168.1.20:4711", server="192.168.1.20:9090")


def only(check: str, level: str, **changed: Any) -> Finding:
    """Return the one finding of this level of one thing."""
    found = [each for each in judge(replace(WELL, **changed)) if each.check == check]
    (one,) = [each for each in found if each.level == level]
    return one


def test_a_machine_in_order_is_told_so() -> None:
    assert {finding.level for finding in judge(WELL)} == {"ok"}


IDLE = replace(SURVEY, slave_pids=())
LONELY = replace(IDLE, waits="1 task waits: no slave seen")
NO_MEMORY = Machine(4, 4, free_memory_bytes=104857600)
NO_SERVER = Missing("nobody answers")
SILENT = replace(SURVEY, problem="no answer")


@pytest.mark.parametrize(
    ("check", "text", "mend", "changed"),
    [
        (
            "versions",
            "msgspec 0.18.0 is too old",
            "pip install",
            {"packages": (Package("msgspec", "0.18.0", "0.19"),)},
        ),
        ("clock", "1970-01-01", "timedatectl", {"now": 1000.0}),
        (
            "directory",
            "/run/x is not a directory of this user alone",
            "export XDG_RUNTIME_DIR",
            {"folder": Folder("/run/x", "/run/x is not a directory of this user alone")},
        ),
        ("directory", "is full (1 KiB", "df -h", {"folder": Folder("/run/x", free_bytes=1024)}),
        ("limits", "64 files may be open", "ulimit -n 4096", {"machine": Machine(4, 4, 64, 9999)}),
        ("limits", "64 files", "ask who runs", {"machine": Machine(4, 4, 64, 64)}),
        ("limits", "100 MiB of memory", "--slots 1", {"machine": NO_MEMORY}),
        (
            "identity",
            "has expired",
            "sudo timedatectl set-ntp true   # if the date is right: nameserver join",
            {"credentials": Credentials(problem="the certificate has expired")},
        ),
        ("name server", "nobody answers", "nameserver doctor", {"server": NO_SERVER}),
        (
            "farms",
            "was stopped",
            "kill -CONT 100",
            {"farms": (replace(SILENT, is_stopped=True),)},
        ),
        ("farms", "does not answer", "kill 100", {"farms": (SILENT,)}),
        (
            "farms",
            "cannot be reached: timed out",
            "nc -vz 192.168.1.20 4711",
            {"farms": (SURVEY, replace(FAR, problem="timed out"))},
        ),
        (
            "slaves",
            "waits for a farm 'surveys': there is only 'survey'",
            "masterslave slave survey",
            {"farms": (IDLE,), "slaves": (SlaveSeen(8, "surveys"),)},
        ),
        (
            "slaves",
            "is root's, and sees no farm of anna",
            "masterslave slave   # as anna",
            {"farms": (LONELY,), "slaves": (replace(SLAVE, user="root"),)},
        ),
        (
            "slaves",
            "looks for farms in /tmp/remoteobj-0",
            "XDG_RUNTIME_DIR=/run/user/1000 masterslave slave survey",
            {"farms": (LONELY,), "slaves": (SlaveSeen(8, "survey", folder="/tmp/remoteobj-0"),)},
        ),
        (
            "slaves",
            "runs Python 3.12",
            "python3.11 -m masterslave slave",
            {
                "farms": (replace(IDLE, python="3.11"),),
                "slaves": (SlaveSeen(8, "*", python="3.12"),),
            },
        ),
        (
            "slaves",
            "and was serving farm 'survey'",
            "kill -CONT 7",
            {"slaves": (replace(SLAVE, is_stopped=True),)},
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_mends_it(
    check: str, text: str, mend: str, changed: dict[str, Any]
) -> None:
    finding = only(check, "wrong", **changed)
    assert text in finding.text
    assert mend in finding.mend


@pytest.mark.parametrize(
    ("check", "text", "changed"),
    [
        ("limits", "2 of 4 CPUs", {"machine": Machine(4, 2)}),
        ("limits", "enough for some 64 slaves", {"machine": Machine(4, 4, 256, 256)}),
        ("identity", "ends in 3 days", {"credentials": Credentials(subject="anna", days_left=3)}),
        ("farms", "2 tasks wait", {"farms": (replace(SURVEY, waits="2 tasks wait: no slave"),)}),
        ("farms", "no farm of anna is running", {"farms": ()}),
        ("slaves", "no slave runs", {"slaves": ()}),
        ("slaves", "does not show", {"slaves": None}),
        ("slaves", "there are only 'art', 'survey'",
         {"farms": (IDLE, replace(IDLE, label="art")), "slaves": (SlaveSeen(8, "zoo"),)}),
        ("slaves", "is root's", {"farms": (IDLE,), "slaves": (replace(SLAVE, user="root"),)}),
        ("slaves", "serves none of farm 'survey'", {"farms": (IDLE,)}),
        ("slaves", "does not serve farm 'x' of y on z: it was started with --allow hall",
         {"slaves": (replace(SLAVE, allow=("hall",), refused=("farm 'x' of y on z",)),)}),
        ("slaves", "no farm that it may serve answers",
         {"farms": (replace(IDLE, problem="no answer"),)}),
    ],
)  # fmt: skip
def test_what_may_explain_something_is_noted(
    check: str, text: str, changed: dict[str, Any]
) -> None:
    assert text in only(check, "note", **changed).text


def test_what_is_as_it_should_be_is_said_too() -> None:
    texts = [each.text for each in judge(replace(WELL, farms=(), server=None))]
    assert "slave 7 (for any farm) waits for a farm" in texts
    assert any("none was looked for" in text for text in texts)
    left = judge(replace(WELL, folder=Folder("/run/x", left=2)))
    assert any("2 files in it of processes that were killed" in each.text for each in left)


words = st.sampled_from(["", "survey", "surveys", "x"])
farm_facts = st.builds(
    FarmSeen, words, words, words, st.just(3), words, words, words, st.booleans(), words,
    st.sampled_from([(), (7,)]), st.sampled_from(["", "3.11"]),
)  # fmt: skip
slave_facts = st.builds(
    SlaveSeen, st.just(7), words, words, words, st.booleans(), st.sampled_from(["", "3.12"])
)


@given(
    st.lists(farm_facts, max_size=3), st.none() | st.lists(slave_facts, max_size=3), st.booleans()
)
def test_whatever_is_wrong_can_be_mended(
    farms: list[FarmSeen], slaves: list[SlaveSeen] | None, is_missing: bool
) -> None:
    told = None if slaves is None else tuple(slaves)
    server = Missing("gone") if is_missing else None
    for finding in judge(replace(WELL, farms=tuple(farms), slaves=told, server=server)):
        assert finding.text
        assert finding.mend or finding.level != "wrong"
