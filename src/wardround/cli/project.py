"""`wardround project`: what a researcher does at the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from wardround.contracts.cohort_query import CohortQuestion
    from wardround.learning.bundle import Bundle

app = typer.Typer(
    help="Draft a project, ask for counts, put it before the hospitals.", no_args_is_help=True, rich_markup_mode=None
)

HOME = typer.Option(..., "--home", help="The hub's home.", envvar="WARDROUND_HUB_HOME")
PROJECT = typer.Argument(..., help="The project's short name.")


@app.command()
def create(file: Path = typer.Argument(..., help="The project as JSON or TOML."), home: Path = HOME) -> None:
    """Keep a draft of a project, or a new edition of a draft."""
    import json
    import tomllib

    from pydantic import ValidationError

    from wardround.cli.signin import acting
    from wardround.contracts.project import Project
    from wardround.foundation.clock import now
    from wardround.foundation.errors import WardroundError
    from wardround.hub.home import HubHome
    from wardround.hub.projects.actions import draft

    try:
        text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
        project = Project.model_validate_json(json.dumps(document, default=str))
    except OSError as error:
        raise WardroundError(f"{file} can't be read ({error.strerror})") from None
    except (ValueError, tomllib.TOMLDecodeError) as error:
        if isinstance(error, ValidationError):
            fault = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in fault["loc"]) or "the file"
            raise WardroundError(f"{file}: {where}: {fault['msg']}; correct it") from None
        raise WardroundError(f"{file}: neither JSON nor TOML that can be read ({error})") from None
    actor = acting(home, "draft-project", project.id)
    opened = HubHome(home)
    with opened.database.writing() as session:
        draft(session, project, actor=actor, at=now())
    opened.close()
    typer.echo(
        f"Drafted {project.id}: {project.cohort.in_words()}.\n"
        f"Next: wardround project count {project.id} --home {home}, "
        f"then wardround project submit {project.id} --home {home}"
    )


@app.command()
def template(
    name: str = typer.Argument("my-project", help="The project's short name."),
    package: Path = typer.Option(
        Path("brain-mri-glioma"),
        "--package",
        help="The model package to train: its name, or the folder of one.",
    ),
    setting: str = typer.Option("default", "--setting", help="The package's training setting."),
    rounds: int | None = typer.Option(None, "--rounds", min=1, help="Rounds at most; the setting's own if not given."),
    sites: int = typer.Option(3, "--sites", min=1, help="How many hospitals you expect; sets the quorum."),
    algorithm: str = typer.Option(
        "fedavg", "--algorithm", help="How rounds become one model, with its usual numbers for you to edit."
    ),
) -> None:
    """Print a project to start from, as JSON."""
    from datetime import timedelta
    from typing import cast, get_args

    from pydantic import TypeAdapter, ValidationError

    from wardround.contracts.algorithm import AlgorithmName
    from wardround.contracts.base import ProjectId
    from wardround.contracts.data_use import DataUse
    from wardround.contracts.lawful_basis import LawfulBasis
    from wardround.contracts.project import Project
    from wardround.contracts.standard_project import usual_leaves
    from wardround.foundation.clock import now
    from wardround.foundation.errors import NotFound
    from wardround.learning.bundle import BundleRefused, packaged, read_bundle
    from wardround.learning.usual_plan import usual_plan

    try:
        TypeAdapter(ProjectId).validate_python(name)
        directory = package if package.is_dir() else packaged(str(package))
        bundle = read_bundle(directory)
        bundle.setting(setting)
    except ValidationError:
        raise typer.BadParameter(
            f"{name!r} can't be a project's name: 2 to 40 lower-case letters, digits and hyphens, a letter first"
        ) from None
    except BundleRefused as error:
        raise NotFound(str(error)) from None
    if algorithm not in get_args(AlgorithmName):
        raise typer.BadParameter(f"{algorithm!r} is no algorithm; there are {', '.join(get_args(AlgorithmName))}")
    chosen = cast("AlgorithmName", algorithm)
    plan = usual_plan(directory, setting=setting, algorithm=chosen, rounds=rounds, quorum=sites // 2 + 1)
    project = Project(
        id=name,
        title="What the model shall do, in one line",
        purpose="Why, for a data controller to read",
        researcher="Your Name",
        lawful_basis=LawfulBasis(article_6="6-1-e", article_9="9-2-j"),
        data_use=(DataUse(code="DUO:0000006"), DataUse(code="DUO:0000021")),
        cohort=_cohort_for(bundle),
        plan=plan,
        runs=3,
        leaves=usual_leaves(plan, sites),
        ends=now().date() + timedelta(days=180),
    )
    typer.echo(project.model_dump_json(indent=2))


def _cohort_for(bundle: Bundle) -> CohortQuestion:
    """A question to start from: images with a label, or whoever has a measurement that the package reads."""
    from wardround.contracts.cohort_builder import imaging, measurement, patients
    from wardround.learning.table import TablePreparation

    if not isinstance(bundle.preparation, TablePreparation):
        return patients.with_(imaging(modality="MR", has_label=bundle.target is None or None)).question()
    measured = (fact.code.partition(":") for fact in bundle.preparation.facts if fact.of == "measurement")
    first = next(measured, None)
    return (patients.with_(measurement(first[0], first[2])) if first else patients.aged(18, 120)).question()


@app.command()
def count(
    project: str = PROJECT,
    home: Path = HOME,
    wait: float = typer.Option(30, "--wait", min=0, help="Seconds to wait for the answers."),
) -> None:
    """Ask every site how many people the project's question finds, in rounded numbers."""
    from wardround.cli.cohort import collect, show
    from wardround.cli.signin import acting
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.projects.actions import ask_counts

    actor = acting(home, "ask-counts", project)
    opened = HubHome(home)
    with opened.database.writing() as session:
        asked = ask_counts(session, project, actor=actor, at=now())
    found = collect(opened, asked.id, wait)
    opened.close()
    show(found)


@app.command()
def submit(project: str = PROJECT, home: Path = HOME) -> None:
    """Put the project before each hospital's data controller."""
    from wardround.cli.signin import acting
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.projects.actions import submit as submit_project

    actor = acting(home, "submit-project", project)
    opened = HubHome(home)
    with opened.database.writing() as session:
        sites = submit_project(session, project, actor=actor, at=now())
    opened.close()
    typer.echo(
        f"Submitted to {', '.join(sites)}. Each reads it on its own node, which says how to decide:\n"
        f"  wardround node show {project} --home NODE\n"
        f"What they decided: wardround project show {project} --home {home}"
    )


@app.command()
def withdraw(
    project: str = PROJECT,
    reason: str = typer.Option(..., "--reason", help="A code that everybody may see, as in `wrong-cohort`."),
    home: Path = HOME,
) -> None:
    """End a project for every hospital: its runs stop, and no hospital uses data for it any more."""
    from wardround.cli.decide import reason_code
    from wardround.cli.signin import acting
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.projects.withdrawal import withdraw as withdraw_project

    code = reason_code(reason)
    actor = acting(home, "end-project", project)
    opened = HubHome(home)
    with opened.database.writing() as session:
        sites = withdraw_project(session, project, code, actor=actor, at=now())
    opened.close()
    told = f"{', '.join(sites)} are told" if sites else "no hospital had it"
    typer.echo(f"Withdrew {project}: {code}. Its runs are stopped; {told}.")


@app.command()
def show(project: str = PROJECT, home: Path = HOME) -> None:
    """Show a project, its state, what was counted, and what each hospital decided: limits, reason, until when."""
    from wardround.contracts.project_words import in_words
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.projects import queries
    from wardround.hub.projects.states import OWNERS, ProjectState
    from wardround.hub.runs.queries import runs
    from wardround.hub.sites.queries import members

    opened = HubHome(home)
    today = now().date()
    with opened.database.reading() as session:
        row = queries.row_of(session, project)
        found, state = queries.project_of(session, project), queries.state_of(session, project, today)
        told, decisions = queries.counts(session, found), queries.decisions(session, project)
        started = len([run for run in runs(session) if run.project == project])
        asked = members(session) if state is not ProjectState.DRAFT else []
    opened.close()
    by = "" if row.withdrawn_by is None else f" by {row.withdrawn_by}: {row.withdrawn_reason}"
    typer.echo(f"{found.id}: {found.title} ({state}{by})\nWith {OWNERS[state]}")
    for line in in_words(found):
        typer.echo(line)
    typer.echo(f"Runs started: {started} of {found.runs}")
    for site, people in sorted(told.items()):
        typer.echo(f"Counted:      {site}: {people.in_words()}")
    for decision in decisions:
        typer.echo(f"Decided:      {decision.site}: {decision.in_words(today)}, ledger entry {decision.entry}")
    for site in sorted(set(asked) - {decision.site for decision in decisions}):
        typer.echo(f"Decided:      {site}: no decision yet")
