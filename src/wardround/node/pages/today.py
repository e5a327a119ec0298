"""The first page: what came in, what waits for a person, and whether anything stands in the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround import __version__
from wardround.foundation.certificates import CertificateRefused, certificate_in
from wardround.foundation.errors import WardroundError
from wardround.node.desk import Desk
from wardround.node.gateway.gateway import UNREADABLE
from wardround.node.gateway.tables import Egress
from wardround.node.membership.queries import membership
from wardround.node.pages.arrivals import by_hour
from wardround.node.projects import queries as projects
from wardround.node.projects.standing import standing_of
from wardround.node.projects.states import DecisionState
from wardround.node.receive.reasons import WORDS
from wardround.node.receive.register import make_directory
from wardround.node.receive.summary import door_state, intake_summary
from wardround.node.retrieve.reasons import IN_WORDS as PULLED
from wardround.node.retrieve.states import JobState
from wardround.node.retrieve.tables import PullJob
from wardround.ui.chart import Bar, bars, legend
from wardround.ui.page import Shown, Visit

HUB_SILENT = timedelta(minutes=5)
"""The link asks the hub for work all the time: without an answer for so long, somebody should look."""
CERTIFICATE_SOON = timedelta(hours=6)
CAME = ("for research", "for the clinic", "refused or let go")


@dataclass(frozen=True, slots=True)
class Wish:
    """Something that waits for a person. `address`: where it is done, empty where a command does it (`command`)."""

    words: str
    address: str = ""
    command: str = ""


def today(desk: Desk, visit: Visit) -> Shown:
    home, at = desk.home, visit.at
    summary, room = intake_summary(home.database), desk.room.room()
    make_directory(home.quarantine)
    door = door_state(home.quarantine, reserve_bytes=home.settings.dicom.reserve_mb * 1_000_000)
    with home.database.reading() as session:
        member, hours, last = membership(session), by_hour(session, at), _last_answer(session)
        wishes = _wishes(
            session, desk, visit, reviews=sum(states.get("review", 0) for states in summary.states.values())
        )
    alarms = [alarm.text for alarm in room.alarms]
    if door.full:
        alarms.append("the disk where objects land is full up to its reserve: nothing is taken; make room on it")
    if last is None or at - last > HUB_SILENT:
        alarms.append("the hub hasn't answered for a while: what has to be told waits here, and nothing is lost")
    try:
        certificate_in(home.certificate)
    except CertificateRefused:
        alarms.append(UNREADABLE)
    if member.certificate_until - at < CERTIFICATE_SOON:
        alarms.append("this node's certificate is about to end, and is renewed while the hub answers")
    columns = [
        Bar(f"{hour.begins:%H}:00", (float(hour.research), float(hour.clinic), float(hour.refused))) for hour in hours
    ]
    values = {
        "wishes": wishes,
        "alarms": alarms,
        "chart": bars("Instances that came in each of the last 24 hours", CAME, columns, every=3, whole=True),
        "legend": legend(CAME, "bar"),
        "came": [sum(getattr(hour, name) for hour in hours) for name in ("research", "clinic", "refused")],
        "summary": summary,
        "refused": [(code, WORDS.get(code, ""), count) for code, count in summary.refused.items()],
        "turned_away": [(code, WORDS.get(code, ""), count) for code, count in summary.turned_away.items()],
        "room": room,
        "totals": desk.enclave.totals(),
        "door": door,
        "member": member,
        "last": last,
        "version": __version__,
        "settings": home.settings,
    }
    return Shown("today.html", values)


def _last_answer(session: Session) -> datetime | None:
    """When the hub last took something from here."""
    taken = select(Egress.ended_at).where(Egress.outcome == "sent", Egress.ended_at.is_not(None))
    return session.scalar(taken.order_by(Egress.id.desc()).limit(1))


def _wishes(session: Session, desk: Desk, visit: Visit, *, reviews: int) -> list[Wish]:
    found = []
    for row in projects.projects(session):
        if not visit.may("see-asked", row.id):
            continue
        try:
            state = standing_of(session, row, visit.at.date()).state
        except WardroundError:
            continue
        if state is DecisionState.WAITING:
            found.append(Wish(f"Project {row.id} waits for this hospital's decision", f"/projects/{row.id}"))
    if visit.may("see-pulls"):
        held = session.scalars(select(PullJob).where(PullJob.state == JobState.PAUSED, PullJob.note != "")).all()
        found += [
            Wish(f"Pull {job.id} stands still: {PULLED.get(job.note, job.note)}", f"/pulls/{job.id}") for job in held
        ]
    if reviews:
        words = f"{reviews} images may name their patient, and wait for somebody to look"
        looks = visit.may("look-at-pixels")
        found.append(Wish(words, "/review") if looks else Wish(words, command="wardround deid review"))
    return found
