"""`wardround node pull`: have the PACS send studies to this node."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli.signin import acting

if TYPE_CHECKING:
    from datetime import date

    from wardround.node.home import NodeHome
    from wardround.node.retrieve.asks import Ask
    from wardround.node.retrieve.report import JobView

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
LOOKED_AT_EVERY = 0.5


class _Path(StrEnum):
    RESEARCH = "research"
    CLINIC = "clinic"


def pull(
    home: Path = HOME,
    accession: list[str] = typer.Option([], "--accession", help="An accession number; may be repeated."),
    accession_file: Path | None = typer.Option(None, "--accession-file", help="A file of them, one a line."),
    study_uid: list[str] = typer.Option([], "--study-uid", help="A Study Instance UID; may be repeated."),
    patient_id: list[str] = typer.Option([], "--patient-id", help="A patient id: all studies within --from and --to."),
    cohort: Path | None = typer.Option(
        None, "--cohort", help="A table (accession, study_uid, patient_id, from, to, modality) or a cohort question."
    ),
    first: str = typer.Option("", "--from", help="First day of the studies, as 2025-01-31."),
    last: str = typer.Option("", "--to", help="Last day of the studies."),
    modality: str = typer.Option("", "--modality", help="Only studies with this modality, as CT or MR."),
    path: _Path = typer.Option(_Path.RESEARCH, "--path", help="What the studies are for."),
    now: bool = typer.Option(False, "--now", help="Work on it here until it is over; for a node that isn't serving."),
    wait: bool = typer.Option(False, "--wait", help="Wait until the serving node is through with it."),
    report: Path | None = typer.Option(
        None,
        "--report",
        help="Write what became of each study (.csv, else JSON); names studies, stays on this machine.",
    ),
    job: int | None = typer.Option(None, "--job", help="Show a pull, or write its --report, instead of ordering one."),
    listed: bool = typer.Option(False, "--list", help="List the pulls."),
    pause: int | None = typer.Option(None, "--pause", help="Begin no further study of a pull."),
    resume: int | None = typer.Option(None, "--resume", help="Go on with a paused pull."),
    cancel: int | None = typer.Option(None, "--cancel", help="End a pull; what is here already stays."),
) -> None:
    """Have the PACS send studies here, at the hours and the rate that `[retrieve]` allows.

    An order is durable: the node works on it whenever it serves. A study that can't be had holds up no other, and the
    report says why.
    """
    from wardround.node.home import NodeHome
    from wardround.node.receive.route import StudyPath
    from wardround.node.retrieve import actions
    from wardround.node.retrieve.report import job as job_view
    from wardround.node.retrieve.report import jobs, write_report
    from wardround.node.retrieve.wiring import sealing_at

    looks = listed or (job is not None and report is None and not now)
    opened, actor = NodeHome(home), "" if looks else acting(home, "pull-studies")
    database = opened.database
    database.upgrade()
    try:
        if listed:
            _show(jobs(database))
            return
        if pause is not None:
            actions.pause(database, pause, actor=actor)
            typer.echo(f"Pull {pause} is paused. Go on: wardround node pull --resume {pause} --home {home}")
            return
        if resume is not None:
            actions.resume(database, resume, actor=actor)
            typer.echo(f"Pull {resume} goes on while the node serves.")
            return
        if cancel is not None:
            given_up = actions.cancel(database, cancel, actor=actor)
            typer.echo(f"Pull {cancel} is cancelled; {given_up} studies were given up, what is here stays.")
            return
        number = job
        if number is None:
            first_day, last_day = _day(first, "--from"), _day(last, "--to")
            asks = _asks(accession, accession_file, study_uid, patient_id, cohort, first_day, last_day, modality)
            number = actions.order(database, sealing_at(opened), asks, StudyPath(path.value), actor=actor)
            _say_when(opened, number, len(asks), now=now)
        if now:
            _work_here(opened, number)
        elif wait:
            _follow(opened, number)
        view = job_view(database, number)
        if job is not None or now or wait:
            _show([view])
        if report is not None:
            write_report(database, sealing_at(opened), number, report, actor=actor)
            typer.echo(f"Wrote {report}. It names studies: keep it on this machine.")
        if (now or wait) and view.not_had:
            raise typer.Exit(1)
    finally:
        opened.close()


def _asks(
    accessions: list[str],
    accession_file: Path | None,
    study_uids: list[str],
    patient_ids: list[str],
    cohort: Path | None,
    first: date | None,
    last: date | None,
    modality: str,
) -> list[Ask]:
    from functools import partial

    from wardround.node.retrieve.asks import Ask, check, once, read_asks

    within = partial(Ask, first=first, last=last, modality=modality)
    asks = [
        *(check(within(accession=one), f"--accession {number}") for number, one in enumerate(accessions, 1)),
        *(check(within(study_uid=one), f"--study-uid {number}") for number, one in enumerate(study_uids, 1)),
        *(check(within(patient_id=one), f"--patient-id {number}") for number, one in enumerate(patient_ids, 1)),
    ]
    for file in (accession_file, cohort):
        if file is not None:
            asks += read_asks(file, first=first, last=last, modality=modality)
    return once(asks)


def _day(text: str, option: str) -> date | None:
    from datetime import date

    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"{option} has to be a day written as 2025-01-31") from None


def _say_when(home: NodeHome, number: int, asked: int, *, now: bool) -> None:
    settings = home.settings.retrieve
    when = f"between {settings.hours}" if settings.hours else "at any hour"
    typer.echo(f"Ordered pull {number}: {asked} asked, {when}, at most {settings.studies_per_hour:g} studies an hour.")
    if (settings.pacs or home.settings.pacs) is None:
        typer.echo(
            "No PACS is set: add [retrieve.pacs] or [pacs] to node.toml, and the node serves it after a restart."
        )
    elif not now:
        typer.echo(f"The node works on it while it serves. Look: wardround node pull --job {number} --home {home.path}")


def _work_here(home: NodeHome, number: int) -> None:
    """Receive and pull in this process until the pull is over or paused."""
    import time

    from wardround.foundation.clock import now
    from wardround.node.deidentify.secret import site_secret
    from wardround.node.intake import Intake
    from wardround.node.retrieve.report import job
    from wardround.node.retrieve.wiring import puller_at
    from wardround.node.serving import alone

    with alone(home.path):
        intake = Intake(home, now)
        secret = site_secret(home.identity / "pseudonyms.key", home.database)
        puller = puller_at(home, secret, intake.reception, now)
        intake.start()
        try:
            puller.start()
            try:
                while job(home.database, number).state == "running":
                    puller.tick()
                    time.sleep(LOOKED_AT_EVERY)
            except KeyboardInterrupt:
                typer.echo("Stopped; the order stands, and the node goes on with it when it serves.")
            finally:
                puller.stop()
        finally:
            intake.stop()


def _follow(home: NodeHome, number: int) -> None:
    import time

    from wardround.node.retrieve.report import job

    while job(home.database, number).state == "running":
        time.sleep(LOOKED_AT_EVERY)


def _show(views: list[JobView]) -> None:
    from rich.console import Console
    from rich.table import Table

    from wardround.node.retrieve.reasons import IN_WORDS

    console = Console()
    if not views:
        console.print("No pulls yet.")
        return
    table = Table("pull", "ordered (UTC)", "by", "path", "state", "studies", title_justify="left")
    for view in views:
        studies = ", ".join(f"{count} {state}" for state, count in sorted(view.counts.items()) if state != "split")
        state = f"{view.state} ({view.note})" if view.note else view.state
        table.add_row(f"{view.number}", f"{view.ordered_at:%Y-%m-%d %H:%M}", view.actor, view.path, state, studies)
    console.print(table)
    for view in views:
        for reason, count in sorted(view.not_had.items()):
            console.print(f"pull {view.number}: {count} not had, {reason}: {IN_WORDS.get(reason, '')}", highlight=False)
        if view.note:
            console.print(f"pull {view.number} waits: {IN_WORDS.get(view.note, view.note)}", highlight=False)
