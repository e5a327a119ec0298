"""`wardround route`: what a node's rules of routing make of files on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from wardround.node.receive.route import Routes
    from wardround.node.receive.route_facts import Value
    from wardround.node.receive.route_trial import Outcome, Trial

app = typer.Typer(help="Where a node's rules send what arrives.", no_args_is_help=True, rich_markup_mode=None)

NOT_ROUTED = 3
"""Exit status where every file could be read, and no rule takes some of them."""
_LONGEST, _MOST = 60, 8


@app.callback()
def _route() -> None:
    """Keep `test` a command of its own name."""


@app.command()
def test(
    files: list[Path] = typer.Argument(..., metavar="FILE...", help="DICOM files, or folders of them.", exists=True),
    home: Path | None = typer.Option(None, "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME"),
    routes: Path | None = typer.Option(None, "--routes", help="A file of rules, in place of the home's routes.toml."),
    called_title: str = typer.Option("", "--called-title", help="The title sent to; the node's own by default."),
    calling_title: str = typer.Option("", "--calling-title", help="The sender's title."),
    as_json: bool = typer.Option(False, "--json", help="As JSON, for programs."),
) -> None:
    """Show which rule takes each file, and why. It sends nothing and changes nothing, and shows what files say.

    Exit status 0: a rule takes every file. 1: a file, or the rules, can't be read. 3: no rule takes some files.
    """
    import json

    from wardround.node.receive.arrival import Unreadable
    from wardround.node.receive.route import Route
    from wardround.node.receive.route_trial import try_file

    rules, called_title = _rules(home, routes, called_title)
    trials: list[dict[str, object]] = []
    unreadable = refused = taken = 0
    if not as_json:
        typer.echo(f"Rules: {shown(rules.source)}, sent to {shown(called_title) or 'no title'}.")
    for file in files_in(files):
        try:
            trial = try_file(file, rules, called_title=called_title, calling_title=calling_title)
        except (Unreadable, OSError) as error:
            unreadable += 1
            why = error.reason_code if isinstance(error, Unreadable) else error.strerror or type(error).__name__
            trials.append({"file": str(file), "unreadable": why})
            if not as_json:
                typer.echo(f"{shown(str(file))}: can't be read: {why}")
            continue
        if trial.taken.route is Route.REFUSED:
            refused += 1
        else:
            taken += 1
        trials.append(_document(file, trial))
        if not as_json:
            _tell(file, trial, len(rules.rules))
    if as_json:
        head = {"rules": rules.source, "called_title": called_title, "calling_title": calling_title}
        typer.echo(json.dumps({**head, "files": trials}, indent=2))
    else:
        typer.echo(f"{taken} taken, {refused} refused since no rule takes them, {unreadable} unreadable.")
    if unreadable or refused:
        raise typer.Exit(1 if unreadable else NOT_ROUTED)


def _rules(home: Path | None, routes: Path | None, called_title: str) -> tuple[Routes, str]:
    """The rules, and the title that files are tried with."""
    from wardround.foundation.errors import NotFound
    from wardround.node.receive.route_file import read_routes

    if home is None:
        if routes is None:
            raise NotFound("there are no rules to try; name a node's home with --home or a file with --routes")
        return read_routes(routes), called_title
    from wardround.node.home import NodeHome
    from wardround.node.intake import routes_of

    node = NodeHome(home)
    rules = read_routes(routes) if routes is not None else routes_of(node)
    return rules, called_title or node.settings.dicom.ae_title


def files_in(files: list[Path]) -> Iterator[Path]:
    """The files named, those of named folders by name."""
    for file in files:
        if file.is_dir():
            yield from sorted(inner for inner in file.rglob("*") if inner.is_file())
        else:
            yield file


def _tell(file: Path, trial: Trial, rules: int) -> None:
    from wardround.node.receive.route_trial import written

    rule = trial.taken
    reason = f" ({shown(rule.reason)})" if rule.reason else ""
    typer.echo(f"{shown(str(file))}: {rule.target}, by {rule.name}{reason}")
    for number, outcome in enumerate(trial.outcomes, start=1):
        typer.echo(f"  {number}. {outcome.rule.name}: {_said(outcome)}")
        for look in outcome.looks:
            said = "holds" if look.holds else "fails"
            typer.echo(f"     {said}  {shown(written(look.comparison))}   it is {_values(look.values)}")
    if left := rules - len(trial.outcomes):
        typer.echo(f"  {left} further {'rule' if left == 1 else 'rules'} not asked")


def _document(file: Path, trial: Trial) -> dict[str, object]:
    from wardround.node.receive.route_trial import written

    outcomes = [
        {
            "rule": outcome.rule.name,
            "when": None if outcome.rule.when is None else written(outcome.rule.when),
            "holds": outcome.holds,
            "comparisons": [
                {"written": written(look.comparison), "holds": look.holds, "values": list(look.values)}
                for look in outcome.looks
            ],
        }
        for outcome in trial.outcomes
    ]
    rule = trial.taken
    return {"file": str(file), "rule": rule.name, "to": rule.target, "reason": rule.reason, "outcomes": outcomes}


def _said(outcome: Outcome) -> str:
    if outcome.rule.when is None:
        return "takes all that comes so far"
    return "takes it" if outcome.holds else "doesn't take it"


def _values(values: tuple[Value, ...]) -> str:
    told = [f"{value:g}" if isinstance(value, float) else f'"{shown(value[:_LONGEST])}"' for value in values[:_MOST]]
    if len(values) > _MOST:
        told.append(f"and {len(values) - _MOST} more")
    return ", ".join(told) or "absent or empty"


def shown(text: str) -> str:
    """The text for a terminal: a file may hold characters that would steer it."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
