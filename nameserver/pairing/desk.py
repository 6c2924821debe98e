"""Where tokens and codes are handed out and taken: beside the office of the cluster's authority.

What people were told is on the disk before they are told it: a token that was used up is used up
also after a crash.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from nameserver.errors import JoinRefused
from nameserver.pairing.codes import Code, draw_code
from nameserver.pairing.invitations import Invitation, Invitations
from nameserver.pairing.messages import Ask, Issued
from remoteobj.errors import BadInput, IdentityUnusable
from remoteobj.identity.claims import check_role
from remoteobj.identity.office import Office
from remoteobj.identity.private import read_private, write_private
from remoteobj.identity.request import key_in
from remoteobj.identity.store import Store
from remoteobj.unreadable import UNREADABLE

__all__ = ["Desk"]


class Desk:
    """Lets machines in that were invited. Threads: any.

    Args:
        store: The cluster's; invitations are kept there.
        office: It signs.
        server_port: Of the name server, which who has joined is told.
        clock: Seconds since 1970.
        monotonic: A clock that only goes on.

    Raises:
        IdentityUnusable: What is kept cannot be read.
    """

    def __init__(
        self,
        store: Store,
        office: Office,
        *,
        server_port: int = 0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._path = store.directory / "invitations.json"
        self._server_port = server_port
        self._office, self._clock, self._monotonic = office, clock, monotonic
        self._code: Code | None = None
        self._lock = threading.Lock()
        self._invitations = Invitations(self._read())

    def invite(self, role: str, uses: int, seconds: float) -> tuple[bytes, bytes]:
        """Open an invitation; returns its number and its secret. Raises BadInvitation."""
        with self._lock:
            number, secret = self._invitations.invite(
                self._clock(), role=role, uses=uses, seconds=seconds
            )
            self._keep()
            return number, secret

    def withdraw(self) -> int:
        """Close all invitations and the code; returns how many there were."""
        with self._lock:
            count = len(self._invitations) + (self._open_code() is not None)
            self._invitations = Invitations()
            if self._code is not None:
                self._code.close()
            self._keep()
            return count

    def open_code(self, role: str) -> Code:
        """Open a code, in the place of one that was open. Raises BadInput for what is no role."""
        check_role(role)
        with self._lock:
            self._code = draw_code(role, self._monotonic())
            return self._code

    def close_code(self, code: Code) -> bool:
        """Take back a code, if it is still open; returns whether it was."""
        with self._lock:
            was_open = self._open_code() is code
            code.close()
            return was_open

    def code(self) -> Code | None:
        """Return the code that is open."""
        with self._lock:
            return self._open_code()

    def seconds_open(self) -> float:
        """Return for how long somebody may still join; 0: nobody may now."""
        with self._lock:
            now = self._clock()
            if self._invitations.forget_ended(now):
                self._keep()
            ends = max((each.ends for each in self._invitations.kept()), default=now) - now
            code = self._open_code()
            return max(ends, code.ends - self._monotonic() if code is not None else 0.0)

    def admit(self, ask: Ask) -> Issued:
        """Issue a certificate for a token; raises JoinRefused."""
        _check_request(ask.request)  # before a use of the token is gone
        with self._lock:
            role = self._invitations.take(ask.number, ask.secret, self._clock())
            self._keep()
        return self.issue(ask.request, ask.name, role)

    def issue(self, request: bytes, name: str, role: str) -> Issued:
        """Issue a certificate; raises JoinRefused where the request is none."""
        try:
            pem = self._office.issue(request, name=name, role=role, now=self._clock())
        except BadInput as error:
            raise JoinRefused(str(error)) from error
        return Issued(pem, server_port=self._server_port)

    def _open_code(self) -> Code | None:
        code = self._code
        return code if code is not None and code.is_open(self._monotonic()) else None

    def _read(self) -> list[Invitation]:
        data = read_private(self._path)
        if data is None:
            return []
        try:
            return msgspec.json.decode(data, type=list[Invitation])
        except UNREADABLE as error:
            raise IdentityUnusable(
                f"{self._path} is damaged ({error}): delete it, and invite again"
            ) from error

    def _keep(self) -> None:
        with self._store.changing():
            write_private(self._path, msgspec.json.encode(self._invitations.kept()))


def _check_request(request: bytes) -> None:
    try:
        key_in(request)
    except BadInput as error:
        raise JoinRefused(str(error)) from error
