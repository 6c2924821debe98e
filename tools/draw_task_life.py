"""Write docs/life-of-a-task.md from the scheduler's table; ``--check`` says whether it is stale."""

from __future__ import annotations

import sys
from pathlib import Path

from masterslave.scheduler import transitions

PAGE = Path(__file__).parents[1] / "docs" / "life-of-a-task.md"


def page() -> str:
    """Return the page as it has to be."""
    rules = (transitions.__doc__ or "").partition("The rules in words:")[2].strip()
    return (
        "# The life of a task\n\n"
        "Written by `make docs` from the table in `masterslave/scheduler/transitions.py`.\n\n"
        f"{rules}\n\n```mermaid\n{transitions.draw()}```\n\n"
        "A task runs *at least* once, and its answer is recorded *exactly* once. What is promised\n"
        "about every step is in `masterslave/scheduler/promises/`, one function a promise. All\n"
        "are checked under random weather, and in simulated farms of thousands of slaves:\n\n"
        "```python\n"
        "from masterslave.testing import SimFarm\n\n"
        "print(SimFarm(7, slaves=100, tasks=1_000).run())  # the seed decides all that happens\n"
        "```\n"
    )


def main() -> int:
    """Write the page, or check it; the exit code is 1 if it is stale."""
    if "--check" in sys.argv:
        stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page()
        print(f"{PAGE.name} is {'stale: run make docs' if stale else 'as the table says'}")
        return int(stale)
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
