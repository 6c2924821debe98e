"""What the host says to one guest (pure: no sockets; the clock is given).

::

    guest                          host
      <-- Hello (CA, clock) --------
      --- Ask (token, request) ---->      takes the token
      <-- Issued -------------------
    or
      --- Guess (element, request) ->     counts an attempt
      <-- Reply (element) -----------
      --- Confirm (proof) ---------->     the guest shows first that it has the key
      <-- Issued (with proof) -------

Every answer is the last one but for Hello and Reply; who is refused is told why, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from nameserver.errors import JoinRefused
from nameserver.pairing.codes import Code
from nameserver.pairing.guessing import HostKey
from nameserver.pairing.messages import (
    VERSION,
    Ask,
    Confirm,
    Guess,
    Hello,
    Issued,
    Message,
    Refused,
    Reply,
)
from remoteobj.errors import BadInput
from remoteobj.identity.claims import check_name

__all__ = ["HostSide", "Issuer"]

_NO_CODE = (
    "no code is open here: it was used, a minute is over, or it was guessed wrongly three times; "
    "'nameserver pair' shows another one"
)


class Issuer(Protocol):
    """Who issues certificates."""

    def admit(self, ask: Ask) -> Issued:
        """Issue one for a token; raises JoinRefused, and then the token is as good as before."""

    def issue(self, request: bytes, name: str, role: str) -> Issued:
        """Issue one, whoever asks; raises JoinRefused where the request is none."""

    def code(self) -> Code | None:
        """Return the code that is open."""


class _Guessed(NamedTuple):
    code: Code
    key: HostKey
    guess: Guess


class HostSide:
    """The host's part of one conversation.

    Args:
        certificate: The one that the guest was shown, as DER.
        ca: The CA's, as PEM.
        cluster: What the cluster is called.
        issuer: Who issues certificates.
        clock: The time in seconds since 1970, for people.
        monotonic: A clock that only goes on, that codes are timed by.
    """

    def __init__(
        self,
        certificate: bytes,
        ca: bytes,
        cluster: str,
        issuer: Issuer,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._certificate, self._ca, self._cluster = certificate, ca, cluster
        self._issuer, self._clock, self._monotonic = issuer, clock, monotonic
        self._guessed: _Guessed | None = None
        self._is_open = True

    @property
    def is_over(self) -> bool:
        """Whether the last answer was the last word."""
        return not self._is_open

    def greet(self) -> Message:
        """Return the first word."""
        return Hello(VERSION, self._clock(), self._ca, self._cluster)

    def answer(self, message: Message) -> Message:
        """Return the answer; it does not raise for anything that a guest says."""
        try:
            if not self._is_open:
                raise JoinRefused("this conversation is over")
            return self._answer(message)
        except JoinRefused as error:
            self._is_open = False
            return Refused(str(error))

    def _answer(self, message: Message) -> Message:
        match message, self._guessed:
            case Ask(), None:
                _check_name(message.name)
                issued = self._issuer.admit(message)
            case Guess(), None:
                return self._reply(message)
            case Confirm(), _Guessed():
                issued = self._confirm(message, self._guessed)
            case _:
                raise JoinRefused(f"{type(message).__name__} is not what comes here")
        self._is_open = False
        return issued

    def _reply(self, guess: Guess) -> Reply:
        _check_name(guess.name)
        code = self._issuer.code()
        if code is None or not code.try_once(self._monotonic()):
            raise JoinRefused(_NO_CODE)
        key = HostKey(code.digits, self._certificate, guess.request)
        key.agree(guess.element)
        self._guessed = _Guessed(code, key, guess)
        return Reply(key.element)

    def _confirm(self, confirm: Confirm, guessed: _Guessed) -> Issued:
        code, key, guess = guessed
        if not key.is_proof(confirm.proof):
            raise JoinRefused(
                "this is not the code, or somebody between the two machines has changed what they "
                "said: look at the other screen again"
            )
        if not code.use(self._monotonic()):
            raise JoinRefused(_NO_CODE)
        issued = self._issuer.issue(guess.request, guess.name, code.role)
        proof = key.proof(self._ca, issued.certificate)
        return Issued(issued.certificate, proof, issued.server_port)


def _check_name(name: str) -> None:
    try:
        check_name(name)
    except BadInput as error:
        raise JoinRefused(str(error)) from error
