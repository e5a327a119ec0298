"""`wardround model`: registered models, and how good an exported one is."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Models: list, export, score.", no_args_is_help=True, rich_markup_mode=None)

HOME = typer.Option(..., "--home", help="The hub's home.", envvar="WARDROUND_HUB_HOME")


@app.command("list")
def list_models(home: Path = HOME) -> None:
    """List the registered models with their metrics at each site."""
    import json

    from wardround.hub.home import HubHome
    from wardround.hub.registry.queries import models

    opened = HubHome(home)
    with opened.database.reading() as session:
        rows = models(session)
    opened.close()
    for row in rows:
        typer.echo(f"{row.digest}\n  {row.package}, run {row.run}, round {row.round}, ledger entry {row.entry}")
        for site, metrics in json.loads(row.metrics).items():
            told = ", ".join(f"{name} {value:.3f}" for name, value in sorted(metrics.items()))
            typer.echo(f"  {site}: {told}")
    if not rows:
        typer.echo("No model yet. A finished run registers one: wardround run start PROJECT")


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
