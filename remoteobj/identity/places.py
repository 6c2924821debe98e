"""Where identities lie on this account, and which of several clusters is meant.

::

    ~/.config/remoteobj/        $XDG_CONFIG_HOME/remoteobj; on Windows %APPDATA%\\remoteobj
        chosen                  what "nameserver use NAME" has said, for accounts in several
        clusters/lab-3/         one directory for each cluster: see remoteobj.identity.store
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from remoteobj.errors import IdentityUnusable
from remoteobj.identity.clusters import HOW_TO_CHOOSE, check_cluster, chosen_cluster
from remoteobj.identity.private import check_private, locked, read_private, write_private

__all__ = [
    "HOW_TO_PAIR",
    "IDENTITY_FILE",
    "cluster_in_use",
    "config_dir",
    "directory_of",
    "stored_clusters",
    "use_cluster",
]

IDENTITY_FILE: Final = "node.pem"
"""What makes a directory that of a cluster that this account is in."""

HOW_TO_PAIR: Final = (
    "run 'nameserver invite' on the machine that has the name server, and 'nameserver join' here"
)


def config_dir() -> Path:
    """Return this user's directory for remoteobj, whether it exists or not.

    Raises:
        IdentityUnusable: The account has no home: set ``XDG_CONFIG_HOME``.
    Blocks: never.  Threads: any.
    """
    base = os.environ.get("APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME", "")
    if os.path.isabs(base):  # the XDG specification has another value ignored
        return Path(base, "remoteobj")
    try:
        return Path.home() / ".config" / "remoteobj"
    except RuntimeError as error:
        raise IdentityUnusable(
            "this account has no home directory: set XDG_CONFIG_HOME to a directory of its own"
        ) from error


def directory_of(cluster: str) -> Path:
    """Return where a cluster's identity lies, whether there is one or not.

    Raises:
        BadInput: It is no name of a cluster.
    Blocks: never.  Threads: any.
    """
    return config_dir() / "clusters" / check_cluster(cluster)


def stored_clusters() -> list[str]:
    """Return the names of the clusters that this account is in, in alphabetical order.

    Raises:
        IdentityUnusable: The directory may not be read, or others can change it.
    Blocks: on the disk.  Threads: any.
    """
    clusters = config_dir() / "clusters"
    try:
        with os.scandir(clusters) as found:
            names = sorted(one.name for one in found if _is_paired(one.path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise IdentityUnusable(f"cannot read {clusters}: {error.strerror}") from error
    if names:
        for directory in (clusters.parent, clusters):
            check_private(directory, is_secret=False)
    return names


def _is_paired(directory: str) -> bool:
    return os.path.lexists(os.path.join(directory, IDENTITY_FILE))


def cluster_in_use(cluster: str | None = None) -> str:
    """Return which of this account's clusters is meant.

    Args:
        cluster: Its name; None: ``REMOTEOBJ_CLUSTER``, the only one, or the one that was chosen
            with ``nameserver use``, in this order.
    Raises:
        BadInput: It is no name of a cluster.
        IdentityUnusable: This account is not in it, is in none (the message says how to pair), or
            is in several of which none was chosen (the message lists them).
    Blocks: on the disk.  Threads: any.
    """
    named, stored = chosen_cluster(cluster), stored_clusters()
    if named is not None:
        if named in stored:
            return named
        others = f" (it is in {', '.join(stored)})" if stored else ""
        raise IdentityUnusable(f"this account is not in a cluster {named!r}{others}: {HOW_TO_PAIR}")
    if not stored:
        raise IdentityUnusable(
            f"this account is in no cluster: {HOW_TO_PAIR}; where there is none yet, 'nameserver "
            "run' founds one"
        )
    if len(stored) == 1:
        return stored[0]
    chosen = (read_private(config_dir() / "chosen", is_secret=False) or b"").decode().strip()
    if chosen in stored:
        return chosen
    raise IdentityUnusable(
        f"this account is in several clusters ({', '.join(stored)}): run 'nameserver use NAME' "
        f"once, or say which is meant with {HOW_TO_CHOOSE}"
    )


def use_cluster(cluster: str) -> None:
    """Choose which cluster is meant from now on where none is named.

    Raises:
        IdentityUnusable: This account is not in it, or the disk refuses.
    Blocks: on the disk.  Threads: any.
    """
    name = cluster_in_use(check_cluster(cluster))
    with locked(config_dir()):
        write_private(config_dir() / "chosen", f"{name}\n".encode())
