"""The one door to Pyro5: its object model and its serpent serializer.

Importing Pyro5 has side effects: an unknown ``PYRO_*`` variable raises, and its logger is silenced
for the whole process. Both are undone here, so that a user's own use of Pyro5 stays as it is.
"""

from __future__ import annotations

import builtins
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from remoteobj.errors import NotSendable, RemoteError, WireError
from remoteobj.uri import URI


def _import_pyro() -> tuple[Any, Any, Any]:
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYRO_")}
    level = logging.getLogger("Pyro5").level
    try:
        import Pyro5.serializers
        import Pyro5.server
        import serpent
    finally:
        os.environ.update(hidden)
        logging.getLogger("Pyro5").setLevel(level)
    return Pyro5.server, Pyro5.serializers, serpent


_server, _serializers, _serpent = _import_pyro()

expose: Callable[[Any], Any] = _server.expose
oneway: Callable[[Any], Any] = _server.oneway
behavior: Callable[..., Callable[[Any], Any]] = _server.behavior

DAEMON_ID = "Pyro.Daemon"
NAMESERVER_ID = "Pyro.NameServer"
SERPENT = 1
SERIALIZER_NAMES = {1: "serpent", 2: "marshal", 3: "json", 4: "msgpack"}

TRACEBACK_ATTRIBUTE = "_pyroTraceback"
"""Where Pyro5 keeps the lines of the remote traceback on an exception."""


def is_private(name: str) -> bool:
    """Tell whether Pyro's rules keep an attribute of this name from being called remotely."""
    return bool(_server.is_private_attribute(name))


def is_exposed(member: Any) -> bool:
    """Tell whether a function carries the mark of ``@expose``."""
    return bool(getattr(member, "_pyroExposed", False))


def is_oneway(member: Any) -> bool:
    """Tell whether a function carries the mark of ``@oneway``."""
    return bool(getattr(member, "_pyroOneway", False))


def instancing_of(cls: type) -> tuple[str, Callable[[type], Any] | None]:
    """Return what ``@behavior`` said of a class: its instance mode, and who makes instances."""
    mode, creator = getattr(cls, "_pyroInstancing", ("session", None))
    return mode, creator


class _Serializer(_serializers.SerpentSerializer):  # type: ignore[misc, name-defined]
    """Serpent as Pyro5 reads it, except that exceptions and URIs arrive as ours."""

    @classmethod
    def dict_to_class(cls, data: dict[str, Any]) -> Any:
        if data.get("__exception__"):
            return restore_exception(data)
        if data.get("__class__") == "Pyro5.core.URI":
            return _uri_from_state(data["state"])
        try:
            return super().dict_to_class(data)
        except Exception as error:
            raise NotSendable(
                f"an object of class {data.get('__class__')!r} arrived, which cannot be rebuilt "
                "here: let the method return plain values"
            ) from error


_codec = _Serializer()


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
        raise NotSendable(f"a value cannot be sent: {error}") from error
    return data


def loads(data: bytes) -> Any:
    """Read what ``dumps`` or a stock Pyro5 peer wrote.

    Raises:
        WireError: The bytes are not serpent.
        NotSendable: They hold an object of a class that cannot be rebuilt here.
    """
    try:
        literal = _serpent.loads(data)
    except (
        Exception
    ) as error:  # ast raises SyntaxError, ValueError, MemoryError, RecursionError, ...
        raise WireError(f"the payload is not serpent: {type(error).__name__}") from error
    return _codec.recreate_classes(literal)


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


def describe_exception(error: BaseException, traceback_lines: list[str]) -> dict[str, Any]:
    """Return an exception in the form that Pyro5 peers understand, as far as it can be sent."""
    attributes = {name: value for name, value in vars(error).items() if _is_sendable(value)}
    args = [value if _is_sendable(value) else repr(value) for value in error.args]
    attributes[TRACEBACK_ATTRIBUTE] = traceback_lines
    name = type(error).__name__
    if isinstance(error, OSError) and type(error).__module__ != "builtins":
        args = [str(error)]
    return {
        "__class__": f"{type(error).__module__}.{name}",
        "__exception__": True,
        "args": tuple(args),
        "attributes": attributes,
    }


def _is_sendable(value: Any) -> bool:
    try:
        loads(dumps(value))
    except Exception:
        return False
    return True


def restore_exception(data: Mapping[str, Any]) -> BaseException:
    """Rebuild an exception: of its own class where that is imported here, else a RemoteError.

    No module is imported because a peer named it: who wants to catch the class has imported it.
    Only exceptions are made, and no ``__init__`` of the user's is run.
    """
    type_name = str(data.get("__class__", "unknown"))
    args = tuple(data.get("args", ()))
    attributes = dict(data.get("attributes") or {})
    lines = attributes.get(TRACEBACK_ATTRIBUTE) or ()
    traceback_text = "".join(str(line) for line in lines)
    found = _find_exception_class(type_name)
    if found is None or not issubclass(found, Exception):
        message = str(args[0]) if len(args) == 1 else ", ".join(map(str, args))
        return RemoteError(type_name, message, traceback_text)
    try:
        error = found(*args) if found.__module__ == "builtins" else found.__new__(found, *args)
    except Exception:
        return RemoteError(type_name, ", ".join(map(str, args)), traceback_text)
    error.args = args or error.args
    error.__dict__.update({str(name): value for name, value in attributes.items()})
    return error


def _find_exception_class(type_name: str) -> type[BaseException] | None:
    module_name, _, class_name = type_name.rpartition(".")
    module = sys.modules.get(module_name) if module_name else builtins
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    return None
