"""A large object that several slaves need: what the script sends, with and without ``--serve``.

``python -m tests.benchmarks.spread [--mib 64] [--slaves 4]``

The slaves come over TLS on loopback, as from other machines, and all ask at once. The time is from
the first submission to the last answer; slaves, script and what else there is share the CPUs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.certificates import make_cluster

__all__ = ["measure"]

MIB = 1 << 20


def sum_of(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def measure(mib: int, slaves: int, *, serve: bool) -> dict[str, float]:
    """Have each of so many slaves use an object of *mib*; returns who sent how much, in MiB."""
    from masterslave import Farm
    from nameserver import NameServer
    from remoteobj import Identity

    names = [f"slave{number}" for number in range(slaves)]
    with tempfile.TemporaryDirectory(prefix="ro-") as folder:
        files = make_cluster(Path(folder))
        identity = Identity.from_files(*files["master"])
        label = f"bench-{os.getpid()}"
        with (
            NameServer("127.0.0.1", identity=identity, announce=False) as server,
            Farm(
                label,
                local_slaves=0,
                host="127.0.0.1",
                identity=identity,
                nameserver=server.address,
            ) as farm,
        ):
            command = [sys.executable, "-m", "masterslave", "slave", label, "--slots", "1"]
            command += ["--identity", *map(str, files["slave"]), "--nameserver", server.address]
            command += ["--serve", "127.0.0.1"] if serve else []
            environment = {**os.environ, "XDG_RUNTIME_DIR": folder}
            running = [
                subprocess.Popen(
                    [*command, "--name", name], stdout=subprocess.DEVNULL, env=environment
                )
                for name in names
            ]
            try:
                for future in [farm.options(on=name).submit(abs, -1) for name in names]:
                    future.result()
                data = os.urandom(mib * MIB)
                handle = farm.share(memoryview(data))
                start = time.perf_counter()
                futures = [farm.options(on=name).submit(sum_of, handle) for name in names]
                assert {future.result() for future in futures} == {sum_of(data)}
                seconds = time.perf_counter() - start
                told = farm.statistics()
            finally:
                for process in running:
                    process.terminate()
                for process in running:
                    process.wait()
    return {
        "sent_mib": told.shared_bytes_sent / MIB,
        "given_mib": told.shared_bytes_given / MIB,
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--slaves", type=int, default=4)
    options = parser.parse_args()
    for serve in (False, True):
        found = measure(options.mib, options.slaves, serve=serve)
        how = "with" if serve else "without"
        print(
            f"{how} --serve: {options.slaves} slaves, {options.mib} MiB: "
            f"{found['sent_mib']:.1f} MiB sent by the script, {found['given_mib']:.1f} MiB by "
            f"slaves, {found['seconds']:.2f} s"
        )


if __name__ == "__main__":
    main()
