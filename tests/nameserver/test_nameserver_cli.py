"""The command line, in processes of its own: lines printed, exit codes, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable

import pytest

from nameserver import Directory, NameServer
from tests.certificates import Files
from tests.conftest import StartScript

HERE = "PYRO:x@127.0.0.1:4711"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(start_script: StartScript) -> Run:
    def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        process = start_script("-m", "nameserver", *arguments, **environment)
        out, err = process.communicate(timeout=20)
        return process.returncode, out, err

    return run


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_says_where_it_is_and_ends_cleanly(
    start_script: StartScript, command: Run, number: signal.Signals
) -> None:
    server = start_script("-m", "nameserver", "run", "--host", "127.0.0.1", "--insecure", "--debug")
    line = first_line(server)
    match = re.fullmatch(
        r'name server at (127\.0\.0\.1:\d+), announced by zeroconf as "[\w-]+"; Ctrl-C ends it\n',
        line,
    )
    assert match is not None, line
    code, out, _ = command("ping", "--insecure", "--nameserver", match[1])
    assert (code, out) == (0, f"name server at {match[1]} answers (address: given)\n")
    os.kill(server.pid, number)
    out, err = server.communicate(timeout=10)
    assert server.returncode == 0
    assert out == "name server ended; its names are gone\n"
    assert err.splitlines() == [err.strip()]
    assert err.startswith(f"nameserver: warning: plain TCP on {match[1]}")


def test_run_finds_its_port_in_use(server: NameServer, command: Run) -> None:
    port = server.address.rpartition(":")[2]
    code, out, err = command("run", "--host", "127.0.0.1", "--insecure", "--port", port)
    assert (code, out) == (1, "")
    assert err.startswith(f"nameserver: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("run", "--host is missing"),
        ("run --insecure", "--host is missing"),
        ("run --host 127.0.0.1", "--identity CA CERTIFICATE KEY is missing"),
        ("run --port 99999", "99999"),
        ("register a", "URI"),
        ("dance", "dance"),
    ],
)
def test_wrong_usage_is_one_line(command: Run, arguments: str, named: str) -> None:
    code, out, err = command(*arguments.split())
    assert (code, out) == (2, "")
    assert named in err
    assert len(err.splitlines()) == 1


def test_the_life_of_a_name(server: NameServer, command: Run) -> None:
    at = ("--nameserver", server.address, "--insecure")
    code, out, err = command("register", "lab.bell", HERE, "--meta", "a", "--meta", "b", *at)
    assert (code, out) == (0, f"registered lab.bell at {server.address}\n")
    assert len(err.splitlines()) == 1
    assert err.startswith("nameserver: warning: plain TCP")
    code, _, err = command("register", "lab.bell", HERE, *at)
    assert code == 1
    assert "'lab.bell' is taken" in err.splitlines()[-1]
    environment = {"REMOTEOBJ_NAMESERVER": server.address, "REMOTEOBJ_INSECURE": "1"}
    assert command("lookup", "lab.bell", **environment)[:2] == (0, f"{HERE}\n")
    with Directory() as directory:
        directory.register("lab.local", HERE)
        code, out, _ = command("list", "--json", "--prefix", "lab.", **environment)
        assert code == 0
        listed = {each["name"]: each for each in json.loads(out)}
        assert listed["lab.local"]["where"] == "this machine"
        assert listed["lab.local"]["pid"] == os.getpid()
        assert listed["lab.bell"]["where"] == server.address
        assert listed["lab.bell"]["metadata"] == ["a", "b"]
        code, out, _ = command("list", **environment)
        assert f"lab.local\tthis machine\t{HERE}\t\n" in out
        assert f"lab.bell\t{server.address}\t{HERE}\ta,b\n" in out
        assert command("lookup", "lab.local")[:2] == (0, f"{HERE}\n")
    assert command("remove", "lab.bell", *at)[:2] == (
        0,
        f"removed lab.bell from {server.address}\n",
    )
    code, _, err = command("remove", "lab.bell", *at)
    assert code == 1
    assert "'lab.bell' is no name" in err


@pytest.mark.parametrize(
    ("arguments", "failure", "named"),
    [
        ("lookup unknown", 1, "'unknown'"),
        ("lookup a/b", 2, "'a/b'"),
        ("register a there", 2, "'there'"),
        ("register a/b PYRO:x@127.0.0.1:1", 2, "'a/b'"),
    ],
)
def test_bad_input_is_one_line_that_names_it(
    server: NameServer, command: Run, arguments: str, failure: int, named: str
) -> None:
    at = ("--nameserver", server.address, "--insecure")
    code, out, err = command(*arguments.split(), *at)
    assert (code, out) == (failure, "")
    lines = [line for line in err.splitlines() if "warning:" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("nameserver: ")
    assert named in lines[0]
    assert "Traceback" not in err
    assert "Traceback" in command(*arguments.split(), *at, "--debug")[2]


def test_names_over_tls(start_script: StartScript, command: Run, cluster: dict[str, Files]) -> None:
    master, slave = (["--identity", *map(str, cluster[node])] for node in ("master", "slave"))
    run = ("run", "--host", "127.0.0.1", "--no-announce")
    server = start_script("-m", "nameserver", *run, *master)
    address = first_line(server).split()[3].rstrip(",")
    at = ("--nameserver", address)
    environment = {
        "REMOTEOBJ_NAMESERVER": address,
        "REMOTEOBJ_IDENTITY": os.pathsep.join(map(str, cluster["slave"])),
    }
    registered = command("register", "lab.bell", HERE, *at, *slave)
    assert registered == (0, f"registered lab.bell at {address}\n", "")
    assert command("ping", *at, *slave)[0] == 0
    assert command("lookup", "lab.bell", **environment) == (0, f"{HERE}\n", "")
    assert f"lab.bell\t{address}\t{HERE}\t\n" in command("list", **environment)[1]
    code, _, err = command("ping", "--insecure", **environment)
    assert (code, "TLS is spoken here" in err) == (1, True), "what was typed counts"
    assert command("ping", *slave, **environment, REMOTEOBJ_INSECURE="1")[0] == 0
    assert command("remove", "lab.bell", **environment)[2] == ""
    server.terminate()
    out, err = server.communicate(timeout=10)
    assert out == "name server ended; its names are gone\n"
    assert "was not let in: 127.0.0.1" in err
    assert "does not speak TLS" in err


@pytest.mark.parametrize("arguments", ["run --host 127.0.0.1", "list", "lookup a", "ping"])
def test_what_is_no_identity_is_told_in_one_line(
    command: Run, cluster: dict[str, Files], foreign: Files, arguments: str
) -> None:
    ca, certificate, key = map(str, cluster["master"])
    other = str(foreign.certificate)
    typed: list[tuple[list[str], str]] = [
        (["--identity", ca, certificate], "'--identity' requires 3 arguments"),
        (["--identity", ca, "no.pem", key], "cannot read no.pem (No such file or directory)"),
        (["--identity", ca, key, certificate], f"{key} has a PRIVATE KEY where a CERTIFICATE"),
        (["--identity", certificate, ca, key], f"{certificate} is no CA's certificate"),
        (["--identity", ca, other, key], f"{key} does not belong to the certificate {other}"),
        (["--identity", ca, certificate, key, "--insecure"], "plain TCP: give one of them"),
    ]
    for options, words in typed[:: 1 if arguments == "ping" else 3]:
        code, out, err = command(*arguments.split(), *options)
        assert (code, out) == (2, ""), err
        assert words in err
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"REMOTEOBJ_IDENTITY": "a.pem"}, "REMOTEOBJ_IDENTITY is 'a.pem': it holds three files"),
        ({"REMOTEOBJ_IDENTITY": os.pathsep.join("abc")}, "cannot read a (No such file"),
        (
            {"REMOTEOBJ_IDENTITY": os.pathsep.join("abc"), "REMOTEOBJ_INSECURE": "1"},
            "REMOTEOBJ_INSECURE means plain TCP: set one of them",
        ),
    ],
)
def test_a_bad_environment_is_told_in_one_line(
    command: Run, variables: dict[str, str], words: str
) -> None:
    code, out, err = command("list", **variables)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_missing_server_is_no_error_for_list_alone(command: Run) -> None:
    nobody = {"REMOTEOBJ_NAMESERVER": "127.0.0.1:1", "REMOTEOBJ_INSECURE": "1"}
    with Directory() as directory:
        directory.register("local", HERE)
        code, out, err = command("list", **nobody)
        assert (code, out) == (0, f"local\tthis machine\t{HERE}\t\n")
        assert len(err.splitlines()) == 1
        assert "127.0.0.1:1 (REMOTEOBJ_NAMESERVER)" in err
        code, out, err = command("list", "--nameserver", "127.0.0.1:1", "--insecure")
        assert (code, out) == (1, f"local\tthis machine\t{HERE}\t\n")
    code, _, err = command("register", "a", HERE, **nobody)
    assert code == 1
    assert "ends with the process that registers it" in err
    code, _, err = command("lookup", "a", **nobody)
    assert code == 1
    assert "nothing on this machine is registered as 'a'" in err


def test_an_announced_server_that_may_not_be_asked_is_said(
    start_script: StartScript, command: Run
) -> None:
    first_line(start_script("-m", "nameserver", "run", "--host", "127.0.0.1", "--insecure"))
    code, _, err = command("ping")
    assert code == 1
    assert "it speaks plain TCP: start it with an identity; or pass insecure=True" in err


def test_a_signal_that_another_thread_took_ends_it_too(start_script: StartScript) -> None:
    process = start_script(
        "-c",
        """
import signal, sys, threading
from nameserver.cli import main

def main_thread_waits():
    frame = sys._current_frames()[threading.main_thread().ident]
    names = []
    while frame is not None and len(names) < 3:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names == ["wait", "wait", "run"]

def interrupt():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL or not main_thread_waits():
        pass
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

threading.Thread(target=interrupt).start()
sys.argv[1:] = ["run", "--host", "127.0.0.1", "--insecure", "--no-announce"]
main()
""",
    )
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert out.endswith("name server ended; its names are gone\n")
