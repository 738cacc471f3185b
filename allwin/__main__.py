"""`allwin` and `python -m allwin`: runs a verb, and turns what goes wrong into one line and an exit code.

0: fine; 1: something that was asked for failed; 2: wrong usage; 130: interrupted.
"""

import sys
import traceback
from collections.abc import Sequence

import click

from allwin.cli import DEBUG, group
from allwin.output import one_line
from bench.errors import UserError

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command line (default: this process's own) and exits with its code."""
    sys.exit(_run(list(sys.argv[1:] if arguments is None else arguments)))


def _run(words: list[str]) -> int:
    try:
        returned = group.main(words, prog_name="allwin", standalone_mode=False, obj=words)
    except click.Abort:
        _say("interrupted", words)
        return INTERRUPTED
    except UserError as error:
        _say(str(error), words)
        return WRONG_USAGE
    except click.ClickException as error:
        _say(_with_help(error), words)
        return WRONG_USAGE
    except Exception as error:
        _say(f"{type(error).__name__}: {error}; this is a defect of allwin: {DEBUG} shows where", words)
        return FAILED
    # A verb returns its exit code, or nothing; click hands on what `ctx.exit` was given.
    return returned if isinstance(returned, int) else 0


def _say(message: str, words: list[str]) -> None:
    if DEBUG in words:
        traceback.print_exc()
    click.echo(f"allwin: {one_line(message)}", err=True)


def _with_help(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; see `{context.command_path} --help`" if context else message


if __name__ == "__main__":
    main()
