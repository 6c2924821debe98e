"""What calls are called with, unpacked: of one, or of each item of a span."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import msgspec

from ...lent import LENT, read_lent
from ...packed import BESIDE, DATA, NotData, unpack_value
from .answers import TakenBack, Unable
from .frames import BUNDLED, BUNDLED_STARRED, NOT_DATA, Call

__all__ = ["arguments_of", "items_of"]

_PICKLE = b"\x80"

_read_bundle = msgspec.msgpack.Decoder(list[bytes]).decode


def arguments_of(call: Call, no_code: str) -> Any:
    """Return the ``(args, kwargs)`` of one call.

    Args:
        no_code: Why this slave unpickles nothing, in words that go on after "it"; empty: it does.

    Raises:
        Unable: They could only be unpickled.
        TakenBack: They are not there any more.
    """
    return _unpack(_bytes_of(call), no_code)


def items_of(call: Call, no_code: str) -> Iterator[tuple[int, Any]]:
    """Return the items of a span, numbered from 0 on; raises as ``arguments_of``.

    Where items were packed one by one, what cannot be unpacked raises in its turn, and the next
    ones come all the same.
    """
    packed = _bytes_of(call)
    if call.form in (BUNDLED, BUNDLED_STARRED):
        bundle = _read_bundle(packed)
        if no_code and not all(part[:1] in (DATA, BESIDE) for part in bundle):
            raise _no_data(no_code)  # before any of them has run
        return _Bundle(bundle, no_code)
    return enumerate(_unpack(packed, no_code))


class _Bundle:
    """Items that were packed one by one."""

    def __init__(self, packed: list[bytes], no_code: str) -> None:
        self._packed = iter(enumerate(packed))
        self._no_code = no_code

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return self

    def __next__(self) -> tuple[int, Any]:
        place, packed = next(self._packed)
        (item,) = _unpack(packed, self._no_code)
        return place, item


def _bytes_of(call: Call) -> bytes:
    if not call.arguments.startswith(LENT):
        return call.arguments
    lent = read_lent(call.arguments)
    if lent is None:
        raise TakenBack
    return lent


def _unpack(packed: bytes, no_code: str) -> Any:
    if packed.startswith(_PICKLE) and not no_code:
        return pickle.loads(packed)
    try:
        return unpack_value(packed, data_only=bool(no_code))
    except NotData:
        raise _no_data(no_code) from None


def _no_data(no_code: str) -> Unable:
    return Unable(
        NOT_DATA,
        f"an argument could only be pickled, and this slave {no_code}: give plain data, such as "
        "numbers, texts, lists or arrays",
    )
