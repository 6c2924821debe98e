"""``completion``: has a shell complete what is typed, the same for each of the commands."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import ShellComplete, get_completion_class

__all__ = ["completion"]

_PLACES = {
    "bash": 'put this line into ~/.bashrc:  eval "$({name} completion bash)"',
    "zsh": 'put this line into ~/.zshrc, below compinit:  eval "$({name} completion zsh)"',
    "fish": "{name} completion fish > ~/.config/fish/completions/{name}.fish",
}


@click.command(short_help="Print what has a shell complete these commands.")
@click.argument("shell", type=click.Choice(sorted(_PLACES)), required=False)
@click.pass_context
def completion(context: click.Context, shell: str | None) -> None:
    """Print what has SHELL complete these commands, their options, and names that are in use.

    It says where to put it; by default for the shell that you use.
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in _PLACES:
        raise click.UsageError(f"say for which shell: {', '.join(sorted(_PLACES))}")
    root = context.find_root()
    name = root.info_name or ""
    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(root.command, {}, name, f"_{name.upper()}_COMPLETE")
    click.echo(f"# {_PLACES[shell].format(name=name)}")
    click.echo(ShellComplete.source(made))  # bash's own would start a bash to see its version
