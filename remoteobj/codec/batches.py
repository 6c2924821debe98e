"""Calls of one object that are made one after another in one message, and their results.

::

    batch    [object id, session, [[method, [args], {kwargs}], ...]]
    results  [[values], the error of the call after the last value, or nil]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import msgspec

from remoteobj.codec import leaves
from remoteobj.codec.arguments import pack_arguments, unpack_arguments
from remoteobj.codec.leaves import write_plain
from remoteobj.codec.raised import decode_error, encode_error
from remoteobj.codec.reading import NESTED, Reader, refuse
from remoteobj.codec.tags import MAX_DEPTH
from remoteobj.codec.writing import PLAIN, Writer, write
from remoteobj.errors import NotSendable

__all__ = ["decode_batch", "decode_results", "encode_batch", "encode_results", "heads_of_batch"]

_Call = tuple[str, list[Any], dict[str, Any]]
_read_batch = msgspec.msgpack.Decoder(
    tuple[str, int, list[_Call]], ext_hook=leaves.read_leaf
).decode
_read_results = msgspec.msgpack.Decoder(
    tuple[list[Any], bytes | None], ext_hook=leaves.read_leaf
).decode
_read_heads = msgspec.msgpack.Decoder(
    tuple[str, int, list[tuple[str, msgspec.Raw, msgspec.Raw]]]
).decode
_args_of, _kwargs_of = itemgetter(1), itemgetter(2)


def encode_batch(
    object_id: str,
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]],
    session: int,
    buffers: list[memoryview],
    parameters: Mapping[str, Sequence[str]] | None = None,
    max_depth: int = MAX_DEPTH,
) -> bytes:
    """Write calls of one object that are made one after another; all else as in ``encode_call``.

    Args:
        object_id: Which object.
        calls: Method, args and kwargs of each.
        session: As for a call.
        buffers: As for a call.
        parameters: The names of the positional parameters of each method, as far as known.
        max_depth: As for a call.
    """
    if not any(map(_kwargs_of, calls)) and PLAIN.issuperset(
        map(type, chain.from_iterable(map(_args_of, calls)))
    ):
        try:
            return write_plain((object_id, session, calls))
        except (UnicodeEncodeError, OverflowError):
            pass

    def pack(writer: Writer) -> Any:
        packed = []
        for number, (method, args, kwargs) in enumerate(calls, 1):
            where = f"call {number} of the batch: {method}()"
            names = parameters.get(method, ()) if parameters else ()
            packed.append((method, *pack_arguments(writer, where, args, kwargs, names)))
        return (object_id, session, packed)

    return write(pack, buffers, "the batch", max_depth)


def decode_batch(
    data: Any, buffers: Sequence[Any] = (), max_depth: int = MAX_DEPTH
) -> tuple[str, list[_Call], int]:
    """Read a batch: object id, the calls, and session; raises as ``codec.decode``."""
    try:
        object_id, session, calls = _read_batch(data)
        args = map(_args_of, calls)
        if (
            buffers
            or any(map(_kwargs_of, calls))
            or not NESTED.isdisjoint(map(type, chain.from_iterable(args)))
        ):
            reader = Reader(buffers, max_depth)
            number = 0
            try:
                for number, call in enumerate(calls, 1):  # noqa: B007 - told below
                    unpack_arguments(reader, *call)
            except NotSendable as error:
                raise NotSendable(f"call {number} of the batch: {error}") from None
            reader.finish()
    except Exception as error:
        refuse(error)
    return object_id, calls, session


def heads_of_batch(data: Any) -> tuple[str, list[tuple[str, str]]]:
    """Read of a batch whom its calls are for; as ``head_of_call``, but without attributes."""
    try:
        object_id, _, calls = _read_heads(data)
    except Exception as error:
        refuse(error)
    return object_id, [(method, "") for method, _, _ in calls]


def encode_results(
    values: list[Any],
    error: BaseException | None,
    buffers: list[memoryview],
    max_depth: int = MAX_DEPTH,
) -> bytes:
    """Write the results of a batch, up to the first that cannot travel.

    Args:
        values: What the calls returned, in their order.
        error: What the call after the last of them raised.
        buffers: As for a reply.
        max_depth: As for a reply.
    """
    try:
        return _write_results(values, error, buffers, max_depth)
    except NotSendable:
        pass
    for index, value in enumerate(values):
        where = f"call {index + 1} of the batch has run, but its result stays here"
        try:
            write(lambda writer, value=value: writer.pack(value, 0), [], where, max_depth)  # type: ignore[misc]
        except NotSendable as refused:
            after = len(values) - index - 1 + (error is not None)
            if after:
                refused.add_note(f"calls of the batch that have run after it: {after}")
            return _write_results(values[:index], refused, buffers, max_depth)
    return _write_results([], NotSendable("the results of the batch stay here"), buffers, max_depth)


def _write_results(
    values: list[Any], error: BaseException | None, buffers: list[memoryview], max_depth: int
) -> bytes:
    told = None if error is None else encode_error(error)
    if PLAIN.issuperset(map(type, values)):
        try:
            return write_plain((values, told))
        except (UnicodeEncodeError, OverflowError):
            pass

    def pack(writer: Writer) -> Any:
        return [writer.pack(value, 0) for value in values], told

    return write(pack, buffers, "the results", max_depth)


def decode_results(
    data: Any, buffers: Sequence[Any] = (), max_depth: int = MAX_DEPTH
) -> tuple[list[Any], BaseException | None]:
    """Read the results of a batch, and the error that ended it; raises as ``codec.decode``."""
    try:
        values, told = _read_results(data)
        if buffers or not NESTED.isdisjoint(map(type, values)):
            reader = Reader(buffers, max_depth)
            for index, value in enumerate(values):
                values[index] = reader.item(value, -1)
            reader.finish()
    except Exception as error:
        refuse(error)
    return values, None if told is None else decode_error(told)
