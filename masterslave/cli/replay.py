"""``masterslave replay``: a failed task is run again here, and looked into where it raises."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import reprlib
import sys
import traceback
from typing import Any

import click

from masterslave.cli.finding import Look, with_places
from masterslave.cli.stories import open_journal
from masterslave.printed import show_text
from masterslave.stories.finding import find_task, in_run
from masterslave.stories.loading import LoadedCall, load_call
from masterslave.stories.replaying import Replayed
from masterslave.stories.replaying import replay as run_again
from masterslave.stories.story import Story, story_of

__all__ = ["replay"]

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 1000


@click.command(short_help="Run a failed task again here.")
@click.argument("label", metavar="LABEL_OR_FILE")
@click.argument("task")
@click.option("--pdb", "debugs", is_flag=True, help="Look into it with pdb where it raises.")
@click.option(
    "--handlers",
    multiple=True,
    metavar="MODULE:CLASS",
    help="What does named tasks, as of the slave; may be given again.",
)
@click.option(
    "--path",
    "folders",
    multiple=True,
    type=click.Path(file_okay=False, exists=True, resolve_path=True),
    metavar="FOLDER",
    help="Look for modules here first; may be given again.",
)
@with_places
def replay(
    look: Look,
    label: str,
    task: str,
    debugs: bool,
    handlers: tuple[str, ...],
    folders: tuple[str, ...],
) -> int:
    """Run TASK again in this process, from its function and arguments as the journal has them, and
    print what it returns or raises. TASK is named as for 'masterslave show'.

    Functions of the script itself run as they were then; modules are imported as they are now, from
    the current folder and where the script looked for them. A farm in a script keeps the arguments
    of tasks that have failed; one that runs as a service those of all.

    The exit code is 1 if it raises.
    """
    with open_journal(look, label) as reader:
        number = find_task(reader, task)
        story = story_of(reader, number)
        call = load_call(reader, number, handlers=handlers, path=folders)
    _tell_before(story, call)
    if not faulthandler.is_enabled():
        with contextlib.suppress(ValueError, OSError, AttributeError):  # no standard error
            faulthandler.enable()
    done = run_again(call, _show_part)
    sys.stdout.flush()
    if done.error is None:
        parts = f" {done.parts} values, and" if done.parts >= 0 else ""
        click.echo(f"it returned{parts} in {done.seconds:.3g} s: {_repr(done.value)}")
        return 0
    _tell_error(done, story)
    if debugs:
        import pdb

        pdb.post_mortem(done.traceback or done.error.__traceback__)
    return 1


def _tell_before(story: Story, call: LoadedCall) -> None:
    given = [_repr(one) for one in call.args]
    given += [f"{name}={_repr(one)}" for name, one in call.kwargs.items()]
    words = f"task {in_run(story.number)} of farm {story.label!r}: {call.name}({', '.join(given)})"
    click.echo(show_text(words), err=True)
    lost = [step for step in story.steps if step.what == "lost" and step.post_mortem is not None]
    if lost:
        words = f"it was lost with its process ({lost[-1].reason}): this one may end as well"
        click.echo(show_text(words), err=True)
    code = getattr(call.function, "__code__", None)
    if code is not None and story.run is not None:
        with contextlib.suppress(OSError):
            if os.stat(code.co_filename).st_mtime > story.run.began:
                words = f"{code.co_filename} has changed since: lines that are shown may be others"
                click.echo(show_text(words), err=True)


def _show_part(number: int, part: Any) -> None:
    click.echo(f"it yielded {_repr(part)}")


def _tell_error(done: Replayed, story: Story) -> None:
    assert done.error is not None
    error = done.error
    kind = type(error)
    text = "".join(traceback.format_exception(kind, error, done.traceback))
    click.echo(show_text(text.rstrip("\n")), err=True)
    raised = [step.error for step in story.steps if step.what == "raised"]
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    name = f"{module}{kind.__qualname__}"
    if raised and raised[-1].partition(":")[0] != name:
        words = f"then it raised something else: {raised[-1]}"
        click.echo(show_text(words), err=True)


def _repr(value: Any) -> str:
    try:
        return show_text(_short.repr(value))
    except Exception as error:  # of its __repr__
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
