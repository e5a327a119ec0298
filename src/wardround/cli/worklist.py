"""`wardround node worklist`: studies in the order in which to read them, and what people say of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli.signin import acting

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from wardround.node.clinic.states import AnswerVerb
    from wardround.node.clinic.tables import Deployment, WorklistLine

app = typer.Typer(
    help="The worklist: studies in the order in which to read them, and your word on each.", rich_markup_mode=None
)
HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
STUDY = typer.Argument(..., help="The study as the worklist shows it; its first 6 digits will do.")
PATHWAY = typer.Option(None, "--pathway", help="On which pathway, where the study is on several.")
REASON = typer.Option(..., "--reason", help="Why, as a code, as in `too-small`.")


@app.callback(invoke_without_command=True)
def worklist(
    context: typer.Context,
    home: Path | None = typer.Option(None, "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME"),
    everything: bool = typer.Option(False, "--all", help="With studies that were judged already."),
) -> None:
    """Show the clinical path's studies in the order in which to read them, and why each stands where it stands.

    They stand in order of arrival; where a model's stage allows it, the studies that it flagged stand first.
    """
    if context.invoked_subcommand is not None:
        return
    if home is None:
        raise typer.BadParameter("say which node: --home FOLDER, or set WARDROUND_NODE_HOME")
    _show(home, everything)


def _show(home: Path, everything: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from wardround.node.clinic.order import worklist as in_order
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    with opened.database.reading() as session:
        places = in_order(session, answered=everything)
    opened.close()
    if not places:
        typer.echo(
            "No study is on the worklist: none came to the clinical path since a model was taken into use "
            f"(wardround node deploy MODEL --home {home}), or all were judged (--all shows them)."
        )
        return
    rows = [
        (
            f"{place.line.arrived_at:%Y-%m-%d %H:%M:%S}",
            place.line.study[:12],
            place.deployment.pathway,
            place.reason,
            place.deployment.stage,
            place.progress,
            place.finding,
            "" if place.answers.opened is None else place.answers.opened.actor,
        )
        for place in places
    ]
    headings = ("arrived (UTC)", "study", "pathway", "why it is here", "stage", "how far", "finding", "opened by")
    shown = [column for column in range(len(headings)) if any(row[column] for row in rows)]
    table = Table(*(headings[column] for column in shown))
    for row in rows:
        table.add_row(*(row[column] for column in shown))
    table.columns[1].no_wrap = True  # by it the other commands know a study
    Console().print(table)


@app.command("open")
def open_(study: str = STUDY, pathway: str | None = PATHWAY, home: Path = HOME) -> None:
    """Begin to read a study: shows what a model found where its stage allows that, and notes that you opened it."""
    from wardround.node.clinic.answers import open_study

    actor = acting(home, "read-study")
    with _line(home, study, pathway) as (session, line, deployment, at):
        shown = open_study(session, line, deployment, actor=actor, at=at)
        finding, stage, told = line.finding, line.read_as or deployment.stage, line.study[:12]
    typer.echo(f"You opened study {told}.")
    if shown:
        typer.echo(
            f"The model ({stage}) says: {finding}. Next: wardround node worklist agree, correct or reject {told}"
        )
    else:
        typer.echo(f"No model's result is shown with it. Next: wardround node worklist report {told} --found or --none")


@app.command()
def report(
    study: str = STUDY,
    found: bool = typer.Option(..., "--found/--none", help="Whether what the pathway looks for is there."),
    pathway: str | None = PATHWAY,
    home: Path = HOME,
) -> None:
    """Say what you found yourself, before any model's result was shown to you. It stays on record as it is."""
    from wardround.node.clinic.answers import report as keep_report

    actor = acting(home, "read-study")
    with _line(home, study, pathway) as (session, line, deployment, at):
        shown = keep_report(session, line, deployment, found=found, actor=actor, at=at)
        finding, told = line.finding, line.study[:12]
    typer.echo(f"Your reading of study {told} is on record: {'found' if found else 'nothing found'}.")
    if shown:
        typer.echo(f"The model says: {finding}. Next: wardround node worklist agree, correct or reject {told}")


@app.command()
def agree(study: str = STUDY, pathway: str | None = PATHWAY, home: Path = HOME) -> None:
    """Agree with the model's result."""
    from wardround.node.clinic.states import AnswerVerb

    _judge(home, study, pathway, AnswerVerb.AGREED, "", acting(home, "read-study"))


@app.command()
def correct(study: str = STUDY, reason: str = REASON, pathway: str | None = PATHWAY, home: Path = HOME) -> None:
    """Keep the model's result for a part only, and say in what it was wrong."""
    from wardround.node.clinic.states import AnswerVerb

    _judge(home, study, pathway, AnswerVerb.CORRECTED, reason, acting(home, "read-study"))


@app.command()
def reject(study: str = STUDY, reason: str = REASON, pathway: str | None = PATHWAY, home: Path = HOME) -> None:
    """Reject the model's result, and say why."""
    from wardround.node.clinic.states import AnswerVerb

    _judge(home, study, pathway, AnswerVerb.REJECTED, reason, acting(home, "read-study"))


def _judge(home: Path, study: str, pathway: str | None, verb: AnswerVerb, reason: str, actor: str) -> None:
    from wardround.cli.decide import reason_code
    from wardround.node.clinic.answers import judge
    from wardround.node.clinic.definition_file import Definitions
    from wardround.node.home import NodePaths

    code = reason_code(reason) if reason else ""
    definitions = Definitions(NodePaths(home).pathways)
    with _line(home, study, pathway) as (session, line, deployment, at):
        label = definitions.labels(deployment.pathway)
        judge(session, line, deployment, verb, reason=code, label=label, actor=actor, at=at)
        told = line.study[:12]
    typer.echo(f"On record for study {told}: {verb.replace('-', ' ')}{f' ({code})' if code else ''}.")


@contextmanager
def _line(home: Path, study: str, pathway: str | None) -> Iterator[tuple[Session, WorklistLine, Deployment, datetime]]:
    """A study's line in a writing transaction."""
    from wardround.foundation.clock import now
    from wardround.node.clinic.answers import line_of
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    try:
        with opened.database.writing() as session:
            line, deployment = line_of(session, study, pathway)
            yield session, line, deployment, now()
    finally:
        opened.close()
