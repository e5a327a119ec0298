"""`wardround node approve` and what belongs to it: the data controller's commands, and the clinic's."""

from __future__ import annotations

from pathlib import Path

import typer

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
PROJECT = typer.Argument(..., help="The project's short name.")


def projects(home: Path = HOME) -> None:
    """List the projects put before this hospital, and exactly what each asks."""
    from wardround.node.home import NodeHome
    from wardround.node.projects import queries
    from wardround.node.projects.states import OWNERS, DecisionState

    opened = NodeHome(home)
    with opened.database.reading() as session:
        rows = queries.projects(session)
    for row in rows:
        project = queries.project_of(row)
        plan = project.plan
        typer.echo(
            f"{project.id}: {row.state}, with {OWNERS[DecisionState(row.state)]}\n"
            f"  {project.title}, by {project.researcher}, until {project.ends:%Y-%m-%d}\n"
            f"  Purpose: {project.purpose}\n"
            f"  Cohort:  {project.cohort.in_words()}\n"
            f"  Trains:  {plan.package} ({plan.package_digest[:12]}…) by {plan.algorithm}, {plan.rounds} rounds"
        )
        for leaving in project.leaves:
            typer.echo(f"  Leaves:  {leaving.kind}, at most {leaving.largest_bytes:,} bytes, {leaving.how_often}")
    if not rows:
        typer.echo("No project was put before this hospital yet.")
    opened.close()


def approve(project: str = PROJECT, home: Path = HOME) -> None:
    """Approve a project here, signed with this hospital's key; freezes the cohort as it is now."""
    from wardround.foundation.audit import operator
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome
    from wardround.node.projects.approval import approve as approve_project

    desk = Desk(NodeHome(home))
    people = approve_project(desk, project, actor=operator())
    desk.close()
    typer.echo(f"Approved {project}: {people} people, frozen. The running node tells the hub and the ledger.")


def refuse(
    project: str = PROJECT,
    reason: str = typer.Option(..., "--reason", help="A code that the researcher sees, as in `not-lawful-here`."),
    home: Path = HOME,
) -> None:
    """Refuse a project here, with a reason."""
    from pydantic import TypeAdapter, ValidationError

    from wardround.contracts.base import ReasonCode
    from wardround.foundation.audit import operator
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome
    from wardround.node.projects.approval import refuse as refuse_project

    try:
        TypeAdapter(ReasonCode).validate_python(reason)
    except ValidationError:
        raise typer.BadParameter("a reason is lower-case letters, digits and hyphens: no free text leaves") from None
    desk = Desk(NodeHome(home))
    refuse_project(desk, project, reason, actor=operator())
    desk.close()
    typer.echo(f"Refused {project}: {reason}. The running node tells the hub and the ledger.")


def deploy(
    model: str = typer.Argument(..., help="The model's digest, from `wardround model list` at the hub."),
    pathway: str = typer.Option("brain-mri-glioma", "--pathway", help="The pathway that it serves."),
    home: Path = HOME,
) -> None:
    """Take a registered model into shadow use here; needs the hub for its package."""
    from wardround.foundation.audit import operator
    from wardround.foundation.errors import NotAllowed
    from wardround.learning.bundle import BundleRefused
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome

    desk = Desk(NodeHome(home))
    try:
        desk.deployments.deploy(model, pathway, actor=operator())
    except BundleRefused as error:
        raise NotAllowed(f"the hub's package of {model[:12]} can't be used here: {error}") from None
    desk.close()
    typer.echo(f"Model {model[:12]} is in shadow use on {pathway}: results are marked as not for diagnostic use.")


def worklist(home: Path = HOME) -> None:
    """Show the clinical path's studies in order of arrival, and how far each has come."""
    from rich.console import Console
    from rich.table import Table
    from sqlalchemy import select

    from wardround.node.clinic.states import IN_WORDS, ReadingState
    from wardround.node.clinic.tables import Deployment, WorklistLine
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    with opened.database.reading() as session:
        rows = session.execute(
            select(WorklistLine, Deployment)
            .join(Deployment, Deployment.id == WorklistLine.deployment)
            .order_by(WorklistLine.arrived_at)
        ).all()
    opened.close()
    table = Table("arrived (UTC)", "study", "model", "stage", "state", "finding")
    for line, deployment in rows:
        words = IN_WORDS[ReadingState(line.state)]
        table.add_row(
            f"{line.arrived_at:%Y-%m-%d %H:%M:%S}",
            line.study[:12],
            deployment.model[:12],
            deployment.stage,
            f"{words} ({line.reason})" if line.reason else words,
            line.finding,
        )
    Console().print(table)
