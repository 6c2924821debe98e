"""A disk that gets full: the beginning of scripts that are told by their standard input."""

from __future__ import annotations

__all__ = ["SMALL_DISK"]

SMALL_DISK = """
import ctypes, os, resource, subprocess, sys
path, kind = sys.argv[1:]
folder = os.path.dirname(path)
filler = os.path.join(folder, "filler")
if kind == "disk":
    if ctypes.CDLL(None).unshare(0x20000) != 0:  # mounts of its own
        sys.exit("may not")
    for command in ("mount --make-rprivate /", f"mount -t tmpfs -o size=2m none {folder}"):
        if subprocess.run(command.split(), stderr=subprocess.DEVNULL).returncode != 0:
            sys.exit("may not")

def fill(most):  # bytes of a file, where that is what is limited
    if kind == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        return
    with open(filler, "wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                pass

def make_room():
    if kind == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    else:
        os.unlink(filler)
"""
"""Its arguments are ``path`` and ``kind``, which is "disk" or "limit"; it ends with "may not" where
this user may mount no disk.
"""
