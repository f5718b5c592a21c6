"""``mk completion``."""

import click
from click.shell_completion import get_completion_class

from modekeeper.cli.options import examples
from modekeeper.cli.tree import root
from modekeeper.model.errors import BadInputError

__all__ = ["completion"]


@click.command(
    epilog=examples("mk completion bash > ~/.local/share/bash-completion/completions/mk", 'eval "$(mk completion zsh)"')
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of your shell."""
    kind = get_completion_class(shell)
    if kind is None:
        raise BadInputError(f"no completion for {shell!r}. There is bash, zsh and fish.")
    source = kind(root, {}, "mk", "_MK_COMPLETE")
    # click's bash class asks the installed bash for its version while rendering; the script does not need it.
    click.echo(source.source_template % source.source_vars())
