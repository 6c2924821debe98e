"""From what serpent, JSON or MessagePack holds to a value: one walk for the three.

Whatever the bytes ask for, nothing is made but plain values, URIs and exceptions; and what the user
has told Pyro5 to make (``register_dict_to_class``).
"""

from __future__ import annotations

import binascii
import contextlib
from collections.abc import Callable
from typing import Any

from remoteobj import _pyro
from remoteobj.codec.leaves import shown
from remoteobj.errors import NotSendable, WireError
from remoteobj.stock.exceptions import restore_exception
from remoteobj.stock.writing import MAX_DEPTH
from remoteobj.uri import URI, join_address

_NESTED = frozenset({dict, list, tuple})
_BASE64_KEYS = {"data", "encoding"}  # the form in which Pyro5's serpent sends bytes


class Reader:
    """One walk over what was read; lists and dicts are changed in place."""

    __slots__ = ("has_base64", "is_raised")

    def __init__(self, *, has_base64: bool, is_raised: bool = False) -> None:
        self.has_base64 = has_base64
        self.is_raised = is_raised
        """Whether it is about an exception that was raised, of which something always arrives."""

    def rebuild(self, value: Any, depth: int = 0) -> Any:
        """Return the value that *value*, inside *depth* containers, stands for."""
        kind = type(value)
        if kind not in _NESTED:
            return value
        if depth >= MAX_DEPTH:
            raise WireError(f"the payload is nested more than {MAX_DEPTH} levels deep")
        if kind is tuple:
            return tuple([self.rebuild(item, depth + 1) for item in value])
        if kind is list:
            for index, item in enumerate(value):
                if type(item) in _NESTED:
                    value[index] = self.rebuild(item, depth + 1)
            return value
        if "__class__" in value:
            return self._rebuild_object(value, depth)
        if self.has_base64 and value.keys() == _BASE64_KEYS and value["encoding"] == "base64":
            with contextlib.suppress(Exception):  # else it is a dict that looks like it
                return binascii.a2b_base64(value["data"])
        for key, item in value.items():
            if type(item) in _NESTED:
                value[key] = self.rebuild(item, depth + 1)
        return value

    def _rebuild_object(self, data: dict[Any, Any], depth: int) -> Any:
        name = data["__class__"]
        try:
            if data.get("__exception__"):
                return restore_exception(
                    data, lambda value: self.rebuild(value, depth + 2), is_raised=self.is_raised
                )
            read = _READERS.get(name) or _pyro.registered_reader(name)
            if read is not None:
                return read(data)
        except (WireError, NotSendable):
            raise
        except Exception as error:
            raise _cannot_rebuild(name) from error
        raise _cannot_rebuild(name)


def _cannot_rebuild(class_name: Any) -> NotSendable:
    return NotSendable(
        f"an object of class {shown(class_name)} arrived, which cannot be rebuilt here: pass and "
        "return plain values (numbers, text, bytes, lists, dicts), or tell Pyro5 how to rebuild it "
        "(Pyro5.api.register_dict_to_class)"
    )


def _read_uri(data: dict[str, Any]) -> URI:
    protocol, object_id, sockname, host, port = data["state"]
    location = f"./u:{sockname}" if sockname else join_address(host, port) if host else None
    return URI(f"{protocol}:{object_id}@{location}" if location else f"{protocol}:{object_id}")


def _read_complex(data: dict[str, Any]) -> complex:
    real, imag = (
        float(part["value"]) if isinstance(part, dict) else part
        for part in (data["real"], data["imag"])
    )
    return complex(real, imag)


_READERS: dict[Any, Callable[[dict[str, Any]], Any]] = {
    _pyro.URI_CLASS: _read_uri,
    _pyro.PROXY_CLASS: lambda data: URI(data["state"][0]),
    "float": lambda data: float(data["value"]),
    "complex": _read_complex,
}
