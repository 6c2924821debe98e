"""Exceptions as Pyro5 writes them: class, args, attributes, and the lines of the remote traceback.

A stock Pyro5 peer makes exceptions of builtin classes, of its own, and of those that it was told
how to make; the words of any other are lost on it. So an error that no stock peer can know goes as
its stand-in: one of ours that Pyro5 has too as Pyro5's; others of ours, and those of a script or of
a function, as the builtin class that they are derived from; and one that ends a program, such as
SystemExit, as a PyroError. What it is beside that, its name and args, is in an attribute.

Exceptions of modules of the users' go under their own names, or as Pyro5 was told to write them
(``register_class_to_dict``). Their private attributes stay here. What arrives here is made of its
own class where that is imported; else it is a RemoteError if it was raised, and refused if it is a
value. No module is imported because a peer named it. Only exceptions are made, and no code of the
class's own is run.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from remoteobj import _pyro
from remoteobj.codec.classes import how_to_know
from remoteobj.codec.leaves import as_utf8, shown
from remoteobj.errors import NotSendable, ObjectUnknown, RemoteError, RemoteObjError
from remoteobj.stock.writing import Writer

log = logging.getLogger("remoteobj.stock")

_ORIGINAL = "_remoteobjError"
"""Where a stand-in says what it stands for: the name of the class, and the args."""

_SENT_THOUGH_PRIVATE = {"__notes__", _pyro.TRACEBACK_ATTRIBUTE}

_ARGS_DEPTH = 4  # how many containers there are around an arg

_LONGEST_NAME = 1000  # characters; to look a name up takes the square of its length


def pack_raised(writer: Writer, error: BaseException, depth: int) -> dict[str, Any]:
    """Describe an exception that was raised, with its traceback; this never fails."""
    try:
        lines = [as_utf8(line) for line in traceback.format_exception(error)]
        return _pack_as_told(writer, error, depth, lines) or _pack(writer, error, depth, lines)
    except Exception as why:  # an exception of the user's that breaks whoever looks at it
        log.exception("an exception of %s cannot be described", type(error))
        name = as_utf8(type(error).__qualname__)
        text = f"{name} was raised, but cannot be shown: {type(why).__name__}"
        return _pack(writer, NotSendable(text), depth, [text])


def pack_exception(writer: Writer, error: BaseException, depth: int) -> dict[str, Any]:
    """Describe an exception that is a value among others."""
    writer.check_depth(depth + _ARGS_DEPTH)
    return _pack(writer, error, depth, ())


def _pack_as_told(
    writer: Writer, error: BaseException, depth: int, lines: Sequence[str]
) -> dict[str, Any] | None:
    """Describe it as Pyro5 was told to, if it was."""
    describe = _pyro.registered_writer(error)
    if describe is None:
        return None
    try:
        packed = writer.pairs(describe(error), depth)
        if packed.get("__exception__"):
            attributes = packed.setdefault("attributes", {})
            attributes.setdefault(_pyro.TRACEBACK_ATTRIBUTE, list(lines))
    except Exception:
        log.exception("what Pyro5 was told to write %s with has failed", type(error))
        return None
    return packed


def _pack(writer: Writer, error: BaseException, depth: int, lines: Sequence[str]) -> dict[str, Any]:
    cls = type(error)
    inner = Writer(writer.form, has_objects=False)  # one that is refused would hide the error
    name = f"{cls.__module__}.{cls.__qualname__}"
    given: Any = error.args
    if isinstance(error, OSError):
        # Its args hide the file's name, which the arguments that make it anew have.
        given = error.__reduce__()[1] if cls.__module__ == "builtins" else [_text_of(error)]
    args = tuple(_pack_or_text(inner, value, depth) for value in given)
    attributes: dict[str, Any] = {}
    for key, value in vars(error).items():
        if str(key).startswith("_") and key not in _SENT_THOUGH_PRIVATE:
            continue
        with contextlib.suppress(Exception):  # what cannot be sent stays here
            attributes[inner.key(str(key), depth)] = inner.pack(value, depth + _ARGS_DEPTH)
    stand_in = _stand_in_of(cls)
    if stand_in:
        attributes[_ORIGINAL] = (as_utf8(name), args)
        text, shown_name = _text_of(error), as_utf8(name.removeprefix("builtins."))
        if not isinstance(error, RemoteObjError):
            text = f"{shown_name}: {text}" if text else shown_name
        name, args = stand_in, (text,)
    if lines:
        attributes[_pyro.TRACEBACK_ATTRIBUTE] = list(lines)
    return {
        "__class__": as_utf8(name),
        "__exception__": True,
        "args": args,
        "attributes": attributes,
    }


def _stand_in_of(cls: type[BaseException]) -> str | None:
    if not issubclass(cls, Exception):
        return _PYRO_ERROR
    if issubclass(cls, RemoteObjError):
        return cls._stock_class or _base_of(cls)
    return _base_of(cls) if _is_out_of_reach(cls) else None


def _base_of(cls: type[Exception]) -> str:
    """Return the builtin class that it is derived from, and that can be made of a text alone."""
    builtin: Any
    for builtin in cls.__mro__[: cls.__mro__.index(Exception)]:
        if builtin.__module__ == "builtins":
            with contextlib.suppress(TypeError):
                builtin("")
                return f"builtins.{builtin.__name__}"
    return _PYRO_ERROR


def _is_out_of_reach(cls: type) -> bool:
    """Tell whether stock peers refuse the name of a class, or can have no class of that name."""
    return "__" in f"{cls.__module__}.{cls.__qualname__}" or "<locals>" in cls.__qualname__


_PYRO_ERROR = "Pyro5.errors.PyroError"


def _pack_or_text(writer: Writer, value: Any, depth: int) -> Any:
    try:
        return writer.pack(value, depth + _ARGS_DEPTH)
    except Exception:  # Refused, or what the user's own code raises
        return _text_of(value)


def _text_of(value: Any) -> str:
    try:
        return as_utf8(str(value) if isinstance(value, BaseException) else repr(value))
    except Exception:  # a broken __repr__ or __str__ of the user's
        return f"<a {as_utf8(type(value).__name__)} that cannot be shown>"


def restore_exception(
    data: Mapping[str, Any], rebuild: Callable[[Any], Any], *, is_raised: bool = True
) -> BaseException:
    """Rebuild an exception: of its own class where that is imported here, else a RemoteError.

    Raises:
        NotSendable: It was not raised, but is a value, and its class is not known here.
    """
    sent: dict[str, Any] = {str(k): v for k, v in dict(data.get("attributes") or {}).items()}
    type_name, args = data["__class__"], data.get("args") or ()
    match sent.pop(_ORIGINAL, None):
        case [str() as original, [*original_args]]:
            type_name, args = original, original_args
    args = tuple(_rebuild_or_text(rebuild, value) for value in args)
    attributes: dict[str, Any] = {}
    for key, value in sent.items():
        with contextlib.suppress(NotSendable):  # what is not known here stays away
            attributes[key] = rebuild(value)
    lines = attributes.get(_pyro.TRACEBACK_ATTRIBUTE)
    attributes[_pyro.TRACEBACK_ATTRIBUTE] = (
        [*map(str, lines)] if isinstance(lines, list | tuple) else []
    )
    if not isinstance(attributes.get("__notes__"), list):
        attributes.pop("__notes__", None)
    error = _make_exception(type_name, args)
    if error is None and not is_raised:
        raise NotSendable(
            f"an exception of class {shown(type_name)} arrived, which is not known here: "
            f"{how_to_know(str(type_name).rpartition('.')[0])}, or send its text"
        )
    if error is None:
        traceback_text = "".join(attributes[_pyro.TRACEBACK_ATTRIBUTE])
        error = RemoteError(str(type_name), ", ".join(map(str, args)), traceback_text)
        attributes = {_pyro.TRACEBACK_ATTRIBUTE: attributes[_pyro.TRACEBACK_ATTRIBUTE]}
    error.__dict__.update(attributes)
    return error


def _rebuild_or_text(rebuild: Callable[[Any], Any], value: Any) -> Any:
    try:
        return rebuild(value)
    except NotSendable:
        return shown(value)


def _make_exception(type_name: str, args: tuple[Any, ...]) -> Exception | None:
    if type_name == "Pyro5.errors.DaemonError" and _pyro.says_object_unknown(args[:1]):
        return ObjectUnknown(*args)
    found = _find_error(type_name)
    if found is None:
        return None
    if found is RemoteError:  # which shows what its __init__ keeps
        is_text = len(args) == 3 and all(type(arg) is str for arg in args)
        return RemoteError(*args) if is_text else None
    try:
        _check_positions(found, args)
        if found.__module__ == "builtins":
            return found(*args)
        builtin: Any = next(base for base in found.__mro__ if base.__module__ == "builtins")
        error: Exception = builtin.__new__(found, *args)
        error.args = args
    except Exception:
        return None
    return error


def _find_error(type_name: Any) -> type[Exception] | None:
    found = find_class(type_name) if isinstance(type_name, str) else None
    return found if found is not None and issubclass(found, Exception) else None


def _check_positions(found: type[Exception], args: tuple[Any, ...]) -> None:
    # CPython (issue 123378) reads outside of the text when it shows such an error.
    if issubclass(found, UnicodeError) and found is not UnicodeError and len(args) >= 4:
        start, end = args[-3:-1]
        if not 0 <= start < end <= len(args[-4]):
            raise ValueError("an error of text is about a place outside of it")


def find_class(type_name: str) -> type | None:
    """Return the class of this name, such as ``"shop.Order"``, if its module is imported."""
    if len(type_name) > _LONGEST_NAME:
        return None
    if "." not in type_name:
        type_name = f"builtins.{type_name}"
    parts = type_name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:length]))
        if found is None:
            continue
        for part in parts[length:]:
            found = _namespace_of(found).get(part)
        return found if isinstance(found, type) else None
    return None


def _namespace_of(found: Any) -> Mapping[str, Any]:
    # The namespaces themselves: a module's or a class's __getattr__ is code, and may import.
    if issubclass(type(found), ModuleType):
        namespace: Mapping[str, Any] = ModuleType.__getattribute__(found, "__dict__")
        return namespace
    if issubclass(type(found), type):
        return type.__getattribute__(found, "__dict__")  # type: ignore[no-any-return]
    return {}
