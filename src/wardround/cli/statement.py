"""`wardround deid statement`: how a study was de-identified, without a value of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")


def statement(
    study: str = typer.Argument("", help="The Study Instance UID in the enclave; or --all."),
    every: bool = typer.Option(False, "--all", help="Every study of the enclave."),
    as_json: bool = typer.Option(False, "--json", help="As JSON, for programs."),
    home: Path = HOME,
) -> None:
    """Show for a study which profile was applied, which actions, how many of each, by which version."""
    from wardround.foundation.errors import NotFound
    from wardround.node.deidentify.statements import statements
    from wardround.node.home import NodeHome

    if bool(study) == every:
        raise typer.BadParameter("name one study, or give --all")
    opened = NodeHome(home)
    with opened.database.reading() as session:
        found = statements(session, None if every else study)
    opened.close()
    if study and not found:
        raise NotFound("the enclave has no such study; `--all` lists those that there are")
    if as_json:
        import json

        document = [{"study": one.study, "pseudonym": one.pseudonym, "applied": list(one.applied)} for one in found]
        typer.echo(json.dumps(document, indent=2))
        return
    for one in found:
        typer.echo(f"Study {one.study} of {one.pseudonym}" + ("" if one.ready else ", still coming in"))
        for applied in one.applied:
            _tell(applied)


def _tell(applied: dict[str, Any]) -> None:
    name = applied.get("profile_name")
    digest = applied.get("profile_digest")
    chosen = f" (as {name}" + (f", {digest[:12]}" if digest else "") + ")" if name else ""
    typer.echo(f"  {applied['objects']} objects by {applied['software']}, DICOM {applied['edition']}")
    typer.echo(f"  Profile: {applied['profile']}{chosen}")
    for option in applied["options"]:
        typer.echo(f"    with {option}")
    counts = ", ".join(f"{number} {action}" for action, number in sorted(applied["counts"].items()))
    typer.echo(f"  Actions: {counts}")
