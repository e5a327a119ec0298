"""`wardround node suspend`: take a model out of use."""

from __future__ import annotations

from pathlib import Path

import typer

from wardround.cli.signin import acting

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")


def suspend(
    target: str = typer.Argument(
        ..., metavar="MODEL|PATHWAY", help="A model's digest (its first 8 digits will do), or a pathway's name."
    ),
    reason: str = typer.Option(..., "--reason", help="A code that all hospitals see, as in `drift`."),
    home: Path = HOME,
) -> None:
    """Take a model out of use here, at once; works while the hub can't be reached.

    No study is read by it from here on. What waits ends as not read, and what was read and hasn't gone to the PACS is
    held back; the studies keep their place. `wardround node deploy` takes it into use again.
    """
    from wardround.cli.decide import reason_code
    from wardround.node.clinic.suspension import suspend as suspend_model
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome

    code = reason_code(reason)
    actor = acting(home, "suspend-model")
    desk = Desk(NodeHome(home))
    try:
        with desk.home.database.writing() as session:
            done = suspend_model(session, target, code, desk.entries, actor=actor, at=desk.clock())
    finally:
        desk.close()
    for model, pathway in done.models:
        typer.echo(f"Model {model[:12]} is out of use on {pathway}: {code}. The running node tells the ledger.")
    typer.echo(f"Studies that waited for it, or for the PACS to take its result, and end without one: {done.lines}.")
