"""The first machine of a cluster, with its name server, and commands on several accounts."""

from __future__ import annotations

import io
import json
from typing import Any
from unittest import mock

from nameserver import NameServer
from nameserver.pairing.host import Host
from nameserver.pairing.presence import AUTHORITY
from remoteobj import Identity
from tests.nameserver.command import Said, command

__all__ = ["Hall", "said_on"]


class Hall:
    """Where the authority is; its commands are said by an operator of the cluster."""

    def __init__(self, identity: Identity, server: NameServer) -> None:
        self.identity, self.server = identity, server

    @property
    def host(self) -> Host:
        """Who lets machines in."""
        pairing = self.server._pairing
        assert pairing is not None, "the authority is not here"
        return pairing._host

    @property
    def at(self) -> tuple[str, str]:
        """What says to a command which name server is meant."""
        return "--nameserver", self.server.address

    @property
    def authority(self) -> str:
        """Where the authority is, as a URI."""
        return f"PYRO:{AUTHORITY}@{self.server.address}"

    def token(self, *options: str) -> str:
        """Invite; this process must be of an operator's account."""
        said = command("invite", "--json", *options, *self.at)
        assert said.code == 0, said.err
        return str(json.loads(said.out)["token"])

    def members(self) -> list[dict[str, Any]]:
        """List them; this process must be of an operator's account."""
        said = command("members", "--json", *self.at)
        assert said.code == 0, said.err
        return list(json.loads(said.out))


class Keyboard(io.StringIO):
    """A terminal at which somebody has typed."""

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


def said_on(text: str, *arguments: str, is_typed: bool = False, **environment: str) -> Said:
    """Run a command with *text* on its standard input, typed or piped."""
    source = Keyboard(text) if is_typed else io.StringIO(text)
    with mock.patch("sys.stdin", source):
        return command(*arguments, **environment)
