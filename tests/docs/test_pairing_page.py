"""docs/pairing.md and SECURITY.md: each command and option is one."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from masterslave.cli import main_group as masterslave
from nameserver.cli import main_group as nameserver

ROOT = Path(__file__).parents[2]
GROUPS = {"masterslave": masterslave, "nameserver": nameserver}
PAGES = [ROOT / "docs" / "pairing.md", ROOT / "SECURITY.md"]
PAIRING = {"invite", "pair", "join", "members", "revoke", "use", "leave", "backup", "restore"}


def _lines(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [
        *re.findall(r"`((?:masterslave|nameserver) \w[^`\n]*)`", text),
        *re.findall(r"^((?:masterslave|nameserver) .*?)(?:  #.*)?$", text, re.MULTILINE),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_and_option_is_one(page: Path) -> None:
    lines = _lines(page)
    assert lines or page.name != "pairing.md"
    for line in lines:
        program, name, *rest = line.split("|")[0].split()
        group = GROUPS[program]
        command = group.get_command(click.Context(group), name)
        assert command is not None, line
        options = {each for param in command.params for each in param.opts}
        given = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert given <= options, line


def test_all_commands_of_pairing_are_on_the_page() -> None:
    told = {line.split()[1] for line in _lines(PAGES[0]) if line.startswith("nameserver")}
    assert told >= PAIRING


def test_each_command_of_pairing_has_an_example_in_its_help() -> None:
    for name in PAIRING:
        command = nameserver.commands[name]
        assert isinstance(command, click.Command)
        assert f"nameserver {name}" in (command.epilog or "")
