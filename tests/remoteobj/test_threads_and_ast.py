"""Messages are read by many threads at once, which CPython's ``ast`` does not always stand."""

from __future__ import annotations

from tests.conftest import StartScript

DISTURB = """
import gc, sys, threading
from remoteobj.stock import FORMATS

gc.callbacks.append(lambda *_: [number for number in range(200)])  # runs Python code in mid-ast
gc.set_threshold(20)
sys.setswitchinterval(1e-6)
value = {"rows": [(number, str(number), {"key": [number]}) for number in range(60)]}
data = FORMATS[1].dumps(value)
right = []

def read():
    for _ in range(100):
        right.append(FORMATS[1].loads(data) == value)

threads = [threading.Thread(target=read) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(right), all(right))
"""


def test_messages_are_read_whatever_other_threads_do(start_script: StartScript) -> None:
    out, err = start_script("-c", DISTURB).communicate(timeout=60)
    assert (out, err) == ("600 True\n", "")
