"""PEM files, read with care: what they hold, and whether others could read a key."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable

from remoteobj.errors import IdentityUnusable

__all__ = ["ORDER", "read_pem", "refuse_open_key"]

ORDER = "the order is ca, certificate, key"

_MAX_FILE_BYTES = 1024 * 1024
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)


def read_pem(
    path: str, label: str, *, check: Callable[[str, os.stat_result], None] | None = None
) -> list[str]:
    """Return the blocks of a PEM file whose label ends with *label*: at least one."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(_MAX_FILE_BYTES).decode("ascii", "replace")
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise IdentityUnusable(f"cannot read {path} ({reason}); {ORDER}") from error
    blocks = list(_PEM_BLOCK.finditer(text))
    if not blocks:
        raise IdentityUnusable(
            f"{path} is not PEM: it has no '-----BEGIN {label}-----' with an end; convert it with "
            "openssl, or copy it again"
        )
    fitting = [f"{block[0]}\n" for block in blocks if block[1].endswith(label)]
    if not fitting:
        raise IdentityUnusable(f"{path} has a {blocks[0][1]} where a {label} is due; {ORDER}")
    if check is not None:
        check(path, status)
    return fitting


def refuse_open_key(path: str, status: os.stat_result) -> None:
    """Check that others cannot read the key, as ssh does; root's may be readable for a group.

    The group is for what Debian (``ssl-cert``) and containers do, and is PostgreSQL's rule too.
    """
    if sys.platform == "win32":  # ACLs rule there, and the mode says nothing
        return
    mode = stat.S_IMODE(status.st_mode)
    if mode & (0o037 if status.st_uid == 0 else 0o077):
        raise IdentityUnusable(
            f"others can read or change the key {path} (mode {mode:04o}): run 'chmod 600 {path}', "
            "and make a new one if somebody may have read it"
        )
