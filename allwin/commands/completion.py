"""`allwin completion SHELL`: the script that teaches a shell to complete verbs, options and names."""

import click
from click.shell_completion import get_completion_class

from allwin.output import print_line


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL; evaluate it in the shell's start-up file.

    bash and zsh: `eval "$(allwin completion bash)"` in ~/.bashrc or ~/.zshrc, with the shell's own name in it; fish:
    `allwin completion fish | source`.
    """
    from allwin.cli import group

    script = get_completion_class(shell)
    assert script
    print_line(script(group, {}, "allwin", "_ALLWIN_COMPLETE").source())
