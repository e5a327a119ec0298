"""`wardround run`: start a federated run and watch it."""

from __future__ import annotations

from pathlib import Path

import typer

from wardround.cli.signin import acting

app = typer.Typer(help="Federated runs: start, show, stop.", no_args_is_help=True, rich_markup_mode=None)

HOME = typer.Option(..., "--home", help="The hub's home.", envvar="WARDROUND_HUB_HOME")


@app.command()
def start(project: str = typer.Argument(..., help="An approved project."), home: Path = HOME) -> None:
    """Begin a run of a project that enough hospitals approved."""
    from importlib.metadata import version

    from wardround.foundation.clock import now
    from wardround.foundation.errors import NotFound
    from wardround.hub.home import HubHome
    from wardround.hub.projects import queries
    from wardround.hub.runs import actions
    from wardround.learning.bundle import BundleRefused
    from wardround.learning.initial import initial_weights

    actor = acting(home, "start-run", project)
    opened = HubHome(home)
    with opened.database.reading() as session:
        actions.check_may_start(session, project, now().date())
        plan = queries.project_of(session, project).plan
    try:
        initial = opened.objects.put(initial_weights(plan.package, plan.setting, plan.seed))
    except BundleRefused as error:
        raise NotFound(f"this hub can't begin {project}: {error}") from None
    with opened.database.writing() as session:
        run = actions.start(
            session,
            project,
            initial=initial,
            engine="flare",
            engine_version=version("nvflare"),
            actor=actor,
            at=now(),
        )
    opened.close()
    typer.echo(f"Run {run.id} begins as soon as a quorum connects. Watch it: wardround run show {run.id} --home {home}")


@app.command()
def show(run: str = typer.Argument(..., help="The run."), home: Path = HOME) -> None:
    """Show a run: its state, its rounds, who took part and who is missing."""
    from rich.console import Console
    from rich.table import Table

    from wardround.hub.home import HubHome
    from wardround.hub.runs import queries
    from wardround.hub.runs.states import WAITS_FOR, RunState

    opened = HubHome(home)
    with opened.database.reading() as session:
        row = queries.row_of(session, run)
        table = Table("round", "leg", "seconds", "Dice", "took part", "missing")
        for found in queries.rounds(session, run):
            sites = queries.round_sites(session, run, found.number)
            taken = ", ".join(site.site for site in sites if site.state == "taken")
            missing = ", ".join(f"{site.site} ({site.reason})" for site in sites if site.state != "taken")
            dice = "" if found.dice is None else f"{found.dice:.3f}"
            table.add_row(str(found.number), str(found.leg), f"{found.seconds:.1f}", dice, taken, missing)
        legs = queries.legs(session, run)
    opened.close()
    console = Console()
    state = RunState(row.state)
    waits = "" if state.over else f"; waits for {WAITS_FOR[state]}"
    console.print(f"{row.id}: {state} ({row.reason}){waits}", highlight=False)
    for leg in legs:
        if leg.state == "failed":
            console.print(f"  leg {leg.number} ended early: {leg.reason}", highlight=False)
    console.print(table if table.rows else "No round is whole yet.")
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
    """Stop a run for good; whole rounds are kept, the round under way is given up."""
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.runs import actions, queries
    from wardround.hub.runs.states import RunState

    opened = HubHome(home)
    with opened.database.reading() as session:
        project = queries.row_of(session, run).project
    actor = acting(home, "stop-run", project)
    with opened.database.writing() as session:
        row = queries.row_of(session, run)
        actions.end(session, row, RunState.STOPPED, reason=reason, actor=actor, at=now())
    opened.close()
    typer.echo(f"Run {run} is stopped after round {row.round}; the serving hub gives up its leg and tells the sites.")
