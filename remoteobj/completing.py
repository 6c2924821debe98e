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


def completion(name: str) -> click.Command:
    """Make the sub-command ``completion`` of the command of this name."""

    @click.command(
        "completion",
        short_help="Print what has a shell complete these commands.",
        epilog=f"\b\nExample:\n  {name} completion bash",
    )
    @click.argument("shell", type=click.Choice(sorted(_PLACES)), required=False)
    @click.pass_context
    def complete(context: click.Context, shell: str | None) -> None:
        """Print what has SHELL complete these commands, their options, and names that are in use.

        It says where to put it; by default for the shell that you use.
        """
        shell = shell or Path(os.environ.get("SHELL", "")).name
        kind = get_completion_class(shell) if shell in _PLACES else None
        if kind is None:
            raise click.UsageError(f"say for which shell: {', '.join(sorted(_PLACES))}")
        made = kind(context.find_root().command, {}, name, f"_{name.upper()}_COMPLETE")
        click.echo(f"# {_PLACES[shell].format(name=name)}")
        click.echo(ShellComplete.source(made))  # bash's own would start one to see its version

    return complete
