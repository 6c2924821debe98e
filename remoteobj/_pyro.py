"""The one door to Pyro5: its object model and its serpent serializer.

Importing Pyro5 has side effects: an unknown ``PYRO_*`` variable raises, and its logger is silenced
for the whole process. Both are undone here, and the variables that Pyro5 knows still set its
configuration, so that a user's own use of Pyro5 stays as it is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from remoteobj.errors import NotSendable, ObjectUnknown, RemoteError, WireError
from remoteobj.uri import URI

log = logging.getLogger("remoteobj.pyro")


def _import_pyro() -> tuple[Any, Any, Any]:
    fresh = "Pyro5" not in sys.modules
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYRO_")}
    level = logging.getLogger("Pyro5").level
    try:
        import Pyro5.serializers
        import Pyro5.server
        import serpent

        if fresh:
            known = {f"PYRO_{name}" for name in Pyro5.config.__slots__}
            os.environ.update({name: value for name, value in hidden.items() if name in known})
            with contextlib.suppress(ValueError, TypeError):  # a value that Pyro5 cannot read
                Pyro5.config.reset(use_environment=True)
    finally:
        os.environ.update(hidden)
        logging.getLogger("Pyro5").setLevel(level)
        # What it warns of is raised too: where nobody set up logging, it says nothing.
        logging.getLogger("Pyro5").addHandler(logging.NullHandler())
    return Pyro5.server, Pyro5.serializers, serpent


_server, _serializers, _serpent = _import_pyro()

expose: Callable[[Any], Any] = _server.expose
oneway: Callable[[Any], Any] = _server.oneway
behavior: Callable[..., Callable[[Any], Any]] = _server.behavior

DAEMON_ID = "Pyro.Daemon"
SERPENT = 1
SERIALIZER_NAMES = {1: "serpent", 2: "marshal", 3: "json", 4: "msgpack"}

NO_SUCH_OBJECT = "there is no object"
"""How our daemon's answer begins where a peer asks for an id that it does not publish."""

_READ_TRIES = 4

TRACEBACK_ATTRIBUTE = "_pyroTraceback"
"""Where Pyro5 keeps the lines of the remote traceback on an exception."""


def is_private(name: str) -> bool:
    """Tell whether Pyro's rules keep an attribute of this name from being called remotely."""
    return bool(_server.is_private_attribute(name))


def is_exposed(member: Any) -> bool:
    """Tell whether a function carries the mark of ``@expose``."""
    return getattr(member, "_pyroExposed", False) is True


def is_oneway(member: Any) -> bool:
    """Tell whether a function carries the mark of ``@oneway``."""
    return getattr(member, "_pyroOneway", False) is True


def instancing_of(cls: type) -> tuple[str, Callable[[type], Any] | None]:
    """Return what ``@behavior`` said of a class: its instance mode, and who makes instances."""
    mode, creator = getattr(cls, "_pyroInstancing", ("session", None))
    return mode, creator


class _Serializer(_serializers.SerpentSerializer):  # type: ignore[misc, name-defined]
    """Serpent as Pyro5 reads it, except for what arrives as ours.

    Exceptions are rebuilt below, bytes are bytes, URIs are ours, and a proxy of Pyro5's arrives as
    its URI. No other object of Pyro5's is made because a peer says so.
    """

    @classmethod
    def dict_to_class(cls, data: dict[str, Any]) -> Any:
        class_name = data.get("__class__")
        try:
            if data.get("__exception__"):
                return restore_exception(data)
            if class_name == "Pyro5.core.URI":
                return _uri_from_state(data["state"])
            if class_name == "Pyro5.client.Proxy":
                return URI(data["state"][0])
            if not str(class_name).startswith("Pyro5."):
                return super().dict_to_class(data)
        except Exception as error:
            raise _cannot_rebuild(class_name) from error
        raise _cannot_rebuild(class_name)


def _cannot_rebuild(class_name: Any) -> NotSendable:
    return NotSendable(
        f"an object of class {class_name!r} arrived, which cannot be rebuilt here: pass and return "
        "plain values (numbers, text, bytes, lists, dicts), or its attributes"
    )


def _rebuild(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        if "__class__" in value:
            return _Serializer.dict_to_class(value)
        if value.keys() == _BASE64_KEYS and value["encoding"] == "base64":
            with contextlib.suppress(Exception):  # else it is a dict that looks like it
                return _serpent.tobytes(value)
        return {name: _rebuild(each) for name, each in value.items()}
    if kind is list or kind is tuple:
        return kind(map(_rebuild, value))
    return value


_BASE64_KEYS = {"data", "encoding"}  # the form in which Pyro5 sends bytes


def _uri_from_state(state: Sequence[Any]) -> URI:
    protocol, object_id, sockname, host, port = state
    if sockname:
        return URI.of_unix(object_id, sockname)
    if host:
        return URI.of_tcp(object_id, host, port)
    return URI(f"{protocol}:{object_id}")


def _write_uri(uri: URI, serializer: Any, out: list[str], level: int) -> None:
    state = (uri.protocol, uri.object, uri.sockname, uri.host, uri.port)
    serializer.ser_builtins_dict({"__class__": "Pyro5.core.URI", "state": state}, out, level)


_serpent.register_class(URI, _write_uri)


def dumps(value: Any) -> bytes:
    """Write *value* as serpent.

    Raises:
        NotSendable: It holds something that has no form in serpent; the message names it.
    """
    try:
        data: bytes = _serpent.dumps(value, module_in_classname=True, bytes_repr=True)
    except Exception as error:
        is_deep = isinstance(error, RecursionError) or "nesting too deep" in str(error)
        reason = "it is nested too deeply" if is_deep else error
        raise NotSendable(f"a value of {type(value).__name__} cannot be sent: {reason}") from error
    return data


def loads(data: bytes) -> Any:
    """Read what ``dumps`` or a stock Pyro5 peer wrote.

    Raises:
        WireError: The bytes are not serpent.
        NotSendable: They hold an object of a class that cannot be rebuilt here.
    """
    try:
        literal = _read_literal(data)
    except Exception as error:  # SyntaxError, ValueError, MemoryError, RecursionError, ...
        raise WireError(f"the payload is not serpent: {type(error).__name__}") from error
    try:
        return _rebuild(literal)
    except RecursionError as error:
        raise WireError("the payload is nested too deeply") from error


def _read_literal(data: bytes) -> Any:
    """Read serpent, once more where CPython's ``ast`` was disturbed by another thread.

    Its count of the recursion depth is shared by all threads in early releases of 3.11 and 3.12
    (CPython issue 106905); it raises SystemError when they meet. Reading has no side effects.
    """
    for _ in range(_READ_TRIES - 1):
        try:
            return _serpent.loads(data)
        except SystemError:
            continue
    return _serpent.loads(data)


def dumps_call(
    object_id: str, method: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None
) -> bytes:
    """Write a call, as Pyro5 lays it out."""
    return dumps((object_id, method, args, kwargs))


def loads_call(data: bytes) -> tuple[str, str, Any, dict[str, Any]]:
    """Read a call; errors as in ``loads``."""
    value = loads(data)
    match value:
        case (
            str() as object_id,
            str() as method,
            (list() | tuple()) as args,
            (dict() | None) as kwargs,
        ):
            return object_id, method, args, kwargs or {}
    raise WireError("the payload is not a call")


def dumps_exception(error: BaseException) -> bytes:
    """Write an exception with its traceback, as far as it can be sent; this never fails."""
    try:
        lines = [_as_utf8(line) for line in traceback.format_exception(error)]
        return dumps(_describe_exception(error, lines))
    except Exception as why:  # an exception of the user's that breaks whoever looks at it
        log.exception("an exception of %s cannot be described", type(error))
        text = f"{type(error).__qualname__} was raised, but cannot be shown: {type(why).__name__}"
        return dumps(_describe_exception(NotSendable(text), [text]))


def _as_utf8(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _describe_exception(error: BaseException, traceback_lines: list[str]) -> dict[str, Any]:
    cls = type(error)
    given: Sequence[Any] = error.args
    if isinstance(error, OSError):
        # Its args hide the file's name, which the arguments that make it anew have.
        given = error.__reduce__()[1] if cls.__module__ == "builtins" else [_text_of(error)]
    attributes = {name: value for name, value in vars(error).items() if _is_sendable(value)}
    attributes[TRACEBACK_ATTRIBUTE] = traceback_lines
    return {
        "__class__": f"{cls.__module__}.{cls.__qualname__}",
        "__exception__": True,
        "args": tuple(value if _is_sendable(value) else _text_of(value) for value in given),
        "attributes": attributes,
    }


def _text_of(value: Any) -> str:
    try:
        return _as_utf8(str(value) if isinstance(value, BaseException) else repr(value))
    except Exception:  # a broken __repr__ or __str__ of the user's
        return f"<a {type(value).__name__} that cannot be shown>"


def _is_sendable(value: Any) -> bool:
    try:
        loads(dumps(value))
    except Exception:
        return False
    return True


def restore_exception(data: Mapping[str, Any]) -> BaseException:
    """Rebuild an exception: of its own class where that is imported here, else a RemoteError.

    No module is imported because a peer named it: who wants to catch the class has imported it.
    Only exceptions are made, and no code of the class's own is run.
    """
    type_name = str(data.get("__class__", "unknown"))
    args = tuple(_rebuild(data.get("args", ())))
    attributes = _rebuild(dict(data.get("attributes") or {}))
    attributes[TRACEBACK_ATTRIBUTE] = list(map(str, attributes.get(TRACEBACK_ATTRIBUTE) or ()))
    if not isinstance(attributes.get("__notes__"), list):
        attributes.pop("__notes__", None)
    error = _make_exception(type_name, args)
    if error is None:
        traceback_text = "".join(attributes[TRACEBACK_ATTRIBUTE])
        error = RemoteError(type_name, ", ".join(map(str, args)), traceback_text)
        attributes = {TRACEBACK_ATTRIBUTE: attributes[TRACEBACK_ATTRIBUTE]}
    error.__dict__.update({str(name): value for name, value in attributes.items()})
    return error


def _make_exception(type_name: str, args: tuple[Any, ...]) -> Exception | None:
    if type_name == "Pyro5.errors.DaemonError" and says_object_unknown(args[:1]):
        return ObjectUnknown(*args)
    found = _find_class(type_name)
    if found is None or not issubclass(found, Exception):
        return None
    try:
        if found.__module__ == "builtins":
            return found(*args)
        builtin = next(base for base in found.__mro__ if base.__module__ == "builtins")
        error: Exception = builtin.__new__(found, *args)
        error.args = args
    except Exception:
        return None
    return error


def _find_class(type_name: str) -> type | None:
    # Looked up in the namespaces themselves: a module's or a class's own __getattr__ may import.
    if "." not in type_name:
        type_name = f"builtins.{type_name}"
    parts = type_name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:length]))
        if found is None:
            continue
        for part in parts[length:]:
            found = getattr(found, "__dict__", {}).get(part)
        return found if isinstance(found, type) else None
    return None


def says_object_unknown(answer: Any) -> bool:
    """Tell whether a daemon, ours or Pyro5's, refused a caller because it has no such object."""
    return any(words in str(answer) for words in (NO_SUCH_OBJECT, "unknown object"))
