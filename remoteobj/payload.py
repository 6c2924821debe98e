"""What payloads there are: ours for our own peers, and those of stock Pyro5 peers.

Each has a number, which stands in the header of a message. A daemon takes exactly those that are
in its table: anything else (marshal, above all) is refused before a byte of it is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from remoteobj import _pyro
from remoteobj.codec import calls
from remoteobj.codec.calls import NESTED, OUT_OF_BAND_BYTES, PLAIN, read_call, write_plain
from remoteobj.errors import WireError
from remoteobj.handshake import BINARY
from remoteobj.identity import Identity
from remoteobj.stock.formats import FORMATS, Format, decompress, parse_batch
from remoteobj.wire import Flag, Message

__all__ = [
    "BINARY",
    "NESTED",
    "OUT_OF_BAND_BYTES",
    "PLAIN",
    "SERPENT",
    "STOCK",
    "Payload",
    "binary",
    "plain_message",
    "read_call",
    "write_plain",
]

SERPENT = _pyro.SERPENT


@dataclass(frozen=True, slots=True)
class Payload:
    """How calls and answers are written; the functions are as in ``remoteobj.codec.calls``."""

    number: int
    name: str
    dumps_call: Callable[..., bytes]
    loads_call: Callable[..., tuple[str, str, Any, dict[str, Any], int]]
    head_of_call: Callable[[Any], tuple[str, list[tuple[str, str]]]]
    dumps_batch: Callable[..., bytes]
    loads_batch: Callable[..., tuple[str, list[tuple[str, Any, dict[str, Any]]], int]]
    heads_of_batch: Callable[[Any], tuple[str, list[tuple[str, str]]]]
    dumps_reply: Callable[..., bytes]
    loads_reply: Callable[..., Any]
    dumps_results: Callable[..., bytes]
    loads_results: Callable[..., tuple[list[Any], BaseException | None]]
    dumps_error: Callable[[BaseException], bytes]
    loads_error: Callable[[Any], Any]


def binary(max_depth: int, identity: Identity | None = None) -> Payload:
    """Return the payload of our own peers; proxies that arrive get this identity."""

    def bound(function: Callable[..., Any]) -> Callable[..., Any]:
        return partial(function, max_depth=max_depth)

    def received(function: Callable[..., Any]) -> Callable[..., Any]:
        return function if identity is None else calls.received_by(identity, function)

    return Payload(
        BINARY,
        "binary",
        bound(calls.encode_call),
        received(bound(calls.decode_call)),
        calls.head_of_call,
        bound(calls.encode_batch),
        received(bound(calls.decode_batch)),
        calls.heads_of_batch,
        bound(calls.encode_reply),
        received(bound(calls.decode_reply)),
        bound(calls.encode_results),
        received(bound(calls.decode_results)),
        calls.encode_error,
        received(calls.decode_error),
    )


def _stock_payload(form: Format) -> Payload:
    """Adapt one of Pyro5's: it has no sessions, no buffers, and names no parameters."""

    def dumps_call(
        object_id: str, method: str, args: Any, kwargs: Any, _session: int, *_: Any
    ) -> bytes:
        return form.dumps_call(object_id, method, args, kwargs)

    def loads_call(data: Any, _buffers: Any) -> tuple[str, str, Any, dict[str, Any], int]:
        return *form.loads_call(data), 0

    def dumps_reply(value: Any, _buffers: Any, method: str = "") -> bytes:
        where = f"{method}() has run, but its result stays here" if method else "value"
        return form.dumps(value, where=where)

    def dumps_batch(object_id: str, made: Any, _session: int, *_: Any) -> bytes:
        return form.dumps_batch(object_id, made)

    def loads_batch(data: Any, _buffers: Any) -> Any:
        object_id, _, args, _ = form.loads_call(data)
        return object_id, parse_batch(args), 0

    return Payload(
        form.number,
        form.name,
        dumps_call,
        loads_call,
        form.head_of_call,
        dumps_batch,
        loads_batch,
        form.head_of_call,
        dumps_reply,
        lambda data, _buffers: form.loads(data),
        lambda values, error, _buffers: form.dumps_batch_results(values, error),
        lambda data, _buffers: form.loads_batch_results(data),
        form.dumps_error,
        form.loads_error,
    )


STOCK: dict[int, Payload] = {number: _stock_payload(form) for number, form in FORMATS.items()}


def plain_message(message: Message, max_bytes: int) -> Message:
    """Return a message with its payload as a serializer wrote it; Pyro5 may have compressed it.

    Raises:
        WireError: It is larger than *max_bytes* then, or is another serializer's within this one.
    """
    if message.flags & Flag.KEEP_SERIALIZED:
        raise WireError("a payload with the flag KEEP_SERIALIZED is refused here: send it plain")
    if message.flags & Flag.COMPRESSED:
        payload = decompress(message.payload, max_bytes)
        return msgspec.structs.replace(
            message, payload=payload, flags=message.flags & ~Flag.COMPRESSED
        )
    return message
