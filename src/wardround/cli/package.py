"""`wardround package`: what can be trained here: look at a model package, add it, list what is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from wardround.learning.bundle import Bundle

app = typer.Typer(help="Model packages: check, add, list.", no_args_is_help=True, rich_markup_mode=None)

PATH = typer.Argument(..., help="The folder of a model package or of a MONAI Bundle.")
HOME = typer.Option(..., "--home", help="The home of the hub or of a node.", envvar="WARDROUND_HOME")


@app.command()
def check(path: Path = PATH) -> None:
    """Say which parts of a package or bundle can be used here, and why the others can't. Runs nothing of it."""
    from wardround.learning.adoption import examined
    from wardround.learning.bundle import BundleRefused, bundle_digest, read_bundle

    try:
        bundle = read_bundle(path)
    except BundleRefused as error:
        typer.echo(f"Not a package of Wardround's own form ({error}).\nAs a MONAI Bundle from elsewhere:")
    else:
        from wardround.contracts.metric import METRICS
        from wardround.contracts.project_words import READS

        typer.echo(f"{bundle.name} {bundle.version}, digest {bundle_digest(path)}")
        typer.echo(f"Reads {READS[bundle.reads]}, judged by {METRICS[bundle.metric].words}")
        for line in bundle.facts_in_words():
            typer.echo(f"  {line}")
        if bundle.finished:
            typer.echo("A finished model, which is used as it is. It can be added.")
            return
        typer.echo(f"Begins with {'weights that it holds' if bundle.weights else 'fresh weights'}. It can be added.")
        return
    try:
        found = examined(path)
    except BundleRefused as error:
        typer.echo(f"It can't be used: {error}")
        raise typer.Exit(1) from None
    for part in found.parts:
        typer.echo(f"  {part.in_words()}")
    if found.refused:
        typer.echo(f"It can't be used: {len(found.refused)} of its parts are refused.")
        raise typer.Exit(1)
    typer.echo(f"It can be added, as {found.name}: wardround package add {path} --home HOME")


@app.command()
def add(
    path: Path = PATH,
    about: Path | None = typer.Option(
        None,
        "--about",
        help="Of a finished model, an .onnx file or a program's folder: the TOML file that describes it.",
    ),
    home: Path = HOME,
) -> None:
    """Keep a model package at a hub or node, under its digest; a MONAI Bundle from elsewhere is written anew as one.

    The hub and every node of a project need the same: what comes of a bundle has the same digest everywhere. With
    --about it is a model that the hospital bought or built, which is used as it is.
    """
    import tempfile

    from wardround.cli.signin import acting, roster_at
    from wardround.foundation.errors import WardroundError
    from wardround.foundation.settings import read_document
    from wardround.learning.adoption import adopt
    from wardround.learning.bundle import BundleRefused, read_bundle
    from wardround.learning.finished import wrap
    from wardround.learning.packages import Packages

    said = None if about is None else read_document(about, "description of a model")
    actor = acting(home, "add-package")
    try:
        with tempfile.TemporaryDirectory() as scratch, roster_at(home) as roster:
            source = Path(scratch) / "written"
            if said is not None:
                wrap(path, said, source)
            else:
                try:
                    read_bundle(path)
                    source = path
                except BundleRefused:
                    adopt(path, source)
            bundle = read_bundle(source)
            _check_loads(bundle)
            name = bundle.name
            with roster.database.writing() as session:
                digest = Packages(home / "packages").add(source)
                roster.record(session, actor, "add-package", digest, name)
    except BundleRefused as error:
        raise WardroundError(f"{path} can't be added: {error}") from None
    if bundle.finished:
        following = f"Show how good it is here: wardround node model plan {digest} --cohort FILE … --home {home}"
        if bundle.onnx is None:
            named = (
                "It is a program: once somebody has looked at it, name that digest in policy.toml, [projects] own_code."
            )
            following = f"{named}\n{following}"
    else:
        following = f"A project that trains it: wardround project template NAME --package {home / 'packages' / digest}"
    typer.echo(f"Added {name}, digest {digest}.\n{following}")


def _check_loads(bundle: Bundle) -> None:
    """Whether a finished model can be used on this machine; raises `BundleRefused`, `JailUnavailable`."""
    from wardround.compute.jail import check_jail

    if bundle.onnx is not None:
        from wardround.learning.onnx_network import OnnxNetwork

        OnnxNetwork(bundle)
    elif bundle.finished:
        check_jail()


@app.command("list")
def list_packages(home: Path = HOME) -> None:
    """List the packages that were added, by digest."""
    from wardround.learning.packages import Packages

    found = Packages(home / "packages").listed()
    for digest, name in found.items():
        typer.echo(f"{digest}  {name}")
    if not found:
        typer.echo("None was added; those that come with Wardround are always there. Add one: package add PATH")
