"""What is made of what the system, a child or a slave says: in words, whatever it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterslave.master.evidence import post_mortem_of, reason_of_loss
from masterslave.protocol.encoding import encode
from masterslave.protocol.outcomes import PostMortem
from masterslave.slave.out_of_memory import Kills, kills_so_far, who_killed
from masterslave.slave.stacks import _CHILD, tidied

LOG = (
    "6,1,5000000,-;something else\n"
    "3,2,9000000,-;Memory cgroup out of memory: Killed process 41 (python) total-vm:9kB\n"
    "3,3,9500000,-;Out of memory: Killed process 42 (python) total-vm:9kB, anon-rss:8kB\n"
)


def test_the_kernels_log_names_who_was_killed() -> None:
    before, now = Kills(1, 0, 0, 8.0), Kills(2, 0, 0, 9.0)
    said = who_killed(42, before, now, lambda: LOG)
    assert said == (
        "the kernel says: Out of memory: Killed process 42 (python) total-vm:9kB, anon-rss:8kB"
    )
    assert "Memory cgroup" in who_killed(41, before, now, lambda: LOG)
    assert "the kernel says" not in who_killed(42, Kills(1, 0, 0, 20.0), now, lambda: LOG), "of old"


def test_counts_tell_what_they_can() -> None:
    before, nothing = Kills(1, 1, 0, 8.0), str
    assert who_killed(7, before, before, nothing) == ""
    assert who_killed(7, before, Kills(2, 1), nothing).startswith("the system has run out")
    in_group = who_killed(7, before, Kills(2, 2, 200 << 20), nothing)
    assert in_group == (
        "the limit of 200 MiB of its control group was reached, and a process killed for it"
    )


@pytest.mark.parametrize(
    "files",
    [
        {
            "/proc/self/cgroup": "0::/user.slice/run-1\n",
            "/sys/fs/cgroup/user.slice/run-1/memory.events": "low 0\noom 4\noom_kill 3\n",
            "/sys/fs/cgroup/user.slice/run-1/memory.max": "1048576\n",
        },
        {
            "/proc/self/cgroup": "5:cpu:/\n4:memory:/docker/8c1\n",
            "/sys/fs/cgroup/memory/memory.oom_control": "under_oom 0\noom_kill 3\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": "1048576\n",
        },
    ],
    ids=["version 2", "version 1, in a container"],
)
def test_counts_of_control_groups_are_found(files: dict[str, str]) -> None:
    found = kills_so_far(lambda path: {**files, "/proc/vmstat": "oom_kill 9\n"}.get(path, ""))
    assert (found.system, found.group, found.limit_bytes) == (9, 3, 1 << 20)


EATS = """
import os, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
from masterslave.slave.out_of_memory import kills_so_far, who_killed
before = kills_so_far()
pid = os.fork()
if not pid:
    eaten = []
    while True:
        eaten.append(bytearray(b"x") * (1 << 20))
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
print(who_killed(pid, before, kills_so_far()))
"""


def test_a_control_group_that_has_a_limit_kills_for_it() -> None:
    """For root, where control groups of version 1 can be made."""
    group = Path("/sys/fs/cgroup/memory") / f"mortems-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(64 << 20))
    except OSError as error:  # not root, or version 2 only, which the test above has as files
        pytest.skip(f"no control group of version 1 can be made here: {error.strerror}")
    try:
        command = [sys.executable, "-c", EATS, str(group)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    finally:
        group.rmdir()
    assert done.returncode == 0, done.stderr
    assert "the kernel says: Memory cgroup out of memory" in done.stdout or (
        "the limit of 64 MiB of its control group was reached" in done.stdout
    )


STACKS = f"""Fatal Python error: Aborted

Thread 0x00007f (most recent call first):
  File "{_CHILD}/frames.py", line 300 in read_frame
  File "/usr/lib/python3.11/threading.py", line 900 in run

Thread 0x00008f (most recent call first):
  File "/home/eve/own.py", line 3 in helper
  File "/usr/lib/python3.11/threading.py", line 900 in run

Current thread 0x00009f (most recent call first):
  File "/home/eve/script.py", line 7 in deep
  File "/home/eve/script.py", line 9 in measure
  File "{_CHILD}/calls.py", line 140 in run
  File "{_CHILD}/loop.py", line 200 in main

Extension modules: numpy (total: 1)
"""


def test_stacks_begin_with_the_task_and_have_nothing_of_ours() -> None:
    assert (
        tidied(STACKS)
        == """Fatal Python error: Aborted
in the task (most recent call first):
  File "/home/eve/script.py", line 7 in deep
  File "/home/eve/script.py", line 9 in measure
in another thread (most recent call first):
  File "/home/eve/own.py", line 3 in helper
  File "/usr/lib/python3.11/threading.py", line 900 in run"""
    )
    assert tidied("") == ""
    assert tidied("what a task has written there") == "what a task has written there"
    mortem = PostMortem("its process was killed by SIGABRT", stacks=tidied(STACKS))
    assert reason_of_loss(mortem) == (
        "its process was killed by SIGABRT in deep() (line 7 of script.py), called by measure() "
        "(line 9 of script.py)"
    )


def test_what_a_slave_says_is_cut_and_shown() -> None:
    large = "\x1b[2J" + "x" * 1_000_000
    told = post_mortem_of(encode(PostMortem("how", large, memory=large, stacks=large)))
    assert len(told.output) + len(told.memory) + len(told.stacks) < 100_000
    assert len(reason_of_loss(told)) < 1000
    assert "\x1b" not in reason_of_loss(PostMortem("\x1b[2J", "\x1b[2J"))


@given(st.text(), st.text(), st.text())
def test_whatever_a_slave_says_there_is_a_reason(how: str, output: str, stacks: str) -> None:
    said = reason_of_loss(
        PostMortem(how, output, stacks=f"in the task (most recent call first):{stacks}")
    )
    assert all(each.isprintable() or each in "\n\t" for each in said)


@given(st.binary())
def test_what_cannot_be_read_is_said_so(payload: bytes) -> None:
    assert post_mortem_of(payload).how


def test_post_mortems_of_older_slaves_are_understood() -> None:
    old = encode({"how": "its process ended itself with exit code 3", "output": "words"})
    assert post_mortem_of(old) == PostMortem("its process ended itself with exit code 3", "words")
    assert encode(PostMortem("how", "words")) == encode({"how": "how", "output": "words"})
