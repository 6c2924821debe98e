"""The one door to Pyro5: its object model, and what its peers are called on the wire.

Importing Pyro5 has side effects: an unknown ``PYRO_*`` variable raises, and its logger is silenced
for the whole process. Both are undone here, and the variables that Pyro5 knows still set its
configuration, so that a user's own use of Pyro5 stays as it is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any


def _import_pyro() -> tuple[Any, Any]:
    fresh = "Pyro5" not in sys.modules
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYRO_")}
    level = logging.getLogger("Pyro5").level
    try:
        import Pyro5.serializers
        import Pyro5.server

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
    return Pyro5.server, Pyro5.serializers


_server, _serializers = _import_pyro()
_serializer = _serializers.SerializerBase

expose: Callable[[Any], Any] = _server.expose
oneway: Callable[[Any], Any] = _server.oneway
behavior: Callable[..., Callable[[Any], Any]] = _server.behavior

DAEMON_ID = "Pyro.Daemon"
SERPENT = 1
SERIALIZER_NAMES = {1: "serpent", 2: "marshal", 3: "json", 4: "msgpack"}

URI_CLASS = "Pyro5.core.URI"
PROXY_CLASS = "Pyro5.client.Proxy"
"""What Pyro5 writes in place of its own objects."""

NO_SUCH_OBJECT = "there is no object"
"""How our daemon's answer begins where a peer asks for an id that it does not publish."""

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


def registered_writer(value: Any) -> Callable[[Any], dict[str, Any]] | None:
    """Return what Pyro5 was told to describe *value* with (``register_class_to_dict``), if any."""
    known: dict[type, Any] = _serializer._SerializerBase__custom_class_to_dict_registry
    return next((write for cls, write in [*known.items()] if isinstance(value, cls)), None)


def registered_reader(class_name: str) -> Callable[[dict[str, Any]], Any] | None:
    """Return what Pyro5 was told to rebuild a class with (``register_dict_to_class``), if any."""
    known: dict[str, Any] = _serializer._SerializerBase__custom_dict_to_class_registry
    read = known.get(class_name)
    return None if read is None else partial(read, class_name)


def says_object_unknown(answer: Any) -> bool:
    """Tell whether a daemon, ours or Pyro5's, refused a caller because it has no such object."""
    return any(words in str(answer) for words in (NO_SUCH_OBJECT, "unknown object"))
