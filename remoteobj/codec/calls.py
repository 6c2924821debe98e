"""What our own peers say to each other about calls: the call, its reply, its error, and batches.

::

    call   [object id, method, [args], {kwargs} or nil, session]
    reply  the value, as ``codec.encode`` writes it
    error  [[lines of the traceback], the exception]

(For batches see :mod:`remoteobj.codec.batches`.) This is the hottest path there is, so what is
plain goes to msgspec at once, without a walk; what arrives is checked by msgspec against these
forms while it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from remoteobj.codec import leaves
from remoteobj.codec.arguments import pack_arguments, unpack_arguments
from remoteobj.codec.batches import (
    decode_batch,
    decode_results,
    encode_batch,
    encode_results,
    heads_of_batch,
)
from remoteobj.codec.leaves import received_by, write_plain
from remoteobj.codec.raised import TRACEBACK_ATTRIBUTE, decode_error, encode_error
from remoteobj.codec.reading import NESTED, Reader, decode_value, refuse
from remoteobj.codec.tags import MAX_DEPTH, OUT_OF_BAND_BYTES
from remoteobj.codec.writing import PLAIN, Writer, write

__all__ = [
    "NESTED",
    "OUT_OF_BAND_BYTES",
    "PLAIN",
    "TRACEBACK_ATTRIBUTE",
    "decode_batch",
    "decode_call",
    "decode_error",
    "decode_reply",
    "decode_results",
    "encode_batch",
    "encode_call",
    "encode_error",
    "encode_reply",
    "encode_results",
    "head_of_call",
    "heads_of_batch",
    "read_call",
    "received_by",
    "write_plain",
]

_Call = tuple[str, str, list[Any], dict[str, Any] | None, int]
_read_call = msgspec.msgpack.Decoder(_Call, ext_hook=leaves.read_leaf).decode
read_call = msgspec.msgpack.Decoder(_Call, ext_hook=leaves.read_leaf_of_anyone).decode
"""Read a call without the walk: ``kwargs`` may be None, what is in ``NESTED`` is not done, and
proxies are refused: whose they are to be only ``decode_call`` knows, see ``received_by``."""

_read_head = msgspec.msgpack.Decoder(tuple[str, str, msgspec.Raw, msgspec.Raw, int]).decode
_read_names = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_read_name = msgspec.msgpack.Decoder(str).decode
_OF_ATTRIBUTES = ("__getattr__", "__setattr__")


def head_of_call(data: Any) -> tuple[str, list[tuple[str, str]]]:
    """Read of a call whom it is for, but none of its arguments.

    Returns:
        The object's id; and the method, with the name of the attribute where it is about one.

    Raises:
        WireError, NotSendable: As from ``decode_call``.
    """
    try:
        object_id, method, args, _, _ = _read_head(data)
        name = _read_name(_read_names(args)[0]) if method in _OF_ATTRIBUTES else ""
    except Exception as error:
        refuse(error)
    return object_id, [(method, name)]


def encode_call(
    object_id: str,
    method: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    session: int,
    buffers: list[memoryview],
    parameters: Sequence[str] = (),
    max_depth: int = MAX_DEPTH,
) -> bytes:
    """Write one call.

    Args:
        object_id: Which object, as its daemon calls it.
        method: Name of the method.
        args: Its positional arguments.
        kwargs: Its arguments by name.
        session: A small number of the caller's.
        buffers: An empty list, to which the large data is appended without a copy.
        parameters: Names of the positional parameters as far as known, for the error message.
        max_depth: How many containers may stand in one another in an argument.

    Raises:
        NotSendable: Something in an argument cannot travel; the message names the place.
    """
    for arg in args:
        kind = type(arg)
        if kind not in PLAIN and (kind is not bytes or len(arg) >= OUT_OF_BAND_BYTES):
            break
    else:
        if not kwargs or PLAIN.issuperset(map(type, kwargs.values())):
            try:
                return write_plain((object_id, method, args, kwargs or None, session))
            except (UnicodeEncodeError, OverflowError):
                pass

    def pack(writer: Writer) -> Any:
        packed = pack_arguments(writer, f"{method}()", args, kwargs, parameters)
        return (object_id, method, *packed, session)

    return write(pack, buffers, f"{method}()", max_depth)


def decode_call(
    data: Any, buffers: Sequence[Any] = (), max_depth: int = MAX_DEPTH
) -> tuple[str, str, list[Any], dict[str, Any], int]:
    """Read a call: object id, method, args, kwargs and session; raises as ``codec.decode``."""
    try:
        object_id, method, args, kwargs, session = _read_call(data)
        if kwargs or buffers or not NESTED.isdisjoint(map(type, args)):
            reader = Reader(buffers, max_depth)
            unpack_arguments(reader, method, args, kwargs)
            reader.finish()
    except Exception as error:
        refuse(error)
    return object_id, method, args, kwargs or {}, session


def encode_reply(
    value: Any, buffers: list[memoryview], method: str = "", max_depth: int = MAX_DEPTH
) -> bytes:
    """Write the result of *method*, which has run.

    Raises:
        NotSendable: Something in it cannot travel; the message names the place.
    """
    if type(value) in PLAIN or (type(value) is bytes and len(value) < OUT_OF_BAND_BYTES):
        try:
            return write_plain(value)
        except (UnicodeEncodeError, OverflowError):
            pass
    where = f"{method}() has run, but its result stays here" if method else "the result"
    return write(lambda writer: writer.pack(value, 0), buffers, where, max_depth)


decode_reply = decode_value
