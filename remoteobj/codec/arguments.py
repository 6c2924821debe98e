"""Arguments are values, each with a name for the error message and a depth of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from remoteobj.codec.reading import Reader
from remoteobj.codec.writing import Writer
from remoteobj.errors import NotSendable


def pack_arguments(
    writer: Writer,
    call: str,
    args: Iterable[Any],
    kwargs: dict[str, Any],
    parameters: Sequence[str],
) -> tuple[list[Any], dict[str, Any]]:
    """Pack the arguments of *call*, whose positional parameters have these names, if known."""
    by_place = []
    for index, arg in enumerate(args):
        name = repr(parameters[index]) if index < len(parameters) else str(index + 1)
        writer.where = f"{call} argument {name}"
        by_place.append(writer.pack(arg, 0))
    by_name = {}
    for key, arg in kwargs.items():
        writer.where = f"{call} argument {key!r}"
        by_name[key] = writer.pack(arg, 0)
    writer.where = call
    return by_place, by_name


def unpack_arguments(
    reader: Reader, method: str, args: list[Any], kwargs: dict[str, Any] | None
) -> None:
    """Unpack the arguments of a call of *method* in place.

    Raises:
        NotSendable: One of them is of a class that is not known here.
    """
    index, key = -1, None
    try:
        for index, arg in enumerate(args):
            args[index] = reader.item(arg, -1)
        if kwargs:
            for key, arg in kwargs.items():
                kwargs[key] = reader.item(arg, -1)
    except NotSendable as error:
        name = index + 1 if key is None else repr(key)
        raise NotSendable(f"{method}() argument {name}: {error}") from None
