"""The agent of a farm's own slave: ``python -P masterslave/launch/agent.py URI``.

It does what ``masterslave slave --farm URI --slots 1 --until-input-ends`` does, and is up in half
the time, for it imports no more than that takes, and has its child started before that: the farm's
script waits for it, while other slaves wait for farms.
"""

from __future__ import annotations

import os
import sys
import threading
import types

if __name__ == "__main__":
    # Neither the package's face nor the farm behind it is needed here.
    _folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    _face = types.ModuleType("masterslave")
    _face.__path__ = [_folder]
    sys.modules["masterslave"] = _face
    sys.path.append(os.path.dirname(_folder))

from masterslave.slave.wires import hold_standard_streams, start_child

__all__ = ["main"]

_LEAVE_S = 3.0


def main(uri: str) -> None:
    """Serve the farm at *uri* until it ends, or standard input does."""
    hold_standard_streams()
    started = start_child()

    import signal
    import socket

    from masterslave.memory import reuse_large_blocks
    from masterslave.protocol.joining import VERSION, Introduction
    from masterslave.slave.children import Child
    from masterslave.slave.link import Link
    from masterslave.slave.processes import become_reaper
    from masterslave.slave.workshop import Workshop
    from remoteobj import URI

    become_reaper()
    reuse_large_blocks()
    first = [started]
    workshop = Workshop(
        1, make_child=lambda *told: Child(*told, started=first.pop() if first else None)
    )
    workshop.open()
    host = socket.gethostname()
    introduction = Introduction(
        VERSION, f"{host}-{os.getpid()}", host, os.getpid(), 1, sys.version_info[:2],
        takes_handlers=True,
    )  # fmt: skip
    link = Link(
        URI(uri),
        workshop,
        introduction,
        patience_s=10.0,
        identity=None,
        report=lambda line: None,
    )

    def leave(*_: object) -> None:
        threading.Thread(target=link.leave_now, daemon=True).start()
        timer = threading.Timer(_LEAVE_S, os._exit, [0])  # the master does not answer
        timer.daemon = True
        timer.start()

    def leave_at_the_end_of_input() -> None:
        while os.read(0, 4096):
            pass
        leave()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the script has heard it, too
    threading.Thread(target=leave_at_the_end_of_input, daemon=True).start()
    serving = threading.Thread(target=link.run, name="link")
    serving.start()
    while serving.is_alive():  # a signal is heeded between waits
        serving.join(0.25)
    workshop.close()


if __name__ == "__main__":
    main(sys.argv[1])
