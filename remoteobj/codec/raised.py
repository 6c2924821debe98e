"""What a call has raised, on its way back: the exception, and its traceback as lines of text."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import msgspec

from remoteobj.codec import leaves
from remoteobj.codec.exceptions import pack_exception
from remoteobj.codec.reading import Reader, refuse
from remoteobj.codec.tags import MAX_DEPTH
from remoteobj.codec.writing import Writer, write
from remoteobj.errors import NotSendable, RemoteError, WireError

__all__ = ["TRACEBACK_ATTRIBUTE", "decode_error", "encode_error"]

TRACEBACK_ATTRIBUTE = "_pyroTraceback"
"""Where an exception that arrived keeps the lines of the remote traceback."""

log = logging.getLogger("remoteobj.codec")

_read_error = msgspec.msgpack.Decoder(tuple[list[str], Any], ext_hook=leaves.read_leaf).decode


def encode_error(error: BaseException) -> bytes:
    """Write an exception with its traceback, as far as it can be sent; this never fails."""
    try:
        return _write_error(error, traceback.format_exception(error))
    except BaseException as why:  # it breaks whoever looks at it, if need be with SystemExit
        reason = why.__cause__ if type(why) is NotSendable and why.__cause__ else why
        name, broken = map(_name_of, (error, reason))
        log.exception("an exception of %s cannot be described", name)
        text = f"{name} was raised, but cannot be shown: {broken}"
        return _write_error(NotSendable(text), [text])


def _name_of(error: BaseException) -> str:
    name: str = vars(type)["__qualname__"].__get__(type(error))  # its metaclass may break, too
    return name


def _write_error(error: BaseException, lines: list[str]) -> bytes:
    def pack(writer: Writer) -> Any:
        writer.is_raised = True
        return list(map(leaves.as_utf8, lines)), pack_exception(writer, error, 0)

    return write(pack, None, "the exception", MAX_DEPTH)


def decode_error(data: Any) -> BaseException:
    """Read an exception; the lines of its remote traceback are in its ``_pyroTraceback``.

    Raises:
        WireError: This is not what ``encode_error`` wrote.
    """
    try:
        lines, packed = _read_error(data)
        error: BaseException = Reader((), MAX_DEPTH, is_raised=True).item(packed, -1)
        if not isinstance(error, BaseException):
            raise WireError("the payload is no exception")
    except Exception as why:
        refuse(why)
    vars(error)[TRACEBACK_ATTRIBUTE] = lines
    if type(error) is RemoteError and not error.remote_traceback:
        error.remote_traceback = "".join(lines)
        error.args = (*error.args[:2], error.remote_traceback)
    return error
