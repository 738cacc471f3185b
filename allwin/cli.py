"""The verbs of `allwin`. A verb's module is imported when the verb is called: help and errors cost nothing."""

import difflib
import importlib
import os
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from bench.data import ENVIRONMENT

VERBS = {
    "list": ("allwin.commands.listing", "Tasks, methods, suites and papers, and what is broken."),
    "show": ("allwin.commands.show", "All about a task, a method, a data set, a suite or a paper."),
    "data": ("allwin.commands.data", "Data sets: what there is, and whether it is here."),
    "new": ("allwin.commands.new", "Write the one file of a new method."),
    "check": ("allwin.commands.check", "Hold a method against the rules, one by one."),
    "plan": ("allwin.commands.plan", "What a run would do, trial by trial."),
    "run": ("allwin.commands.run", "Run a suite, or a task's methods; does only what is missing."),
    "retry": ("allwin.commands.retry", "Run failed trials of a store once more."),
    "resume": ("allwin.commands.resume", "Go on with a run that was interrupted."),
    "tune": ("allwin.commands.tune", "Search the settings of methods, with the same budget for each."),
    "status": ("allwin.commands.status", "How far a run is, and what failed."),
    "verify": ("allwin.commands.verify", "Hold every record against its checksum and key."),
    "merge": ("allwin.commands.merge", "Take over the records of other stores."),
    "explain": ("allwin.commands.explain", "Why a trial is reused or run again."),
    "reproduce": ("allwin.commands.reproduce", "A paper's tables: published beside measured, with verdicts."),
    "claims": ("allwin.commands.claims", "A paper's sentences as tests over records."),
    "report": ("allwin.commands.report", "Leaderboards and figures from the records."),
    "export": ("allwin.commands.export", "Leaderboards as LaTeX, Markdown, CSV or Parquet."),
    "compare": ("allwin.commands.compare", "Two methods, paired by seed."),
    "doctor": ("allwin.commands.doctor", "Whether this machine has what allwin needs."),
    "completion": ("allwin.commands.completion", "Tab completion for bash, zsh or fish."),
}
"""Verb -> its module, and its line in the help: a literal, so that help imports none of them."""

DEBUG = "--debug"


def _use_data_root(_context: click.Context, _option: click.Parameter, folder: Path | None) -> None:
    # By the environment, so that workers in other processes see it too.
    if folder:
        os.environ[ENVIRONMENT] = str(folder.resolve())


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        try:
            click.echo(importlib.metadata.version("allwin"))
        except importlib.metadata.PackageNotFoundError:
            click.echo("a checkout that is not installed")
        context.exit()


EVERYWHERE = (
    click.Option([DEBUG], is_flag=True, expose_value=False, help="Show the traceback of an error."),
    click.Option(
        ["--data"],
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="DIR",
        expose_value=False,
        callback=_use_data_root,
        help=f"Folder of real data sets; else {ENVIRONMENT}.",
    ),
)
"""Options that stand before or after the verb."""


class Verbs(click.Group):
    """A group that knows its verbs by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- names are click's
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[cmd_name][0]).command
        command.name = cmd_name
        for member in (command, *_members(command)):
            taken = {option for parameter in member.params for option in parameter.opts}
            member.params.extend(option for option in EVERYWHERE if not taken & set(option.opts))
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args[0] not in VERBS:
            near = difflib.get_close_matches(args[0], VERBS, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise click.UsageError(f"there is no verb {args[0]}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in VERBS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        verbs = [CompletionItem(verb, help=text) for verb, (_, text) in VERBS.items() if verb.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)


def _members(command: click.Command) -> list[click.Command]:
    return list(command.commands.values()) if isinstance(command, click.Group) else []


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    params=list(EVERYWHERE),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@click.pass_context
def group(context: click.Context) -> None:
    """Benchmarks of efficient and label-efficient vision: tasks x methods, their records and reports."""
    if context.invoked_subcommand is None:
        from allwin.commands import overview

        overview.show()
