"""Systems that call methods of objects: Pyro5, RPyC and multiprocessing.managers."""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.echo import Calling, Client, Echo

__all__ = [
    "ManagerClient",
    "PyroClient",
    "RpycClient",
    "SerpentClient",
    "serve_manager",
    "serve_pyro",
    "serve_rpyc",
]


@contextlib.contextmanager
def serve_pyro(family: str, folder: Path) -> Iterator[str]:
    from Pyro5.api import Daemon, expose

    options = {"unixsocket": str(folder / "pyro.sock")} if family == "unix" else {}
    daemon = Daemon(host="127.0.0.1", **options)
    uri = daemon.register(expose(Echo)(), "echo")
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    yield str(uri)
    daemon.shutdown()


class PyroClient(Calling):
    """Calls by the serializer of its class."""

    serializer = "msgpack"

    def __init__(self, address: str) -> None:
        from Pyro5 import api, config

        config.SERIALIZER = self.serializer
        super().__init__(api.Proxy(address))

    def echo_bytes(self, data: bytes) -> Any:
        answer = self.echo(data)
        if isinstance(answer, dict):  # serpent carries bytes as text
            import serpent

            return serpent.tobytes(answer)
        return answer

    def batch(self, values: list[int]) -> list[int]:
        from Pyro5.api import BatchProxy

        batch = BatchProxy(self.target)
        for value in values:
            batch.echo(value)
        return list(batch())


class SerpentClient(PyroClient):
    serializer = "serpent"


@contextlib.contextmanager
def serve_rpyc(_family: str, _folder: Path) -> Iterator[str]:
    import rpyc
    from rpyc.utils.server import ThreadedServer

    class EchoService(rpyc.Service):
        def exposed_echo(self, value: Any) -> Any:
            return value

    server = ThreadedServer(EchoService, hostname="127.0.0.1", port=0)
    threading.Thread(target=server.start, daemon=True).start()
    yield str(server.port)
    server.close()


class RpycClient(Client):
    """Records go by hand: RPyC would leave them where they are and send references."""

    def __init__(self, address: str) -> None:
        import rpyc

        self._connection = rpyc.connect("127.0.0.1", int(address))
        self._echo = self._connection.root.echo

    def echo(self, value: Any) -> Any:
        if isinstance(value, list):
            return pickle.loads(self._echo(pickle.dumps(value, 5)))
        return self._echo(value)


@contextlib.contextmanager
def serve_manager(family: str, folder: Path) -> Iterator[str]:
    address: Any = str(folder / "manager.sock") if family == "unix" else ("127.0.0.1", 0)
    server = _manager(address).get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.address if family == "unix" else f"127.0.0.1:{server.address[1]}"


def _manager(address: Any) -> Any:
    from multiprocessing.managers import BaseManager

    class EchoManager(BaseManager):
        pass

    EchoManager.register("make_echo", Echo, exposed=("echo",))
    return EchoManager(address, authkey=b"of this benchmark")


class ManagerClient(Calling):
    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._manager = _manager((host, int(port)) if host else address)
        self._manager.connect()
        super().__init__(self._manager.make_echo())

    def echo_array(self, array: Any) -> Any:
        return self.echo(array)
