"""`wardround node intake`: what came in, what became of it, and why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from wardround.node.enclave.room import Room
    from wardround.node.receive.summary import DoorState, IntakeSummary

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")


def intake(home: Path = HOME, as_json: bool = typer.Option(False, "--json", help="As JSON, for programs.")) -> None:
    """Show what came in, what became of it, and why not."""
    from rich.console import Console
    from rich.table import Table

    from wardround.node.desk import Desk
    from wardround.node.enclave.unusable import unusable
    from wardround.node.home import NodeHome
    from wardround.node.receive.register import make_directory
    from wardround.node.receive.summary import door_state, intake_summary

    desk = Desk(NodeHome(home))
    opened = desk.home
    opened.database.upgrade()
    summary, totals, room = intake_summary(opened.database), desk.enclave.totals(), desk.room.room()
    with opened.database.reading() as session:
        useless = unusable(session)
    make_directory(opened.quarantine)
    door = door_state(opened.quarantine, reserve_bytes=opened.settings.dicom.reserve_mb * 1_000_000)
    desk.close()
    enclave = {
        "patients": totals.patients,
        "studies": totals.studies,
        "objects": totals.instances,
        "reference_labels": totals.reference_labels,
    }
    if as_json:
        import json

        typer.echo(json.dumps(_document(summary, door, room, useless) | {"enclave": enclave}, indent=2))
        return
    console = Console()
    table = Table("path", "studies", "instances", "what became of them")
    for path, counts in sorted(summary.states.items()):
        became = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        table.add_row(path, str(summary.studies.get(path, 0)), str(summary.instances[path]), became)
    console.print(table)
    if summary.rules:
        table = Table("rule", "sends to", "instances", title="Which rule took them", title_justify="left")
        for rule in summary.rules:
            table.add_row(rule.name, rule.target, str(rule.instances))
        console.print(table)
    for line in _lines(summary, door, room, useless, home):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"enclave: {totals.patients} patients, {totals.studies} studies, {totals.instances} objects, "
        f"{totals.reference_labels} reference labels",
        highlight=False,
    )


def _lines(
    summary: IntakeSummary, door: DoorState, room: Room, useless: Mapping[str, int], home: Path
) -> Iterator[str]:
    """Only what is there to be told: a node to which nothing happened says nothing."""
    from wardround.node.receive.reasons import explained

    for code, count in summary.refused.items():
        yield f"refused: {count} for {explained(code)}"
    for reason, count in sorted(summary.discarded.items()):
        yield f"discarded: {count} by a rule, since {reason}"
    for code, count in summary.turned_away.items():
        yield f"turned away: {count} for {explained(code)}"
    review = _in_review(summary)
    if review:
        yield f"waiting for review: {review}; a person decides: wardround deid review --home {home}"
    if summary.waiting:
        yield f"waiting for de-identification: {summary.waiting}; it goes on while the node serves"
    if summary.open_studies:
        yield f"still coming in: {summary.open_studies} studies"
    if summary.late:
        yield f"late: {summary.late} instances came after their study was complete; a longer quiet_seconds waits longer"
    if summary.short:
        yield f"short: {summary.short} complete studies have fewer instances than the PACS stated; pull them again"
    if summary.commitments:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(summary.commitments.items()))
        yield f"storage commitment: {counts}"
    for code, count in useless.items():
        yield f"not usable for learning: {count} series for {explained(code)}"
    if door.backlog:
        yield f"landed and not in the index yet: {door.backlog} objects, {door.backlog_bytes / 1e6:,.1f} MB"
    if door.full:
        yield (
            f"ALARM: {door.free_bytes / 1e6:,.0f} MB are free where objects land, and {door.reserve_bytes / 1e6:,.0f} "
            "are kept free (reserve_mb): nothing is taken; make room on that disk"
        )
    for alarm in room.alarms:
        yield f"{'ALARM' if alarm.stops else 'warning'}: {alarm.text}"


def _in_review(summary: IntakeSummary) -> int:
    return sum(counts.get("review", 0) for counts in summary.states.values())


def _document(summary: IntakeSummary, door: DoorState, room: Room, useless: Mapping[str, int]) -> dict[str, object]:
    from wardround.node.receive.reasons import WORDS

    codes = {*summary.refused, *summary.turned_away, *useless}
    return {
        "paths": {
            path: {
                "studies": summary.studies.get(path, 0),
                "instances": summary.instances[path],
                "states": dict(sorted(counts.items())),
            }
            for path, counts in sorted(summary.states.items())
        },
        "rules": [
            {"name": rule.name, "to": rule.target, "reason": rule.reason, "instances": rule.instances}
            for rule in summary.rules
        ],
        "refused": dict(summary.refused),
        "discarded": dict(summary.discarded),
        "turned_away": dict(summary.turned_away),
        "waiting_for_review": _in_review(summary),
        "waiting_for_deidentification": summary.waiting,
        "open_studies": summary.open_studies,
        "late_instances": summary.late,
        "short_studies": summary.short,
        "commitments": dict(summary.commitments),
        "not_usable_for_learning": dict(useless),
        "backlog": {"objects": door.backlog, "bytes": door.backlog_bytes},
        "disk": {"free_bytes": door.free_bytes, "reserve_bytes": door.reserve_bytes, "full": door.full},
        "room": {"used": room.used, "quota": room.quota, "free": room.free, "reserve": room.reserve},
        "alarms": [{"code": alarm.code, "text": alarm.text, "stops": alarm.stops} for alarm in room.alarms],
        "words": {code: WORDS.get(code, "") for code in sorted(codes)},
    }
