"""`wardround node dicomweb`: who may look at the enclave, or store to the front door, over DICOMweb."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from wardround.cli.signin import acting

app = typer.Typer(help="The DICOMweb server: its tokens.", no_args_is_help=True, rich_markup_mode=None)
token = typer.Typer(help="Tokens of viewers and senders.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(token, name="token")

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
NAME = typer.Argument(..., help="Whose it is: 3 to 40 lower-case letters, digits and hyphens.")


class _Scope(StrEnum):
    READ = "read"
    STORE = "store"
    WORK = "work"


class _Path(StrEnum):
    RESEARCH = "research"
    CLINIC = "clinic"


@token.command()
def make(
    name: str = NAME,
    home: Path = HOME,
    scope: _Scope = typer.Option(
        ...,
        "--scope",
        help="`read`: search and retrieve from the enclave. `store`: store to the front door. `work`: see and change "
        "workitems, which name patients.",
    ),
    path: _Path = typer.Option(_Path.RESEARCH, "--path", help="Which path the studies take that `store` stores."),
) -> None:
    """Make a token and show it, once: it is kept as a digest alone.

    The token is all that standard output gets, so that it can go into a file or a secret store.
    """
    from wardround.node.dicomweb.tokens import Scope
    from wardround.node.dicomweb.tokens import make as make_token
    from wardround.node.home import NodeHome
    from wardround.node.receive.route import StudyPath

    actor = acting(home, "give-tokens")
    opened = NodeHome(home)
    try:
        opened.database.upgrade()
        typer.echo(make_token(opened.database, name, Scope(scope), actor=actor, path=StudyPath(path)))
    finally:
        opened.close()
    typer.echo("It isn't shown again. It is sent as: Authorization: Bearer TOKEN", err=True)
    if not opened.settings.dicomweb.enabled:
        typer.echo("DICOMweb isn't served yet: set enabled = true under [dicomweb] in node.toml, restart.", err=True)


@token.command("list")
def show(home: Path = HOME) -> None:
    """Show whose tokens there are, what for, by whom, and which are revoked."""
    from rich.console import Console
    from rich.table import Table

    from wardround.node.dicomweb.tokens import listed
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    try:
        opened.database.upgrade()
        rows = listed(opened.database)
    finally:
        opened.close()
    if not rows:
        typer.echo("No tokens yet.")
        return
    table = Table("name", "scope", "path", "made (UTC)", "by", "revoked (UTC)")
    for row in rows:
        revoked = f"{row.revoked_at:%Y-%m-%d %H:%M}" if row.revoked_at else ""
        path = row.path if row.scope == _Scope.STORE else ""
        table.add_row(row.name, row.scope, path, f"{row.made_at:%Y-%m-%d %H:%M}", row.made_by, revoked)
    Console().print(table)


@token.command()
def revoke(name: str = NAME, home: Path = HOME) -> None:
    """Let a token open nothing from the next call on. Its name stays taken."""
    from wardround.node.dicomweb.tokens import revoke as revoke_token
    from wardround.node.home import NodeHome

    actor = acting(home, "give-tokens")
    opened = NodeHome(home)
    try:
        opened.database.upgrade()
        revoke_token(opened.database, name, actor=actor)
    finally:
        opened.close()
    typer.echo(f"{name} is revoked.")
