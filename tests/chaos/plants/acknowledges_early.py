"""A bug that is planted: what waits until a fact is on the disk does not wait."""

import threading
from queue import SimpleQueue

from masterslave.journal.writing import Writer

_called = SimpleQueue()


def _call():
    while True:
        _called.get()()


threading.Thread(target=_call, daemon=True).start()
Writer.after = lambda self, callback: _called.put(callback)
