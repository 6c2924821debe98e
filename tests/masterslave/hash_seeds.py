"""What is the same in every process, whatever the order of its sets."""

from __future__ import annotations

import os
import subprocess
import sys

__all__ = ["printed_with_hash_seeds"]


def printed_with_hash_seeds(program: str) -> set[str]:
    """Return what a program prints in processes with different hash seeds: one text, or several."""
    return {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
