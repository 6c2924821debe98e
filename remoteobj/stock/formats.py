"""The formats that stock Pyro5 peers speak: serpent, JSON and MessagePack; marshal is none of them.

::

    value -- Writer, with the format's Form --> plain tree -- repr, json, msgspec --> bytes
    value <------------ Reader ---------------- plain tree <- literals, json, msgspec -- bytes

What a value is when it arrives is the table in ``tests/remoteobj/test_stock_formats.py``. The bytes
may come from anyone: whatever they are, they give a value, WireError or NotSendable.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from remoteobj.codec.refusals import Refused
from remoteobj.errors import NotSendable, WireError
from remoteobj.stock import forms
from remoteobj.stock.exceptions import pack_raised
from remoteobj.stock.literals import read_literal
from remoteobj.stock.reading import Reader
from remoteobj.stock.writing import MAX_DEPTH, Form, Writer

__all__ = ["FORMATS", "Call", "Data", "Format", "decompress", "parse_batch"]

Data = bytes | bytearray | memoryview
Call = tuple[str, Sequence[Any], Mapping[str, Any]]
"""One call of a batch: method, args, kwargs."""

_BATCH = "<batch>"
_OF_ATTRIBUTES = ("__getattr__", "__setattr__")
_WRAPPER = "Pyro5.core._ExceptionWrapper"


class Format:
    """One way to write values as bytes, and to read them.

    Attributes:
        number: What stands for it in the header of a message.
        name: What Pyro5 calls it.

    Threads: any.
    """

    number: int
    name: str
    _forms: tuple[Form, ...]
    _reader = Reader(has_base64=False)
    _reader_of_raised = Reader(has_base64=False, is_raised=True)

    def dumps(self, value: Any, *, where: str = "value") -> bytes:
        """Write a value.

        Args:
            value: What to send.
            where: What it is, for the error message.
        Raises:
            NotSendable: Something in it has no form in this format; the message names it.
        """
        return self._dump(where, lambda writer: writer.pack(value, 0))

    def loads(self, data: Data) -> Any:
        """Read what ``dumps`` or a stock Pyro5 peer wrote.

        Raises:
            WireError: The bytes are not of this format.
            NotSendable: They hold an object of a class that cannot be rebuilt here.
        """
        return self._load(data, self._reader.rebuild)

    def loads_error(self, data: Data) -> Any:
        """Read an exception that was raised: it is a RemoteError where its class is not known.

        Raises:
            WireError: The bytes are not of this format.
            NotSendable: They hold no exception, but an object that cannot be rebuilt here.
        """
        return self._load(data, self._reader_of_raised.rebuild)

    def loads_plain(self, data: Data) -> Any:
        """Read it, but make no objects: for who has not been let in yet.

        Raises:
            WireError: The bytes are not of this format.
        """
        return self._load(data, lambda tree: tree)

    def dumps_call(
        self, object_id: str, method: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None
    ) -> bytes:
        """Write a call, as Pyro5 lays it out; errors as in ``dumps``."""

        def pack(writer: Writer) -> Any:
            packed = None if kwargs is None else writer.pairs(kwargs, 1)
            return self._lay_out(object_id, method, tuple(writer.items(args, 1)), packed)

        return self._dump(f"{method}() arguments", pack)

    def loads_call(self, data: Data) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        """Read a call: the object's id, the method, args and kwargs.

        Raises:
            WireError: The bytes are not of this format, or no call.
            NotSendable: An argument is an object of a class that cannot be rebuilt here.
        """
        match self._parts_of(self.loads(data)):
            case [str() as object_id, str() as method, list() | tuple() as args, kwargs]:
                return object_id, method, args, _checked_kwargs(kwargs)
        raise WireError("the payload is not a call")

    def head_of_call(self, data: Data) -> tuple[str, list[tuple[str, str]]]:
        """Read of a call, or a batch, whom it is for; no object is made of an argument.

        Returns:
            The object's id; and the methods, with the name of the attribute where one is about one.

        Raises:
            WireError: The bytes are not of this format, or no call.
        """
        match self._parts_of(self.loads_plain(data)):
            case [str() as object_id, "<batch>", list() | tuple() as args, _]:
                return object_id, [(method, "") for method, _, _ in parse_batch(args)]
            case [str() as object_id, str() as method, list() | tuple() as args, _]:
                name = args[0] if method in _OF_ATTRIBUTES and args else ""
                return object_id, [(method, name if isinstance(name, str) else "")]
        raise WireError("the payload is not a call")

    def dumps_batch(self, object_id: str, calls: Iterable[Call]) -> bytes:
        """Write several calls of one object's methods as one call; errors as in ``dumps``."""
        return self.dumps_call(object_id, _BATCH, [tuple(call) for call in calls], None)

    def dumps_error(self, error: BaseException) -> bytes:
        """Write an exception that was raised, with its traceback; this never fails."""
        return self._dump("error", lambda writer: self._pack_error(writer, error, 0))

    def dumps_batch_results(self, results: Sequence[Any], error: BaseException | None) -> bytes:
        """Write the answer to a batch: results, then the error of the call that ended it, if any.

        A result that has no form in this format ends it, too.
        """
        try:
            return self._dump_results(results, error)
        except NotSendable:
            pass
        for index, result in enumerate(results):
            where = f"call {index + 1} of the batch has run, but its result stays here"
            try:
                self._dump(where, lambda writer, result=result: writer.pack(result, 1))  # type: ignore[misc]
            except NotSendable as refused:
                after = len(results) - index - 1 + (error is not None)
                if after:
                    refused.add_note(f"calls of the batch that have run after it: {after}")
                return self._dump_results(results[:index], refused)
        return self._dump_results([], NotSendable("the results of the batch stay here"))

    def _dump_results(self, results: Sequence[Any], error: BaseException | None) -> bytes:
        def pack(writer: Writer) -> Any:
            packed = writer.items(results, 0)
            if error is not None:
                packed.append(
                    {"__class__": _WRAPPER, "exception": self._pack_error(writer, error, 2)}
                )
            return packed

        return self._dump("results", pack)

    def loads_batch_results(self, data: Data) -> tuple[list[Any], BaseException | None]:
        """Read the answer to a batch: results, then the error of the call that ended it, or None.

        Raises:
            WireError: The bytes are not of this format, or no such answer.
            NotSendable: A result is an object of a class that cannot be rebuilt here.
        """
        return self._load(data, self._read_results)  # type: ignore[no-any-return]

    def _read_results(self, tree: Any) -> tuple[list[Any], BaseException | None]:
        if not isinstance(tree, list | tuple):
            raise WireError("the payload is not the answer to a batch")
        results: list[Any] = []
        for item in tree:
            match item:
                case {"__class__": "Pyro5.core._ExceptionWrapper", "exception": wrapped}:
                    error = self._reader_of_raised.rebuild(wrapped, 2)
                    if isinstance(error, BaseException):
                        return results, error
                    raise WireError("the answer to a batch ends with an error that is none")
            results.append(self._reader.rebuild(item, 1))
        return results, None

    def _dump(self, where: str, pack: Callable[[Writer], Any]) -> bytes:
        try:
            for form in self._forms[:-1]:
                with contextlib.suppress(UnicodeEncodeError, OverflowError):
                    return self._encode(pack(Writer(form)))
            return self._encode(pack(Writer(self._forms[-1])))
        except NotSendable:
            raise
        except Refused as refused:
            raise NotSendable(refused.told(where)) from refused.__cause__
        except RecursionError:
            raise NotSendable(f"{where}: it is nested too deeply") from None
        except Exception as error:  # too many digits, changed meanwhile, ...
            raise NotSendable(f"{where}: it cannot be sent as {self.name}: {error}") from error

    def _pack_error(self, writer: Writer, error: BaseException, depth: int) -> dict[str, Any]:
        packed = pack_raised(writer, error, depth)
        try:
            self._encode(packed)
        except (UnicodeEncodeError, OverflowError):  # the next form will do
            raise
        except Exception as why:  # an int of 5,000 digits among its args
            text = f"{type(error).__qualname__} was raised, but cannot be sent: {why}"
            return pack_raised(writer, NotSendable(text), depth)
        return packed

    def _load(self, data: Data, rebuild: Callable[[Any], Any]) -> Any:
        try:
            return rebuild(self._decode(data))
        except (WireError, NotSendable):
            raise
        except RecursionError:
            raise WireError("the payload is nested too deeply") from None
        except Exception as error:  # ValueError, TypeError, MemoryError, ...: a peer's bytes
            raise WireError(f"the payload is not {self.name}: {type(error).__name__}") from error

    def _lay_out(self, *parts: Any) -> Any:
        return parts

    def _parts_of(self, call: Any) -> Any:
        return call

    def _encode(self, tree: Any) -> bytes:
        raise NotImplementedError

    def _decode(self, data: Data) -> Any:
        raise NotImplementedError


class _Serpent(Format):
    number = 1
    name = "serpent"
    _forms = (forms.SERPENT,)
    _reader = Reader(has_base64=True)
    _reader_of_raised = Reader(has_base64=True, is_raised=True)

    def _encode(self, tree: Any) -> bytes:
        return b"# serpent utf-8 python3.2\n" + repr(tree).encode()

    def _decode(self, data: Data) -> Any:
        return read_literal(data, MAX_DEPTH)


class _Json(Format):
    number = 3
    name = "json"
    _forms = (forms.JSON,)

    def _encode(self, tree: Any) -> bytes:
        try:
            return json.dumps(tree, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # lone surrogates
            return json.dumps(tree).encode()

    def _decode(self, data: Data) -> Any:
        return json.loads(str(data, "utf-8"))

    def _lay_out(self, *parts: Any) -> Any:
        return dict(zip(_CALL_IN_JSON, parts, strict=True))

    def _parts_of(self, call: Any) -> Any:
        return [call.get(key) for key in _CALL_IN_JSON] if isinstance(call, dict) else None


_CALL_IN_JSON = ("object", "method", "params", "kwargs")


class _Msgpack(Format):
    number = 4
    name = "msgpack"
    _forms = (forms.MSGPACK, forms.MSGPACK_CAREFULLY)

    def _encode(self, tree: Any) -> bytes:
        return _pack(tree)

    def _decode(self, data: Data) -> Any:
        return _unpack(data)


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ext_hook=forms.read_ext).decode

FORMATS: dict[int, Format] = {each.number: each for each in (_Serpent(), _Json(), _Msgpack())}
"""The formats by their number."""


def _checked_kwargs(kwargs: Any) -> dict[str, Any]:
    if kwargs is None:
        return {}
    if not isinstance(kwargs, dict) or not all(type(name) is str for name in kwargs):
        raise WireError("the payload is a call, but its keyword arguments are none")
    return kwargs


def parse_batch(args: Any) -> list[tuple[str, Sequence[Any], dict[str, Any]]]:
    """Read the args of a call that has the flag BATCH: each call's method, args and kwargs.

    Raises:
        WireError: They are no calls.
    """
    calls: list[tuple[str, Sequence[Any], dict[str, Any]]] = []
    for call in args:
        match call:
            case [str() as method, list() | tuple() as own_args, kwargs]:
                calls.append((method, own_args, _checked_kwargs(kwargs)))
            case _:
                raise WireError("the payload is a batch, but not of calls")
    return calls


def decompress(data: Data, max_bytes: int) -> bytes:
    """Unpack a payload that has the flag COMPRESSED (zlib).

    Args:
        data: The payload as it came.
        max_bytes: How large it may become; no more memory than for that is taken.

    Raises:
        WireError: It is larger, or not compressed at all.
    """
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise WireError(f"the payload cannot be decompressed: {error}") from error
    if len(plain) > max_bytes:
        raise WireError(f"the payload has more than {max_bytes} bytes when it is decompressed")
    if not unpacker.eof or unpacker.unused_data:
        raise WireError("the payload cannot be decompressed: it ends too early or too late")
    return plain
