"""One connection of a caller: whole messages both ways, under deadlines. One thread at a time."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from remoteobj import forks
from remoteobj.errors import ConnectionLost, DeadlinePassed, Executed, PeerRefused, WireError
from remoteobj.handshake import BINARY, STOCK, Agreement
from remoteobj.transport import sockets
from remoteobj.transport.stream import (
    NOWAIT,
    WAIT_ALL,
    Stream,
    as_views,
    is_large,
)
from remoteobj.wire import (
    HEADER_BYTES,
    PLAIN_BYTES,
    SEGMENTS,
    SIMPLE,
    SIMPLE_AT,
    SUFFIX,
    SUFFIX_AT,
    Buffer,
    Decoder,
    Message,
    MessageType,
    encode,
    encode_small,
    prefix_of,
)

if TYPE_CHECKING:
    from remoteobj.transport.shared import SharedMemory

__all__ = ["Link"]

_MOST_LAST_WORDS = 16  # records that are looked through for a refusal
_TOLERANCE = 0.01  # by which a socket's timeout may be longer than what is left, before it is set
_REPLY = prefix_of(MessageType.RESULT, BINARY)
_simple_at = SIMPLE.unpack_from


class Link:
    """A connected stream; a deadline is a time of ``time.monotonic()``, or None."""

    __slots__ = (
        "__weakref__",
        "_decoder",
        "_receive_limit_s",
        "_refused",
        "_unsent",
        "agreement",
        "arrived",
        "can_share",
        "payload",
        "peer",
        "recv",
        "rests_since",
        "send_some",
        "sequence",
        "shared",
        "stream",
        "takes_plain",
        "wants_share",
    )

    def __init__(self, stream: Stream, max_bytes: int) -> None:
        self.stream = stream
        self.recv = stream.recv
        self.send_some = stream.send
        self.arrived = _make_check(stream.sock)
        """Tells whether something has come while nobody asked, the end of the connection included:
        then it is not fit for a call. None on a Unix socket: there sending to a peer that has
        closed fails at once."""
        self.takes_plain = False
        self.can_share = False
        self.wants_share = False
        self.shared: SharedMemory | None = None
        self.rests_since = 0.0
        """For who keeps it between two calls; not looked at here."""
        is_local = sockets.is_local(stream.sock)
        self.peer = "the daemon of this machine" if is_local else sockets.peer_name(stream.sock)
        self.agreement: Agreement = STOCK
        self.payload: Any = None
        self.sequence = 0
        self._refused = ""
        self._decoder = Decoder(max_bytes)
        self._unsent: deque[memoryview] = deque()
        self._receive_limit_s: float | None = None

    def agree(self, agreement: Agreement) -> None:
        """The daemon has let us in: this holds from now on."""
        self.agreement = agreement
        self._decoder.takes_buffers = agreement.version > 0
        # The straight way reads at once what has come, and looks at no limit.
        theirs = agreement.max_bytes or 0
        self.takes_plain = (
            agreement.codec == "binary" and min(self._decoder.max_bytes, theirs) >= PLAIN_BYTES
        )
        self.can_share = agreement.version > 0 and sockets.is_local(self.stream.sock)

    def secure(self, deadline: float) -> None:
        """Shake hands as the stream does, TLS that is."""
        while not self._is_secure(deadline):
            pass
        self._flush(deadline)

    def _is_secure(self, deadline: float) -> bool:
        self._limit_receive(deadline)
        try:
            return self.stream.handshake(0)
        except sockets.QUIET:
            return False
        except OSError as error:
            self._lose(error, "no")
        finally:
            if self.stream.has_outgoing:
                self._flush(deadline)

    def send_small(
        self,
        kind: int,
        serializer: int,
        flags: int,
        sequence: int,
        payload: bytes,
        deadline: float | None,
    ) -> None:
        """Send a message that is nothing but a payload; raises as ``send``."""
        data = encode_small(kind, serializer, flags, sequence, payload, bytes(16))
        try:
            sent = self.send_some(data, NOWAIT)
        except OSError as error:
            sent = self._sent_nothing(error)
        if sent != len(data):
            self._send_rest(data, sent, deadline)

    def _sent_nothing(self, error: OSError) -> int:
        """Return how much was sent where the stream takes nothing for now; else it is lost."""
        if not isinstance(error, sockets.QUIET):
            self._lose_sending(error)
        return 0

    def _send_rest(self, data: bytes, sent: int, deadline: float | None) -> None:
        if sent >= 0:
            self._unsent.append(memoryview(data)[sent:])
        self._flush(deadline)

    def send(self, message: Message, deadline: float | None) -> None:
        """Send one message.

        Raises:
            ConnectionLost: The peer is gone; ``executed`` is "no": it never had the whole message.
            DeadlinePassed: The peer did not take it in time; ``executed`` is "no" as well.
            NotSendable: It is too large for the protocol.
        """
        if self.can_share and self.shared is None and is_large(message.buffers):
            self.share(deadline)
        if self.shared is None:
            self._unsent.extend(as_views(encode(message)))
        else:
            self._unsent.extend(self.shared.views_of(message))
        self._flush(deadline)

    def share(self, deadline: float | None) -> None:
        """Agree with the daemon on shared memory for what is large, if both can.

        Raises:
            ConnectionLost, DeadlinePassed: As from ``send``; ``executed`` is "no".
        """
        # Only those pay for its import who send something large.
        with forks.whole:
            from remoteobj.segments import are_supported
            from remoteobj.transport.shared import (
                SharedMemory,
                SharedStream,
                read_limit,
                word_of_limit,
            )

        self.can_share = self.wants_share = False
        if not are_supported():
            return
        answer = self._ask_to_share(word_of_limit(self._decoder.max_bytes), deadline)
        if answer is not None:
            stream = SharedStream(self.stream.sock)
            self.stream, self.recv, self.takes_plain = stream, stream.recv, False
            self.shared = SharedMemory(stream, self._decoder.max_bytes, read_limit(answer))

    def _ask_to_share(self, word: bytes, deadline: float | None) -> Buffer | None:
        """Send a ping that asks for shared memory; return what the pong says of it, if anything."""
        self.sequence = self.sequence + 1 & 0xFFFF
        annotations: dict[str, Buffer] = {SEGMENTS: word}
        ping = Message(MessageType.PING, BINARY, 0, self.sequence, b"ping", annotations=annotations)
        try:
            self._unsent.extend(as_views(encode(ping)))
            self._flush(deadline)
            pong = self.receive(deadline)
        except (ConnectionLost, DeadlinePassed) as error:
            error.executed = "no"
            raise
        if pong.type != MessageType.PING:
            raise WireError(f"a message of type {pong.type} came where a pong was due")
        return pong.annotations.get(SEGMENTS)

    def _flush(self, deadline: float | None) -> None:
        try:
            while True:
                if deadline is None:
                    if self.stream.write(self._unsent, 0):
                        return
                    continue
                if self.stream.write(self._unsent, NOWAIT, deadline):
                    return
                sockets.wait_writable(self.stream.sock, self._left_s(deadline, "no"))
        except DeadlinePassed:
            raise
        except OSError as error:
            self._lose_sending(error)

    def receive(self, deadline: float | None) -> Message:
        """Wait for the next message.

        Raises:
            ConnectionLost: The peer closed the connection.
            DeadlinePassed: The deadline passed first.
            WireError: What came is no message of this protocol.
        """
        decoder, stream = self._decoder, self.stream
        message = None if decoder.is_between_messages else decoder.next_message()
        while message is None:
            self._limit_receive(deadline)
            target = decoder.target()
            try:
                if target is None:
                    data = stream.recv(PLAIN_BYTES, 0)
                    count = len(data)
                    if data:
                        decoder.feed(data)
                else:
                    count = stream.recv_into(target, WAIT_ALL)
                    if count:
                        decoder.filled(count)
            except sockets.QUIET:
                continue
            except OSError as error:
                self._lose(error, "maybe")
            finally:
                target = None
            if not count:
                raise self._ended()
            message = decoder.next_message()
        return message if self.shared is None else self.shared.unwrap(message)

    def _limit_receive(self, deadline: float | None) -> None:
        """Let the socket wait no longer than until the deadline."""
        limit_s = self._receive_limit_s
        if deadline is None:
            left_s = None
        else:
            left_s = self._left_s(deadline, "maybe")
            if limit_s and left_s <= limit_s <= left_s * (1 + _TOLERANCE):
                return
        if left_s != limit_s:
            sockets.set_timeout(self.stream.sock, socket.SO_RCVTIMEO, left_s or 0.0)
            self._receive_limit_s = left_s

    def _left_s(self, deadline: float, executed: Executed) -> float:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise DeadlinePassed(f"no answer from {self.peer} in time", executed=executed)
        return left_s

    def ask(
        self, data: bytes, sequence: int, timeout_s: float | None, deadline: float | None
    ) -> bytes | None:
        """Send a message, and return the payload of the answer if that is all there is to it.

        None: what came has to be read by ``receive``. Raises as ``send`` and ``receive``.
        """
        try:
            sent = self.send_some(data, NOWAIT)
        except OSError as error:
            sent = self._sent_nothing(error)
        if sent != len(data):
            self._send_rest(data, sent, deadline)
            return None  # the deadline is nearer now
        if self._receive_limit_s != timeout_s:
            sockets.set_timeout(self.stream.sock, socket.SO_RCVTIMEO, timeout_s or 0.0)
            self._receive_limit_s = timeout_s
        try:
            answer = self.recv(PLAIN_BYTES, 0)
        except sockets.QUIET:
            return None
        except OSError as error:
            self._lose(error, "maybe")
        if answer.startswith(_REPLY) and answer.startswith(SUFFIX, SUFFIX_AT):
            number, size, annotations = _simple_at(answer, SIMPLE_AT)
            if number == sequence and not annotations and len(answer) == HEADER_BYTES + size:
                return answer[HEADER_BYTES:]
        if not answer:
            raise self._ended()
        self._decoder.feed(answer)
        return None

    def _lose_sending(self, error: OSError) -> NoReturn:
        """Raise why nothing can be sent any more; ``executed`` is "no".

        A server's no may be waiting to be read: see ``remoteobj.tls.engine``.
        """
        try:
            for _ in range(_MOST_LAST_WORDS):
                if not sockets.has_arrived(self.stream.sock):
                    break
                with contextlib.suppress(sockets.QUIET):
                    if not self.stream.recv(PLAIN_BYTES, NOWAIT):
                        break
        except PeerRefused:
            raise
        except (OSError, WireError):  # it has nothing more to say
            pass
        self._lose(error, "no")

    def _lose(self, error: OSError, executed: Executed) -> NoReturn:
        """Raise what an error of the socket means."""
        if self._refused:
            raise PeerRefused(self._refused, executed=executed) from error
        if isinstance(error, ConnectionLost):  # TLS has found the words
            if executed == "no":
                error.executed = "no"
            raise error
        how = "cannot be reached any more" if sockets.is_unreachable(error) else "is gone"
        raise ConnectionLost(
            f"{self.peer} {how} ({error.strerror or error})", executed=executed
        ) from error

    def _ended(self) -> ConnectionLost:
        """Return what it means that nothing more comes."""
        if self._refused:
            return PeerRefused(self._refused, executed="maybe")
        return ConnectionLost(f"{self.peer} closed the connection")

    def refuse(self, why: str) -> None:
        """Trust the daemon no more: a call that waits is told why. Any thread."""
        self._refused = why
        with contextlib.suppress(OSError):
            self.stream.sock.shutdown(socket.SHUT_RDWR)

    def is_settled(self) -> bool:
        """Tell whether nothing has come that was not read, as far as can be known now."""
        return self._decoder.is_between_messages and not sockets.has_arrived(self.stream.sock)

    def close(self) -> None:
        """Close the connection."""
        self.stream.close()
        if self.shared is not None:
            self.shared.close()


def _make_check(sock: socket.socket) -> Callable[[int], Any] | None:
    if sockets.is_local(sock):
        return None
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return poll.poll
    return lambda timeout: select.select([sock], [], [], timeout)[0]  # Windows
