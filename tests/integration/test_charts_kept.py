"""Charts kept from one look to the next say what they would if they were made of all studies anew, and read little."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.front_door import FrontDoor

from wardround.contracts.evidence import ShadowUse
from wardround.learning.statistics.discrepancy import NAMES
from wardround.learning.statistics.embedding import LENGTH
from wardround.node.clinic.states import AnswerVerb, ReadingState
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine
from wardround.node.evidence.shelf import keep
from wardround.node.monitoring import charts, monitor
from wardround.node.monitoring.monitor import Watched, charts_of
from wardround.node.settings import ClinicSettings

SETTINGS = ClinicSettings(alarm_every=200)
_number = count(1)

studies = st.tuples(
    st.sampled_from(["ends", "ends", "ends", "ends again", "is answered", "can't be sent"]),
    st.integers(0, 30),  # when it arrived, or which one
    st.booleans(),  # whether the model failed
    st.booleans(),  # whether it flagged, or a person found something
    st.floats(0.1, 1.0),
)
looks = st.lists(st.tuples(st.lists(studies, max_size=12), st.sampled_from([None, None, None, 40, 70])), max_size=6)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    door = FrontDoor(tmp_path_factory.mktemp("node"))
    yield door
    door.close()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images make a block."""
    monkeypatch.setattr(charts, "_FIRST", 6)
    monkeypatch.setattr(charts, "_BLOCK", 4)


def deployed(door: FrontDoor, session: Session) -> Deployment:
    row = Deployment(
        model=f"{next(_number):064x}",
        package="p",
        pathway="brain",
        stage="shadow",
        active=True,
        deployed_by="person:x",
        deployed_at=door.clock(),
    )
    session.add(row)
    session.flush()
    return row


def shown(door: FrontDoor, session: Session, deployment: Deployment, flagged: int) -> None:
    """Shadow use was judged."""
    at = door.clock()
    record = ShadowUse(
        model=deployment.model,
        pathway=deployment.pathway,
        since=at,
        until=at,
        studies=100,
        read=100,
        flagged=flagged,
        failed={},
        out_of_scope=0,
        seconds_p50=1.0,
        seconds_p95=2.0,
        agreement=(36, 4, 4, 56),
    )
    keep(session, record, at=at, actor="person:officer", entry=3)


def ended(door: FrontDoor, session: Session, deployment: Deployment, study: int, **values: Any) -> WorklistLine:
    contrast = values.pop("contrast", 0.5)
    fails = values.get("state") == ReadingState.FAILED
    row = WorklistLine(
        **{
            "study": f"{study:032x}",
            "version": 0,
            "deployment": deployment.id,
            "state": ReadingState.READ,
            "flagged": False,
            "contrast": None if fails else contrast,
            "image": None if fails else [contrast] * (len(NAMES) + LENGTH),
            "arrived_at": door.clock() + timedelta(minutes=study),
            **values,
        }
    )
    session.add(row)
    session.flush()
    return row


def happens(door: FrontDoor, session: Session, deployment: Deployment, step: tuple[Any, ...]) -> None:
    what, place, fails, says, contrast = step
    lines = session.scalars(select(WorklistLine).where(WorklistLine.deployment == deployment.id)).all()
    chosen = lines[place % len(lines)] if lines else None
    if what == "ends":
        state = ReadingState.FAILED if fails else ReadingState.READ
        arrived = door.clock() + timedelta(minutes=place)
        ended(
            door,
            session,
            deployment,
            next(_number),
            state=state,
            flagged=says and not fails,
            contrast=contrast,
            arrived_at=arrived,
        )
    elif chosen is None:
        return
    elif what == "ends again":
        version = 1 + max(one.version for one in lines if one.study == chosen.study)
        ended(door, session, deployment, int(chosen.study, 16), version=version, flagged=says, contrast=contrast)
    elif what == "can't be sent" and chosen.state == ReadingState.READ:
        chosen.state = ReadingState.FAILED
    elif what == "is answered":
        said = {"actor": "person:r", "shown": False, "at": door.clock()}
        session.add(WorklistAnswer(line=chosen.id, verb=AnswerVerb.FOUND, found=says, **said))


@given(looks)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_they_say_at_each_look_what_all_studies_would(
    door: FrontDoor, short: None, looked: list[tuple[list[tuple[Any, ...]], int | None]]
) -> None:
    watched = Watched(SETTINGS)
    with door.database.writing() as session:
        deployment = deployed(door, session)
        for steps, flagged in looked:
            for step in steps:
                happens(door, session, deployment, step)
            if flagged is not None:
                shown(door, session, deployment, flagged)
            session.flush()
            assert watched.charts(session, deployment) == charts_of(session, deployment, SETTINGS)


def test_what_is_on_them_already_is_not_read_again(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    lines = monitor._lines
    monkeypatch.setattr(
        monitor, "_lines", lambda session, numbers: read.append(len(numbers)) or lines(session, numbers)
    )
    watched = Watched(SETTINGS)
    with door.database.writing() as session:
        deployment = deployed(door, session)
        for study in range(1000, 1030):
            ended(door, session, deployment, study)
        watched.charts(session, deployment)
        ended(door, session, deployment, 1030)
        assert watched.charts(session, deployment)[0].studies == 31
        assert read == [30, 0, 1, 0]
        ended(door, session, deployment, 900)
        assert watched.charts(session, deployment)[0].studies == 32
        assert read[-2:] == [32, 0], "one that came before the others is on them in its place"
