"""`wardround run`: start a federated run and watch it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from wardround.cli.export import export, plot
from wardround.cli.signin import acting
from wardround.cli.watch import watch

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from wardround.hub.runs.tables import RunRow
    from wardround.people.acting import Actor

app = typer.Typer(
    help="Federated runs: start, watch, show, stop, resume, end, export, plot.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command()(watch)
app.command()(export)
app.command()(plot)

HOME = typer.Option(..., "--home", help="The hub's home.", envvar="WARDROUND_HUB_HOME")


class Change(Protocol):
    """A step of a run that a person takes."""

    def __call__(self, session: Session, run: RunRow, *, actor: str, at: datetime) -> None: ...


@app.command()
def start(project: str = typer.Argument(..., help="An approved project."), home: Path = HOME) -> None:
    """Begin a run of a project that enough hospitals approved."""
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.runs.starting import begin

    actor = acting(home, "start-run", project)
    opened = HubHome(home)
    run = begin(opened, project, actor=actor, at=now())
    opened.close()
    typer.echo(
        f"Run {run.id} begins as soon as a quorum connects. Watch it: wardround run watch {run.id} --home {home}"
    )


@app.command()
def show(run: str = typer.Argument(..., help="The run."), home: Path = HOME) -> None:
    """Show a run: its state, its rounds, who took part, who is missing and what was refused, each with its reason."""
    from rich.console import Console
    from rich.table import Table

    from wardround.contracts.metric import METRICS
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.runs import ending
    from wardround.hub.runs.reasons import explained
    from wardround.hub.runs.view import see

    opened = HubHome(home)
    with opened.database.reading() as session:
        view = see(session, run, now().date())
    opened.close()
    row = view.row
    table = Table("round", "leg", "seconds", METRICS[view.plan.metric].words, "took part", "missing or refused")
    for found in view.rounds:
        taken = ", ".join(part.site for part in found.taken)
        missing = ", ".join(f"{site} ({reason})" for site, reason in found.absent)
        score = "" if found.row.score is None else f"{found.row.score:.3f}"
        carried = "ensemble" if found.row.ensemble else str(found.row.leg)
        table.add_row(str(found.row.number), carried, f"{found.row.seconds:.1f}", score, taken, missing)
    console = Console()
    console.print(view.standing, highlight=False, markup=False)
    for leg in view.legs:
        if leg.state == "failed":
            console.print(f"  leg {leg.number} ended early: {leg.reason}", highlight=False)
    if view.rounds_ended:
        why = ending.WORDS.get(view.rounds_ended, "")
        console.print(f"  rounds ended: {view.rounds_ended}{f': {why}' if why else ''}", highlight=False)
    if row.judges is None:
        console.print(table if table.rows else "No round is whole yet.")
    else:
        console.print(f"Nothing is trained: model {row.judges} is judged", highlight=False, soft_wrap=True)
        for judged in view.judgements:
            score = "not told" if judged.score is None else f"{judged.score:.3f}"
            console.print(f"  {judged.site}: {METRICS[view.plan.metric].words} {score}", highlight=False)
    for code, words in explained(reason for found in view.rounds for _, reason in found.absent).items():
        console.print(f"  {code}: {words}", highlight=False)
    if row.model is not None:
        console.print(f"Model {row.model}\nHow good it is where: wardround model list --home {home}", highlight=False)


@app.command("list")
def list_runs(home: Path = HOME) -> None:
    """List all runs."""
    from wardround.hub.home import HubHome
    from wardround.hub.runs import queries

    opened = HubHome(home)
    with opened.database.reading() as session:
        rows = queries.runs(session)
    opened.close()
    for row in rows:
        typer.echo(f"{row.id}  {row.state}  round {row.round}  {row.reason}")
    if not rows:
        typer.echo("No run yet. Begin one: wardround run start PROJECT")


@app.command()
def stop(
    run: str = typer.Argument(..., help="The run."),
    reason: str = typer.Option("stopped by a person", "--reason", help="Why; kept in the audit."),
    home: Path = HOME,
) -> None:
    """Have a run rest: whole rounds are kept, the round under way is given up. `resume` goes on with it."""
    from wardround.hub.runs import actions

    row = _changed(run, home, lambda project: acting(home, "stop-run", project), partial(actions.stop, reason=reason))
    typer.echo(
        f"Run {run} is stopped after round {row.round}; the serving hub gives up its leg, and the sites keep what they "
        f"need. Go on with it: wardround run resume {run} --home {home}; end it for good: wardround run end {run} "
        f"--home {home}"
    )


@app.command()
def resume(run: str = typer.Argument(..., help="The run."), home: Path = HOME) -> None:
    """Go on with a run that was stopped, from its last whole round and with the sites that are there."""
    from wardround.hub.runs import actions

    row = _changed(run, home, lambda project: acting(home, "resume-run", project), actions.resume)
    typer.echo(
        f"Run {run} goes on after round {row.round} as soon as a quorum connects. Watch it: wardround run watch "
        f"{run} --home {home}"
    )


@app.command()
def end(
    run: str = typer.Argument(..., help="The run."),
    reason: str = typer.Option("ended by a person", "--reason", help="Why; kept in the audit."),
    home: Path = HOME,
) -> None:
    """End a run for good; whole rounds are kept, and the sites free what they held for it."""
    from wardround.hub.runs import actions
    from wardround.hub.runs.states import RunState

    row = _changed(
        run,
        home,
        lambda project: acting(home, "end-run", project),
        partial(actions.end, new=RunState.ENDED, reason=reason),
    )
    typer.echo(f"Run {run} is ended after round {row.round}; the serving hub gives up its leg and tells the sites.")


@app.command()
def audit(run: str = typer.Argument(..., help="A finished run."), home: Path = HOME) -> None:
    """Have each hospital test how well the run's model betrays whom it was trained on; show what they told.

    An attacker who has the model and a patient's images calls those trained on whom the model does best on. Of pairs
    of a patient who was trained on and one who wasn't, the share is told in which that is right; 50 % is guessing.
    """
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.runs import judging, membership, queries

    opened = HubHome(home)
    with opened.database.reading() as session:
        project = queries.row_of(session, run).project
    actor = acting(home, "audit-run", project)
    with opened.database.writing() as session:
        row = queries.row_of(session, run)
        asked = membership.ask(session, row, actor=actor, at=now())
        waiting = queries.tasks_waiting(session, run, judging.PURPOSE)
        told = [(found.site, found.membership) for found in membership.found(session, row)]
    opened.close()
    for site, share in told:
        if share is not None:
            typer.echo(f"{site}: {share} % of pairs told apart (50 % is guessing)")
    untold = [site for site, share in told if share is None and site not in waiting]
    if untold:
        typer.echo(f"Not told: {', '.join(untold)}")
    if waiting:
        typer.echo(
            f"Asked{' now' if asked else ''}: {', '.join(waiting)}. See what they told: wardround run audit {run} "
            f"--home {home}"
        )


def _changed(run: str, home: Path, who: Callable[[str], Actor], change: Change) -> RunRow:
    """The run's row after a change. `who` says who may make it in a project, or refuses."""
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.runs import queries

    opened = HubHome(home)
    with opened.database.reading() as session:
        project = queries.row_of(session, run).project
    actor = who(project)
    with opened.database.writing() as session:
        row = queries.row_of(session, run)
        change(session, row, actor=actor, at=now())
    opened.close()
    return row
