"""The command line: one file per noun, imported when that noun is asked for.

To add a noun, write `cli/<noun>.py` with a `typer.Typer` called `app` and add its line to `NOUNS`. A noun's file
imports typer and the standard library at its top and everything else inside its commands, so that `--help` is quick.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

NOUNS: dict[str, str] = {
    "hub": "wardround.cli.hub",
    "node": "wardround.cli.node",
    "project": "wardround.cli.project",
    "cohort": "wardround.cli.cohort",
    "run": "wardround.cli.run",
    "model": "wardround.cli.model",
    "package": "wardround.cli.package",
    "ledger": "wardround.cli.ledger",
    "deid": "wardround.cli.deid",
    "route": "wardround.cli.route",
    "pathway": "wardround.cli.pathway",
    "enclave": "wardround.cli.enclave",
}
"""Noun to module, in the order in which `--help` shows them."""

COMMANDS: dict[str, str] = {
    "demo": "wardround.cli.demo",
}
"""Commands without a noun: name to the module that holds a function of that name."""

HELP = "Hospitals train, prove and use imaging AI together, while every image stays where it is."


def build(arguments: Sequence[str]) -> typer.Typer:
    """The command line with the noun that `arguments` begin with, or with all of them."""
    app = typer.Typer(
        name="wardround",
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: rich alone would cost half of the time that help may take
    )
    app.callback(invoke_without_command=False)(_wardround)
    asked = set(arguments[:1]) & (NOUNS.keys() | COMMANDS.keys())
    for name, module in COMMANDS.items():
        if not asked or name in asked:
            app.command(name)(getattr(import_module(module), name))
    for noun, module in NOUNS.items():
        if not asked or noun in asked:
            app.add_typer(import_module(module).app, name=noun)
    _list_whole_sentences(app)
    return app


def _list_whole_sentences(app: typer.Typer) -> None:
    """Have `--help` list each command with its whole first sentence; left alone it cuts it at the end of a line."""
    for command in app.registered_commands:
        command.short_help = _first_sentence(command.help or getattr(command.callback, "__doc__", None))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            group.short_help = _first_sentence(group.typer_instance.info.help)
            _list_whole_sentences(group.typer_instance)


def _first_sentence(text: object) -> str | None:
    return re.split(r"(?<=[.?])\s", " ".join(text.split()), maxsplit=1)[0] if isinstance(text, str) else None


def run() -> None:
    """The console script. An error that is meant for people is one line on stderr and exit status 1."""
    from wardround.foundation.errors import WardroundError
    from wardround.foundation.silence import fall_silent
    from wardround.foundation.threads import one_each

    fall_silent()
    one_each()
    try:
        build(sys.argv[1:])(prog_name="wardround")
    except WardroundError as error:
        sys.stderr.write(f"wardround: {error}\n")
        raise SystemExit(1) from None


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"wardround {version('wardround')}")
        raise typer.Exit


def _wardround(
    show_version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Hospitals train, prove and use imaging AI together, while every image stays where it is."""
