"""`wardround node model validate` and what belongs to it: a model on a cohort of this hospital's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

if TYPE_CHECKING:
    from wardround.contracts.validation import Measure

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
PLAN = typer.Argument(..., metavar="PLAN", help="The plan's digest, or 8 digits of it or more.")


def plan(
    model: str = typer.Argument(..., help="A registered model's digest, all 64 digits."),
    cohort: Path = typer.Option(..., "--cohort", help="Which patients: a question as JSON; - reads it from input."),
    threshold: float = typer.Option(..., "--threshold", help="From which score a patient is flagged: ml, or 0 to 1."),
    least: list[str] = typer.Option([], "--least", help="What the interval has to stay above, as sensitivity=0.8."),
    expected: float = typer.Option(0, "--expected", help="How good it is held to be; says how many patients it takes."),
    fewest: int = typer.Option(20, "--fewest", min=1, help="Below so many patients nothing is shown."),
    home: Path = HOME,
) -> None:
    """Plan how a model is to be judged on this hospital's own patients: all is fixed before one is looked at.

    The hospital needs no part in the run that made the model. The model's package is fetched from the hub.
    """
    from pydantic import ValidationError

    from wardround.cli.cohort import read_question
    from wardround.cli.signin import acting
    from wardround.contracts.validation import ValidationPlan
    from wardround.learning.bundle import read_bundle
    from wardround.node.desk import Desk
    from wardround.node.evidence.validation import plan as plan_validation
    from wardround.node.home import NodeHome

    question, bars = read_question(cohort), _bars(least)
    actor = acting(home, "make-evidence")
    desk = Desk(NodeHome(home))
    try:
        package = read_bundle(desk.deployments.fetch(model))
        asked = ValidationPlan(
            model=model, package=package.name, cohort=question, threshold=threshold, least=bars, fewest=fewest
        )
        row = plan_validation(desk, asked, actor=actor)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise typer.BadParameter(f"{fault['loc'][0] if fault['loc'] else 'plan'}: {fault['msg']}") from None
    finally:
        desk.close()
    typer.echo(f"Planned: {row.digest}")
    for line in _in_words(asked.package, asked.model, question.in_words(), threshold, bars, fewest):
        typer.echo(f"  {line}")
    for line in _sample(bars, expected):
        typer.echo(f"  {line}")
    typer.echo(
        f"Next, the data controller: wardround node model allow {row.digest[:12]} --until DAY --home {home}\n"
        f"Then: wardround node model validate {row.digest[:12]} --home {home}"
    )


def allow(
    plan: str = PLAN,
    until: str = typer.Option(..., "--until", help="The last day on which patients may be read, as 2027-03-31."),
    home: Path = HOME,
) -> None:
    """Let a planned validation read this hospital's patients, and freeze who they are. The data controller's word."""
    from datetime import UTC, date, datetime, time

    from wardround.cli.signin import acting
    from wardround.node.desk import Desk
    from wardround.node.evidence.validation import allow as allow_validation
    from wardround.node.home import NodeHome

    try:
        day = date.fromisoformat(until)
    except ValueError:
        raise typer.BadParameter(f"--until {until!r} is no day, as 2027-03-31 is") from None
    actor = acting(home, "allow-validation")
    desk = Desk(NodeHome(home))
    try:
        patients = allow_validation(desk, plan, datetime.combine(day, time.max, UTC), actor=actor)
    finally:
        desk.close()
    typer.echo(
        f"Allowed until {day}, on {patients} patients (exact; this number stays here).\n"
        f"Next: wardround node model validate {plan} --home {home}"
    )


def validate(plan: str = PLAN, home: Path = HOME) -> None:
    """Judge a model on the patients of a plan that the data controller allowed; keep what was found as evidence.

    No image, and no number of a patient, leaves the hospital; the ledger gets the digest of what was found.
    """
    from wardround.cli.signin import acting
    from wardround.compute.worker import Worker
    from wardround.node.desk import Desk
    from wardround.node.evidence.validation import validate as do
    from wardround.node.evidence.words import told
    from wardround.node.home import NodeHome

    actor = acting(home, "make-evidence")
    desk = Desk(NodeHome(home))
    worker = Worker("validation", threads=desk.home.settings.learning.threads)
    try:
        record = do(desk, plan, actor=actor, worker=worker)
    finally:
        worker.stop()
        desk.close()
    typer.echo(f"Kept a validation of {record.model[:12]}:")
    for line in told(record):
        typer.echo(f"  {line}")
    typer.echo(
        f"The running node tells the ledger. Where it failed: wardround node model gallery {plan} --home {home}\n"
        f"Next: wardround node deploy {record.model} --home {home}"
    )


def share(plan: str = PLAN, home: Path = HOME) -> None:
    """Tell the hub what a validation shows as a whole, to be pooled with other hospitals'. The data controller's word.

    Measures leave, rounded, each with how many people it is over as a count is told; no case and no subgroup does.
    """
    from wardround.cli.signin import acting
    from wardround.node.desk import Desk
    from wardround.node.evidence.sharing import share as tell
    from wardround.node.home import NodeHome

    actor = acting(home, "share-evidence")
    desk = Desk(NodeHome(home))
    try:
        message = tell(desk, plan, actor=actor)
    finally:
        desk.close()
    for name, one in message.estimates.items():
        typer.echo(f"Told: {name} {one.value:.2f}, over {one.people.in_words()} people")
    typer.echo("Next, at the hub: wardround model evidence MODEL")


def plans(home: Path = HOME) -> None:
    """List the planned validations: whom each waits for, and until when it may read."""
    from wardround.contracts.validation import ValidationPlan
    from wardround.foundation.clock import now
    from wardround.node.evidence.validation import plans as all_plans
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    with opened.database.reading() as session:
        rows = all_plans(session)
    opened.close()
    for row in rows:
        asked = ValidationPlan.model_validate_json(row.document)
        typer.echo(f"{row.digest[:12]}: planned by {row.planned_by} on {row.planned_at:%Y-%m-%d}")
        for line in _in_words(
            asked.package, asked.model, asked.cohort.in_words(), asked.threshold, dict(asked.least), asked.fewest
        ):
            typer.echo(f"  {line}")
        if row.until is None:
            typer.echo("  waits for the data controller")
        else:
            over = "over since" if now() > row.until else "allowed until"
            typer.echo(f"  {over} {row.until:%Y-%m-%d}, by {row.allowed_by}")
        if row.done_at is not None:
            typer.echo(f"  done on {row.done_at:%Y-%m-%d}")
    if not rows:
        typer.echo("No validation was planned here. Plan one: wardround node model plan MODEL --cohort FILE …")


def gallery(plan: str = PLAN, home: Path = HOME) -> None:
    """List the patients whom a model failed on most, by the series in the enclave. This list stays in the hospital."""
    from wardround.node.evidence.validation import gallery as failures
    from wardround.node.evidence.validation import planned
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    with opened.database.reading() as session:
        row = planned(session, plan)
        found = failures(session, row)
    opened.close()
    for one in found:
        overlap = "" if one.case.dice is None else f", Dice {one.case.dice:.2f}"
        groups = ", ".join(f"{axis} {name}" for axis, name in sorted(one.case.groups.items()))
        typer.echo(f"{one.how}: score {one.case.score:g}{overlap}; {groups}\n  series {one.series or 'none'}")
    if not found:
        done = row.done_at is not None
        typer.echo("It failed on nobody." if done else "It wasn't done yet: wardround node model validate PLAN")


def _in_words(
    package: str, model: str, cohort: str, threshold: float, bars: dict[Measure, float], fewest: int
) -> Iterator[str]:
    yield f"{package} {model[:12]}, flagged from {threshold:g} on"
    yield f"patients: {cohort}; at least {fewest}"
    for name, least in bars.items():
        yield f"the interval of {name} has to stay above {least:g}"


def _bars(least: list[str]) -> dict[Measure, float]:
    bars: dict[Measure, float] = {}
    for one in least:
        name, _, value = one.partition("=")
        try:
            bars[cast("Measure", name)] = float(value)
        except ValueError:
            raise typer.BadParameter(f"--least {one!r} isn't a measure and a number, as sensitivity=0.8 is") from None
    return bars


def _sample(bars: dict[Measure, float], expected: float) -> Iterator[str]:
    """How many patients it takes to show what is asked."""
    from wardround.learning.statistics.power import cases_above

    for name, bar in bars.items():
        whom = {"sensitivity": "with the finding", "specificity": "without the finding"}.get(name)
        if expected and whom:
            try:
                cases = cases_above(bar, expected)
            except ValueError as error:
                raise typer.BadParameter(f"--expected {expected:g} for {name}: {error}") from None
            yield (
                f"to show {name} above {bar:g} where it is {expected:g} takes {cases} patients {whom} "
                "(exact interval, power 80 %)"
            )
