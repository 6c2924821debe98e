"""Shell completion: done by a real bash; what the others get is looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from masterslave import Farm
from masterslave.cli.completing import complete_names
from nameserver import Directory
from tests.conftest import eventually

BIN = Path(sys.executable).parent

ASK = """
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMPREPLY=()
_{command}_completion {command} 2>/dev/null
printf '%s ' "${{COMPREPLY[@]}}"
echo
"""


def complete(*lines: str) -> list[list[str]]:
    """Return what bash offers for the last word of each line."""
    commands = {line: line.partition(" ")[0] for line in lines}
    script = [f'eval "$({each} completion bash)"' for each in sorted(set(commands.values()))]
    script += [ASK.format(command=command, words=line) for line, command in commands.items()]
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(script)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert not done.stderr
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_and_what_is_running() -> None:
    with Farm("survey", local_slaves=0), Farm("suite", local_slaves=0), Directory() as names:
        names.register("lab.clock", "PYRO:clock@localhost:9")
        commands, option, labels, none, allowed, name = complete(
            'masterslave ""',
            "masterslave run --her",
            "masterslave show su",
            "masterslave slave x",
            "masterslave slave --allow lo",
            "nameserver lookup lab",
        )
    assert {"slave", "run", "doctor", "who", "completion"} <= set(commands)
    assert option == ["--here"]
    assert labels == ["suite", "survey"]
    assert none == []
    assert allowed == ["local"]
    assert name == ["lab.clock"]


def test_names_of_slaves_are_completed(farm: Farm) -> None:
    @click.command
    @click.argument("slave")
    def wake(slave: str) -> None: ...

    eventually(lambda: len(farm.slaves) == 2, "both join")
    typed = farm.slaves[0].name.rpartition("-")[0]
    (argument,) = complete_names(wake).params
    offered = argument.shell_complete(click.Context(wake), typed)
    assert {each.value for each in offered} == {slave.name for slave in farm.slaves}


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("zsh", ["#compdef masterslave", "_MASTERSLAVE_COMPLETE=zsh_complete", "below compinit"]),
        ("fish", ["complete --no-files --command masterslave", "completions/masterslave.fish"]),
    ],
)
def test_others_get_a_script_that_says_where_to_put_it(shell: str, words: list[str]) -> None:
    done = subprocess.run(
        [BIN / "masterslave", "completion"],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "SHELL": f"/usr/bin/{shell}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# ")
    for each in words:
        assert each in done.stdout


def test_a_shell_that_is_not_known_is_wrong_usage() -> None:
    done = subprocess.run(
        [BIN / "masterslave", "completion"],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "SHELL": ""},
    )  # fmt: skip
    assert done.returncode == 2
    assert "say for which shell: bash, fish, zsh" in done.stderr
