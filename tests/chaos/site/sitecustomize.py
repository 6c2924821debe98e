"""In each process of a chaos run, before anything else; the product knows nothing of it.

* The clock of the day (``time.time``, ``time.time_ns``) goes wrong by what the file CHAOS_CLOCK
  says: a double, in seconds. What asks C for the time (TLS of certificates, SQLite) is not shifted;
  nor is ``time.monotonic``, as on a real machine.
* TCP connections go through the wire at CHAOS_WIRE (``tests.chaos.wire``), which is told by a first
  line where they are to lead: below TLS, where cables are.
* Stacks of all threads are written to CHAOS_STACKS on SIGUSR2.
* CHAOS_PLANT is a file that is run: a bug that was planted.
"""

import os
import sys


def _shift_clock(path):
    import mmap
    import struct
    import time

    with open(path, "rb") as file:
        shift = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    now, now_ns, unpack = time.time, time.time_ns, struct.Struct("<d").unpack_from
    time.time = lambda: now() + unpack(shift)[0]
    time.time_ns = lambda: now_ns() + int(unpack(shift)[0] * 1e9)


def _lead_through_wire(address):
    import socket

    host, port = address.rsplit(":", 1)
    create = socket.create_connection

    def create_connection(target, timeout=None, source_address=None, **more):
        sock = create((host, int(port)), timeout, None, **more)
        name = target[0].decode() if isinstance(target[0], bytes) else target[0]
        sock.sendall(f"{name}:{target[1]}\n".encode())
        return sock

    socket.create_connection = create_connection


def _tell_stacks(folder):
    import faulthandler
    import signal

    handle = os.open(f"{folder}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    faulthandler.register(signal.SIGUSR2, file=handle, all_threads=True)


if "CHAOS_CLOCK" in os.environ:
    _shift_clock(os.environ["CHAOS_CLOCK"])
if "CHAOS_WIRE" in os.environ and {"masterslave", "tests.chaos.script"}.intersection(sys.orig_argv):
    _lead_through_wire(os.environ["CHAOS_WIRE"])
if "CHAOS_STACKS" in os.environ:
    _tell_stacks(os.environ["CHAOS_STACKS"])
if "CHAOS_PLANT" in os.environ:
    with open(os.environ["CHAOS_PLANT"], encoding="utf-8") as plant:
        exec(compile(plant.read(), plant.name, "exec"), {"__name__": "plant"})
