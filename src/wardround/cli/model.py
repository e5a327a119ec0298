"""`wardround model`: registered models, and how good an exported one is."""

from __future__ import annotations

from pathlib import Path

import typer

from wardround.cli.signin import acting

app = typer.Typer(help="Models: list, evaluate, export, score.", no_args_is_help=True, rich_markup_mode=None)

HOME = typer.Option(..., "--home", help="The hub's home.", envvar="WARDROUND_HUB_HOME")


@app.command("list")
def list_models(home: Path = HOME) -> None:
    """List the registered models with their metrics at each site."""
    import json

    from wardround.hub.home import HubHome
    from wardround.hub.registry.queries import models
    from wardround.hub.runs.evaluation import judged, metric_of

    opened = HubHome(home)
    with opened.database.reading() as session:
        rows = models(session)
        elsewhere = {row.digest: judged(session, row.digest) for row in rows}
    opened.close()
    for row in rows:
        typer.echo(f"{row.digest}\n  {row.package}, run {row.run}, round {row.round}, ledger entry {row.entry}")
        for site, metrics in json.loads(row.metrics).items():
            told = ", ".join(f"{name} {value:.3f}" for name, value in sorted(metrics.items()))
            typer.echo(f"  {site}: {told}")
        for run, found in elsewhere[row.digest]:
            score = "not told" if found.score is None else f"{metric_of(run)} {found.score:.3f}"
            typer.echo(f"  {found.site}, project {run.project}, run {run.id}: {score}")
    if not rows:
        typer.echo("No model yet. A finished run registers one: wardround run start PROJECT")


@app.command()
def evaluate(
    model: str = typer.Argument(..., help="The model's digest, or 8 digits of it or more."),
    project: str = typer.Option(..., "--project", help="The approved project whose hospitals judge it."),
    home: Path = HOME,
) -> None:
    """Have a registered model judged by the hospitals of a project, on their held-out patients; nothing is trained.

    It is one of the runs that the project's hospitals approved.
    """
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.registry.queries import model_of
    from wardround.hub.registry.registration import whole_weights
    from wardround.hub.runs import actions, evaluation, queries
    from wardround.learning.arrays import to_bytes

    actor = acting(home, "evaluate-model", project)
    opened = HubHome(home)
    with opened.database.reading() as session:
        row = model_of(session, model)
        evaluation.check_fits(session, row, project)
        sites = actions.check_may_start(session, project, now().date())
        made_in = queries.row_of(session, row.run)
    weights = opened.objects.put(to_bytes(whole_weights(opened.objects, made_in, row.weights)))
    with opened.database.writing() as session:
        run = evaluation.begin(session, project, row, weights, actor=actor, at=now())
    opened.close()
    typer.echo(
        f"Run {run.id} asks {', '.join(sites)} to judge {row.package} {row.digest[:12]}. Watch it: wardround run watch "
        f"{run.id} --home {home}; what they told: wardround model list --home {home}"
    )


@app.command()
def card(
    model: str = typer.Argument(..., help="The model's digest, or 8 digits of it or more."),
    edit: Path | None = typer.Option(None, "--edit", help="A TOML file of what people write; a new edition of it."),
    home: Path = HOME,
) -> None:
    """Show a model's card as Markdown: lineage, cohorts, evidence, and what people wrote of its use and its hazards."""
    from wardround.contracts.model_card import CardText
    from wardround.foundation.clock import now
    from wardround.foundation.settings import read_settings
    from wardround.hub.home import HubHome
    from wardround.hub.registry.card import card_of, parents_of, write
    from wardround.hub.registry.queries import model_of

    text = None if edit is None else read_settings(edit, CardText)
    actor = None if text is None else acting(home, "edit-card")
    opened = HubHome(home)
    with opened.database.writing() if text is not None else opened.database.reading() as session:
        row = model_of(session, model)
        if text is not None and actor is not None:
            write(session, row.digest, text, actor=actor, at=now())
            session.flush()
        shown = card_of(session, row, parents_of(opened.objects.get(row.archive)))
    opened.close()
    typer.echo(shown.rstrip())


@app.command()
def evidence(
    model: str = typer.Argument(..., help="The model's digest, or 8 digits of it or more."), home: Path = HOME
) -> None:
    """Show what hospitals found of a model on patients of their own, each and pooled; no case left any of them."""
    from wardround.hub.home import HubHome
    from wardround.hub.registry.evidence import together
    from wardround.hub.registry.queries import model_of

    opened = HubHome(home)
    with opened.database.reading() as session:
        row = model_of(session, model)
        found = together(session, row.digest)
    opened.close()
    for plan in found:
        typer.echo(f"{row.digest[:12]} by plan {plan.plan[:12]}, at {len(plan.sites)} hospitals")
        for site, told in sorted(plan.sites.items()):
            parts = [
                f"{name} {one.value:.2f} ({one.people.in_words()})" for name, one in sorted(told.estimates.items())
            ]
            typer.echo(f"  {site}: {', '.join(parts)}, ledger entry {told.entry}")
        for group, pooled in [("", plan.pooled), *plan.groups.items()]:
            for name, one in pooled.items():
                typer.echo(
                    f"  pooled {name}{f' of {group}' if group else ''}: {one.random.value:.3f} (95 % interval "
                    f"{one.random.low:.3f} to {one.random.high:.3f}, random effects), fixed {one.fixed.value:.3f}, "
                    f"I2 {one.inconsistency:.0%}"
                )
    if not found:
        typer.echo("No hospital told anything of it. At a node: wardround node model share PLAN")


@app.command()
def export(
    model: str = typer.Argument(..., help="The model's digest, or 8 digits of it or more."),
    target: Path = typer.Argument(..., help="A new folder."),
    home: Path = HOME,
) -> None:
    """Write a registered model to a folder as a MONAI Bundle."""
    from wardround.foundation.errors import Conflict, WardroundError
    from wardround.hub.home import HubHome
    from wardround.hub.registry.queries import model_of
    from wardround.learning.archive import unpack
    from wardround.learning.bundle import BundleRefused

    if target.exists():
        raise Conflict(f"{target} is there already; name a new folder")
    opened = HubHome(home)
    with opened.database.reading() as session:
        row = model_of(session, model)
    archive = opened.objects.get(row.archive)
    opened.close()
    try:
        unpack(archive, target)
    except BundleRefused as error:
        raise WardroundError(f"the hub's package can't be written: {error}") from None
    typer.echo(f"Wrote {row.package} {row.digest[:12]} to {target}. Next: wardround model score {target} --data FOLDER")


@app.command()
def score(
    bundle: Path = typer.Argument(..., help="An exported model: the folder of a MONAI Bundle."),
    data: Path = typer.Option(
        ..., "--data", help="A folder per hospital, <patient>_flair.nii.gz and <patient>_tumour.nii.gz."
    ),
    report: Path | None = typer.Option(None, "--report", help="Write the scores to this JSON file."),
) -> None:
    """Dice of a model for each patient of a folder, hospitals that it never saw included."""
    import json

    from wardround.foundation.errors import WardroundError
    from wardround.foundation.files import write_whole
    from wardround.learning.arrays import ArraysRefused
    from wardround.learning.bundle import BundleRefused
    from wardround.learning.case import CaseRefused
    from wardround.learning.score import DataRefused
    from wardround.learning.score import score as score_bundle

    try:
        found = score_bundle(bundle, data)
    except (DataRefused, BundleRefused, ArraysRefused, CaseRefused) as error:
        raise WardroundError(str(error)) from None
    if report is not None:
        write_whole(report, (json.dumps(found, indent=2) + "\n").encode(), mode=0o644)
    typer.echo(f"Mean Dice {found['mean']:.3f} over {len(found['patients'])} patients")
    for site, told in found["sites"].items():
        typer.echo(f"  {site}: {told['mean'] if isinstance(told, dict) else told:.3f}")
