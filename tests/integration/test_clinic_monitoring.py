"""A model whose failures, findings or images change is taken out of use by itself, and not for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from tests.clinic_lab import Clinic, ToyReader, made

from wardround.contracts.evidence import ShadowUse
from wardround.contracts.ledger_entry import Suspension
from wardround.learning.statistics.embedding import LENGTH
from wardround.node.audit import Audit
from wardround.node.clinic.states import AnswerVerb, ReadingState
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine
from wardround.node.evidence.shelf import keep
from wardround.node.monitoring.monitor import Monitor, charts_of
from wardround.node.settings import ClinicSettings

SETTINGS = ClinicSettings()


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Clinic]:
    for clinic in made(tmp_path, package, ToyReader()):
        clinic.register()
        clinic.deploy()
        yield clinic


def studies(
    clinic: Clinic,
    count: int,
    *,
    failing: float = 0.02,
    flagged: float = 0.4,
    contrast: float = 0.5,
    scanner: float = 0.0,
    pattern: float = 0.0,
) -> None:
    """So many studies end, drawn with these shares; each study a minute after the one before. scanner: by how many
    standard deviations each number on its image is another; pattern: each on its patterns."""
    with clinic.node.database.writing() as session:
        deployment = session.scalars(select(Deployment).where(Deployment.active)).one()
        before = session.query(WorklistLine).count()
        draws, patterns = np.random.default_rng([7, before]), np.random.default_rng([8, before])
        for number in range(before, before + count):
            fails = draws.random() < failing
            session.add(
                WorklistLine(
                    study=f"study-{number}",
                    version=1,
                    deployment=deployment.id,
                    state=ReadingState.FAILED if fails else ReadingState.DELIVERED,
                    reason="empty-image" if fails else "",
                    flagged=not fails and bool(draws.random() < flagged),
                    contrast=None if fails else float(draws.normal(contrast, 0.05)),
                    image=None if fails else [*draws.normal(scanner, 1.0, 8), *patterns.normal(pattern, 1.0, LENGTH)],
                    arrived_at=clinic.node.clock() + timedelta(minutes=number),
                )
            )


def shadow(clinic: Clinic, *, read: int, flagged: int, agreement: tuple[int, int, int, int] = (0, 0, 0, 0)) -> None:
    with clinic.node.database.writing() as session:
        deployment = session.scalars(select(Deployment)).one()
        record = ShadowUse(
            model=deployment.model,
            pathway=deployment.pathway,
            since=deployment.deployed_at,
            until=clinic.node.clock(),
            studies=read,
            read=read,
            flagged=flagged,
            failed={},
            out_of_scope=0,
            seconds_p50=1.0,
            seconds_p95=2.0,
            agreement=agreement,
        )
        keep(session, record, at=clinic.node.clock(), actor="person:officer", entry=3)


def answered(clinic: Clinic, *, differ: float, where: bool | None = None) -> None:
    """A person says of each study what is there, without the model's result; so many of them find otherwise, only of
    what it flagged (`where`), or only of what it didn't, or of either."""
    draws = np.random.default_rng(11)
    with clinic.node.database.writing() as session:
        had = set(session.scalars(select(WorklistAnswer.line)))
        for line in session.scalars(select(WorklistLine).order_by(WorklistLine.id)):
            if line.id not in had:
                otherwise = bool(draws.random() < differ) and where in (None, line.flagged)
                found = line.flagged is not otherwise
                row = {"line": line.id, "actor": "person:radiologist", "shown": False, "at": clinic.node.clock()}
                session.add(WorklistAnswer(verb=AnswerVerb.FOUND, found=found, **row))


def monitor(clinic: Clinic) -> Monitor:
    return Monitor(clinic.node.database, clinic.node.entries, SETTINGS, clinic.node.clock)


def test_a_quiet_time_suspends_nothing(clinic: Clinic) -> None:
    shadow(clinic, read=100, flagged=40)
    studies(clinic, 300)
    assert monitor(clinic).tick() == 0
    with clinic.node.database.reading() as session:
        found = charts_of(session, session.scalars(select(Deployment)).one(), SETTINGS)
    assert {chart.reason for chart in found} == {
        "failures",
        "more-findings",
        "fewer-findings",
        "contrast-higher",
        "contrast-lower",
        "images-differ",
        "patterns-differ",
    }
    assert all(chart.broken_at is None and chart.studies >= 280 for chart in found)


def test_other_patterns_in_images_take_the_model_out_of_use_though_their_statistics_are_the_same(
    clinic: Clinic,
) -> None:
    watching = monitor(clinic)
    studies(clinic, 130)
    assert watching.tick() == 0
    studies(clinic, 90, pattern=0.7)
    assert watching.tick() == 1
    with clinic.node.database.reading() as session:
        assert session.scalars(select(Deployment)).one().suspended_for == "patterns-differ"


def test_images_of_another_scanner_take_the_model_out_of_use_though_their_contrast_is_the_same(clinic: Clinic) -> None:
    watching = monitor(clinic)
    studies(clinic, 130)
    assert watching.tick() == 0
    studies(clinic, 90, scanner=0.7)
    assert watching.tick() == 1
    with clinic.node.database.reading() as session:
        assert session.scalars(select(Deployment)).one().suspended_for == "images-differ"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"failing": 0.5}, "failures"),
        ({"flagged": 0.95}, "more-findings"),
        ({"flagged": 0.02}, "fewer-findings"),
        ({"contrast": 0.7}, "contrast-higher"),
        ({"contrast": 0.3}, "contrast-lower"),
    ],
)
def test_a_change_takes_the_model_out_of_use_on_the_record(
    clinic: Clinic, change: dict[str, float], reason: str
) -> None:
    shadow(clinic, read=100, flagged=40)
    studies(clinic, 60)
    watching = monitor(clinic)
    assert watching.tick() == 0
    studies(clinic, 60, **change)
    assert watching.tick() == 1
    assert watching.tick() == 0
    with clinic.node.database.reading() as session:
        row = session.scalars(select(Deployment)).one()
        told = session.scalars(select(Audit).where(Audit.verb == "suspend-model")).one()
    assert (row.active, row.suspended_by, row.suspended_for) == (False, "program", reason)
    assert (told.actor, told.detail) == ("program", f"brain: {reason}")
    clinic.node.entries.submit_waiting(clinic.node.database)
    said = clinic.node.ledger()[-1]
    assert isinstance(said, Suspension) and said.reason == reason
    # A study that comes now is read by nothing.
    clinic.arrive()
    assert clinic.pathway.tick() == 0


def test_readers_who_find_otherwise_more_often_than_in_shadow_use_take_it_out_of_use(clinic: Clinic) -> None:
    shadow(clinic, read=100, flagged=40, agreement=(36, 4, 4, 56))
    watching = monitor(clinic)
    studies(clinic, 60)
    answered(clinic, differ=0.05)
    assert watching.tick() == 0
    studies(clinic, 60)
    answered(clinic, differ=0.5)
    assert watching.tick() == 1
    with clinic.node.database.reading() as session:
        assert session.scalars(select(Deployment)).one().suspended_for == "readers-differ"


def test_a_model_that_misses_more_is_out_of_use_before_readers_differ_much(clinic: Clinic) -> None:
    """Readers find in one of seven what it didn't flag: of all studies few more than they differed on before, of what
    is there a share that tells. False alarms in as many are no misses."""
    shadow(clinic, read=400, flagged=160, agreement=(144, 16, 16, 224))
    watching = monitor(clinic)
    studies(clinic, 400)
    answered(clinic, differ=0.1)
    assert watching.tick() == 0
    studies(clinic, 300)
    answered(clinic, differ=0.15, where=True)
    assert watching.tick() == 0
    studies(clinic, 500)
    answered(clinic, differ=0.16, where=False)
    assert watching.tick() == 1
    with clinic.node.database.reading() as session:
        assert session.scalars(select(Deployment)).one().suspended_for == "more-missed"


def test_findings_are_watched_once_shadow_use_told_what_is_usual(clinic: Clinic) -> None:
    studies(clinic, 120, flagged=1.0)
    assert monitor(clinic).tick() == 0


def test_taken_into_use_again_it_begins_a_new_chart(clinic: Clinic) -> None:
    studies(clinic, 60, failing=0.6)
    assert monitor(clinic).tick() == 1
    clinic.deploy()
    watching = monitor(clinic)
    assert watching.tick() == 0
    with clinic.node.database.reading() as session:
        [chart, *_] = charts_of(session, session.scalars(select(Deployment).where(Deployment.active)).one(), SETTINGS)
    assert (chart.reason, chart.studies) == ("failures", 0)
