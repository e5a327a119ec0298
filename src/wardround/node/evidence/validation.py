"""Offline validation on a cohort of this hospital's own: somebody plans it, the data controller allows it, it is done.

It needs no project and no part in a run. Each step holds the next: nothing is read that wasn't allowed, nobody is
judged who came after, opted out or was purged, and threshold and bars stand before the first image is read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.compute.worker import Worker
from wardround.contracts.stage import StageName
from wardround.contracts.validation import JudgedCase, LocalValidation, ValidationPlan
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.learning.bundle import read_bundle
from wardround.node import audit
from wardround.node.clinic.own_layers import check_own_layers
from wardround.node.desk import Desk
from wardround.node.evidence.groups import groups_of
from wardround.node.evidence.judging import check_judgeable, judge
from wardround.node.evidence.sealed_picture import PictureSeal
from wardround.node.evidence.shelf import keep_and_tell
from wardround.node.evidence.tables import ValidationCase, ValidationRow
from wardround.node.optout.queries import excluded
from wardround.node.projects.actions import FrozenCase
from wardround.node.projects.approval import cohort_now
from wardround.node.projects.served import ServedCase
from wardround.node.training.cohort import Cohort
from wardround.node.training.facts import RecordsPlace

STAGE: StageName = "offline"
_WORST = 12


@dataclass(frozen=True)
class Failure:
    """A patient whom a model failed on, for this hospital's own eyes: where the images are in the enclave, and how.
    number: of its row; pictured: whether there is a `picture`."""

    how: str
    case: JudgedCase
    series: str
    number: int
    pictured: bool


def plan(desk: Desk, asked: ValidationPlan, *, actor: str) -> ValidationRow:
    """Put a plan before the data controller; the same plan again is the same row.

    Raises:
        NotAllowed, NotFound: the model isn't registered, or isn't to be had; see `Deployments.fetch`. Layers of it are
            each hospital's own, and there are none here. It is a program that the policy doesn't name.
        JudgingRefused: it tells nothing that this protocol judges.
    """
    package = desk.deployments.fetch(asked.model)
    desk.deployments.check_code(asked.model)
    check_judgeable(read_bundle(package))
    check_own_layers(package, desk.own)
    digest, at = asked.content_digest(), desk.clock()
    with desk.home.database.writing() as session:
        row = session.scalar(select(ValidationRow).where(ValidationRow.digest == digest))
        if row is None:
            row = ValidationRow(
                digest=digest, model=asked.model, document=asked.canonical(), planned_by=actor, planned_at=at
            )
            session.add(row)
            audit.record(session, actor, "plan-validation", asked.model, digest, clock=lambda: at)
        return row


def allow(desk: Desk, digest: str, until: datetime, *, actor: str) -> int:
    """The data controller lets a planned validation read its cohort, as it is now, until a moment; how many patients.

    Raises:
        NotFound: no plan begins so.
        NotAllowed: `allowed`, it was before; `over`, the moment has passed; `too-few`, there are fewer patients than
            the plan has for its fewest. The question can't be answered here: see `Desk.cases`.
    """
    at = desk.clock()
    with desk.home.database.reading() as session:
        row = planned(session, digest)
    asked = ValidationPlan.model_validate_json(row.document)
    if until <= at:
        raise NotAllowed(f"{until:%Y-%m-%d} has passed; name a later last day", code="over")
    if row.allowed_at is not None:
        raise NotAllowed(
            f"validation {row.digest[:12]} was allowed by {row.allowed_by}, and its cohort frozen; plan another",
            code="allowed",
        )
    bundle = read_bundle(desk.deployments.package(asked.model))
    frozen = cohort_now(desk, asked.cohort, bundle.reads)
    patients = len({one.patient for one in frozen})
    if patients < asked.fewest:
        raise NotAllowed(
            f"the cohort has {patients} patients here, and the plan shows nothing below {asked.fewest}", code="too-few"
        )
    with desk.home.database.writing() as session:
        _freeze(session, session.get_one(ValidationRow, row.id), frozen, desk, until, actor=actor, at=at)
    return patients


def validate(desk: Desk, digest: str, *, actor: str, worker: Worker) -> LocalValidation:
    """Do what was allowed: judge the model on the frozen cohort, keep the record, tell the ledger its digest.

    Steps, each of which refuses: 1. the allowance holds; 2. the package is the one that was planned, and its code may
    run here; 3. whoever opted out or was purged since is left out; 4. every patient left is judged, and the failures
    stay on record here; 5. the record and its entry are kept in one transaction.

    Raises:
        NotFound: no plan begins so.
        NotAllowed: `not-allowed`, the data controller hasn't allowed it; `over`, until when is past; `too-few`;
            `own-layers-missing`, layers of the model are this hospital's own, and are gone; `own-code-not-allowed`.
        JudgingRefused, WorkerDied: nothing was kept.
    """
    with desk.home.database.reading() as session:
        row = planned(session, digest)
    asked, at = ValidationPlan.model_validate_json(row.document), desk.clock()
    check_allowed(row, at)
    package = desk.deployments.fetch(asked.model)
    desk.deployments.check_code(asked.model)
    bundle, own = read_bundle(package), desk.deployments.own_layers(asked.model)
    served, asked_of = _served(desk, row)
    records = RecordsPlace.of(desk.home.path / "omop", desk.home.settings.records)
    known = records.open()
    cohort = Cohort(desk.place, tuple(served), None if bundle.reads == "images" else records)
    judged = worker.call(judge, package, cohort, desk.home.settings.learning.threads, own)
    if len(judged.cases) < asked.fewest:
        raise NotAllowed(
            f"{len(judged.cases)} patients could be judged ({_told(judged.unusable)}), and the plan shows nothing "
            f"below {asked.fewest}",
            code="too-few",
        )
    with desk.home.database.reading() as session:
        groups = groups_of(session, asked_of, known if known.exists() else None)
    cases = {
        name: case.model_copy(update={"groups": groups.get(name, {})}) for name, case in sorted(judged.cases.items())
    }
    record = LocalValidation(
        plan=row.digest,
        model=asked.model,
        pathway=asked.package,
        scores="millilitres" if bundle.target is None else "probability",
        threshold=asked.threshold,
        least=asked.least,
        fewest=asked.fewest,
        cases=cases,
        unusable=judged.unusable,
    )
    seal = PictureSeal(desk.pseudonyms)
    with desk.home.database.writing() as session:
        at = desk.clock()
        check_allowed(session.get_one(ValidationRow, row.id), at)
        keep_and_tell(session, record, STAGE, desk.entries, at=at, actor=actor)
        rows = session.scalars(select(ValidationCase).where(ValidationCase.validation == row.id)).all()
        for kept in rows:
            found = cases.get(kept.name)
            kept.outcome = None if found is None else found.canonical()
        session.get_one(ValidationRow, row.id).done_at = at
        session.flush()
        worst = {one.number for one in gallery(session, row)}
        for kept in rows:
            png = judged.pictures.get(kept.name) if kept.id in worst else None
            kept.picture = None if png is None else seal.seal(png, kept.id)
    return record


def check_allowed(row: ValidationRow, at: datetime) -> None:
    """Whether the data controller's word holds. Raises `NotAllowed`: `not-allowed`, `over`."""
    if row.until is None:
        raise NotAllowed(
            f"the data controller hasn't allowed validation {row.digest[:12]}: wardround node model allow "
            f"{row.digest[:12]} --until DAY",
            code="not-allowed",
        )
    if at > row.until:
        raise NotAllowed(
            f"validation {row.digest[:12]} was allowed until {row.until:%Y-%m-%d}; plan it anew", code="over"
        )


def planned(session: Session, digest: str) -> ValidationRow:
    """A plan by its digest, or 8 digits of it or more. Raises `NotFound`."""
    query = select(ValidationRow).where(ValidationRow.digest.startswith(digest, autoescape=True))
    found = session.scalars(query).all()
    if len(digest) < 8 or len(found) != 1:
        raise NotFound(f"{len(found)} planned validations begin with {digest}; `wardround node model plans` lists them")
    return found[0]


def plans(session: Session) -> Sequence[ValidationRow]:
    """All of them, oldest first."""
    return session.scalars(select(ValidationRow).order_by(ValidationRow.id)).all()


def gallery(session: Session, row: ValidationRow) -> list[Failure]:
    """The worst failures of a validation that was done: missed, alarmed for nothing, and outlined badly, the worst of
    each first. Whoever opted out or was purged since isn't there."""
    asked = ValidationPlan.model_validate_json(row.document)
    query = select(ValidationCase, ValidationCase.picture.is_not(None)).where(
        ValidationCase.validation == row.id,
        ValidationCase.outcome.is_not(None),
        ValidationCase.patient.not_in(excluded()),
    )
    found: dict[str, list[tuple[float, Failure]]] = {"missed": [], "alarmed for nothing": [], "outlined badly": []}
    seen: set[str] = set()
    for kept, pictured in session.execute(query.order_by(ValidationCase.id)):
        if kept.outcome is None or kept.name in seen:
            continue
        seen.add(kept.name)
        case = JudgedCase.model_validate_json(kept.outcome)
        series = _series(kept.case)
        told = partial(Failure, case=case, series=series, number=kept.id, pictured=pictured)
        flagged = case.score >= asked.threshold
        if case.positive and not flagged:
            found["missed"].append((case.score, told("missed")))
        elif flagged and not case.positive:
            found["alarmed for nothing"].append((-case.score, told("alarmed for nothing")))
        elif case.positive and case.dice is not None:
            found["outlined badly"].append((case.dice, told("outlined badly")))
    return [one for kind in found.values() for _, one in sorted(kind, key=lambda pair: pair[0])[:_WORST]]


def picture(session: Session, seal: PictureSeal, number: int) -> bytes:
    """The PNG of one of the failures of a gallery. Raises `NotFound` where there is none, or it doesn't open."""
    found = session.scalar(select(ValidationCase.picture).where(ValidationCase.id == number))
    if found is None:
        raise NotFound("there is no picture of it")
    return seal.open(found, number)


def _freeze(
    session: Session,
    row: ValidationRow,
    frozen: Sequence[FrozenCase],
    desk: Desk,
    until: datetime,
    *,
    actor: str,
    at: datetime,
) -> None:
    if row.allowed_at is not None:
        raise NotAllowed(f"validation {row.digest[:12]} was allowed meanwhile", code="allowed")
    names = desk.pseudonyms.for_project(f"validation {row.digest}")
    for one in frozen:
        session.add(
            ValidationCase(
                validation=row.id,
                patient=one.patient,
                study=one.study,
                name=names.patient(one.patient),
                case=one.case,
            )
        )
    row.allowed_by, row.allowed_at, row.until = actor, at, until
    audit.record(
        session, actor, "allow-validation", row.model, f"{row.digest} until {until:%Y-%m-%d}", clock=lambda: at
    )


def _served(desk: Desk, row: ValidationRow) -> tuple[list[ServedCase], dict[str, tuple[str, str]]]:
    """The cases to judge now, and by name whose and of which series each is, to be told apart in groups."""
    with desk.home.database.reading() as session:
        query = select(ValidationCase).where(
            ValidationCase.validation == row.id, ValidationCase.patient.not_in(excluded())
        )
        rows = session.scalars(query.order_by(ValidationCase.id)).all()
        asked = {one.name: (one.patient, _series(one.case)) for one in reversed(rows)}
        return [ServedCase(one.name, one.case) for one in rows], asked


def _series(case: str) -> str:
    """The series of an enclave's reference; none where a person stands in for one."""
    told = json.loads(case)
    return str(told.get("series", ""))


def _told(unusable: dict[str, int]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in unusable.items()) or "all of them"
