"""The side that lets machines in: its port is open for as long as somebody is invited."""

from __future__ import annotations

import contextlib
import logging
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from nameserver import discovery
from nameserver.errors import BadToken, NamingError
from nameserver.pairing.codes import Code, read_code
from nameserver.pairing.desk import Desk
from nameserver.pairing.service import JoinPort
from nameserver.pairing.token import Token
from remoteobj.identity.office import Office
from remoteobj.identity.store import Store
from remoteobj.uri import join_address

__all__ = ["DEFAULT_JOIN_PORT", "Host"]

log = logging.getLogger("nameserver.pairing")

DEFAULT_JOIN_PORT = 9091

_LOOK_S = 0.5


class Host:
    """Invites, and lets in, until ``close()``. Threads: any.

    Args:
        store: The cluster's, with its authority.
        address: Address of this machine to listen on; 0.0.0.0 is all of them.
        port: TCP port for joining; None: the usual one, or a free one where that is in use.
        hosts: Says by which addresses others reach this machine.
        announce: Whether it is announced by zeroconf that a machine may join by a code.
        server_port: Of the name server, which who has joined is told.

    Raises:
        IdentityUnusable: The authority is not here, or what is stored cannot be read.
    """

    def __init__(
        self,
        store: Store,
        address: str,
        *,
        port: int | None = None,
        hosts: Callable[[], Sequence[str]],
        announce: bool = True,
        server_port: int = 0,
    ) -> None:
        self.office = Office(store)
        self.node = store.prove().claims.node
        self.monotonic = time.monotonic
        self._code: Code | None = None
        self._desk = Desk(store, self.office, server_port=server_port)
        self._store, self._address, self._wanted_port = store, address, port
        self._hosts, self._announce = hosts, announce
        self._join_port: JoinPort | None = None
        self._stopped: list[JoinPort] = []  # which may still end a conversation
        self._announcement: discovery.Announcement | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._adapt()
        self._thread = threading.Thread(target=self._watch, name="pairing", daemon=True)
        self._thread.start()

    @property
    def cluster(self) -> str:
        """What the cluster is called."""
        return self.office.cluster

    @property
    def port(self) -> int | None:
        """Where machines join now; None: nobody is invited."""
        join_port = self._join_port
        return None if join_port is None else join_port.port

    def invite(self, role: str, uses: int, seconds: float) -> Token:
        """Open an invitation.

        Raises:
            BadInvitation: Nobody can be invited so.
            NamingError: The port for joining cannot be had.
        """
        number, secret = self._desk.invite(role, uses, seconds)
        port = self._adapt()
        fingerprint = bytes.fromhex(self.office.fingerprint)
        return Token(fingerprint, number, secret, self.cluster, port, list(self._hosts())[:8])

    def open_code(self, role: str) -> Code:
        """Open a code in the place of one that was open.

        Raises:
            BadInput: That is no role.
            NamingError: The port for joining cannot be had.
        """
        self._code = code = self._desk.open_code(role)
        self._adapt()
        return code

    def code_state(self, text: str) -> dict[str, Any]:
        """Return whether the last code is ``open`` and ``used``, and its ``attempts``.

        Raises:
            BadToken: It is another one.
        """
        code = self._code
        if code is None or read_code(text) != code.digits:
            raise BadToken("another code was opened since")
        is_open = code.is_open(self.monotonic())
        return {"open": is_open, "used": code.is_used, "attempts": code.attempts}

    def close_code(self, text: str) -> bool:
        """Take back the code that is open, if it is this one; returns whether it was."""
        code = self._code
        if code is None or read_code(text) != code.digits:
            return False
        was_open = self._desk.close_code(code)
        self._adapt()
        return was_open

    def addresses(self) -> list[str]:
        """Return where machines join now, each as ``host:port``."""
        return [join_address(host, self.port) for host in self._hosts()]

    def withdraw(self) -> int:
        """Close all invitations and the code; returns how many there were."""
        count = self._desk.withdraw()
        self._adapt()
        return count

    def close(self) -> None:
        """Let nobody in any more; invitations stay for the next start."""
        self._closed.set()
        self._thread.join()
        with self._lock:
            self._shut()
            for port in self._stopped:
                port.close()

    def _watch(self) -> None:
        """Close the port when the last invitation has ended or was used."""
        while not self._closed.wait(_LOOK_S):
            if self._join_port is not None:
                with contextlib.suppress(NamingError):  # it is open, so it need not be had
                    self._adapt()

    def _adapt(self) -> int:
        """Have the port open if somebody is invited, else closed; returns its number, or 0."""
        with self._lock:
            if self._desk.seconds_open() <= 0 or self._closed.is_set():
                self._shut()
                return 0
            if self._join_port is None:
                self._join_port = self._open()
            is_code = self._desk.code() is not None and self._announce
            if is_code and self._announcement is None:
                self._announcement = self._say(self._join_port.port)
            elif not is_code:
                self._hush()
            return self._join_port.port

    def _open(self) -> JoinPort:
        context, certificate = _tls(self._store)

        def listen(port: int) -> JoinPort:
            return JoinPort(
                self._address,
                port,
                context=context,
                certificate=certificate,
                ca=self.office.ca_pem,
                cluster=self.cluster,
                issuer=self._desk,
            )

        if self._wanted_port is not None:
            return listen(self._wanted_port)
        try:
            return listen(DEFAULT_JOIN_PORT)
        except NamingError:
            return listen(0)

    def _say(self, port: int) -> discovery.Announcement | None:
        server_id = secrets.token_hex(8)
        try:
            return discovery.announce(
                self._address,
                port,
                name=f"join-{server_id[:6]}",
                server_id=server_id,
                transport="join",
                cluster=self.cluster,
            )
        except NamingError as error:
            log.warning(
                "it is not announced that machines may join (%s): they need "
                "'nameserver join --code CODE --at HOST:%d'",
                error,
                port,
            )
            return None

    def _shut(self) -> None:
        self._hush()
        if self._join_port is not None:
            self._join_port.stop()
            self._stopped = [each for each in self._stopped if each.is_talking]
            self._stopped.append(self._join_port)
            self._join_port = None

    def _hush(self) -> None:
        announcement, self._announcement = self._announcement, None
        if announcement is not None:
            announcement.close()


def _tls(store: Store) -> tuple[ssl.SSLContext, bytes]:
    """Return TLS with this machine's certificate, which asks guests for none; and that as DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.load_cert_chain(store.identity_path)
    pem = store.identity_path.read_text("ascii")
    end = "-----END CERTIFICATE-----"
    return context, ssl.PEM_cert_to_DER_cert(pem[: pem.index(end) + len(end)])
