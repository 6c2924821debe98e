"""The command line: one line for an error, 1 for a failure, 2 for wrong usage."""

from __future__ import annotations

import signal
import socket

import pytest
from servants import StartScript, Warehouse

from remoteobj import Daemon
from remoteobj.cli import main_group, run_command

NAMES = "add\necho\ngrow\nshelf\ntell\nwait\n"


def run(*arguments: str) -> int:
    main_group.name = "remoteobj"
    return run_command(main_group, list(arguments))


def test_describe_lists_what_may_be_called(
    daemon: Daemon, warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("describe", str(daemon.register(warehouse))) == 0
    assert capsys.readouterr() == (NAMES, "")


@pytest.mark.filterwarnings("always")
def test_describe_warns_in_one_line_on_plain_tcp(
    tcp_daemon: Daemon,
    warehouse: Warehouse,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = str(tcp_daemon.register(warehouse))
    assert run("describe", uri, "--insecure") == 0
    output = capsys.readouterr()
    assert output.out == NAMES
    assert output.err.startswith("remoteobj: warning: plain TCP to ")
    assert output.err.count("\n") == 1
    monkeypatch.setenv("REMOTEOBJ_INSECURE", "1")
    assert run("describe", uri) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["describe", "PYRO:x@./u:/no/such.sock"], 1, "nobody answers at ./u:/no/such.sock"),
        (["describe", "PYRO:x@127.0.0.1:9"], 2, "or insecure=True"),
        (["describe", "shop"], 2, "'shop' is no URI"),
        (["describe", "PYRONAME:shop"], 2, "nameserver lookup shop"),
        (["describe"], 2, "Missing argument"),
        (["describe", "--loud"], 2, "--loud"),
        (["sell"], 2, "'sell'"),
    ],
)
def test_an_error_is_one_line(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert words in output.err
    assert output.err.startswith("remoteobj: ")
    assert output.err.count("\n") == 1


def test_an_unknown_object_is_one_line(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("describe", str(daemon.uri_of("nothing"))) == 1
    assert "there is no object 'nothing' at ./u:" in capsys.readouterr().err


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ConnectionError):
        run("--debug", "describe", "PYRO:x@./u:/no/such.sock")


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "describe" in capsys.readouterr().out


def test_ctrl_c_ends_it_without_a_traceback(start_script: StartScript) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"PYRO:x@127.0.0.1:{silent.getsockname()[1]}"
        process = start_script("-m", "remoteobj", "describe", uri, "--insecure")
        silent.settimeout(20.0)
        with silent.accept()[0]:
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (130, "")
    assert errors.startswith("remoteobj: warning: plain TCP to")
    assert errors.strip().count("\n") == 0
