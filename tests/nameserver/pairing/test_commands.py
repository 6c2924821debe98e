"""invite, join, members and revoke, as they are typed on several accounts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from remoteobj import Identity
from tests.nameserver.command import command
from tests.nameserver.pairing.accounts import Account
from tests.nameserver.pairing.halls import Hall, said_on
from tests.pairing import Pairing


def test_a_token_is_printed_and_joins_and_both_are_listed(hall: Hall, account: Account) -> None:
    said = command("invite", *hall.at)
    assert said.code == 0
    (token,) = {line for line in said.out.splitlines() if line.startswith("rj1-")}
    assert f"masterslave slave --join - <<'END'\n{token}\nEND" in said.out
    account("anna")
    joined = said_on(token + "\n", "join", "--name", "anna")
    assert (joined.code, token in joined.out + joined.err) == (0, False)
    assert "joined 'lab'" in joined.out
    assert "'anna', slave" in joined.out
    account("hall")
    assert [(each["name"], each["role"], each["state"]) for each in hall.members()] == [
        ("hall", "operator", "member"),
        ("anna", "slave", "member"),
    ]
    assert "anna\tslave\t" in command("members", *hall.at).out
    assert "anna" in command("members", *hall.at, is_terminal=True).out


def test_json_says_all_of_an_invitation(hall: Hall) -> None:
    said = command("invite", "--json", "--uses", "3", "--expires", "15min", "--role", "member",
                   *hall.at)  # fmt: skip
    told = json.loads(said.out)
    assert (told["uses"], told["role"], told["cluster"]) == (3, "member", "lab")
    assert told["addresses"]
    assert set(told) == {"token", "role", "uses", "expires", "cluster", "addresses", "number"}


@pytest.mark.parametrize("way", ["prompt", "pipe", "dash", "file", "environment"])
def test_a_token_is_taken_from_anywhere_but_an_argument(
    hall: Hall, account: Account, tmp_path: Path, way: str
) -> None:
    token = hall.token("--role", "member")
    account("anna")
    file = tmp_path / "token"
    file.write_text(token)
    if way == "prompt":
        with mock.patch("click.termui.hidden_prompt_func", return_value=token):
            said = said_on("", "join", is_typed=True)
    elif way == "environment":
        said = said_on("", "join", REMOTEOBJ_JOIN=token)
    else:
        said = said_on(token, "join", *{"dash": ["-"], "file": [str(file)]}.get(way, []))
    assert (said.code, said.err) == (0, "")
    assert Identity.stored("lab").claims.role == "member"


def test_a_token_as_an_argument_is_refused_and_is_to_be_withdrawn(
    hall: Hall, account: Account
) -> None:
    token = hall.token()
    account("anna")
    for arguments in ([token], ["--code", token], ["--name", token]):
        said = said_on("", "join", *arguments)
        assert said.code == 2
        assert "'ps' has shown it" in said.err
        assert "invite --withdraw" in said.err
        assert token not in said.err
    account("hall")
    assert "withdrew 1 open invitation;" in command("invite", "--withdraw", *hall.at).out
    account("anna")
    said = said_on(token, "join")
    assert said.code == 1
    assert "nobody answers" in said.err


@pytest.mark.parametrize(
    ("text", "arguments", "says"),
    [
        ("", [], "no token came on standard input"),
        ("hello", [], "no token"),
        ("", ["/nowhere/token"], "cannot read a token or passphrase"),
        ("", ["--at", "127.0.0.1:9"], "--at belongs to --code"),
        ("", ["--code", "12"], "six digits"),
        ("", ["--code", "123-456", "--at", "nonsense"], "looks like 192.168.1.20:9091"),
        ("", ["--code", "-"], "nameserver pair"),
        ("", ["--code", "123-456", "file"], "give one of them"),
    ],
)
def test_what_is_no_token_or_code_is_named(
    account: Account, text: str, arguments: list[str], says: str
) -> None:
    account("anna")
    said = said_on(text, "join", *arguments)
    assert said.code == 2
    assert says in said.err


def test_who_is_no_operator_is_told_how_to_become_one(hall: Hall, account: Account) -> None:
    token = hall.token("--role", "member")
    account("anna")
    assert said_on(token, "join").code == 0
    for arguments in (["invite"], ["members"], ["revoke", "hall", "--yes"]):
        said = command(*arguments, *hall.at)
        assert said.code == 1
        assert "--role operator" in said.err
    account("ben")
    said = command("invite", *hall.at)
    assert said.code != 0
    assert "in no cluster" in said.err


def test_where_the_authority_is_not_running_it_is_said(hall: Hall, account: Account) -> None:
    token = hall.token("--role", "operator")
    said = command("invite", "--nameserver", "127.0.0.1:9", "--timeout", "0.5")
    assert said.code == 1
    assert "keep 'nameserver run' running here" in said.err
    account("anna")
    assert said_on(token, "join", "--name", "anna").code == 0
    said = command("invite", "--nameserver", "127.0.0.1:9", "--timeout", "0.5")
    assert said.code == 1
    assert "running here" not in said.err
    assert command("invite", *hall.at).code == 0, "another operator may invite as well"


def test_a_machine_is_revoked_and_asked_about_at_a_terminal(hall: Hall, account: Account) -> None:
    token = hall.token()
    account("anna")
    assert said_on(token, "join", "--name", "anna").code == 0
    account("hall")
    said = said_on("n\n", "revoke", "anna", *hall.at, is_typed=True)
    assert said.code == 130
    assert [each["state"] for each in hall.members()] == ["member", "member"]
    said = said_on("y\n", "revoke", "anna", *hall.at, is_typed=True)
    assert said.code == 0
    assert "revoked anna (slave, node" in said.out
    assert [each["state"] for each in hall.members()] == ["member", "revoked"]
    assert command("revoke", "nobody", *hall.at).code == 2
    assert command("revoke", "hall", "--yes", *hall.at).code == 2


def test_no_secret_is_in_the_environment_or_arguments_of_a_process(
    hall: Hall, tmp_path: Path
) -> None:
    """Two console commands, one account each; what ps sees of them has no token."""
    python = [sys.executable, "-m", "nameserver"]
    accounts = {
        name: {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / name)} for name in ("hall", "anna")
    }
    invite = [*python, "invite", "--json", *hall.at]
    told = subprocess.check_output(invite, env=accounts["hall"], text=True, timeout=60)
    token = json.loads(told)["token"]
    with subprocess.Popen(
        [*python, "join", "--name", "anna"],
        env=accounts["anna"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        seen = _seen_of(process.pid)
        out, _ = process.communicate(token, timeout=60)
    assert process.returncode == 0, out
    assert token not in seen + out


def _seen_of(pid: int) -> str:
    if sys.platform != "linux":
        pytest.skip("/proc is Linux's")
    parts = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    return b" ".join(parts).decode(errors="replace")


def test_who_has_joined_finds_the_name_server_without_multicast(
    hall: Hall, account: Account, tmp_path: Path
) -> None:
    token = hall.token("--role", "operator")
    account("anna")
    said = said_on(token, "join", XDG_RUNTIME_DIR=str(tmp_path))
    assert said.code == 0
    said = command("invite", XDG_RUNTIME_DIR=str(tmp_path))
    assert (said.code, said.err) == (0, "")


def test_an_account_in_two_clusters_chooses_one_and_leaves_the_other(
    hall: Hall, account: Account, tmp_path: Path
) -> None:
    token = hall.token("--role", "member")
    account("anna")
    assert command("use").err == "this account is in no cluster\n"
    assert said_on(token, "join").code == 0
    Pairing("lab-2", tmp_path / "other").pair(tmp_path / "anna", "anna")
    assert command("use").out == "lab\nlab-2\n"
    assert "in several clusters" in command("leave").err
    assert command("use", "lab-2").code == 0
    assert command("use").out == "lab\nlab-2\tin use\n"
    assert command("use", "lab-3").code == 2
    assert command("leave").out == "this account has left 'lab-2'\n"
    assert command("leave", "--cluster", "lab").code == 0
    assert command("leave").code == 2


def test_all_that_an_invitation_prints_may_be_kept_in_a_file(
    hall: Hall, account: Account, tmp_path: Path
) -> None:
    file = tmp_path / "token.txt"
    file.write_text(command("invite", *hall.at).out)
    account("anna")
    assert said_on("", "join", str(file)).code == 0


def test_who_is_in_a_cluster_is_not_joined_to_it_again(hall: Hall, account: Account) -> None:
    token = hall.token("--uses", "2")
    assert "in that cluster already, as 'lab'" in said_on(token, "join").err
    account("anna")
    assert said_on(token, "join").code == 0
    for options in ((), ("--cluster", "lab-2")):
        said = said_on(token, "join", *options)
        assert said.code == 1
        assert "already, as 'lab'" in said.err
        assert "leave --cluster lab'" in said.err
    account("ben")
    assert said_on(token, "join").code == 0, "nothing was used up"


def test_another_cluster_of_the_name_is_told_from_the_same_one(
    hall: Hall, account: Account, tmp_path: Path
) -> None:
    token = hall.token()
    Pairing("lab", tmp_path / "other").pair(tmp_path / "anna", "anna")
    account("anna")
    said = said_on(token, "join")
    assert said.code == 1
    assert "another cluster that is called 'lab'" in said.err
    assert said_on(token, "join", "--cluster", "lab-2").code == 0


def test_where_nothing_can_be_kept_nothing_is_used_up(
    hall: Hall, account: Account, tmp_path: Path
) -> None:
    token = hall.token()
    account("anna")
    (tmp_path / "anna").write_text("no directory")
    said = said_on(token, "join")
    assert said.code == 2
    assert "set XDG_CONFIG_HOME" in said.err
    account("hall")
    assert [each["name"] for each in hall.members()] == ["hall"]
    account("ben")
    assert said_on(token, "join").code == 0


def test_an_operator_that_revokes_itself_is_told_that_it_did(hall: Hall, account: Account) -> None:
    token = hall.token("--role", "operator")
    account("anna")
    assert said_on(token, "join", "--name", "anna").code == 0
    said = command("revoke", "anna", "--yes", *hall.at)
    assert (said.code, said.err) == (0, "")
    assert "that was this account" in said.out
    account("hall")
    assert [each["state"] for each in hall.members()] == ["member", "revoked"]


def test_who_has_the_authority_does_not_leave_by_accident(hall: Hall) -> None:
    said = command("leave")
    assert said.code == 2
    assert "--with-authority" in said.err
    assert said_on("n\n", "leave", "--with-authority", is_typed=True).code == 130
    assert said_on("y\n", "leave", "--with-authority", is_typed=True).code == 0
    assert command("use").out == ""


def test_the_doctor_says_which_cluster_this_is_and_as_what(hall: Hall, account: Account) -> None:
    said = command("doctor", "--json", "--timeout", "0.5", *hall.at)
    (finding,) = (each for each in json.loads(said.out)["findings"] if each["check"] == "identity")
    assert finding["level"] == "ok"
    assert "'hall', operator of the cluster 'lab', for 36" in finding["text"]


def test_a_cluster_may_be_called_otherwise_on_an_account(
    hall: Hall, account: Account, tmp_path: Path
) -> None:
    token = hall.token("--role", "operator")
    account("anna")
    assert said_on(token, "join", "--cluster", "field", XDG_RUNTIME_DIR=str(tmp_path)).code == 0
    for given in ((), ("--cluster", "field")):
        assert command("members", *given, *hall.at).code == 0
        assert "PYRO:" in command("list", *given, *hall.at).out
        assert command("members", *given, XDG_RUNTIME_DIR=str(tmp_path)).code == 0
    assert Identity.stored("field").founded_as == "lab"
