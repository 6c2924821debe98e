"""What a machine that joins says to its host (pure: no sockets; the clock is given).

With a token it trusts the host whose CA the token pins, and says the token's secret to nobody else.
With a code it trusts the host that has shown that it knows the code. What ``host_side`` draws, from
the other end.
"""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct

from nameserver.errors import JoinRefused
from nameserver.pairing.guessing import GuestKey
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
from nameserver.pairing.token import Token
from remoteobj.errors import IdentityUnusable, PeerRefused
from remoteobj.identity.checking import check_issued
from remoteobj.identity.claims import at_least

__all__ = ["CodeGuest", "Guest", "Joined", "TokenGuest"]

_MOST_SKEW_S = 1800.0
"""Clocks may differ so much; certificates are good for an hour before they were made."""

_MOST_NOW = datetime.max.replace(tzinfo=UTC).timestamp()
_MOST_WHY = 500
_OTHER = "what is there does not speak the protocol of joining"


class Joined(Struct, frozen=True):
    """What a machine has got; the key stays where it was made.

    Attributes:
        cluster: What the cluster is called.
        ca: The CA's certificate, as PEM.
        certificate: The machine's own, as PEM.
        server_port: Where the host's name server listens; 0: it has not said.
    """

    cluster: str
    ca: bytes
    certificate: bytes
    server_port: int = 0


class Guest(ABC):
    """What both ways have in common.

    Args:
        host: The certificate that the host has shown, as DER.
        request: The signing request, as PEM.
        name: What this machine is called.
        clock: The time in seconds since 1970.
    """

    def __init__(self, host: bytes, request: bytes, name: str, clock: Callable[[], float]) -> None:
        self._host, self._request, self._name, self._clock = host, request, name, clock
        self._hello: Hello | None = None
        self.joined: Joined | None = None
        """Set by the host's last word."""

    @property
    def cluster(self) -> str:
        """What the host says that the cluster is called; empty: it has said nothing yet."""
        return "" if self._hello is None else self._hello.cluster

    @property
    def ca(self) -> bytes:
        """The CA's certificate that the host says, believed or not; empty: it has said nothing."""
        return b"" if self._hello is None else self._hello.ca

    def answer(self, message: Message) -> Message | None:
        """Return what is said next; None after the host's last word.

        Raises:
            JoinRefused: The host said no, is not the one that was meant, or speaks of other things;
                or this machine's clock is wrong.
        """
        match message, self._hello:
            case Refused(), _:
                raise JoinRefused(_printable(message.why))
            case Hello(), None:
                if message.version != VERSION:
                    raise JoinRefused(
                        f"the host speaks version {message.version} of joining, this machine "
                        f"{VERSION}: update remoteobj-farm on both"
                    )
                if not 0 <= message.now < _MOST_NOW:  # nor is it no number
                    raise JoinRefused(_OTHER)
                self._hello = message
                return self._begin(message)
            case _, Hello():
                return self._go_on(message, self._hello)
            case _:
                raise JoinRefused(_OTHER)

    @abstractmethod
    def _begin(self, hello: Hello) -> Message:
        """Answer the host's first word."""

    @abstractmethod
    def _go_on(self, message: Message, hello: Hello) -> Message | None:
        """Answer what follows it; None after the last word."""

    def _check_host(self, hello: Hello) -> None:
        """Check that the CA, which is trusted, vouches for this host."""
        try:
            claims = check_issued(self._host, hello.ca, hello.now)
        except (IdentityUnusable, PeerRefused) as error:
            raise JoinRefused(
                f"this is not the host that was meant, though it shows its CA: {error}"
            ) from error
        # Not any member: who is between would learn a token that makes operators.
        if not at_least(claims.role, "operator"):
            raise JoinRefused(
                f"{claims.name} poses as the host, but is only a {claims.role} of this cluster: "
                "revoke it ('nameserver revoke')"
            )

    def _check_clock(self, hello: Hello) -> None:
        skew_s = self._clock() - hello.now
        if abs(skew_s) > _MOST_SKEW_S:
            raise JoinRefused(
                f"this machine's clock says {_date(self._clock())}, the host's "
                f"{_date(hello.now)}, and certificates have dates: set the one that is wrong "
                f"('timedatectl set-ntp true'; or here, if the host is right, 'date -u -s "
                f"@{hello.now:.0f}', as root) and join again; nothing was used up"
            )

    def _keep(self, issued: Issued, hello: Hello) -> None:
        self.joined = Joined(hello.cluster, hello.ca, issued.certificate, issued.server_port)


class TokenGuest(Guest):
    """A machine with a token."""

    def __init__(
        self, token: Token, host: bytes, request: bytes, name: str, clock: Callable[[], float]
    ) -> None:
        super().__init__(host, request, name, clock)
        self._token = token

    def _begin(self, hello: Hello) -> Message:
        if fingerprint_of(hello.ca) != self._token.fingerprint:
            raise JoinRefused(
                "what answers there is not the cluster of the token: another name server has the "
                "address now, or somebody is between; nothing was told to it"
            )
        self._check_host(hello)
        self._check_clock(hello)
        token = self._token
        return Ask(token.number, token.secret, self._request, self._name)

    def _go_on(self, message: Message, hello: Hello) -> None:
        if not isinstance(message, Issued):
            raise JoinRefused(_OTHER)
        self._keep(message, hello)


class CodeGuest(Guest):
    """A machine at which somebody has typed a code."""

    def __init__(
        self, digits: str, host: bytes, request: bytes, name: str, clock: Callable[[], float]
    ) -> None:
        super().__init__(host, request, name, clock)
        self._key = GuestKey(digits, host, request)

    def _begin(self, hello: Hello) -> Message:
        self._check_clock(hello)
        return Guess(self._key.element, self._request, self._name)

    def _go_on(self, message: Message, hello: Hello) -> Message | None:
        match message:
            case Reply():
                self._key.agree(message.element)
                return Confirm(self._key.proof())
            case Issued():
                self._key.check(message.proof, hello.ca, message.certificate)
                self._check_host(hello)
                self._keep(message, hello)
                return None
            case _:
                raise JoinRefused(_OTHER)


def fingerprint_of(ca: bytes) -> bytes:
    """Return SHA-256 of a certificate that is given as PEM; of what is none, of its bytes."""
    import ssl

    with contextlib.suppress(ValueError):
        ca = ssl.PEM_cert_to_DER_cert(ca.decode("ascii"))
    return hashlib.sha256(ca).digest()


def _printable(why: str) -> str:
    """Return what a host says that nobody vouches for, so that it can do nothing to a terminal."""
    return "".join(each if each.isprintable() else " " for each in why[:_MOST_WHY])


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
