"""``--identity`` at a command line: what was typed counts, then what the environment says."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from servants import Warehouse

from remoteobj import Daemon, Identity
from remoteobj.cli import main_group, run_command
from tests.certificates import Files


@pytest.fixture
def uri(identity: Identity) -> Iterator[str]:
    with Daemon("127.0.0.1", identity=identity) as daemon:
        daemon.start()
        yield str(daemon.register(Warehouse()))


def run(*arguments: str) -> int:
    main_group.name = "remoteobj"
    return run_command(main_group, list(arguments))


def test_describe_over_tls(
    uri: str,
    cluster: dict[str, Files],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [str(path) for path in cluster["slave"]]
    assert run("describe", uri, "--identity", *files) == 0
    assert "echo\n" in capsys.readouterr().out
    monkeypatch.setenv("REMOTEOBJ_IDENTITY", os.pathsep.join(files))
    assert run("describe", uri) == 0
    monkeypatch.setenv("REMOTEOBJ_INSECURE", "1")
    assert run("describe", uri, "--identity", *files) == 0, "what was typed counts"
    assert run("describe", uri) == 2
    output = capsys.readouterr()
    assert "REMOTEOBJ_INSECURE means plain TCP: set one of them" in output.err


def test_who_is_of_another_cluster_is_told(
    uri: str, foreign: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("describe", uri, "--identity", *map(str, foreign)) == 1
    assert "has a certificate of another CA" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("order", "extra", "words"),
    [
        ("ca key certificate", (), "has a PRIVATE KEY where a CERTIFICATE is due; the order is ca"),
        ("key ca certificate", (), "has a PRIVATE KEY where a CERTIFICATE is due; the order is ca"),
        ("certificate ca key", (), "is no CA's certificate"),
        ("ca certificate nothing", (), "cannot read nothing (No such file or directory)"),
        ("ca certificate", (), "'--identity' requires 3 arguments"),
        ("ca certificate key", ("--insecure",), "--insecure means plain TCP: give one of them"),
    ],
)
def test_what_is_no_identity_is_told_in_one_line(
    cluster: dict[str, Files],
    capsys: pytest.CaptureFixture[str],
    order: str,
    extra: tuple[str, ...],
    words: str,
) -> None:
    files = cluster["master"]._asdict()
    options = ["--identity", *(str(files.get(name, name)) for name in order.split()), *extra]
    assert run("describe", "PYRO:x@127.0.0.1:9", *options) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert words in output.err
    assert output.err.startswith("remoteobj: ")
    assert output.err.count("\n") == 1


def test_a_variable_without_three_files_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTEOBJ_IDENTITY", "a.pem")
    assert run("describe", "PYRO:x@127.0.0.1:9") == 2
    assert "REMOTEOBJ_IDENTITY is 'a.pem': it holds three files" in capsys.readouterr().err
