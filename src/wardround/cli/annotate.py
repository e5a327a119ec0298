"""`wardround node annotate`: labels that people drew, what is decided on them, and how far readers agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli.signin import acting

if TYPE_CHECKING:
    from wardround.node.annotate.labels import Labels
    from wardround.node.home import NodeHome

app = typer.Typer(help="Labels drawn at this hospital.", no_args_is_help=True, rich_markup_mode=None)

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
LABEL = typer.Argument(..., help="The label's number, as `list` shows it.")


class _Form(StrEnum):
    SEG = "seg"
    NIFTI = "nifti"


@contextmanager
def _labels(home: Path) -> Iterator[tuple[NodeHome, Labels]]:
    from wardround.foundation.files import ObjectStore
    from wardround.node.annotate.forgetting import label_files
    from wardround.node.annotate.labels import Labels
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    try:
        opened.database.upgrade()
        yield opened, Labels(opened.database, label_files(opened.path), ObjectStore(opened.enclave / "objects"))
    finally:
        opened.close()


@app.command("list")
def show(home: Path = HOME, series: str = typer.Option("", "--series", help="Of one series alone.")) -> None:
    """Show the labels that were saved: of which series, by whom, with what help, and what was decided."""
    from rich.console import Console
    from rich.table import Table

    from wardround.node.annotate.told import labels_of

    with _labels(home) as (opened, _):
        rows = labels_of(opened.database, [series] if series else None)
    if not rows:
        typer.echo("No labels yet. docs/how-to/annotate.md says how to draw the first.")
        return
    table = Table("label", "series", "version", "by", "helped by", "ml", "minutes", "saved (UTC)", "state")
    for row in rows:
        minutes = "" if row.seconds is None else f"{row.seconds / 60:.1f}"
        saved = f"{row.saved_at:%Y-%m-%d %H:%M}"
        state = f"{row.state} by {row.decided_by}" if row.decided_by else row.state
        cells = (row.series, str(row.version), row.author, row.model, f"{row.volume_ml:.1f}", minutes, saved, state)
        table.add_row(str(row.id), *cells)
    Console().print(table)


@app.command()
def accept(
    label: int = LABEL, home: Path = HOME, note: str = typer.Option("", "--note", help="Kept with the decision.")
) -> None:
    """Make a label the enclave's reference for its series. Its author can't; another label that was is replaced."""
    actor = acting(home, "decide-label")
    with _labels(home) as (_, labels):
        row = labels.accept(label, actor=actor, note=note)
    typer.echo(f"Label {label} is the reference of {row.series} now: cohorts count the series as labelled.")


@app.command()
def reject(
    label: int = LABEL, home: Path = HOME, reason: str = typer.Option(..., "--reason", help="Why; its author reads it.")
) -> None:
    """Say that a label isn't to be used. Its case is offered again."""
    actor = acting(home, "decide-label")
    with _labels(home) as (_, labels):
        labels.reject(label, actor=actor, reason=reason)
    typer.echo(f"Label {label} is rejected, and stays on the record. Its case is offered again.")


@app.command()
def agreement(home: Path = HOME) -> None:
    """Show how far people's labels of the same series overlap (Dice, 1 where they are the same)."""
    from statistics import mean

    from rich.console import Console
    from rich.table import Table

    from wardround.node.annotate.told import agreements, overlap_in

    with _labels(home) as (opened, labels):
        found = agreements(opened.database, overlap_in(labels.files))
    if not found:
        typer.echo("No series has labels of two people. Set readers = 2 under [annotation] in node.toml to have that.")
        return
    table = Table("series", "by", "and by", "Dice")
    for one in found:
        table.add_row(one.series, *one.people, f"{one.dice:.3f}")
    Console().print(table)
    typer.echo(f"{len(found)} pairs, mean Dice {mean(one.dice for one in found):.3f}.")


@app.command()
def times(home: Path = HOME) -> None:
    """Show how long cases took, by person, with a model's help and without."""
    from rich.console import Console
    from rich.table import Table

    from wardround.node.annotate.told import efforts

    with _labels(home) as (opened, _):
        found = efforts(opened.database)
    if not found:
        typer.echo("No case was drawn yet that the node gave out.")
        return
    table = Table("person", "with help", "cases", "minutes a case (median)")
    for one in found:
        table.add_row(one.person, "yes" if one.helped else "no", str(one.cases), f"{one.minutes:.1f}")
    Console().print(table)
    typer.echo("Minutes run from when a case was given to when its label was saved, pauses included.")


@app.command()
def export(
    label: int = LABEL,
    file: Path = typer.Argument(..., help="Where to write it."),
    home: Path = HOME,
    form: _Form = typer.Option(_Form.SEG, "--form", help="`seg`: DICOM SEG. `nifti`: NIfTI, compressed."),
) -> None:
    """Write a label to a file. It names no patient but by pseudonym; what leaves the hospital is yours to decide."""
    from wardround.foundation.files import write_whole
    from wardround.node import audit

    actor = acting(home, "annotate-images")
    with _labels(home) as (opened, labels):
        row = labels.find(label)
        data = labels.files.get(row.seg if form is _Form.SEG else row.nifti)
        with opened.database.writing() as session:
            audit.record(session, actor, "export-label", row.series, f"version {row.version}")
    write_whole(file, data)
    typer.echo(f"{file}: label {label}, {row.voxels} voxels, {row.volume_ml:.1f} ml.")


@app.command()
def address(home: Path = HOME) -> None:
    """Print the address for a client that can't sign in, such as OHIF: your session is in it, and ends as it does.

    The address is all that standard output gets. Who has it draws in your name.
    """
    from wardround.cli.signin import roster_at, token_at
    from wardround.node.home import NodeHome

    acting(home, "annotate-images")
    with roster_at(home, "node") as roster:
        token = token_at(roster, home)
    opened = NodeHome(home)
    settings = opened.settings.annotation
    opened.close()
    scheme = "http" if settings.certificate is None else "https"
    typer.echo(f"{scheme}://{settings.host}:{settings.port}/monailabel/at/{token}/")
    if not settings.enabled:
        typer.echo("Annotation isn't served yet: set enabled = true under [annotation] in node.toml.", err=True)
