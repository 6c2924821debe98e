"""Systems that carry bytes and nothing else: pyzmq and grpcio's generic handlers."""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.benchmarks.echo import Client

__all__ = ["GrpcClient", "ZmqClient", "serve_grpc", "serve_zmq"]

_GRPC_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each client
    ("grpc.enable_http_proxy", 0),
]


class BytesOnly(Client):
    def echo(self, value: Any) -> Any:
        return pickle.loads(self.echo_bytes(pickle.dumps(value, 5)))


@contextlib.contextmanager
def serve_zmq(_family: str, _folder: Path) -> Iterator[str]:
    import zmq

    socket = zmq.Context().socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    def run() -> None:
        while True:
            socket.send(socket.recv(copy=False), copy=False)

    threading.Thread(target=run, daemon=True).start()
    yield f"tcp://127.0.0.1:{port}"


class ZmqClient(BytesOnly):
    def __init__(self, address: str) -> None:
        import zmq

        self._socket = zmq.Context.instance().socket(zmq.REQ)
        self._socket.linger = 0
        self._socket.connect(address)

    def echo_bytes(self, data: Any) -> Any:
        self._socket.send(data, copy=False)
        return self._socket.recv(copy=False).buffer

    def echo_array(self, array: Any) -> Any:
        import numpy as np

        return np.frombuffer(self.echo_bytes(array), array.dtype)


@contextlib.contextmanager
def serve_grpc(_family: str, _folder: Path) -> Iterator[str]:
    import grpc

    server = grpc.server(ThreadPoolExecutor(16), options=_GRPC_OPTIONS)
    handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("bench", {"echo": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


class GrpcClient(BytesOnly):
    def __init__(self, address: str) -> None:
        import grpc

        self._channel = grpc.insecure_channel(address, options=_GRPC_OPTIONS)
        self.echo_bytes = self._channel.unary_unary("/bench/echo")
