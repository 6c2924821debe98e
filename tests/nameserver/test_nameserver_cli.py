"""The command line: lines printed, exit codes, words for what went wrong."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import replace
from unittest import mock

import pytest

from nameserver import Directory, NameServer, NameServerClient, Record
from nameserver.cli import main_group
from nameserver.cli.printing import age_of, lease_of
from remoteobj import URI
from tests.certificates import Files
from tests.conftest import StartScript
from tests.nameserver.command import command

HERE = "PYRO:x@127.0.0.1:4711"
THERE = "PYRO:y@127.0.0.1:4712"
NOBODY = {"REMOTEOBJ_NAMESERVER": "127.0.0.1:1", "REMOTEOBJ_INSECURE": "1"}


@pytest.fixture
def at(server: NameServer) -> tuple[str, ...]:
    """Options by which commands reach the server."""
    return ("--nameserver", server.address, "--insecure")


@pytest.fixture
def tls_server(start_script: StartScript, cluster: dict[str, Files]) -> Iterator[str]:
    """Address of a name server of its own process that speaks TLS."""
    process = start_script(
        *("-m", "nameserver", "run", "--host", "127.0.0.1", "--port", "0", "--no-announce"),
        *("--identity", *map(str, cluster["master"])),
    )
    assert process.stdout is not None
    yield process.stdout.readline().split()[3].rstrip(",")
    process.terminate()
    out, err = process.communicate(timeout=10)
    assert out == "name server ended; its names are gone\n"
    assert not err or "was not let in: 127.0.0.1" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("run --insecure", "--host is missing"),
        ("run --host 127.0.0.1:9090 --insecure", "give --port, not '127.0.0.1:9090'"),
        ("run --port 99999", "99999"),
        ("register a", "URI"),
        (f"register a {HERE} --replace --replaces {HERE}", "give one of them"),
        ("list --timeout nan", "nan is no time to wait"),
        ("ping --timeout 0", "0 is no time to wait"),
        ("ping --timeout soon", "'soon' is not a valid float"),
        ("list --prefix a/b", "no name begins with 'a/b'"),
        ("watch --prefix a/b", "no name begins with 'a/b'"),
        ("doctor --timeout -1", "-1 is no time to wait"),
        ("ping --cluster a.b", "'a.b' is no name of a cluster"),
        ("run --host 127.0.0.1 --insecure --cluster a.b", "'a.b' is no name of a cluster"),
        ("dance", "dance"),
    ],
)
def test_wrong_usage_is_one_line(arguments: str, named: str) -> None:
    code, out, err = command(*arguments.split())
    assert (code, out) == (2, "")
    assert named in err
    assert len(err.splitlines()) == 1


def test_the_life_of_a_name(server: NameServer, at: tuple[str, ...]) -> None:
    code, out, err = command("register", "lab.bell", HERE, "--meta", "a", "--meta", "b", *at)
    assert (code, out) == (0, f"registered lab.bell at {server.address}\n")
    assert len(err.splitlines()) == 1
    assert err.startswith("nameserver: warning: plain TCP")
    code, _, err = command("register", "lab.bell", THERE, *at)
    assert code == 1
    assert "'lab.bell' is taken" in err.splitlines()[-1]
    environment = {"REMOTEOBJ_NAMESERVER": server.address, "REMOTEOBJ_INSECURE": "1"}
    assert command("lookup", "lab.bell", **environment)[:2] == (0, f"{HERE}\n")
    assert command("register", "lab.bell", THERE, "--replace", *at).code == 0
    assert command("lookup", "lab.bell", *at).out == f"{THERE}\n"
    removed = command("remove", "lab.bell", *at)
    assert removed[:2] == (0, f"removed lab.bell from {server.address}\n")
    code, _, err = command("remove", "lab.bell", *at)
    assert code == 1
    assert "'lab.bell' is no name" in err


def test_a_name_is_replaced_only_where_it_is_as_one_thinks(at: tuple[str, ...]) -> None:
    code, _, err = command("register", "bell", HERE, "--replaces", THERE, *at)
    assert (code, "'bell' that could be replaced" in err) == (1, True)
    assert command("register", "bell", HERE, *at).code == 0
    code, _, err = command("register", "bell", THERE, "--replaces", THERE, *at)
    assert (code, f"stands for {HERE} now" in err) == (1, True)
    assert command("register", "bell", THERE, "--replaces", HERE, *at).code == 0
    assert command("lookup", "bell", *at).out == f"{THERE}\n"
    code, out, err = command("register", "bell", THERE, "--replaces", "there", *at)
    assert (code, out, "'there'" in err) == (2, "", True)


def test_names_of_both_places_are_listed(server: NameServer, at: tuple[str, ...]) -> None:
    assert command("register", "lab.bell", HERE, "--meta", "a", "--meta", "b", *at).code == 0
    with Directory() as directory:
        directory.register("lab.local", HERE, metadata={"a"})
        code, out, _ = command("list", "--json", "--prefix", "lab.", *at)
        assert code == 0
        listed = {each["name"]: each for each in json.loads(out)}
        assert listed["lab.local"] == {
            "name": "lab.local", "where": "this machine", "uri": HERE, "metadata": ["a"],
            "pid": os.getpid(), "lease_s": None, "since": None, "age_s": None, "hosts": [],
            "problem": "",
            "node": "",
            "role": "",
        }  # fmt: skip
        bell = listed["lab.bell"]
        assert (bell["where"], bell["metadata"], bell["pid"]) == (server.address, ["a", "b"], None)
        assert 0 <= bell["age_s"] < 60
        assert abs(time.time() - bell["since"]) < 60
        lines = command("list", *at).out.splitlines()
        assert f"lab.local\tthis machine\t{HERE}\ta\t\tprocess {os.getpid()}\t" in lines
        (line,) = (line for line in lines if line.startswith("lab.bell"))
        where = f"lab.bell\t{server.address}\t{HERE}\ta, b\t"
        assert re.fullmatch(rf"{re.escape(where)}\d s\tpermanent\t", line)
        assert command("lookup", "lab.local").out == f"{HERE}\n"
        assert json.loads(command("lookup", "lab.local", "--json").out) == listed["lab.local"]
        both = command("list", "--meta", "a", "--meta", "b", *at).out
        assert [line.split()[0] for line in both.splitlines()] == ["lab.bell"]
        assert command("list", "--meta", "c", *at).out == ""


def test_a_lease_is_listed(client: NameServerClient, at: tuple[str, ...]) -> None:
    client.register("bell", HERE, lease_s=25)
    (line,) = command("list", "--prefix", "bell", *at).out.splitlines()
    assert line.split("\t")[5] == "25 s"
    (shape,) = json.loads(command("list", "--prefix", "bell", "--json", *at).out)
    assert shape["lease_s"] == 25


def of(**fields: object) -> Record:
    return Record("a", URI(HERE), **fields)


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(-5, "0 s"), (0.5, "0 s"), (59, "59 s"), (200, "3 min"), (7300, "2 h"), (900_000, "10 d")],
)
def test_ages_are_short(seconds: float, age: str) -> None:
    assert age_of(of(since=1000.0), 1000.0 + seconds) == age


def test_what_keeps_a_name_is_said() -> None:
    assert age_of(of(), 1000.0) == ""
    assert lease_of(of()) == "permanent"
    assert lease_of(of(lease_s=30.0)) == "30 s"
    assert lease_of(of(pid=12)) == "process 12"


@pytest.fixture
def broken() -> Iterator[list[Record]]:
    """What a server lists where it does not reach an object."""
    problem = "192.168.1.21:4711: refused: nobody listens there"
    records = [of(since=0.0, problem=problem), Record("b", URI(THERE), since=0.0)]
    with (
        mock.patch.object(NameServerClient, "list", side_effect=lambda _: tuple(records)),
        mock.patch.object(NameServerClient, "lookup", return_value=records[0]),
    ):
        yield records


def test_what_is_not_reached_is_marked(at: tuple[str, ...], broken: list[Record]) -> None:
    first, second = command("list", *at).out.splitlines()
    assert first.endswith(f"\tpermanent\t{broken[0].problem}")
    assert second.endswith("\tpermanent\t")
    assert json.loads(command("list", "--json", *at).out)[0]["problem"] == broken[0].problem
    code, out, err = command("lookup", "a", *at)
    assert (code, out) == (0, f"{HERE}\n")
    assert f"warning: the name server does not reach a: {broken[0].problem}" in err


def test_on_a_terminal_names_are_a_table(at: tuple[str, ...], broken: list[Record]) -> None:
    broken.append(Record("c", URI(THERE), frozenset({"[b]not markup"}), since=0.0))
    broken[0] = replace(broken[0], metadata=frozenset({"brass"}))
    look = {"COLUMNS": "150", "TERM": "xterm", "NO_COLOR": "1"}
    code, out, _ = command("list", *at, is_terminal=True, **look)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    head, first, second, third, problem = (line.split() for line in plain.splitlines())
    assert head == ["name", "where", "uri", "metadata", "age", "lease"]
    assert (code, first[:2], second[0]) == (0, ["!", "a"], "b")
    assert third[3:5] == ["[b]not", "markup"]
    assert " ".join(problem) == f"! a is not reached: {broken[0].problem}"
    broken.clear()
    assert "no names" in command("list", *at, is_terminal=True, **look).out


def test_an_object_that_is_not_reached_is_registered_with_a_warning(at: tuple[str, ...]) -> None:
    unproved = ["192.168.1.21:4711: refused: nobody listens there"]
    with mock.patch.object(NameServerClient, "put", return_value=unproved):
        code, out, err = command("register", "bell", HERE, *at)
    assert (code, "registered bell at" in out) == (0, True)
    assert err.splitlines()[-1] == (
        "nameserver: warning: bell is registered, but the name server does not reach "
        "192.168.1.21:4711: refused: nobody listens there"
    )


@pytest.mark.parametrize(
    ("arguments", "failure", "named"),
    [
        ("lookup unknown", 1, "'unknown'"),
        ("lookup a/b", 2, "'a/b'"),
        ("remove a/b", 2, "'a/b'"),
        ("register a there", 2, "'there'"),
        ("register a PYRONAME:b", 2, "PYRONAME:b is a name, not an address"),
        ("register a/b PYRO:x@127.0.0.1:1", 2, "'a/b'"),
        ("register Pyro.mine PYRO:x@127.0.0.1:1", 2, "'Pyro.mine' is a name server's own"),
    ],
)
def test_bad_input_is_one_line_that_names_it(
    at: tuple[str, ...], arguments: str, failure: int, named: str
) -> None:
    code, out, err = command(*arguments.split(), *at)
    assert (code, out) == (failure, "")
    lines = [line for line in err.splitlines() if "warning:" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("nameserver: ")
    assert named in lines[0]
    assert "Traceback" not in err
    with pytest.raises(Exception, match=re.escape(named)):
        command(*arguments.split(), *at, "--debug")


@pytest.mark.parametrize("name", ["list", "lookup a", "ping", "watch", "remove a"])
def test_what_is_no_address_is_said(name: str) -> None:
    code, out, err = command(*name.split(), "--nameserver", "there", "--insecure")
    assert (code, out) == (2, "")
    assert err == (
        "nameserver: 'there' is no address of a name server: it looks like 192.168.1.20:9090\n"
    )


def test_ping(server: NameServer, at: tuple[str, ...]) -> None:
    code, out, _ = command("ping", *at)
    where = rf"name server at {server.address} of the cluster 'default'"
    words = rf"{where} answers in \d+\.\d ms \(address: given\)\n"
    assert (code, bool(re.fullmatch(words, out))) == (0, True)
    code, _, err = command("ping", **NOBODY)
    assert (code, "no name server at 127.0.0.1:1 (REMOTEOBJ_NAMESERVER)" in err) == (1, True)


def test_a_server_of_another_cluster_is_not_the_one(
    server: NameServer, at: tuple[str, ...]
) -> None:
    assert command("ping", *at, "--cluster", "default").code == 0
    for said in (("--cluster", "lab"), ()):
        code, out, err = command("ping", *at, *said, REMOTEOBJ_CLUSTER="lab")
        assert (code, out) == (1, "")
        assert "is of the cluster 'default', not of 'lab'" in err
    assert command("list", *at, "--cluster", "lab").code == 1


def test_names_over_tls(tls_server: str, cluster: dict[str, Files]) -> None:
    slave = ["--identity", *map(str, cluster["slave"])]
    at = ("--nameserver", tls_server)
    environment = {
        "REMOTEOBJ_NAMESERVER": tls_server,
        "REMOTEOBJ_IDENTITY": os.pathsep.join(map(str, cluster["slave"])),
    }
    registered = command("register", "lab.bell", HERE, *at, *slave)
    assert registered == (0, f"registered lab.bell at {tls_server}\n", "")
    assert command("ping", *at, *slave).code == 0
    assert command("lookup", "lab.bell", **environment) == (0, f"{HERE}\n", "")
    assert f"lab.bell\t{tls_server}\t{HERE}\t\t" in command("list", **environment).out
    code, _, err = command("ping", "--insecure", **environment)
    assert (code, "TLS is spoken here" in err) == (1, True), "what was typed counts"
    assert command("ping", *slave, **environment, REMOTEOBJ_INSECURE="1").code == 0
    assert command("remove", "lab.bell", **environment).err == ""


@pytest.mark.parametrize("arguments", ["run --host 127.0.0.1", "list", "lookup a", "ping"])
def test_what_is_no_identity_is_told_in_one_line(
    cluster: dict[str, Files], foreign: Files, arguments: str
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
    for options, words in typed:
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
def test_a_bad_environment_is_told_in_one_line(variables: dict[str, str], words: str) -> None:
    code, out, err = command("list", **variables)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_server_that_was_asked_for_and_is_not_there_is_an_error_of_list() -> None:
    with Directory() as directory:
        directory.register("local", HERE)
        local = f"local\tthis machine\t{HERE}\t\t\tprocess {os.getpid()}\t\n"
        code, out, err = command("list", **NOBODY)
        assert (code, out) == (1, local)
        assert len(err.splitlines()) == 1
        assert "no name server at 127.0.0.1:1 (REMOTEOBJ_NAMESERVER)" in err
        code, out, _ = command("list", "--nameserver", "127.0.0.1:1", "--insecure")
        assert (code, out) == (1, local)
        code, out, err = command("list", "--json", **NOBODY)
        assert (code, [each["name"] for each in json.loads(out)]) == (1, ["local"])


@pytest.mark.usefixtures("own_network")
def test_where_nobody_asked_for_a_server_none_is_needed() -> None:
    with Directory() as directory:
        directory.register("local", HERE)
        code, out, err = command("list", "--timeout", "0.1")
    assert (code, out.split("\t")[0]) == (0, "local")
    assert err.startswith("nameserver: only names of this machine: no name server found")


def test_a_missing_server_is_an_error_of_other_commands() -> None:
    code, _, err = command("register", "a", HERE, **NOBODY)
    assert code == 1
    assert "ends with the process that registers it" in err
    code, _, err = command("lookup", "a", **NOBODY)
    assert code == 1
    assert "nothing on this machine is registered as 'a'" in err
    code, _, err = command("watch", **NOBODY)
    assert (code, "no name server at 127.0.0.1:1" in err) == (1, True)


@pytest.mark.usefixtures("own_network")
def test_an_announced_server_that_may_not_be_asked_is_said() -> None:
    with pytest.warns(match="plain TCP"):
        announced = NameServer("127.0.0.1", insecure=True)
    with announced:
        code, _, err = command("ping", "--timeout", "5")
    assert code == 1
    assert "it speaks plain TCP: start it with an identity; or pass insecure=True" in err


@pytest.mark.parametrize("name", sorted(main_group.commands))
def test_each_command_has_help_with_an_example_that_can_be_typed(name: str) -> None:
    code, out, _ = command(name, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 100
    shown = re.findall(rf"^ +nameserver {name}\b(.*)$", out, re.MULTILINE)
    assert shown
    for line in shown:
        arguments = shlex.split(line.partition("|")[0], comments=True)
        meant = main_group.commands[name]
        given = meant.make_context(name, arguments).params  # or it raises
        assert set(given) == {each.name for each in meant.params if each.expose_value}


def test_the_command_says_what_it_has() -> None:
    code, out, _ = command("--help")
    assert code == 0
    assert all(f"  {name} " in out for name in main_group.commands)
    assert command("--version").code == 0


def test_it_runs_as_a_program(server: NameServer, start_script: StartScript) -> None:
    process = start_script("-m", "nameserver", "lookup", "a/b", "--debug")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Traceback" in err
    process = start_script(
        *("-m", "nameserver", "ping", "--insecure", "--nameserver", server.address)
    )
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, "answers in" in out) == (0, True)
