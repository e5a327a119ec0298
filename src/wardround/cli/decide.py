"""`wardround node approve` and what belongs to it: the data controller's commands, and the clinic's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from wardround.contracts.run_plan import RunPlan
    from wardround.node.desk import Desk

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
PROJECT = typer.Argument(..., help="The project's short name.")
DIGEST = typer.Option(..., "--digest", help="Of the edition that you read, from `wardround node show PROJECT`.")


def reason_code(text: str, *, called: str = "reason") -> str:
    """A reason as it may leave; anything else is a wrong call."""
    from pydantic import TypeAdapter, ValidationError

    from wardround.contracts.base import ReasonCode

    try:
        return TypeAdapter(ReasonCode).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"a {called} is lower-case letters, digits and hyphens: no free text leaves") from None


def projects(home: Path = HOME) -> None:
    """List the projects put before this hospital, whom each waits for, and until when."""
    from wardround.foundation.clock import now
    from wardround.foundation.errors import WardroundError
    from wardround.node.home import NodeHome
    from wardround.node.projects import queries
    from wardround.node.projects.standing import standing_of
    from wardround.node.projects.states import OWNERS

    opened = NodeHome(home)
    today = now().date()
    with opened.database.reading() as session:
        rows = queries.projects(session)
        for row in rows:
            try:
                found = standing_of(session, row, today)
            except WardroundError as error:
                typer.echo(f"{row.id}: {error}")
                continue
            typer.echo(
                f"{row.id}: {found.state}, with {OWNERS[found.state]}\n"
                f"  {found.project.title}, by {found.project.researcher}, until {found.terms.until:%Y-%m-%d}, "
                f"{found.runs_begun} of {found.terms.runs} runs begun\n"
                f"  Read it: wardround node show {row.id} --home {home}"
            )
    if not rows:
        typer.echo("No project was put before this hospital yet.")
    opened.close()


def show(project: str = PROJECT, home: Path = HOME) -> None:
    """Show exactly what a project asks, how many people its cohort has here, and what was decided."""
    from wardround.contracts.project_words import in_words
    from wardround.node.budget import queries as budget
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome
    from wardround.node.policy.explanation import explained
    from wardround.node.policy.file import PolicyUnusable
    from wardround.node.policy.verdict import Outcome
    from wardround.node.projects.approval import people_now, standing_now
    from wardround.node.projects.states import OWNERS, DecisionState

    desk = Desk(NodeHome(home))
    found = standing_now(desk, project)
    typer.echo(f"{project}: {found.project.title} ({found.state}, with {OWNERS[found.state]})")
    for line in in_words(found.project, found.terms):
        typer.echo(line)
    if found.terms.patient_privacy is not None:
        with desk.home.database.reading() as session:
            typer.echo(f"Spent here:   {budget.in_words(session, project, found.terms.patient_privacy)}")
    for line in _of_package(desk, found.project.plan):
        typer.echo(f"Package:      {line}")
    here = people_now(desk, project)
    typer.echo(f"Here now:     {here} people in the cohort (exact; this number stays here)")
    try:
        judged = explained(desk, project, desk.home.policy.current(), here=here).verdict
    except PolicyUnusable as error:
        typer.echo(f"Policy:       {error}")
    else:
        typer.echo(f"Policy:       {'allowed' if judged.allowed else 'refused'} by this hospital's policy.toml")
        for finding in judged.findings:
            if finding.outcome is not Outcome.ALLOWED:
                typer.echo(f"              {finding.rule}: {finding.in_words()}")
    for line in found.limits.in_words():
        typer.echo(f"Limited:      {line}")
    if found.decision is not None:
        word = "Approved" if found.decision.approved else f"Refused ({found.decision.reason})"
        typer.echo(f"{word} by {found.decision.decided_by} on {found.decision.decided_at:%Y-%m-%d %H:%M}Z")
        if found.decision.withdrawn_at is not None:
            typer.echo(
                f"Withdrawn ({found.decision.withdrawn_reason}) by {found.decision.withdrawn_by} "
                f"on {found.decision.withdrawn_at:%Y-%m-%d %H:%M}Z"
            )
    typer.echo(f"Edition:      {found.row.digest}")
    if found.state is DecisionState.WAITING:
        typer.echo(
            f"Decide on exactly this edition:\n"
            f"  wardround node approve {project} --digest {found.row.digest} --home {home}\n"
            f"  wardround node refuse {project} --digest {found.row.digest} --reason CODE --home {home}"
        )
    desk.close()


def _of_package(desk: Desk, plan: RunPlan) -> list[str]:
    """What the package reads of somebody's records, or why that can't be told."""
    from wardround.learning.bundle import BundleRefused, read_bundle
    from wardround.learning.packages import Packages

    try:
        return read_bundle(Packages(desk.home.packages).find(plan.package, plan.package_digest)).facts_in_words()
    except BundleRefused as error:
        return [f"it isn't here, so nothing can be done for this project yet: {error}"]


def approve(
    project: str = PROJECT,
    digest: str = DIGEST,
    until: str | None = typer.Option(None, "--until", help="Last day of use, as 2027-06-30; earlier than asked."),
    rounds: int | None = typer.Option(None, "--rounds", min=1, help="Rounds of each run at most."),
    runs: int | None = typer.Option(None, "--runs", min=1, help="Runs that may use this hospital's data at most."),
    message: list[str] = typer.Option(
        [], "--message", help="KIND=BYTES, KIND=BYTESxTIMES or KIND=xTIMES: smaller or less often. Repeatable."
    ),
    no_local_model: bool = typer.Option(False, "--no-local-model", help="No model trained here alone leaves."),
    clip_norm: float | None = typer.Option(None, "--clip-norm", min=0, help="Norm that updates are cut to, at most."),
    noise: float | None = typer.Option(None, "--noise", min=0, help="Noise in units of that norm, at least."),
    epsilon: float | None = typer.Option(None, "--epsilon", min=0, help="What all rounds tell of a patient, at most."),
    delta: float | None = typer.Option(None, "--delta", min=0, help="The chance that they tell more, at most."),
    home: Path = HOME,
) -> None:
    """Approve the edition that you read, signed with this hospital's key; freezes the cohort as it is now.

    Each option but --digest is a limit: it can only tighten what the project asks, and this node keeps to it.
    """
    from wardround.cli.limits import limits_from
    from wardround.cli.signin import acting
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome
    from wardround.node.projects.approval import approve as approve_project

    limits = limits_from(
        until=until,
        rounds=rounds,
        runs=runs,
        messages=message,
        no_local_model=no_local_model,
        clip_norm=clip_norm,
        noise=noise,
        epsilon=epsilon,
        delta=delta,
    )
    actor = acting(home, "approve-project", project)
    desk = Desk(NodeHome(home))
    people = approve_project(desk, project, digest, limits=limits, actor=actor)
    desk.close()
    told = "".join(f"\n  limited: {line}" for line in limits.in_words())
    typer.echo(
        f"Approved {project}: {people} people, frozen. The running node tells the hub and the ledger.{told}\n"
        f"To take it back: wardround node withdraw {project} --reason CODE --home {home}"
    )


def refuse(
    project: str = PROJECT,
    digest: str = DIGEST,
    reason: str = typer.Option(..., "--reason", help="A code that the researcher sees, as in `not-lawful-here`."),
    home: Path = HOME,
) -> None:
    """Refuse the edition of a project that you read, with a reason."""
    from wardround.cli.signin import acting
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome
    from wardround.node.projects.approval import refuse as refuse_project

    code = reason_code(reason)
    actor = acting(home, "refuse-project", project)
    desk = Desk(NodeHome(home))
    refuse_project(desk, project, digest, code, actor=actor)
    desk.close()
    typer.echo(f"Refused {project}: {code}. The running node tells the hub and the ledger.")


def withdraw(
    project: str = PROJECT,
    reason: str = typer.Option(..., "--reason", help="A code that everybody may see, as in `board-decided`."),
    home: Path = HOME,
) -> None:
    """Take an approval back: nothing here is used for the project from now on, not even in a run under way."""
    from wardround.cli.signin import acting
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome
    from wardround.node.projects.approval import withdraw as withdraw_project

    code = reason_code(reason)
    actor = acting(home, "withdraw-project", project)
    desk = Desk(NodeHome(home))
    withdraw_project(desk, project, code, actor=actor)
    desk.close()
    typer.echo(
        f"Withdrew the approval of {project}: {code}. Nothing here is used for it from now on.\n"
        "The running node puts that on the ledger and tells the hub.\n"
        "What was learned before stays in the models that it went into."
    )


def deploy(
    model: str = typer.Argument(..., help="The model's digest, from `wardround model list` at the hub."),
    pathway: str = typer.Option("brain-mri-glioma", "--pathway", help="The pathway that it serves."),
    home: Path = HOME,
) -> None:
    """Take a registered model into shadow use here; needs the hub for its package."""
    from wardround.cli.signin import acting
    from wardround.foundation.errors import NotAllowed
    from wardround.learning.bundle import BundleRefused
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome

    actor = acting(home, "deploy-model")
    desk = Desk(NodeHome(home))
    try:
        desk.deployments.deploy(model, pathway, actor=actor)
    except BundleRefused as error:
        raise NotAllowed(f"the hub's package of {model[:12]} can't be used here: {error}") from None
    desk.close()
    typer.echo(
        f"Model {model[:12]} is in shadow use on {pathway}: results are marked as not for diagnostic use.\n"
        f"The running node makes it ready to read; whether it is: wardround node model status --home {home}\n"
        f"What it reads: wardround node worklist --home {home}\n"
        f"To take it out of use: wardround node suspend {model[:12]} --reason CODE --home {home}"
    )
