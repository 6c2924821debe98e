"""Memory with a shape: numpy's arrays and scalars, and memoryviews.

numpy is not needed to import this: who has no value of numpy's never pays for it.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from remoteobj import forks
from remoteobj.codec import leaves, tags
from remoteobj.codec.refusals import Refused
from remoteobj.errors import NotSendable, WireError

if TYPE_CHECKING:
    from remoteobj.codec.reading import Reader
    from remoteobj.codec.writing import Writer

# What numpy itself would read from text is wider: other kinds, lists, objects.
_DTYPE = re.compile(r"[<>|=]?(?:[?biufcSUV]\d+|[qQ]|[mM]8(?:\[\d*[A-Za-z]{1,2}\])?)")
_FORMAT = re.compile("[?bBhHiIlLqQnNfdc]")


def pack_memoryview(writer: Writer, value: memoryview, _: int) -> Any:
    """Pack a memoryview with its format and shape."""
    if not _FORMAT.fullmatch(value.format):
        raise Refused(f"a memoryview of format {value.format!r} cannot be sent: send bytes")
    # What is not contiguous cannot be cast, and is copied; nor can what has a 0 in its shape.
    plain = value.c_contiguous and value.nbytes
    shape: Any = value.shape
    flat = value.cast("B") if plain else memoryview(value.tobytes())
    form = [value.format, list(shape), value.readonly]
    return {tags.MEMORYVIEW: [*form, writer.pack_data(flat)]}


def read_memoryview(reader: Reader, content: Any, _: int) -> memoryview:
    """Read a memoryview of the buffer that came, or of a copy if that may not be written."""
    form, shape, readonly, data = content
    if not _FORMAT.fullmatch(form):
        raise WireError("a memoryview has a format that cannot be")
    flat = reader.data(data)
    if readonly is True:
        flat = flat.toreadonly()
    elif flat.readonly:
        flat = memoryview(bytearray(flat))
    return flat.cast(form, _checked(shape)) if flat.nbytes else flat.cast(form)


def writer_of(kind: type) -> Callable[[Writer, Any, int], Any] | None:
    """Return what writes a value of this class, if the class is numpy's."""
    np = sys.modules.get("numpy")
    if np is None:
        return None
    if kind is np.ndarray:
        return _pack_array
    if issubclass(kind, np.generic) and np.dtype(kind).type is kind:
        return _pack_scalar
    return None


def _pack_dtype(dtype: Any) -> Any:
    if dtype.hasobject or (dtype.names is None and dtype.subdtype is None and dtype.kind == "T"):
        raise Refused(
            f"an array of dtype {dtype} cannot be sent: its data are references; send a list"
        )
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_pack_dtype(base), list(shape)]
    if dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        names = [leaves.pack_text(name) for name in dtype.names]
        offsets = [field[1] for field in fields]
        formats = [_pack_dtype(field[0]) for field in fields]
        return [names, formats, offsets, dtype.itemsize, dtype.isalignedstruct]
    text = dtype.str
    if sys.modules["numpy"].dtype(text).type is not dtype.type:  # long long, where long is as long
        text = text[0] + dtype.char
    if not _DTYPE.fullmatch(text):
        raise Refused(f"an array of dtype {dtype} cannot be sent")
    return text


def _read_dtype(np: Any, told: Any) -> Any:
    if type(told) is str:
        if not _DTYPE.fullmatch(told):
            raise WireError("an array has a dtype that cannot be")
        return np.dtype(told)
    if len(told) == 2:
        return np.dtype((_read_dtype(np, told[0]), _checked(told[1])))
    names, formats, offsets, itemsize, is_aligned = told
    form = {
        "names": [str(name) for name in names],
        "formats": [_read_dtype(np, each) for each in formats],
        "offsets": offsets,
        "itemsize": itemsize,
    }
    return np.dtype(form, align=bool(is_aligned))


def _pack_array(writer: Writer, value: Any, _: int) -> Any:
    np = sys.modules["numpy"]
    dtype = _pack_dtype(value.dtype)
    if value.size and not value.dtype.itemsize:
        raise Refused(f"an array of dtype {value.dtype} cannot be sent: its items have no size")
    flags = value.flags
    order = "C" if flags.c_contiguous or not flags.f_contiguous else "F"
    flat = np.ascontiguousarray(value if order == "C" else value.T).reshape(-1)
    data = memoryview(flat.view(np.uint8)) if flat.nbytes else memoryview(b"")
    form = [dtype, list(value.shape), order, flags.writeable]
    return {tags.ARRAY: [*form, writer.pack_data(data)]}


def _pack_scalar(_: Writer, value: Any, __: int) -> Any:
    np = sys.modules["numpy"]
    if type(value) is np.str_:
        return {
            tags.SCALAR: ["U", leaves.pack_text(str.__getitem__(value, slice(None)))]
        }  # str() drops NULs
    if type(value) is np.bytes_:
        return {tags.SCALAR: ["S", bytes(value)]}
    return {tags.SCALAR: [_pack_dtype(value.dtype), np.asarray(value).tobytes()]}


def _numpy() -> Any:
    try:
        with forks.whole:
            import numpy as np
    except ImportError:
        raise NotSendable("a value of numpy's arrived: install numpy here") from None
    return np


def _checked(shape: Any) -> tuple[int, ...]:
    if type(shape) is list and all(type(size) is int and size >= 0 for size in shape):
        return tuple(shape)
    raise WireError("a shape is some sizes")


def read_array(reader: Reader, content: Any, _: int) -> Any:
    """Read an array: a view of its data, and a copy only if it may be written and they may not."""
    np = _numpy()
    told, shape, order, is_writable, data = content
    sizes = _checked(shape)
    count: int = math.prod(sizes)
    dtype, flat = _read_dtype(np, told), reader.data(data)
    if count * dtype.itemsize != flat.nbytes:
        raise WireError("an array has not the data of its shape")
    if not dtype.itemsize and count:  # which could be any number of them
        raise WireError("an array has items of no size")
    array = np.ndarray(sizes, dtype, flat, order={"C": "C", "F": "F"}[order])
    if is_writable and not array.flags.writeable:
        return array.copy(order="K")
    array.flags.writeable = is_writable is True
    return array


def read_scalar(_: Reader, content: Any, __: int) -> Any:
    """Read a scalar of numpy's."""
    np = _numpy()
    told, data = content
    if told == "U" and type(data) is str:
        return np.str_(data)
    if type(data) is not bytes:
        raise WireError("a scalar has no data")
    if told == "S":
        return np.bytes_(data)
    dtype = _read_dtype(np, told)
    if dtype.itemsize != len(data):
        raise WireError("a scalar has not the data of its type")
    return np.ndarray((), dtype, data).copy()[()]
