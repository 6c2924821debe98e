"""A story as lines for people. What others have written in it is shown, and does nothing else."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

from masterslave.printed import show_text
from masterslave.protocol.outcomes import PostMortem
from masterslave.stories.finding import in_run
from masterslave.stories.story import Step, Story

__all__ = ["post_mortem_in_words", "story_in_words"]

_INSIDE, _DEEPER = "    ", "      "


def story_in_words(story: Story) -> Iterator[str]:
    """Return the lines."""
    what = f"{story.function}()" if story.function else "a function that is not known"
    item = ", an item of a map" if story.is_item else ""
    task = f"task {in_run(story.number)} of farm {story.label!r}"
    yield show_text(f"{task}: {what}{item}: {story.state}")
    key = f"key {story.key}" if story.key else "without a key"
    yield show_text(f"number {story.number}, {key}", "  ")
    if story.run is not None:
        run = story.run
        began = f"run {run.run} began {_moment(run.began)}, on {run.host} (pid {run.pid})"
        yield show_text(f"{began}, Python {run.python}", "  ")
    for number in story.other_runs:
        yield f"  the same task is {in_run(number)} in another run"
    losses = sum(step.what == "lost" for step in story.steps)
    for step in story.steps:
        if step.what == "given up" and losses:  # what it says was said
            yield f"  given up after {losses} hand-outs that were lost"
        else:
            yield from _step_in_words(step)
    kept = story.arguments
    if kept.place is not None:
        yield "  its arguments are kept: 'masterslave replay' runs it again"
    elif story.state not in ("done", "waiting", "out"):
        yield show_text(f"its arguments are not kept: {kept.why_not}", "  ")


def _step_in_words(step: Step) -> Iterator[str]:
    at = f"{_moment(step.at)} " if step.at else ""
    where = step.slave + (f" on {step.host}" if step.host else "") if step.slave else ""
    match step.what:
        case "submitted":
            words = "submitted"
        case "handed out":
            others = f", with {step.with_others - 1} others" if step.with_others > 1 else ""
            words = f"{at}handed out to {where or 'a slave'}, attempt {step.attempt}{others}"
        case "lost":
            words = f"{at}attempt {step.attempt} was lost at {where or 'a slave'}: {step.reason}"
        case "done":
            words = f"done by {where or 'a slave'} in {step.seconds:.3g} s: {step.value}"
        case "retried":
            words = f"{at}raised at {where or 'a slave'} after {step.seconds:.3g} s, and was run "
            words += f"again: {step.error}"
        case "raised":
            words = f"raised at {where or 'a slave'} after {step.seconds:.3g} s: {step.error}"
        case _:
            words = f"{step.what}: {step.error}" if step.error else step.what
    first, *rest = words.split("\n")
    yield show_text(first, "  ")
    yield from (show_text(line, _INSIDE) for line in rest)
    if step.post_mortem is not None:
        yield from post_mortem_in_words(step.post_mortem)
    known = [step.error.partition(": ")[2].strip()]
    known += [step.post_mortem.stacks.strip()] if step.post_mortem is not None else []
    if step.traceback.strip() and step.traceback.strip() not in known:
        yield show_text(step.traceback.rstrip("\n"), _INSIDE)


def post_mortem_in_words(mortem: PostMortem) -> Iterator[str]:
    """Return what a post-mortem knows beside how it was in a line."""
    if mortem.pid:
        ran = f" had run it for {mortem.seconds:.3g} s" if mortem.task >= 0 else " ran nothing"
        yield f"{_INSIDE}process {mortem.pid}{ran}"
    code = mortem.exit_code
    if code is not None:
        ending = f"exit code {code}" if code >= 0 else f"signal {-code} ({_name_of(-code)})"
        yield f"{_INSIDE}{ending}"
    if mortem.peak_bytes:
        yield f"{_INSIDE}peak memory {mortem.peak_bytes / 2**20:.0f} MiB"
    if mortem.memory:
        yield show_text(f"memory: {mortem.memory}", _INSIDE)
    for title, text in (("stacks", mortem.stacks), ("last output", mortem.output)):
        if text:
            yield f"{_INSIDE}{title}:"
            yield show_text(text.strip("\n"), _DEEPER)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _moment(at: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (ValueError, OverflowError, OSError):  # of a journal that somebody has made up
        return "at some time"
