"""`wardround node optout`: who is kept off the research path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli.signin import acting

if TYPE_CHECKING:
    from wardround.node.deidentify.department import Department
    from wardround.node.home import NodeHome
    from wardround.node.optout.actions import Changed
    from wardround.node.optout.identifier import Scheme
    from wardround.node.optout.listing import Entry
    from wardround.people.acting import Actor

app = typer.Typer(
    help="Patients who opted out of research: load, add, remove, count.", no_args_is_help=True, rich_markup_mode=None
)

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
ENTRY = typer.Argument(
    "", help="`nhs,NUMBER`, `local,ID` or `local,ID,ISSUER`; asked for if not given, so that no shell remembers it."
)
SECRET = typer.Option(
    None, "--secret-file", help="For a list of hashes: a file that holds their salt (sha256) or key (hmac-sha256)."
)
PURGE = typer.Option(False, "--purge", help="Also destroy what the research side has of those who are left out now.")


@app.command()
def load(
    file: Path = typer.Argument(..., help="The list, one entry a line.", exists=True, dir_okay=False),
    home: Path = HOME,
    secret_file: Path | None = SECRET,
    purge: bool = PURGE,
) -> None:
    """Add a list; all of it or, if a line can't be used, nothing."""
    from wardround.node.optout.listing import read_list

    with file.open(encoding="utf-8-sig") as lines:
        entries = read_list(lines)
    _add(home, entries, secret_file, purge)


@app.command()
def add(
    entry: str = ENTRY,
    home: Path = HOME,
    purge: bool = PURGE,
) -> None:
    """Add one patient."""
    _add(home, _one(entry), None, purge)


@app.command()
def remove(
    entry: str = ENTRY,
    home: Path = HOME,
    file: Path | None = typer.Option(None, "--file", help="Remove every entry of this list.", exists=True),
    secret_file: Path | None = SECRET,
) -> None:
    """Take a patient, or a list, off the register; they count again from then on."""
    from wardround.foundation.clock import now
    from wardround.node.optout.actions import remove as take_off
    from wardround.node.optout.listing import read_list

    if file is not None:
        with file.open(encoding="utf-8-sig") as lines:
            entries = read_list(lines)
    else:
        entries = _one(entry)
    actor = acting(home, "change-optouts")
    opened, department = _open(home)
    changed = take_off(
        opened.database,
        department.register,
        entries,
        scheme=_scheme(entries, secret_file),
        actor=actor,
        at=now(),
    )
    department.close()
    opened.close()
    _tell("Removed", changed)
    typer.echo("What was refused for an opt-out was not kept: have the PACS send it again where it is wanted.")


@app.command("list")
def show(
    home: Path = HOME,
    count: bool = typer.Option(False, "--count", help="Only how many there are."),
) -> None:
    """Show what is on the register: when it came, who added it, how many. Identifiers aren't kept, so none is shown."""
    from wardround.node.home import NodeHome
    from wardround.node.optout.queries import additions, counts, excluded_count, refused_count

    opened = NodeHome(home)
    with opened.database.reading() as session:
        kinds, left_out, refused = counts(session), excluded_count(session), refused_count(session)
        lines = [] if count else additions(session)
    opened.close()
    for line in lines:
        typer.echo(f"{line.at:%Y-%m-%d %H:%M:%S}Z  {line.count:>8} {line.kind:<12} by {line.by}")
    total = ", ".join(f"{number} {kind}" for kind, number in kinds.items()) or "none"
    typer.echo(f"On the register: {total}.")
    typer.echo(f"Left out of every cohort: {left_out} patients of the enclave.")
    typer.echo(f"Refused on arrival since the node was made: {refused} instances.")


def _open(home: Path) -> tuple[NodeHome, Department]:
    from wardround.node.deidentify.department import Department
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    return opened, Department(opened)


def _one(entry: str) -> list[Entry]:
    from wardround.node.optout.listing import read_list

    return read_list([entry or typer.prompt("Entry (nhs,NUMBER or local,ID[,ISSUER])", hide_input=True)])


def _scheme(entries: list[Entry], secret_file: Path | None) -> Scheme | None:
    from wardround.foundation.errors import NotAllowed
    from wardround.node.optout.identifier import HASHED, Scheme

    kinds = {entry.kind for entry in entries} & HASHED
    if not kinds:
        return None
    if len(kinds) > 1:
        raise NotAllowed("one list holds hashes of one kind; load them one after the other")
    if secret_file is None:
        raise NotAllowed("the list holds hashes; name the file with their salt or key with --secret-file")
    return Scheme(kinds.pop(), secret_file.read_bytes().strip())


def _add(home: Path, entries: list[Entry], secret_file: Path | None, purge: bool) -> None:
    from wardround.foundation.clock import now
    from wardround.node.optout.actions import add as put_on

    actor = acting(home, "change-optouts")
    purger = acting(home, "purge-enclave") if purge else None
    opened, department = _open(home)
    changed = put_on(
        opened.database,
        department.register,
        department.vault,
        entries,
        scheme=_scheme(entries, secret_file),
        actor=actor,
        at=now(),
    )
    _tell("Added", changed)
    if purger is not None:
        _purge(department, purger)
    elif changed.left_out:
        typer.echo("Their data are still in the enclave, unused; --purge destroys them.")
    department.close()
    opened.close()


def _purge(department: Department, actor: Actor) -> None:

    for _ in department.purge_opted_out(actor=actor):
        typer.echo("Purged one patient from the research side.")


def _tell(verb: str, changed: Changed) -> None:
    typer.echo(
        f"{verb}: {changed.changed} of {changed.given} entries changed the register. "
        f"{changed.left_out} patients of the enclave are left out now, {changed.left_out_before} before."
    )
