"""numpy's arrays and scalars arrive as they left, and large data is not copied on the way."""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys
import time
from typing import Any

import msgspec
import numpy as np
import pytest

from remoteobj import NotSendable, WireError
from remoteobj.codec import decode, encode, tags

STRUCTURED = np.dtype(
    [("a", "<i4"), ("b", ">f8", (2, 3)), ("ö", [("c", "U3"), ("when", "M8[ms]")])]
)
DTYPES = [
    *("?", "i1", "<i2", ">i4", "<i8", "u1", ">u8", "f2", ">f4", "f8", "c8", ">c16", "g", "G"),
    *("S5", "U7", ">U2", "V6", "M8[ns]", "M8[25s]", "M8", "m8[D]", ">m8[us]", "q", "Q"),
    *(STRUCTURED, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
]


def filled(shape: tuple[int, ...], dtype: Any) -> Any:
    array = np.zeros(shape, dtype)
    if array.dtype.kind in "iufcmMS" and array.dtype.char not in "gG":
        raw = (np.arange(array.nbytes, dtype=np.uint64) % 100).astype(np.uint8)
        return np.frombuffer(raw.tobytes(), dtype).reshape(shape).copy()
    if array.dtype.char in "gG?":
        return array + np.arange(array.size).reshape(shape).astype(dtype)
    if array.dtype.kind == "U":
        array[...] = "ä€"
    return array


def same(one: Any, other: Any) -> bool:
    assert type(one) is type(other)
    assert one.dtype == other.dtype
    assert one.dtype.type is other.dtype.type
    assert one.shape == other.shape
    if one.dtype.char in "gG" or one.dtype.isalignedstruct:  # what is between values is not sent
        return repr(one) == repr(other) and one.tolist() == other.tolist()
    return bool(one.tobytes() == other.tobytes())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 0, 2), (4, 5), (40, 60)], ids=str)
def test_every_dtype_in_every_shape(dtype: Any, shape: tuple[int, ...]) -> None:
    array = filled(shape, dtype)
    for sent in (array, np.asfortranarray(array), array[..., None][::2], array.T):
        for buffers in (None, []):
            arrived = decode(encode([sent], buffers), buffers or ())[0]
            assert same(arrived, sent)
            if sent.flags.f_contiguous or sent.flags.c_contiguous:
                assert arrived.flags.f_contiguous == sent.flags.f_contiguous
            assert arrived.flags.c_contiguous or arrived.flags.f_contiguous
            assert arrived.dtype.isalignedstruct == sent.dtype.isalignedstruct
    scalar = filled((1,), dtype)[0]
    assert same(decode(encode({1: scalar}))[1], scalar)


@pytest.mark.parametrize(
    "scalar",
    [np.str_("a\0"), np.str_(""), np.str_("\ud800"), np.bytes_(b"b\0"), np.bool_(True)],
    ids=repr,
)
def test_scalars_that_are_text(scalar: Any) -> None:
    arrived = decode(encode(scalar))
    assert type(arrived) is type(scalar)
    assert arrived == scalar


def test_may_be_written_if_it_might() -> None:
    array = np.arange(1000.0)
    for data in (encode(array), encode(np.arange(3))):
        decode(data)[0] = 5
    array.flags.writeable = False
    assert not decode(encode(array)).flags.writeable
    buffers: list[Any] = []
    data = encode(array, buffers)
    assert not decode(data, [bytearray(buffers[0])]).flags.writeable


def test_large_data_is_not_copied_on_either_side() -> None:
    array, fortran = np.arange(1000.0), np.asfortranarray(np.ones((50, 60)))
    raw, grows = bytes(4096), bytearray(5000)
    buffers: list[Any] = []
    data = encode([array, fortran, raw, grows, memoryview(raw), bytes(4095)], buffers)
    assert len(buffers) == 5
    assert len(data) < 4400
    assert np.shares_memory(np.frombuffer(buffers[0]), array)
    assert np.shares_memory(np.frombuffer(buffers[1]), fortran)
    assert buffers[2].obj is raw
    assert buffers[3].obj is grows
    received = [bytearray(buffers[0]), bytearray(buffers[1]), bytes(buffers[2])]
    received += [bytearray(buffers[3]), memoryview(raw)]
    arrived = decode(data, received)
    assert np.shares_memory(arrived[0], np.frombuffer(received[0]))
    assert np.shares_memory(arrived[1], np.frombuffer(received[1]))
    assert arrived[0].flags.writeable
    assert arrived[2] is received[2]
    assert arrived[3] is received[3]
    assert np.shares_memory(np.frombuffer(arrived[4], np.uint8), np.frombuffer(raw, np.uint8))
    assert same(arrived[0], array)
    assert same(arrived[1], fortran)


def shared_memory(data: bytes) -> list[Any]:
    """What large data may arrive in beside bytes and bytearrays: views of a mapping."""
    private = mmap.mmap(-1, len(data), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    private[:] = data
    array = (ctypes.c_ubyte * len(data)).from_buffer_copy(data)
    return [memoryview(private), memoryview(private)[:], array, memoryview(array)]


@pytest.mark.parametrize("kind", range(4))
def test_shared_memory_is_used_as_it_is_for_as_long_as_it_is_needed(kind: int) -> None:
    array, buffers = np.arange(1000.0), []
    data = encode([array, memoryview(array)], buffers)
    received = [shared_memory(bytes(buffer))[kind] for buffer in buffers]
    arrived, view = decode(data, received)
    address = np.frombuffer(received[0], np.uint8).ctypes.data
    del received
    assert arrived.ctypes.data == address
    assert arrived.flags.writeable
    arrived += 1
    assert same(arrived, array + 1)
    assert (view.format, view.tolist()) == ("d", array.tolist())
    view[0] = 5.0


@pytest.mark.parametrize("kind", range(4))
def test_bytes_and_bytearrays_are_copied_from_shared_memory(kind: int) -> None:
    buffers: list[Any] = []
    data = encode([bytes(4096), bytearray(b"x" * 5000)], buffers)
    received = [shared_memory(bytes(buffer))[kind] for buffer in buffers]
    arrived = decode(data, received)
    assert arrived == [bytes(4096), bytearray(b"x" * 5000)]
    assert list(map(type, arrived)) == [bytes, bytearray]
    np.frombuffer(received[0], np.uint8)[:] = 1
    assert arrived[0] == bytes(4096)


def packed_array(dtype: Any, shape: list[int], data: bytes) -> bytes:
    return msgspec.msgpack.encode({tags.ARRAY: [dtype, shape, "C", True, data]})


@pytest.mark.parametrize("data", [b"", bytes(23), bytes(25), bytes(32)], ids=len)
def test_an_array_has_exactly_the_data_of_its_shape(data: bytes) -> None:
    assert decode(packed_array("<f8", [3], bytes(24))).tolist() == [0, 0, 0]
    with pytest.raises(WireError, match="not the data of its shape"):
        decode(packed_array("<f8", [3], data))
    with pytest.raises(WireError, match="not the data of its type"):
        decode(msgspec.msgpack.encode({tags.SCALAR: ["<f8", data]}))


@pytest.mark.parametrize("dtype", ["O", "|O8", "O8", "i4,i4", "(2,)i4", "f8,", "float64", "", "T"])
def test_a_dtype_is_not_read_as_numpy_would(dtype: str) -> None:
    for size in (0, 4, 8, 16):
        with pytest.raises(WireError, match="a dtype that cannot be"):
            decode(packed_array(dtype, [1], bytes(size)))
        with pytest.raises(WireError, match="a dtype that cannot be"):
            decode(msgspec.msgpack.encode({tags.SCALAR: [dtype, bytes(size)]}))
        structured = [["a"], [dtype], [0], 8, False]
        with pytest.raises(WireError, match="a dtype that cannot be"):
            decode(packed_array(structured, [1], bytes(8)))


def test_items_of_no_size_could_be_any_number_of_them() -> None:
    before = time.perf_counter()
    with pytest.raises(WireError, match="items of no size"):
        decode(packed_array("V0", [10**9], b""))
    assert time.perf_counter() - before < 0.5
    with pytest.raises(NotSendable, match="its items have no size"):
        encode(np.zeros(3, "V0"))
    assert decode(encode(np.zeros((0, 5), "V0"))).shape == (0, 5)


def test_missing_and_wrong_buffers_are_errors() -> None:
    buffers: list[Any] = []
    data = encode([np.arange(1000.0), bytes(5000)], buffers)
    first, second = map(bytes, buffers)
    wrong: list[tuple[Any, ...]] = [
        *((), (first,), (second, first), (first, second, b""), (first[:-1], second)),
        *((first, second + b"x"), ("text", second), (None, None)),
    ]
    for given in wrong:
        with pytest.raises(WireError):
            decode(data, given)
    with pytest.raises(WireError):
        decode(encode(1), [b""])
    twice = msgspec.msgpack.encode([{tags.BUFFER: [0, 5000, 1]}, {tags.BUFFER: [0, 5000, 1]}])
    with pytest.raises(WireError, match="buffer 0"):
        decode(twice, [second])


@pytest.mark.parametrize(
    "value", [{"a": bytes(5000), 1: 2}, [bytes(5000), "\ud800"]], ids=["keys", "text"]
)
def test_what_is_walked_twice_leaves_its_buffers_once(value: Any) -> None:
    buffers: list[Any] = [memoryview(b"of the caller's")]
    data = encode(value, buffers)
    assert len(buffers) == 2
    with pytest.raises(WireError):
        decode(data, buffers[1:])  # numbered within the list that was given
    with pytest.raises(NotSendable):
        encode([bytes(5000), object()], buffers)
    assert len(buffers) == 2
    alone: list[Any] = []
    assert decode(encode(value, alone), alone) == value
    assert len(alone) == 1


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]),
        np.zeros(2, [("a", "i4"), ("b", "O")]),
        np.ma.masked_array([1, 2], [True, False]),
        np.rec.array([(1, 2)]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_and_subclasses_of_arrays_are_refused(value: Any) -> None:
    with pytest.raises(NotSendable, match="cannot be sent"):
        encode(value)


def test_numpy_is_not_imported_for_the_sake_of_other_values() -> None:
    code = (
        "import sys; from remoteobj.codec import encode, decode\n"
        "decode(encode([1, (2,), bytearray(5), {3}]))\n"
        "print({'numpy', 'fractions', 'zoneinfo', 'attr'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
