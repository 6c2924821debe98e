"""Wrong usage of ``nameserver`` is one line, and exit code 2: nobody is asked anything."""

from __future__ import annotations

import pytest

from nameserver.cli import main_group
from tests.nameserver.command import command

URI = "PYRO:bell@127.0.0.1:1"
NOBODY = ("--nameserver", "127.0.0.1:1")
ARGUMENTS = {"lookup": ("bell",), "register": ("bell", URI), "remove": ("bell",)}
ASKING = sorted(
    name
    for name, command in main_group.commands.items()
    if {"timeout_s", "insecure"} <= {option.name for option in command.params}
)


def refused(*arguments: str, **environment: str) -> str:
    code, _, err = command(*arguments, **environment)
    assert code == 2, err
    (line,) = err.splitlines()
    return line


@pytest.mark.parametrize("name", ASKING)
def test_which_is_meant_and_how_long_to_look(name: str) -> None:
    given = (name, *ARGUMENTS.get(name, ()))
    assert "is no name of a cluster" in refused(*given, "--cluster", "no name!")
    assert "is no name of a cluster" in refused(*given, REMOTEOBJ_CLUSTER="no name!")
    assert "is no time to wait" in refused(*given, "--timeout", "0")
    both = ("--identity", "a", "b", "c", "--insecure")
    assert "give one of them" in refused(*given, *both)


@pytest.mark.parametrize("given", [("invite",), ("pair",), ("members",), ("revoke", "anna")])
def test_which_authority_is_meant(given: tuple[str, ...]) -> None:
    assert "is no name of a cluster" in refused(*given, "--cluster", "no name!")
    assert "is no time to wait" in refused(*given, "--timeout", "0")
    assert "'nameserver join' here" in refused(*given, XDG_CONFIG_HOME="/nowhere")


@pytest.mark.parametrize("name", sorted(set(ASKING) - {"doctor"}))  # it tells what it finds
def test_how_it_is_spoken_to(name: str) -> None:
    given = (name, *ARGUMENTS.get(name, ()))
    assert "--insecure" in refused(*given, *NOBODY)
    assert "cannot read a" in refused(*given, *NOBODY, "--identity", "a", "b", "c")
    no_address = "'nonsense' is no address of a name server"
    assert no_address in refused(*given, "--nameserver", "nonsense", "--insecure")
    assert no_address in refused(*given, "--insecure", REMOTEOBJ_NAMESERVER="nonsense")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bell!", URI), "is no name"),
        (("bell", "nonsense"), "is no URI"),
        (("bell", "PYRONAME:it"), "is a name, not an address"),
        (("bell", f"PYRO:{'x' * 2000}@127.0.0.1:1"), "is too long"),
        (("bell", URI, "--meta", "x\ny"), "only printable texts"),
        (("bell", URI, "--replace", "--replaces", URI), "give one of them"),
    ],
)
def test_what_cannot_be_registered(arguments: tuple[str, ...], said: str) -> None:
    assert said in refused("register", *arguments, "--insecure", *NOBODY)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--insecure", "--cluster", "no name!"), "is no name of a cluster"),
        (("--insecure", "--port", "99999"), "--port"),
        (("--insecure", "--identity", "a", "b", "c"), "give one of them"),
        (("--identity", "a", "b", "c"), "cannot read a"),
    ],
)
def test_what_cannot_be_run(arguments: tuple[str, ...], said: str) -> None:
    assert said in refused("run", "--host", "127.0.0.1", *arguments)
