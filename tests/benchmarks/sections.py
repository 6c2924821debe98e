"""A part of a page that another command writes: it stands between two marks, and is kept."""

from __future__ import annotations

__all__ = ["section_of", "with_section"]


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def section_of(page: str, name: str) -> str:
    """Return what stands between the marks of *name*; empty if there are none."""
    begin, end = _marks(name)
    _, found, rest = page.partition(begin)
    inside, closed, _ = rest.partition(end)
    return inside.strip() if found and closed else ""


def with_section(page: str, name: str, text: str) -> str:
    """Return the page with *text* between the marks of *name*, at the end if it has none."""
    if not text:
        return page
    begin, end = _marks(name)
    block = f"{begin}\n\n{text.strip()}\n\n{end}"
    if not section_of(page, name):
        return f"{page.rstrip()}\n\n{block}\n".lstrip()
    before, _, rest = page.partition(begin)
    return before + block + rest.partition(end)[2]
