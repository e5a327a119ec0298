"""`wardround ledger`: check the ledger from this machine's own disk, with nobody's help."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="The ledger: verify, show.", no_args_is_help=True, rich_markup_mode=None)

HOME = typer.Option(..., "--home", help="A hub's or a node's home.", envvar="WARDROUND_HOME")


@app.command()
def verify(home: Path = HOME, as_json: bool = typer.Option(False, "--json", help="As JSON, for programs.")) -> None:
    """Check every entry, signature, checkpoint and cosignature, offline. Exit status 1 if anything doesn't hold."""
    import json
    from dataclasses import asdict

    from wardround.cli.home import ledger_at
    from wardround.ledger.verification import verify as verify_ledger

    with ledger_at(home) as (session, hub):
        found = verify_ledger(session, hub)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        typer.echo(
            f"{found.entries} entries, root {found.root}\n"
            f"newest checkpoint: size {found.size}, cosigned by {', '.join(found.cosigned_by) or 'nobody yet'} "
            f"({'a quorum' if found.quorum_met else 'not yet a quorum'} of {len(found.members)})"
        )
        for problem in found.problems:
            typer.echo(f"  at {problem.index}: {problem.message} [{problem.reason}]. {problem.mend}")
        if found.problems:
            typer.echo("NOT everything holds.")
        elif found.settled < found.entries:
            typer.echo(f"Everything holds; settled up to size {found.settled}, newer entries wait for cosignatures.")
        else:
            typer.echo("Everything holds.")
    if found.problems:
        raise typer.Exit(1)


@app.command()
def show(
    home: Path = HOME,
    start: int = typer.Option(0, "--start", min=0, help="Index of the first entry."),
    limit: int = typer.Option(50, "--limit", min=1, help="How many entries."),
) -> None:
    """Show entries in their order."""
    from wardround.cli.home import ledger_at
    from wardround.contracts.ledger_entry import read_signed_entry
    from wardround.ledger import store

    with ledger_at(home) as (session, _hub):
        lines = store.entries(session, start, limit)
    for index, data in enumerate(lines, start):
        entry = read_signed_entry(data).entry
        told = entry.model_dump(mode="json", exclude={"origin", "at", "nonce", "kind"})
        words = ", ".join(f"{key} {_short(value)}" for key, value in told.items() if value is not None)
        typer.echo(f"{index:>5}  {entry.at:%Y-%m-%d %H:%M:%S}Z  {entry.origin:<12} {entry.kind:<10} {words}")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:24]}…"
