"""Exceptions: args, attributes, notes, cause and context; of its own class where that is known.

An exception that was raised always travels: what it holds that cannot be sent arrives as its text,
and what is not known here in words. One of a class that is not imported here arrives as a
RemoteError, and so does one that ends a program when it is raised (SystemExit, KeyboardInterrupt):
a peer has no say in that. One that is a value, an argument or a part of one, arrives as itself or
is refused, as any value; of its chain, which tells a story, something always arrives. Causes and
contexts meet again and again (``raise B from a`` makes *a* both), so the chain of an exception is
sent only once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

from remoteobj.codec import classes, leaves, tags
from remoteobj.codec.refusals import Refused, a
from remoteobj.errors import NotSendable, RemoteError, WireError

if TYPE_CHECKING:
    from remoteobj.codec.reading import Reader
    from remoteobj.codec.writing import Writer


def pack_exception(writer: Writer, error: BaseException, depth: int) -> Any:
    """Pack an exception as far as it can be sent."""
    writer.check_depth(depth)
    kind = type(error)
    if not (writer.is_raised or issubclass(kind, Exception)):
        raise Refused(f"{a(kind)} cannot be sent as a value, for it ends programs: send its text")
    args, cause, context = error.args, error.__cause__, error.__context__
    if id(error) in writer.chained:
        cause = context = None
    writer.chained.add(id(error))
    if issubclass(kind, BaseExceptionGroup):
        args = (error.args[0], list(error.exceptions))  # type: ignore[attr-defined]
    state = dict(vars(error))
    fields = {
        name: value
        for name, member in _members(kind)
        if (value := member.__get__(error, kind)) is not None
    }
    return {
        tags.EXCEPTION: [
            f"{kind.__module__}:{kind.__qualname__}",
            leaves.pack_text(_message_of(error)),
            [_pack_or_text(writer, arg, depth) for arg in args],
            _pack_or_text(writer, _sendable_names(state), depth, each=True),
            _pack_or_text(writer, fields, depth, each=True),
            _pack_or_none(writer, cause, depth),
            _IS_CAUSE if context is cause else _pack_or_none(writer, context, depth),
            error.__suppress_context__,
        ]
    }


def _message_of(error: BaseException) -> str:
    has_no_words_of_its_own = type(error).__str__ is BaseException.__str__
    with contextlib.suppress(Exception):  # a broken __str__ of the user's
        return ", ".join(map(str, error.args)) if has_no_words_of_its_own else str(error)
    return _text_of(error)


def _members(kind: type) -> Iterator[tuple[str, MemberDescriptorType]]:
    """What builtin exceptions keep beside args: errno, filename, code, name, value, ..."""
    for base in kind.__mro__:
        if base.__module__ != "builtins" or base in _CHECKED_BY_INIT:
            continue
        for name, member in vars(base).items():
            if type(member) is MemberDescriptorType and not name.startswith("__"):
                yield name, member


_CHECKED_BY_INIT = {
    BaseExceptionGroup,
    UnicodeError,
    UnicodeEncodeError,
    UnicodeDecodeError,
    UnicodeTranslateError,
}


_KEPT = ("__notes__", "_pyroTraceback")  # what a RemoteError takes over
_IS_CAUSE = True  # in place of the context


def _sendable_names(state: dict[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if type(name) is str}


def _pack_or_text(writer: Writer, value: Any, depth: int, *, each: bool = False) -> Any:
    if each:
        flat: list[Any] = []
        for name, item in value.items():
            flat += leaves.pack_text(name), _pack_or_text(writer, item, depth)
        return flat
    taken = len(writer.buffers or ())
    try:
        return writer.pack(value, depth + 1)
    except (Refused, RecursionError):
        writer.forget(taken)
        return leaves.pack_text(_text_of(value))


def _pack_or_none(writer: Writer, error: BaseException | None, depth: int) -> Any:
    taken = len(writer.buffers or ())
    is_raised, writer.is_raised = writer.is_raised, True
    try:
        return None if error is None else writer.pack(error, depth + 1)
    except (Refused, RecursionError):  # a chain longer than may be nested
        writer.forget(taken)
        return None
    finally:
        writer.is_raised = is_raised


def _text_of(value: Any) -> str:
    try:
        return str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:  # a broken __repr__ or __str__ of the user's
        return f"<a {type(value).__name__} that cannot be shown>"


def read_exception(reader: Reader, content: Any, depth: int) -> BaseException:
    """Read an exception; no code of its class is run.

    Raises:
        NotSendable: It is a value, of a class that is not known here.
    """
    name, text, *parts = content
    args, state, fields = (_read_parts(reader, part, depth) for part in parts[:3])
    is_raised, reader.is_raised = reader.is_raised, True
    cause = reader.item(parts[3], depth)
    context = reader.item(parts[4], depth)
    reader.is_raised = is_raised
    if len(parts) != 6 or type(text) is not str:
        raise WireError("an exception has other parts than these")
    attributes = dict(zip(state[::2], state[1::2], strict=True))
    error = _make(name, tuple(args))
    if error is None and not reader.is_raised:
        classes.find(name)  # which tells what to do
        raise classes.unlike(name, "is no exception here that can be made of what came")
    if error is None:
        attributes = {key: attributes[key] for key in _KEPT if key in attributes}
        error = RemoteError(str(name).replace(":", "."), text)
    else:
        _restore_members(error, dict(zip(fields[::2], fields[1::2], strict=True)))
    if not isinstance(attributes.get("__notes__"), list):
        attributes.pop("__notes__", None)
    vars(error).update({str(key): value for key, value in attributes.items()})
    error.__cause__ = cause
    error.__context__ = cause if context is _IS_CAUSE else context
    error.__suppress_context__ = parts[5] is True
    return error


def _read_parts(reader: Reader, packed: Any, depth: int) -> list[Any]:
    if not reader.is_raised or type(packed) is not list:
        return reader.items(packed, depth)
    reader.check_depth(depth)
    return [_read_or_text(reader, part, depth) for part in packed]


def _read_or_text(reader: Reader, packed: Any, depth: int) -> Any:
    try:
        return reader.item(packed, depth)
    except NotSendable as unknown:
        return f"<{unknown}>"


def _make(name: Any, args: tuple[Any, ...]) -> Exception | None:
    try:
        found = classes.find(name)
    except NotSendable:
        return None
    if not issubclass(found, Exception):
        return None
    if found is RemoteError:  # which shows what its __init__ keeps
        is_text = len(args) == 3 and all(type(arg) is str for arg in args)
        return RemoteError(*args) if is_text else None
    builtin: Any = next(base for base in found.__mro__ if base.__module__ == "builtins")
    try:
        error: Exception = builtin.__new__(found, *args)
        if found.__init__ is builtin.__init__ or issubclass(found, UnicodeError):
            _check_positions(found, args)
            builtin.__init__(error, *args)
    except (WireError, TypeError, ValueError):
        return None
    error.args = args
    return error


def _check_positions(found: type, args: tuple[Any, ...]) -> None:
    # CPython (issue 123378) reads outside of the text when it shows such an error.
    if issubclass(found, UnicodeError) and found is not UnicodeError and len(args) >= 4:
        start, end = args[-3:-1]
        if not 0 <= start < end <= len(args[-4]):
            raise WireError("an error of text is about a place outside of it")


def _restore_members(error: Exception, fields: dict[Any, Any]) -> None:
    for name, member in _members(type(error)):
        if name in fields:
            member.__set__(error, fields[name])
