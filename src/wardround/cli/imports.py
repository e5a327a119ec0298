"""`wardround node import`: bring in folders and zips, as if a PACS had sent what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli.signin import acting

if TYPE_CHECKING:
    from wardround.node.home import NodeHome
    from wardround.node.receive.importing import ImportReport

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
LISTED = 20


def import_(
    paths: list[Path] = typer.Argument(..., metavar="PATH...", help="Folders, files and zips with DICOM objects."),
    home: Path = HOME,
    called_title: str = typer.Option(
        "", "--called-title", help="The title that it counts as sent to; the research title if not given."
    ),
    as_json: bool = typer.Option(False, "--json", help="The report as JSON, for programs; names all files."),
) -> None:
    """Bring in folders and zips through the node's front door, beside a serving node or without one.

    What is here already with the same content is kept once, so an import that was cut off is simply run again.
    """
    import re

    from wardround.foundation.errors import NotAllowed
    from wardround.node.deidentify.department import Department
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome
    from wardround.node.intake import routes_of
    from wardround.node.receive.importing import Importing
    from wardround.node.receive.reception import Reception
    from wardround.node.receive.route import StudyPath
    from wardround.node.settings import AE_TITLE

    if called_title and not re.fullmatch(AE_TITLE, called_title):
        raise typer.BadParameter("--called-title is an AE title: 1 to 16 printable characters, no backslash")
    acting(home, "import-studies")
    opened = NodeHome(home)
    settings = opened.settings.dicom
    opened.database.upgrade()
    title = called_title or settings.ae_title
    room, routes = Desk(opened).room, routes_of(opened)
    full = room.refusal()
    if full is not None and all(StudyPath.RESEARCH in rule.route.paths for rule in routes.reached_by(title)):
        opened.close()
        raise NotAllowed(full.text, code=full.code)

    def closed(path: StudyPath) -> str | None:
        alarm = room.refusal() if path is StudyPath.RESEARCH else None
        return None if alarm is None else alarm.code

    department = Department(opened)
    reception = Reception(
        opened.database,
        quarantine=opened.quarantine,
        clinical=opened.clinical,
        secret=department.secret,
        routes=routes,
        durable=settings.durable,
        reserve_bytes=settings.reserve_mb * 1_000_000,
        patience=settings.patience_seconds,
        closed=closed,
    )
    try:
        reception.recover()
        importing = Importing(reception, called_title=title, spool=opened.quarantine)
        report = _run(importing, paths)
    finally:
        reception.close()
        department.close()
        opened.close()
    serving = _is_serving(opened)
    typer.echo(_document(report, serving) if as_json else _told(report, serving, home))
    if report.stopped == "interrupted":
        raise typer.Exit(130)
    if report.stopped or not report.taken:
        raise typer.Exit(1)


def _run(importing: object, paths: list[Path]) -> ImportReport:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from wardround.node.receive.importing import Importing
    from wardround.node.receive.parcels import Parcels

    assert isinstance(importing, Importing)  # noqa: S101 - told so that importing this file stays quick
    columns = (
        TextColumn("importing {task.fields[files]} files"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("importing", total=Parcels(paths, spool=Path()).weight() or None, files=0)
        return importing.run(paths, lambda files, size: progress.update(task, completed=size, files=files))


def _is_serving(home: NodeHome) -> bool:
    """Whether a process serves this home now."""
    import fcntl

    try:
        with (home.path / "serving.lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _told(report: ImportReport, serving: bool, home: Path) -> str:
    from wardround.node.receive.landing import Answer
    from wardround.node.receive.reasons import ANSWERS, explained

    lines = [
        f"{report.taken} of {report.files} files are taken; what was here already with the same content counts too"
    ]
    lines += [
        f"  refused     {count:>7}  {answer.name.lower().replace('_', '-')}: {ANSWERS[answer]}"
        for answer, count in sorted(report.answers.items())
        if answer is not Answer.STORED
    ]
    lines += [f"  left aside  {count:>7}  {explained(reason)}" for reason, count in sorted(report.skipped.items())]
    if report.named:
        lines.append("Not taken (these names may tell of patients; they are shown here and kept nowhere):")
        lines += [f"  {_shown(name)}: {why}" for name, why in report.named[:LISTED]]
        more = sum(report.skipped.values()) + sum(report.answers.values()) - report.taken - len(report.named[:LISTED])
        if more:
            lines.append(f"  and {more} more; --json names them")
    if report.stopped == "no-room":
        lines.append("Stopped: the node has no room for more, or its database doesn't answer. What is taken is safe.")
        lines.append(f"Mend that (wardround node intake --home {home} shows it), then run the same command again.")
    elif report.stopped:
        lines.append("Interrupted. What is taken is safe; run the same command again to go on.")
    if report.taken:
        lines.append(
            f"The serving node goes on with it; see wardround node intake --home {home}"
            if serving
            else f"It is de-identified when the node serves: wardround node serve --home {home}"
        )
    return "\n".join(lines)


def _document(report: ImportReport, serving: bool) -> str:
    import json

    document = {
        "files": report.files,
        "taken": report.taken,
        "answers": {answer.name.lower().replace("_", "-"): count for answer, count in sorted(report.answers.items())},
        "skipped": dict(sorted(report.skipped.items())),
        "not_taken": [{"file": _shown(name), "why": why} for name, why in report.named],
        "stopped": report.stopped,
        "node_serves": serving,
    }
    return json.dumps(document, indent=2)


def _shown(name: str) -> str:
    """A name that a terminal shows as it is: what could move its cursor is replaced."""
    return "".join(one if one.isprintable() else "?" for one in name)
