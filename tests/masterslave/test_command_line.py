"""``masterslave`` as people use it: slaves that wait and leave; list, show, run; bad input."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from masterslave import Farm
from tests.conftest import StartScript, eventually, processes_of
from tests.masterslave.conftest import StartSlave


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """Read what a process prints until a line has these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"{words!r} was never said; errors: {process.communicate()[1]}")


def masterslave(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "masterslave", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def hang_until(go: Path, started: Path) -> str:
    started.touch()
    while not go.exists():
        pass
    return "finished"


def test_a_slave_waits_for_the_farm_and_survives_its_end(start_slave: StartSlave) -> None:
    slave = start_slave("test", "--slots", "1", "--name", "box")
    said = line_with(slave, "looks for")
    assert "slave box, 1 slot, looks for farm 'test' in this user's directory /tmp/ro-" in said
    for number in range(2):
        with Farm("test", local_slaves=0) as farm:
            assert farm.submit(abs, -number).result(timeout=10) == number
            assert [record.name for record in farm.slaves] == ["box"]
        assert "of " in line_with(slave, "found farm 'test'")
        assert "has ended; 1 tasks done for it here" in line_with(slave, "has ended")


def test_a_slave_serves_its_label_only(start_slave: StartSlave) -> None:
    slave = start_slave("mine", "--slots", "1")
    line_with(slave, "looks for")
    with Farm("other", local_slaves=0) as other, Farm("mine", local_slaves=0) as mine:
        assert mine.submit(abs, -1).result(timeout=10) == 1
        assert other.slaves == ()


def test_a_slave_serves_every_farm_it_may(start_slave: StartSlave) -> None:
    start_slave("--slots", "1")
    with Farm("one", local_slaves=0) as one, Farm("two", local_slaves=0) as two:
        futures = [farm.submit(pow, number, 2) for number in range(20) for farm in (one, two)]
        expected = [number**2 for number in range(20) for _ in range(2)]
        assert [future.result(timeout=20) for future in futures] == expected


def test_ctrl_c_finishes_what_runs_and_gives_back_the_rest(
    start_slave: StartSlave, tmp_path: Path
) -> None:
    go, started = tmp_path / "go", tmp_path / "started"
    slave = start_slave("test", "--slots", "1")
    with Farm("test", local_slaves=0) as farm:
        running = farm.submit(hang_until, go, started)
        eventually(started.exists, "the task runs")
        waiting = farm.submit(abs, -1)
        slave.send_signal(signal.SIGINT)
        line_with(slave, "finishing what runs")
        go.touch()
        assert running.result(timeout=10) == "finished"
        assert slave.wait(10) == 130
        counts = farm.statistics()
        assert (counts.slaves_left, counts.slaves_lost) == (1, 0)
        start_slave("test", "--slots", "1")
        assert waiting.result(timeout=10) == 1


@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM]])
def test_ctrl_c_twice_leaves_at_once(
    start_slave: StartSlave, tmp_path: Path, signals: list[signal.Signals], own_machine: Path
) -> None:
    go, started = tmp_path / "go", tmp_path / "started"
    slave = start_slave("test", "--slots", "1")
    with Farm("test", local_slaves=0) as farm:
        running = farm.submit(hang_until, go, started)
        eventually(started.exists, "the task runs")
        slave.send_signal(signals[0])
        for again in signals[1:]:
            line_with(slave, "finishing what runs")  # two at once would be one
            slave.send_signal(again)
        assert slave.wait(5) == (130 if len(signals) > 1 else 0)
        assert not processes_of(own_machine)
        assert farm.statistics().slaves_lost == 0, "it gave back what it held"
        go.touch()
        farm.add_local_slaves(1)
        assert running.result(timeout=10) == "finished"


def test_list_and_show() -> None:
    assert "no farm is running" in masterslave("list").stdout
    assert masterslave("list", "--json").stdout.strip() == "[]"
    with Farm("test", local_slaves=1) as farm:
        farm.submit(abs, -1).result()
        (listed,) = json.loads(masterslave("list", "--json").stdout)
        assert (listed["label"], listed["statistics"]["done"]) == ("test", 1)
        assert [slave["done"] for slave in listed["slaves"]] == [1]
        assert farm.options(needs={"gold": 1}).submit(abs, -1).cancel()
        table = masterslave("list").stdout
        assert "idle" in table
        assert "test" in table
        assert "1 of 1" in table
        shown = masterslave("show", "test").stdout
        assert "1 cancelled" in shown
        assert farm.slaves[0].name in shown
        assert "1 of 2 done" in shown
        assert json.loads(masterslave("show", "test", "--json").stdout)[0]["label"] == "test"
    assert "no farm is running" in masterslave("list").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "nothing"], 1, "no farm 'nothing' is running: 'masterslave list' shows"),
        (["show", "two words"], 2, "'two words' cannot be a farm's label"),
        (["slave", "two words"], 2, "'two words' cannot be a farm's label"),
        (["slave", "--slots", "0"], 2, "--slots"),
        (["slave", "--slots", "many"], 2, "'many' is not a valid integer"),
        (["slave", "--memory", "8"], 2, "--memory of 8 bytes is too little for a task: did you me"),
        (["slave", "--memory", "8", "--slots", "1"], 2, "did you mean 8G?"),
        (["slave", "--memory", "100M", "--slots", "4"], 2, "less than 32M; give more"),
        (["slave", "--memory", "9" * 400], 2, "is no size: write 4G or 512M"),
        (["slave", "--idle-exit", "nan"], 2, "nan is no number of seconds"),
        (["slave", "--idle-exit", "0"], 2, "--idle-exit"),
        (["slave", "--name", "two\nlines"], 2, "'two\\nlines' has characters that cannot"),
        (["slave", "--nameserver", "nonsense"], 2, "'nonsense'"),
        (["slave", "--cluster", "no name!"], 2, "'no name!' is no name of a cluster"),
        (["slave", "--local", "--cluster", "lab"], 2, "--local asks no name server"),
        (["slave", "--cluster", "nowhere"], 2, "this account is not in a cluster 'nowhere'"),
        (["slave", "--local", "--nameserver", "127.0.0.1:1"], 2, "--local asks no name server"),
        (["slave", "--identity", "a", "b", "c"], 2, "cannot read a"),
        (["show", "test", "--nameserver", "nonsense"], 2, "'nonsense'"),
        (["list", "--cluster", "no name!"], 2, "'no name!' is no name of a cluster"),
        (["list", "--nameserver", "127.0.0.1:1"], 2, "--identity"),
        (["run", "no/such/script.py"], 2, "there is no file 'no/such/script.py'"),
        (["run", "."], 2, "'.' is a folder"),
        (["run", "x.py", "--slaves", "-1"], 2, "--slaves"),
        (["harvest"], 2, "harvest"),
        (["list", "--nameserver", "127.0.0.1:1", "--insecure"], 1, "127.0.0.1:1"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], code: int, said: str) -> None:
    done = masterslave(*arguments)
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    assert said in lines[0]
    assert lines[0].startswith("masterslave: ")


def test_debug_shows_the_traceback() -> None:
    done = masterslave("show", "--debug", "nothing")
    assert "Traceback" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize("command", [[], ["slave"], ["list"], ["show"], ["run"]])
def test_help(command: list[str]) -> None:
    done = masterslave(*command, "--help")
    assert done.returncode == 0
    assert "Usage: masterslave" in done.stdout


@pytest.mark.parametrize("name", ["[b]", "a[", "[red]x[/blue]"])
def test_names_are_shown_as_they_are(start_slave: StartSlave, name: str) -> None:
    with Farm("test", local_slaves=0) as farm:
        start_slave("test", "--slots", "1", "--name", name)
        eventually(lambda: farm.slaves, "the slave joins")
        shown = masterslave("show", "test")
    assert name in shown.stdout, shown.stderr


SCRIPT = """
import sys
from masterslave import Farm
with Farm("test", local_slaves=0) as farm:
    print(sum(farm.map(abs, range(-10, 0))), sorted(sys.argv[1:]))
    print(len(farm.slaves), "slaves at most 2")
sys.exit(7)
"""


def test_run_gives_a_script_slaves_and_ends_them_with_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for arguments in (["--slaves", "2", str(script)], [str(script), "--slaves", "2"]):
        done = masterslave("run", *arguments, "--flag", "x", "--", "--slaves")
        assert done.returncode == 7, done.stderr
        assert "55 ['--flag', '--slaves', 'x']" in done.stdout
        assert "slaves at most 2" in done.stdout
        assert not done.stderr


def test_functions_of_modules_beside_the_script_are_found(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def double(x):\n    return 2 * x\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import beside\nfrom masterslave import Farm\n"
        "with Farm(local_slaves=1) as farm:\n    print(farm.submit(beside.double, 21).result())\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == ("42\n", "")


@pytest.mark.skipif(
    (3, 12, 0) <= sys.version_info < (3, 12, 2),
    reason="these Pythons start no thread at their end, and the farm says so",
)
def test_a_script_without_with_is_done_before_it_ends(
    start_script: StartScript, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from masterslave import Farm\n"
        "farm = Farm(local_slaves=1)\n"
        "farm.submit(abs, -3).add_done_callback(lambda future: print(future.result()))\n"
    )
    out, err = start_script(str(script)).communicate(timeout=30)
    assert (out, err) == ("3\n", "")


def test_a_signal_is_heeded_whenever_it_comes(start_slave: StartSlave) -> None:
    for _ in range(5):  # it comes between two looks at the queue, or before the first
        slave = start_slave("test", "--slots", "1")
        line_with(slave, "looks for")
        slave.send_signal(signal.SIGTERM)
        assert slave.wait(10) == 0


def test_ctrl_c_in_a_script(start_script: StartScript, tmp_path: Path, own_machine: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from masterslave import Farm\n"
        "def hang(path):\n"
        "    open(path, 'w').close()\n"
        "    while True: pass\n"
        "with Farm('test', local_slaves=1) as farm:\n"
        "    farm.submit(hang, sys.argv[1]).result()\n"
    )
    process = start_script(str(script), str(tmp_path / "runs"))
    eventually((tmp_path / "runs").exists, "the task runs")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (
        "farm 'test' interrupted: 0 tasks are done and their results kept, 1 under way are dropped"
        in err
    )
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert not processes_of(own_machine)
