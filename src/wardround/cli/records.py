"""`wardround node records`: health records at this node: load them, see what is there, load a vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli.signin import acting

if TYPE_CHECKING:
    from rich.console import Console

    from wardround.node.records.history import Past
    from wardround.node.records.report import Report

app = typer.Typer(
    help="Health records: load them, see what is there, load a vocabulary.", no_args_is_help=True, rich_markup_mode=None
)

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
JSON = typer.Option(False, "--json", help="As JSON, for programs.")


@app.command()
def load(
    path: Path = typer.Argument(..., help="A file, or a folder of them.", exists=True),
    kind: str = typer.Option(..., "--as", help="What it is: omop, csv, fhir or hl7."),
    source: str = typer.Option(
        ..., "--source", help="A name for where it comes from; the same each time, as `laboratory`."
    ),
    mapping: str = typer.Option("", "--mapping", help="A mapping file, or the name of one that is shipped."),
    link: Path | None = typer.Option(
        None, "--link", help="For omop and csv: a CSV that says which patient a number of the source's stands for."
    ),
    whole: bool = typer.Option(
        False, "--whole", help="It is all that the source has: what its tables no longer have is taken out here too."
    ),
    home: Path = HOME,
    as_json: bool = JSON,
) -> None:
    """Load records: all that can be taken of it, or nothing where it ends early.

    The same again changes nothing; what changed at the source is replaced; what went there stays here without --whole.
    What was rejected is told with its reason and its place.
    """
    from wardround.node.deidentify.department import Department
    from wardround.node.home import NodeHome
    from wardround.node.records.load import TELLING_IN_ORDER
    from wardround.node.records.sources import SOURCES, Options, reader
    from wardround.node.records.wiring import loader_at

    if kind not in SOURCES:
        raise typer.BadParameter(f"--as is one of {', '.join(SOURCES)}")
    if whole and kind in TELLING_IN_ORDER:
        raise typer.BadParameter(f"--whole is for exports; {kind} messages take back by themselves what went")
    actor = acting(home, "load-records")
    read = reader(kind, Options(mapping, link))
    opened = NodeHome(home)
    opened.database.upgrade()
    department = Department(opened)
    try:
        loader = loader_at(opened, department)
        with _progress("reading", quiet=as_json) as moved:
            report = loader.load(
                read, path, source=source, actor=actor, in_order=kind in TELLING_IN_ORDER, whole=whole, progress=moved
            )
    finally:
        department.close()
        opened.close()
    if as_json:
        _say_json(report.document())
        return
    _show_report(report, source)


@app.command()
def status(
    home: Path = HOME,
    last: int = typer.Option(5, "--last", min=1, help="How many of the newest loads."),
    as_json: bool = JSON,
) -> None:
    """Show how many records there are, where they come from, the newest loads and what they rejected."""
    from wardround.node.home import NodeHome
    from wardround.node.records.queries import standing
    from wardround.node.records.wiring import records_at

    opened = NodeHome(home)
    here = standing(records_at(opened), last)
    opened.close()
    if as_json:
        _say_json(
            {
                "tables": here.tables,
                "sources": here.sources,
                "loads": [
                    {"source": past.source, "at": past.at.isoformat(), "actor": past.actor, **past.report.document()}
                    for past in here.loads
                ],
            }
        )
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("table", "rows")
    for name, rows in here.tables.items():
        table.add_row(name, f"{rows:,}")
    console.print(table)
    if not here.sources:
        typer.echo(
            "No health record was loaded: who is here is known from images alone.\n"
            f"Next: wardround node records load PATH --as FORM --source NAME --home {home}"
        )
    if not here.tables.get("concept"):
        typer.echo("No vocabulary is loaded: records are found by the codes that they were given, no others.")
    for name, rows in here.sources.items():
        typer.echo(f"source {name}: {rows:,} records")
    for past in here.loads:
        _show_load(console, past)


@app.command()
def vocabulary(
    folder: Path = typer.Argument(..., help="Where Athena's export was unpacked: CONCEPT.csv and its siblings."),
    home: Path = HOME,
) -> None:
    """Load OMOP's vocabulary tables, in place of those that are there; records get the concepts of their codes."""
    from wardround.node import audit
    from wardround.node.home import NodeHome
    from wardround.node.records.athena import load_vocabulary
    from wardround.node.records.wiring import records_at

    actor = acting(home, "load-records")
    opened = NodeHome(home)
    opened.database.upgrade()
    with opened.database.writing() as session:
        audit.record(session, actor, "load-vocabulary", "vocabulary")
    with _progress("reading") as moved:
        loaded = load_vocabulary(records_at(opened), folder, progress=moved)
    opened.close()
    told = ", ".join(f"{rows:,} of {name}" for name, rows in loaded.rows.items())
    typer.echo(f"Loaded: {told}. {loaded.renamed:,} concepts of records changed.")
    if not loaded.rows["concept_relationship"]:
        typer.echo("Without CONCEPT_RELATIONSHIP.csv, codes that aren't standard ones find no standard concept.")
    if not loaded.rows["concept_ancestor"]:
        typer.echo("Without CONCEPT_ANCESTOR.csv, a question finds no descendants of the concepts that it names.")


def _show_report(report: Report, source: str) -> None:
    total = report.changes
    typer.echo(
        f"Read {report.read:,} records of {source}: {total.added:,} added, {total.changed:,} changed, "
        f"{total.unchanged:,} unchanged, {total.removed:,} removed, {report.rejections:,} rejected."
    )
    for name, changes in sorted(report.tables.items()):
        if changes.added or changes.changed or changes.removed:
            typer.echo(f"  {name}: +{changes.added:,} ~{changes.changed:,} -{changes.removed:,}")
    if total.repeated:
        typer.echo(f"{total.repeated:,} rows were followed by another of the same key, which counts.")
    _show_rejected(report)
    if report.unmapped:
        typer.echo(f"{report.unmapped:,} records have a code that the vocabulary doesn't know; that code finds them.")
    typer.echo("Next: wardround node records status, or the same command again whenever the source has changed.")


def _show_rejected(report: Report) -> None:
    from wardround.node.records.reasons import WORDS

    for reason, one in sorted(report.rejected.items()):
        places = "; ".join(one.places)
        more = f"; and {one.count - len(one.places):,} more" if one.count > len(one.places) else ""
        typer.echo(f"rejected {one.count:,} ({reason}): {WORDS[reason]}. At: {places}{more}")


def _show_load(console: Console, past: Past) -> None:
    total = past.report.changes
    console.print(
        f"{past.at:%Y-%m-%d %H:%M}Z {past.source} by {past.actor}: {past.report.read:,} read, {total.added:,} added, "
        f"{total.changed:,} changed, {total.removed:,} removed, {past.report.rejections:,} rejected",
        highlight=False,
        markup=False,
    )
    _show_rejected(past.report)


def _say_json(document: object) -> None:
    import json

    typer.echo(json.dumps(document, indent=2))


@contextmanager
def _progress(what: str, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A line that counts, on a terminal."""
    if quiet:
        yield lambda _: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn(what + " {task.completed:,} records"), TimeElapsedColumn())
    with Progress(*columns, transient=True) as bar:
        line = bar.add_task(what, total=None)
        yield lambda done: bar.update(line, completed=done)
