"""`wardround project`: what a researcher does at the hub."""

from __future__ import annotations

from pathlib import Path

import typer

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

    from wardround.contracts.project import Project
    from wardround.foundation.audit import operator
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
    opened = HubHome(home)
    with opened.database.writing() as session:
        draft(session, project, actor=operator(), at=now())
    opened.close()
    typer.echo(
        f"Drafted {project.id}: {project.cohort.in_words()}.\n"
        f"Next: wardround project count {project.id} --home {home}, then project submit"
    )


@app.command()
def template(
    name: str = typer.Argument("my-project", help="The project's short name."),
    package: str = typer.Option("brain-mri-glioma", "--package", help="The model package to train."),
    setting: str = typer.Option("default", "--setting", help="The package's training setting."),
    rounds: int | None = typer.Option(None, "--rounds", min=1, help="Rounds at most; the setting's own if not given."),
    sites: int = typer.Option(3, "--sites", min=1, help="How many hospitals you expect; sets the quorum."),
) -> None:
    """Print a project to start from, as JSON."""
    from datetime import timedelta

    from pydantic import TypeAdapter, ValidationError

    from wardround.contracts.base import ProjectId
    from wardround.contracts.cohort_builder import imaging, patients
    from wardround.contracts.data_use import DataUse
    from wardround.contracts.lawful_basis import LawfulBasis
    from wardround.contracts.project import Project
    from wardround.contracts.run_plan import RunPlan
    from wardround.contracts.standard_project import usual_leaves
    from wardround.foundation.clock import now
    from wardround.foundation.errors import NotFound
    from wardround.learning.bundle import BundleRefused, bundle_digest, packaged, read_bundle

    try:
        TypeAdapter(ProjectId).validate_python(name)
        directory = packaged(package)
        tuned = read_bundle(directory).setting(setting)
    except ValidationError:
        raise typer.BadParameter(
            f"{name!r} can't be a project's name: 2 to 40 lower-case letters, digits and hyphens, a letter first"
        ) from None
    except BundleRefused as error:
        raise NotFound(str(error)) from None
    plan = RunPlan(
        package=package,
        package_digest=bundle_digest(directory),
        setting=setting,
        rounds=rounds or tuned.rounds,
        quorum=sites // 2 + 1,
    )
    project = Project(
        id=name,
        title="What the model shall do, in one line",
        purpose="Why, for a data controller to read",
        researcher="Your Name",
        lawful_basis=LawfulBasis(article_6="6-1-e", article_9="9-2-j"),
        data_use=(DataUse(code="DUO:0000006"), DataUse(code="DUO:0000021")),
        cohort=patients.with_(imaging(modality="MR", has_label=True)).question(),
        plan=plan,
        runs=3,
        leaves=usual_leaves(plan, sites),
        ends=now().date() + timedelta(days=180),
    )
    typer.echo(project.model_dump_json(indent=2))


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
    from wardround.foundation.audit import operator
    from wardround.hub.home import HubHome
    from wardround.hub.projects.actions import submit as submit_project

    opened = HubHome(home)
    with opened.database.writing() as session:
        sites = submit_project(session, project, actor=operator())
    opened.close()
    typer.echo(
        f"Submitted to {', '.join(sites)}. Each decides on its own node: wardround node approve {project} --home NODE"
    )


@app.command()
def show(project: str = PROJECT, home: Path = HOME) -> None:
    """Show a project, what was counted and who decided what."""
    from wardround.hub.home import HubHome
    from wardround.hub.projects import queries

    opened = HubHome(home)
    with opened.database.reading() as session:
        row = queries.row_of(session, project)
        found = queries.project_of(session, project)
        told, decisions = queries.counts(session, found), queries.decisions(session, project)
    opened.close()
    typer.echo(f"{found.id}: {found.title} ({row.state})\n{found.purpose}\nCohort: {found.cohort.in_words()}")
    for site, people in sorted(told.items()):
        typer.echo(f"  {site}: {people.in_words()}")
    for decision in decisions:
        word = "approved" if decision.approved else "refused"
        typer.echo(f"  {decision.site}: {word}, ledger entry {decision.entry}")
