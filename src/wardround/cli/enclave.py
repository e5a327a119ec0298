"""`wardround enclave`: is everything there, how much is it, and taking data out for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli.signin import acting

if TYPE_CHECKING:
    from wardround.node.enclave.purge import PurgePreview, Scope
    from wardround.node.enclave.verification import Verification

app = typer.Typer(
    help="A hospital's de-identified objects: verify, purge, status.", no_args_is_help=True, rich_markup_mode=None
)

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
JSON = typer.Option(False, "--json", help="As JSON, for programs.")
SHOWN = 20


@app.command()
def verify(
    home: Path = HOME,
    fast: bool = typer.Option(False, "--fast", help="Look at names and sizes only; hash nothing."),
    anew: bool = typer.Option(False, "--anew", help="Begin anew, even if a verification was stopped before its end."),
    threads: int = typer.Option(2, "--threads", min=1, max=64, help="How many objects are hashed at once."),
    remove_orphans: bool = typer.Option(
        False, "--remove-orphans", help="Remove objects that nothing names, once they are older than the grace time."
    ),
    grace_hours: float = typer.Option(24, "--grace-hours", min=0.1, help="How old an orphan must be to be removed."),
    as_json: bool = JSON,
) -> None:
    """Hash every object again; list what is lost, damaged, or named by nothing. Exit status 1 if anything is lost.

    It runs at low priority beside a serving node, and goes on where it was stopped.
    """
    from datetime import timedelta

    from wardround.foundation.files import ObjectStore
    from wardround.node.desk import Desk
    from wardround.node.enclave.verification import Verifier, step_aside
    from wardround.node.home import NodeHome

    actor = acting(home, "keep-enclave") if remove_orphans else None
    desk = Desk(NodeHome(home))
    desk.home.database.upgrade()
    notes = desk.home.enclave / "verification.json"
    verifier = Verifier(desk.home.database, ObjectStore(desk.place.objects), notes, threads=threads)
    step_aside()
    at = desk.clock()
    kept = None if anew else verifier.unfinished(fast=fast, at=at)
    if kept is not None and not as_json:
        typer.echo(f"Going on where it was stopped, after {kept.done} of 256 parts; --anew begins at the first.")
    try:
        with _bar("verifying", 256, quiet=as_json, done=0 if kept is None else kept.done) as moved:
            found = verifier.run(fast=fast, at=at, anew=anew, on_shard=lambda found: moved(found.done))
    except KeyboardInterrupt:
        typer.echo("Stopped; the next `wardround enclave verify` goes on from here.", err=True)
        raise typer.Exit(130) from None
    removed = 0
    if actor is not None:
        removed = verifier.remove_orphans(found, actor=actor, at=at, grace=timedelta(hours=grace_hours))
    desk.close()
    if as_json:
        document = found.model_dump(mode="json", exclude={"done"}) | {"sound": found.sound, "removed": removed}
        for fault, shown in zip(found.faults, document["faults"], strict=True):
            shown["mend"] = fault.hint()
        _say_json(document)
    else:
        _show_verification(found, removed, asked=remove_orphans)
    raise typer.Exit(0 if found.sound else 1)


@app.command()
def purge(
    home: Path = HOME,
    study: str = typer.Option("", "--study", help="One study, by its new UID."),
    patient: str = typer.Option("", "--patient", help="One patient, by pseudonym."),
    project: str = typer.Option("", "--project", help="What this project's frozen cohort names, and no other's does."),
    before: str = typer.Option("", "--before", help="Studies whose last object came before this day, as 2026-03-31."),
    reason: str = typer.Option("", "--reason", help="Why; kept in the audit."),
    yes: bool = typer.Option(False, "--yes", help="Do it. Without this, what would go is only shown."),
    resume: bool = typer.Option(False, "--resume", help="Only finish what earlier purges have left to remove."),
    as_json: bool = JSON,
) -> None:
    """Take data out of the enclave for good: rows, objects, volumes, and their place in frozen cohorts.

    Shows first what would go. Who the patients are stays in the vault; `wardround node erase` forgets a person whole.
    """
    from wardround.foundation.files import ObjectStore
    from wardround.node.desk import Desk
    from wardround.node.enclave.purge import finish_purges, order_purge, preview
    from wardround.node.home import NodeHome

    scope = _scope(study=study, patient=patient, project=project, before=before)
    if resume == (scope is not None):
        raise typer.BadParameter("name one of --study, --patient, --project and --before; or --resume alone")
    if yes and scope is not None and not reason.strip():
        raise typer.BadParameter("say why with --reason; it is kept in the audit")
    actor = acting(home, "purge-enclave") if yes or resume else None
    desk = Desk(NodeHome(home))
    desk.home.database.upgrade()
    gone: PurgePreview | None = None
    if scope is not None:
        with desk.home.database.reading() as session:
            gone = preview(session, scope)
        if yes and actor is not None:
            with desk.home.database.writing() as session:
                gone = order_purge(session, scope, desk.purges, actor=actor, reason=reason, at=desk.clock())
    done = None
    if yes or resume:
        done = finish_purges(desk.home.database, ObjectStore(desk.place.objects), desk.place.volumes, at=desk.clock())
    desk.close()
    if as_json:
        _say_json(
            {
                "scope": None if scope is None else str(scope),
                "purged": done is not None and scope is not None,
                "counts": None if gone is None else gone.counts(),
                "files_removed": 0 if done is None else done.removed,
                "bytes_freed": 0 if done is None else done.bytes,
                "files_waiting": 0 if done is None else done.waiting,
            }
        )
        return
    if gone is not None and scope is not None:
        _show_purge(scope, gone, purged=done is not None)
    if gone is not None and gone.studies and done is not None:
        typer.echo(
            "The running node tells the ledger that studies went, of which frozen cohorts; not which, nor whose."
        )
    if done is not None:
        typer.echo(f"Removed {done.removed} objects, {done.bytes:,} bytes, from the disk.")
        if done.waiting:
            typer.echo(
                f"{done.waiting} objects were put a moment ago and go once they have settled: the running node does "
                "it, or `wardround enclave purge --resume` in two minutes."
            )
    elif scope is not None:
        typer.echo("Nothing was purged. To do it, add --yes and --reason.")


@app.command()
def status(home: Path = HOME, as_json: bool = JSON) -> None:
    """Show what the enclave holds by modality and project, how much room it has, and its alarms."""
    from wardround.node.desk import Desk
    from wardround.node.enclave.holdings import holdings
    from wardround.node.enclave.room import room
    from wardround.node.home import NodeHome

    desk = Desk(NodeHome(home))
    desk.home.database.upgrade()
    with desk.home.database.reading() as session:
        here = holdings(
            session, room(session, desk.place.objects, desk.home.settings.enclave), desk.enclave.volumes_bytes()
        )
    desk.close()
    if as_json:
        from dataclasses import asdict

        _say_json(asdict(here))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        "modality", "patients", "studies", "series", "objects", "bytes", title="Enclave", title_justify="left"
    )
    for name, one in here.modalities.items():
        numbers = (one.patients, one.studies, one.series, one.instances, one.bytes)
        table.add_row(name, *(f"{number:,}" for number in numbers))
    console.print(table)
    if here.projects:
        table = Table("project", "studies served", "left out for opt-outs", "purged since")
        for name, served in here.projects.items():
            table.add_row(name, f"{served.studies:,}", f"{served.opted_out:,}", f"{served.purged:,}")
        console.print(table)
    for code, count in here.unusable.items():
        console.print(f"unusable: {count} series for {code}", highlight=False)
    if here.opted_out:
        console.print(f"{here.opted_out} patients have opted out and are left out of all questions", highlight=False)
    if here.waiting:
        console.print(f"{here.waiting} files wait to be removed for {here.unfinished} purges", highlight=False)
    quota = "none" if here.room.quota is None else f"{here.room.quota:,}"
    console.print(
        f"objects {here.room.used:,} bytes (quota: {quota}), volumes {here.volumes:,}, free on the disk "
        f"{here.room.free:,} (kept free: {here.room.reserve:,})",
        highlight=False,
    )
    for alarm in here.room.alarms:
        console.print(f"ALARM {alarm.code}: {alarm.text}", highlight=False)


@app.command()
def prepare(
    home: Path = HOME,
    project: str = typer.Option("", "--project", help="Only the frozen cohort of this project."),
    as_json: bool = JSON,
) -> None:
    """Make the volumes for learning now, at low priority, and show what can't be used and why."""
    from wardround.node.desk import Desk
    from wardround.node.enclave.preparation import READY, cases_of
    from wardround.node.enclave.preparation import prepare as prepare_cases
    from wardround.node.enclave.verification import step_aside
    from wardround.node.home import NodeHome

    acting(home, "keep-enclave")
    desk = Desk(NodeHome(home))
    desk.home.database.upgrade()
    step_aside()
    cases = cases_of(desk.enclave, project)
    with _bar("preparing", len(cases), quiet=as_json) as moved:
        done = 0

        def another() -> None:
            nonlocal done
            done += 1
            moved(done)

        counts = dict(prepare_cases(desk.enclave, cases, another))
    desk.close()
    ready = counts.pop(READY, 0)
    if as_json:
        _say_json({"ready": ready, "unusable": counts})
        return
    typer.echo(f"{ready} of {len(cases)} cases are ready for learning.")
    for code, count in counts.items():
        typer.echo(f"unusable: {count} for {code}")


def _scope(**targets: str) -> Scope | None:
    from datetime import UTC, datetime
    from typing import Any, cast

    from wardround.node.enclave.purge import Scope

    named = [(kind, target) for kind, target in targets.items() if target]
    if not named:
        return None
    if len(named) > 1:
        raise typer.BadParameter("name only one of --study, --patient, --project and --before")
    [(kind, target)] = named
    if kind == "before":
        try:
            target = datetime.strptime(target, "%Y-%m-%d").replace(tzinfo=UTC).isoformat()
        except ValueError:
            raise typer.BadParameter("a day is written as 2026-03-31") from None
    return Scope(cast(Any, kind), target)


def _show_purge(scope: Scope, gone: PurgePreview, *, purged: bool) -> None:
    typer.echo(
        f"{'Purged' if purged else 'Would purge'} {scope}: {gone.studies} studies, {gone.series} series, "
        f"{gone.instances} instances, {gone.patients} patients wholly; {gone.objects} objects of {gone.bytes:,} bytes."
    )
    if gone.shared:
        typer.echo(f"{gone.shared} objects stay, since something else names them too.")
    if gone.kept:
        typer.echo(f"{gone.kept} studies stay, since another project's frozen cohort names them.")
    for name, count in sorted(gone.manifests.items()):
        typer.echo(f"{count} studies {'left' if purged else 'would leave'} the frozen cohort of {name}.")


def _show_verification(found: Verification, removed: int, *, asked: bool) -> None:
    how = "by name and size" if found.fast else "by hash"
    typer.echo(f"Verified {found.objects} objects of {found.bytes:,} bytes {how}.")
    for fault in found.faults[:SHOWN]:
        typer.echo(f"{fault.kind.upper()} {fault.digest} ({fault.instances} instances): {fault.hint()}")
        for uid in fault.studies:
            typer.echo(f"    study {uid}")
    if len(found.faults) > SHOWN:
        typer.echo(f"… and {len(found.faults) - SHOWN} more; --json lists all.")
    if found.orphans or found.unnamed:
        size = sum(orphan.bytes for orphan in found.orphans)
        typer.echo(
            f"{len(found.orphans)} objects of {size:,} bytes that nothing names, {found.unnamed} files without a name"
            + (" are left." if asked else "; --remove-orphans removes those older than a day.")
        )
    if removed:
        typer.echo(f"Removed {removed} of them.")
    if found.waiting:
        typer.echo(f"{found.waiting} files wait to be removed for a purge; `wardround enclave purge --resume` does it.")
    if found.sound:
        typer.echo("Everything that the index names is there.")
    else:
        typer.echo(f"{len(found.faults)} objects are lost or damaged.")


def _say_json(document: object) -> None:
    import json

    typer.echo(json.dumps(document, indent=2))


@contextmanager
def _bar(what: str, total: int, *, quiet: bool, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A bar that is moved by telling how much is done."""
    if quiet:
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        line = bar.add_task(what, total=total, completed=done)
        yield lambda done: bar.update(line, completed=done)
