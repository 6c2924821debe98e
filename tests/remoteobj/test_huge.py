"""One call that carries more than the default limit; ``make soak`` makes it 2.4 GB."""

from __future__ import annotations

import os
import subprocess

import pytest
from servants import Connect, StartScript

from remoteobj import NotSendable, Settings, WireError

pytestmark = pytest.mark.serial

HUGE = int(os.environ.get("HUGE_BYTES", str(300 << 20)))
ROOMY = Settings(max_message_bytes=HUGE + (1 << 20))

SERVE = """
import sys, warnings
warnings.simplefilter("ignore")
from remoteobj import Daemon, Settings, expose
@expose
class Store:
    def size(self, value):
        return len(value)
    def make(self, size):
        return bytes(size)
where = {{"host": "127.0.0.1", "insecure": True}} if {is_tcp} else {{}}
daemon = Daemon(**where, settings=Settings(max_message_bytes={limit}))
print(daemon.register(Store()), flush=True)
daemon.start()
sys.stdin.read()
daemon.close()
"""


@pytest.mark.parametrize("is_tcp", [True, False], ids=["tcp", "unix"])
def test_a_huge_value_crosses_or_is_refused_in_words(
    start_script: StartScript, connect: Connect, is_tcp: bool
) -> None:
    code = SERVE.format(is_tcp=is_tcp, limit=ROOMY.max_message_bytes)
    process: subprocess.Popen[str] = start_script("-c", code)
    assert process.stdout is not None
    uri = process.stdout.readline().strip()
    store = connect(uri, settings=ROOMY)
    value = bytes(HUGE)
    assert store.size(value) == HUGE
    assert len(store.make(HUGE)) == HUGE
    careful = connect(uri)
    with pytest.raises(NotSendable, match=r"size\(\) with \d+ bytes.* at most 268435456"):
        careful.size(value)  # nothing is sent
    with pytest.raises(WireError, match=r"\d+ bytes: at most 268435456"):
        careful.make(HUGE)
    assert careful.size(b"x") == 1
    process.communicate(timeout=20)
