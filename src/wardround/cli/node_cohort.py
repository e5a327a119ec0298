"""`wardround node cohort`: what was asked of this hospital, and what it told."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="See the questions that researchers asked.", no_args_is_help=True, rich_markup_mode=None)

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")


@app.command()
def log(
    home: Path = HOME,
    project: str = typer.Option("", "--project", help="Questions of this project alone."),
    last: int = typer.Option(50, "--last", min=1, help="How many of the newest questions."),
    as_json: bool = typer.Option(False, "--json", help="As JSON, for programs."),
) -> None:
    """Show who asked what, for which project, and what was told or why not."""
    from wardround.contracts.disclosure import Count
    from wardround.node.cohort.queries import newest
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    with opened.database.reading() as session:
        rows = newest(session, last, project=project or None)
    opened.close()
    if as_json:
        import json

        document = [
            {
                "at": row.at.isoformat(),
                "asked_by": row.asked_by,
                "project": row.project or None,
                "words": row.words or None,
                "digest": row.digest,
                "by": row.by,
                "outcome": row.outcome,
                "reason": row.reason,
                "told": row.told,
                "cost": row.cost,
                "near": row.near,
            }
            for row in rows
        ]
        typer.echo(json.dumps(document, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("at (UTC)", "asked by", "project", "question", "told", "cost", "near")
    for row in rows:
        words = row.words or "(it couldn't be read)"
        if row.by:
            words += f", by {', '.join(row.by)}"
        told = f"refused: {row.reason}" if row.outcome == "refused" else "not yet"
        if row.told is not None:
            told = Count.model_validate(row.told["people"]).in_words()
            told += f", and {len(row.told['parts'])} groups" if row.told["parts"] else ""
        moment = f"{row.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(moment, row.asked_by, row.project, escape(words), told, str(row.cost), str(row.near or ""))
    Console().print(table)
    if any(row.near for row in rows):
        typer.echo("near: so many other questions of the same person found as many people, give or take two.")
