"""``hsi-app completion``: the script that teaches a shell the commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(short_help="Print the tab-completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print the tab-completion script for SHELL.

    \b
    bash: echo 'eval "$(hsi-app completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(hsi-app completion zsh)"' >> ~/.zshrc
    fish: hsi-app completion fish > ~/.config/fish/completions/hsi-app.fish
    """
    from hsi_app.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "hsi-app", "_HSI_APP_COMPLETE").source())
