"""Readings as workitems over real HTTP: a requester, a performer and a watcher of other systems, as AIW-I has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from sqlalchemy import select, update
from tests.clinic_lab import Clinic, ToyReader, made
from tests.front_door import SECRET, studies
from tests.unit.node.workitems.task_lab import task
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from wardround.dicom.json_model import sequence, text
from wardround.foundation.web_server import WebServer
from wardround.node.audit import Audit
from wardround.node.clinic.retention import Retention
from wardround.node.clinic.tables import Deployment
from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.dicomweb.service import Parts, application
from wardround.node.dicomweb.tokens import Scope, make, revoke
from wardround.node.receive.arrival import KeyMaker
from wardround.node.workitems import attributes as at
from wardround.node.workitems import channel as channel_of_events
from wardround.node.workitems.desk import WorkitemDesk
from wardround.node.workitems.opening import Opening
from wardround.node.workitems.service import WorklistService
from wardround.node.workitems.subscribing import SubscriberService
from wardround.node.workitems.subscriptions import ALL, FILTERED, Subscriber, Subscriptions
from wardround.node.workitems.tables import WorkitemReport, WorkitemSubscription, WorkitemWatch
from wardround.node.workitems.telling import WorkitemView

KEEP = timedelta(days=14)
CLAIM, STRANGER = "2.25.11", "2.25.12"
SOURCE = pydicom.dcmread(BytesIO(studies(3)[0].slices[0]))


@dataclass
class Ward:
    """A clinic whose readings other systems see, and how these call it."""

    clinic: Clinic
    http: httpx.Client
    opening: Opening
    tokens: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, said: Any = None, token: str = "work") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[token]}", "Accept": "application/dicom+json"}
        if said is not None:
            headers["Content-Type"] = "application/dicom+json"
        return self.http.request(
            method, f"/workitems{path}", headers=headers, content=None if said is None else json.dumps([said])
        )

    def subscribe(self, resource: str, query: str = "", title: str = "VIEWER", token: str = "work") -> httpx.Response:
        return self.call("POST", f"/{resource}/subscribers/{title}{query}", token=token)

    def channel(self, title: str = "VIEWER", token: str = "work") -> ClientConnection:
        """A WebSocket, as another program opens it."""
        address = f"ws://{self.http.base_url.netloc.decode()}/dicom-web/subscribers/{title}"
        headers = {"Authorization": f"Bearer {self.tokens[token]}"} if token else {}
        return connect(address, additional_headers=headers, open_timeout=60, proxy=None)

    def item(self, uid: str) -> dict[str, Any]:
        [told] = self.call("GET", f"/{uid}").raise_for_status().json()
        assert isinstance(told, dict)
        return told

    def found(self, query: str = "") -> list[dict[str, Any]]:
        answer = self.call("GET", f"?{query}")
        return [] if answer.status_code == 204 else answer.raise_for_status().json()  # type: ignore[no-any-return]

    def to(self, uid: str, state: str, transaction: str | None) -> httpx.Response:
        said = {at.STATE: at.one("CS", state), at.TRANSACTION_UID: at.one("UI", transaction)}
        return self.call("PUT", f"/{uid}/state", said)


@pytest.fixture
def ward(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Ward]:
    for clinic in made(tmp_path, package, ToyReader()):
        clinic.register()
        clinic.deploy()
        clinic.arrive()
        node = clinic.node
        view = WorkitemView(node.database, node.door.clinical, clinic.results, KEEP, "guys", node.clock)
        told = Subscriptions(node.database, view, KEEP, node.clock)
        keys = partial(KeyMaker(SECRET).key, "study")
        desk = WorkitemDesk(node.database, node.door.clinical, keys, told, node.clock)
        service = WorklistService(desk, view, SubscriberService(told))
        catalogue = Catalogue(node.database, node.door.objects)
        parts = Parts(node.database, catalogue, node.door.reception, {}, node.clock, worklist=service)
        server = WebServer(application(parts), "dicomweb", host="127.0.0.1", port=0, websockets=True)
        server.start()
        client = httpx.Client(base_url=f"http://127.0.0.1:{server.port}/dicom-web", timeout=60)
        tokens = {scope: make(node.database, f"for-{scope}", Scope(scope), actor="operator:test") for scope in Scope}
        yield Ward(clinic, client, Opening(node.database, told, node.clock), tokens)
        client.close()
        server.stop()


DONE = at.items(
    {
        at.STATION: at.items(at.coded("PARTNER", "99PARTNER", "A partner's program")),
        at.BEGUN: at.one("DT", "20261130120100"),
        at.ENDED: at.one("DT", "20261130120200"),
        at.DONE_CODE: at.items(at.coded("OPINION", "99PARTNER", "Second opinion")),
        at.OUTPUT: at.items(),
    }
)
STOPPED = at.items(
    {
        at.CANCELED_AT: at.one("DT", "20261130120100"),
        at.REASON_CODE: at.items(at.coded("110513", "DCM", "Discontinued for unspecified reason")),
    }
)


def read_at(ward: Ward, stage: str) -> None:
    with ward.clinic.node.database.writing() as session:
        session.execute(update(Deployment).values(stage=stage))
    ward.clinic.pacs.up()


def test_a_reading_is_a_workitem_from_arrival_to_what_the_pacs_has_of_it(ward: Ward) -> None:
    read_at(ward, "primary-reader")
    ward.clinic.pathway._queue.enlist(ward.clinic.pathway._serving())
    ward.opening.tick()
    [waiting] = ward.found("ProcedureStepState=SCHEDULED")
    assert text(waiting, at.LABEL) == "brain" and text(waiting, at.STATE) == "SCHEDULED"
    assert waiting[at.PATIENT[1]]["Value"] == [SOURCE.PatientID]
    uid = text(waiting, at.SOP_INSTANCE)
    [inputs] = sequence(ward.item(uid), at.INPUT)
    assert text(inputs, at.STUDY) == SOURCE.StudyInstanceUID
    assert len(sequence(inputs, at.REFERENCED)) == 4
    ward.clinic.pathway.tick()
    ward.opening.tick()
    done = ward.item(uid)
    assert text(done, at.STATE) == "COMPLETED" and at.TRANSACTION_UID not in done
    [performed] = sequence(done, at.PERFORMED)
    [output] = sequence(performed, at.OUTPUT)
    [sent] = ward.clinic.pacs.taken
    assert [text(one, at.OF_INSTANCE) for one in sequence(output, at.REFERENCED)] == [sent.SOPInstanceUID]
    assert text(output, at.SERIES) == sent.SeriesInstanceUID
    assert ward.found("ProcedureStepState=SCHEDULED") == []


def test_what_a_stage_shows_nobody_is_named_by_no_workitem(ward: Ward) -> None:
    read_at(ward, "shadow")
    ward.clinic.pathway.tick()
    ward.opening.tick()
    assert len(ward.clinic.pacs.taken) == 1, "the examiners have it"
    [told] = ward.found()
    [performed] = sequence(ward.item(text(told, at.SOP_INSTANCE)), at.PERFORMED)
    assert sequence(performed, at.OUTPUT) == []
    assert "lesion" not in json.dumps(ward.item(text(told, at.SOP_INSTANCE)))


def test_a_reading_is_this_nodes_own_to_perform_and_others_may_ask_it_to_stop(ward: Ward) -> None:
    ward.clinic.pathway._queue.enlist(ward.clinic.pathway._serving())
    ward.opening.tick()
    uid = text(ward.found()[0], at.SOP_INSTANCE)
    refused = ward.to(uid, "IN PROGRESS", CLAIM)
    assert refused.status_code == 409 and "this node works" in refused.headers["warning"].lower()
    asked = {at.REASON: at.one("LT", "scanned in error")}
    assert ward.call("POST", f"/{uid}/cancelrequest", asked).status_code == 202
    assert ward.clinic.states() == [("failed", "cancel-requested")]
    ward.clinic.pathway.tick()
    ward.opening.tick()
    assert ward.clinic.worker.reads == [], "its study keeps its normal order"
    told = ward.item(uid)
    [progress] = sequence(told, at.PROGRESS)
    assert text(told, at.STATE) == "CANCELED" and text(progress, at.REASON) == "scanned in error"
    again = ward.call("POST", f"/{uid}/cancelrequest")
    assert again.status_code == 202 and "already" in again.headers["warning"]
    with ward.clinic.node.database.reading() as session:
        [row] = session.scalars(select(Audit).where(Audit.verb == "cancel-workitem"))
    assert row.actor == "token:for-work"


def test_another_system_asks_for_work_and_a_third_one_does_it(ward: Ward) -> None:
    created = ward.call("POST", "?2.25.7", task())
    assert created.status_code == 201 and created.headers["location"].endswith("/workitems/2.25.7")
    assert "warning" not in created.headers
    assert ward.call("POST", "?2.25.7", task()).status_code == 409
    code = f"{at.WORK_CODE}.{at.CODE_VALUE}"
    assert [text(one, at.SOP_INSTANCE) for one in ward.found(f"{code}=OPINION")] == ["2.25.7"]
    assert ward.found("ScheduledWorkitemCodeSequence.CodeValue=OTHER") == []
    assert ward.call("POST", "/2.25.7", {at.PRIORITY: at.one("CS", "HIGH")}).status_code == 200
    # Who has it to do claims it, and from then on moves it alone.
    assert ward.to("2.25.7", "COMPLETED", CLAIM).status_code == 409
    assert ward.to("2.25.7", "IN PROGRESS", CLAIM).status_code == 200
    for state, transaction in (
        ("IN PROGRESS", CLAIM),
        ("COMPLETED", STRANGER),
        ("CANCELED", None),
        ("SCHEDULED", CLAIM),
    ):
        assert ward.to("2.25.7", state, transaction).status_code == 409, (state, transaction)
    assert ward.call("POST", f"/2.25.7?{STRANGER}", {at.PERFORMED: DONE}).status_code == 409
    lacking = ward.to("2.25.7", "COMPLETED", CLAIM)
    assert lacking.status_code == 409 and "Performed Station Name" in lacking.headers["warning"]
    assert ward.call("POST", f"/2.25.7?{CLAIM}", {at.PERFORMED: DONE}).status_code == 200
    assert ward.call("POST", "/2.25.7/cancelrequest").status_code == 202
    assert text(ward.item("2.25.7"), at.STATE) == "IN PROGRESS", "its performer decides"
    assert ward.to("2.25.7", "COMPLETED", CLAIM).status_code == 200
    told = ward.item("2.25.7")
    assert (text(told, at.STATE), text(told, at.PRIORITY)) == ("COMPLETED", "HIGH")
    assert told[at.PERFORMED] == DONE and CLAIM not in json.dumps(told)
    assert "already" in ward.to("2.25.7", "COMPLETED", CLAIM).headers["warning"]
    assert ward.call("POST", f"/2.25.7?{CLAIM}", {at.PERFORMED: DONE}).status_code == 409


def test_a_performer_that_gives_up_says_why_first(ward: Ward) -> None:
    ward.call("POST", "?2.25.8", task())
    ward.to("2.25.8", "IN PROGRESS", CLAIM)
    assert ward.to("2.25.8", "CANCELED", CLAIM).status_code == 409
    assert ward.call("POST", f"/2.25.8?{CLAIM}", {at.PROGRESS: STOPPED}).status_code == 200
    assert ward.to("2.25.8", "CANCELED", CLAIM).status_code == 200


def test_a_task_on_a_study_that_isnt_here_is_refused(ward: Ward) -> None:
    elsewhere = {at.INPUT: at.items(at.referenced("1.2.3.4", "1", []))}
    refused = ward.call("POST", "?2.25.9", task() | elsewhere)
    assert refused.status_code == 400 and "clinical path" in refused.json()["error"]
    assert ward.call("POST", "?2.25.9", {at.LABEL: at.one("LO", "x" * 300_000)}).status_code == 413
    assert ward.found() == []


def test_no_token_for_images_opens_the_worklist_and_none_of_it_those(ward: Ward) -> None:
    for scope in (Scope.READ, Scope.STORE):
        assert ward.call("GET", "", token=scope).status_code == 403
    assert ward.http.get("/workitems").status_code == 401
    headers = {"Authorization": f"Bearer {ward.tokens['work']}"}
    assert ward.http.get("/studies", headers=headers).status_code == 403
    assert ward.call("GET", "/2.25.404").status_code == 404
    assert ward.call("GET", "/none").status_code == 400


def test_a_workitem_tells_nothing_once_its_study_was_purged(ward: Ward) -> None:
    ward.call("POST", "?2.25.10", task())
    clinic = ward.clinic
    clinic.node.clock.time += KEEP + timedelta(hours=1)
    Retention(clinic.node.database, clinic.node.door.clinical, clinic.results, KEEP, clinic.node.clock).tick()
    assert ward.call("GET", "/2.25.10").status_code == 410
    assert ward.found() == []


def next_of(channel: ClientConnection) -> tuple[str, int, dict[str, Any]]:
    """Whose event report came, of which type, and all of it."""
    told = json.loads(channel.recv(timeout=60))
    assert told["00000002"]["Value"] == ["1.2.840.10008.5.1.4.34.6.4"], "UPS Event"
    [event], [uid] = told["00001002"]["Value"], told["00001000"]["Value"]
    return uid, event, told


def states_of(channel: ClientConnection, number: int) -> list[tuple[str, str]]:
    told = [next_of(channel) for _ in range(number)]
    assert {event for _, event, _ in told} == {1}, "UPS State Report"
    return [(uid, text(one, at.STATE)) for uid, _, one in told]


def test_who_subscribed_to_a_task_is_told_of_each_step_of_it_and_of_no_other(ward: Ward) -> None:
    ward.call("POST", "?2.25.20", task())
    ward.call("POST", "?2.25.21", task())
    with ward.channel() as channel:
        made = ward.subscribe("2.25.20", "?deletionlock=true")
        assert made.status_code == 201 and "Lock was not granted" in made.headers["warning"]
        assert made.headers["content-location"].startswith("ws://127.0.0.1:")
        assert made.headers["content-location"].endswith("/dicom-web/subscribers/VIEWER")
        ward.to("2.25.21", "IN PROGRESS", CLAIM)
        ward.to("2.25.20", "IN PROGRESS", CLAIM)
        assert states_of(channel, 2) == [("2.25.20", "SCHEDULED"), ("2.25.20", "IN PROGRESS")]
        half = {at.HOW_FAR: at.one("DS", 50)}
        ward.call("POST", f"/2.25.20?{CLAIM}", {at.PROGRESS: at.items(half | {at.REASON: at.one("LT", "unasked")})})
        uid, event, told = next_of(channel)
        assert (uid, event, sequence(told, at.PROGRESS)) == ("2.25.20", 3, [half])
        why = {at.REASON: at.one("LT", "wrong side"), at.CONTACT_NAME: at.one("LO", "Desk")}
        ward.call("POST", "/2.25.20/cancelrequest", why)
        uid, event, told = next_of(channel)
        assert (uid, event, text(told, at.REQUESTING)) == ("2.25.20", 2, "FOR-WORK")
        assert {tag: told[tag] for tag in why} == why
        ward.call("POST", f"/2.25.20?{CLAIM}", {at.PERFORMED: DONE})
        ward.to("2.25.20", "COMPLETED", CLAIM)
        uid, _, told = next_of(channel)
        assert (uid, text(told, at.STATE), text(told, at.READINESS)) == ("2.25.20", "COMPLETED", "READY")
        # Of whom it is, no report says; the token asks for that, and is on record.
        assert SOURCE.PatientID not in json.dumps(told) and SOURCE.StudyInstanceUID not in json.dumps(told)
    assert ward.call("DELETE", "/2.25.20/subscribers/VIEWER").status_code == 200
    assert ward.call("DELETE", "/2.25.20/subscribers/VIEWER").status_code == 404
    with ward.clinic.node.database.reading() as session:
        rows = session.execute(select(Audit.verb, Audit.actor).where(Audit.subject == "VIEWER")).all()
    assert [(verb, actor) for verb, actor in rows] == [
        ("subscribe-workitems", "token:for-work"),
        ("unsubscribe-workitems", "token:for-work"),
    ]


def test_who_subscribed_to_the_worklist_is_told_of_readings_even_of_what_went_on_while_away(ward: Ward) -> None:
    ward.call("POST", "?2.25.22", task())
    assert ward.subscribe(ALL).status_code == 201
    with ward.channel() as channel:
        assert states_of(channel, 1) == [("2.25.22", "SCHEDULED")], "what is here already"
    ward.clinic.pacs.up()
    ward.clinic.pathway.tick()
    ward.opening.tick()
    uid = next(text(one, at.SOP_INSTANCE) for one in ward.found() if text(one, at.LABEL) == "brain")
    with ward.channel() as channel:
        assert states_of(channel, 3) == [(uid, "SCHEDULED"), (uid, "IN PROGRESS"), (uid, "COMPLETED")]
        # Of what is created from now on nothing is told; of what it is subscribed to, all.
        assert ward.call("POST", f"/{ALL}/subscribers/VIEWER/suspend").status_code == 200
        ward.call("POST", "?2.25.23", task())
        ward.to("2.25.22", "IN PROGRESS", CLAIM)
        assert states_of(channel, 1) == [("2.25.22", "IN PROGRESS")]
        assert ward.call("DELETE", f"/{ALL}/subscribers/VIEWER").status_code == 200
        ward.call("POST", f"/2.25.22?{CLAIM}", {at.PERFORMED: DONE})
        ward.to("2.25.22", "COMPLETED", CLAIM)
        ward.subscribe("2.25.23")
        assert states_of(channel, 1) == [("2.25.23", "SCHEDULED")], "and of nothing once it is subscribed to nothing"


def test_a_station_is_told_of_what_it_is_to_do(ward: Ward) -> None:
    """It watches what is assigned to it by a filter, and is told when a task is given to another one."""
    own, other = (at.items(at.coded(name, "99PARTNER", "A partner's program")) for name in ("HEADS", "HEARTS"))
    ward.subscribe(FILTERED, "?filter=ScheduledStationNameCodeSequence.CodeValue=HEADS")
    ward.call("POST", "?2.25.32", task(**{at.ASSIGNED: other}))
    made = ward.call("POST", "?2.25.33", task(**{at.ASSIGNED: own}))
    assert made.status_code == 201 and "warning" not in made.headers
    assert ward.item("2.25.33")[at.ASSIGNED] == own
    with ward.channel() as channel:
        assert states_of(channel, 1) == [("2.25.33", "SCHEDULED")]
        uid, event, told = next_of(channel)
        assert (uid, event, told[at.ASSIGNED]) == ("2.25.33", 5, own)
        ward.call("POST", "/2.25.33", {at.ASSIGNED: other})
        uid, event, told = next_of(channel)
        assert (uid, event, told[at.ASSIGNED]) == ("2.25.33", 5, other)
        assert ward.item("2.25.33")[at.ASSIGNED] == other
    assert ward.call("POST", "/2.25.33", {at.ASSIGNED: at.items(at.coded("X", "", "x"))}).status_code == 400


def test_a_filter_lets_through_what_meets_it_now_and_later(ward: Ward) -> None:
    urgent = {at.PRIORITY: at.one("CS", "HIGH")}
    ward.call("POST", "?2.25.24", task())
    ward.call("POST", "?2.25.25", task(**urgent))
    keys = "filter=ScheduledProcedureStepPriority=HIGH,ScheduledWorkitemCodeSequence.CodeValue=OPINION"
    assert ward.subscribe(FILTERED, f"?{keys}").status_code == 201
    with ward.channel() as channel:
        assert states_of(channel, 1) == [("2.25.25", "SCHEDULED")]
        ward.call("POST", "?2.25.26", task())
        ward.call("POST", "?2.25.27", task(**urgent))
        assert states_of(channel, 1) == [("2.25.27", "SCHEDULED")]
        ward.call("POST", "/2.25.27/cancelrequest")
        assert states_of(channel, 2) == [("2.25.27", "IN PROGRESS"), ("2.25.27", "CANCELED")]
    for wrong in ("", "?filter=PatientMood=good", "?filter=HIGH", "?deletionlock=perhaps&filter=PatientID=1"):
        assert ward.subscribe(FILTERED, wrong).status_code == 400, wrong
    assert ward.subscribe(ALL, f"?{keys}").status_code == 400


def test_a_workitem_that_goes_meanwhile_costs_nobody_their_subscription(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward.call("POST", "?2.25.24", task())
    meeting = WorkitemView.meeting
    monkeypatch.setattr(WorkitemView, "meeting", lambda view, keys: ["2.25.99", *meeting(view, keys)])
    assert ward.subscribe(ALL).status_code == 201
    with ward.channel() as channel:
        assert states_of(channel, 1) == [("2.25.24", "SCHEDULED")]
    assert ward.subscribe("2.25.99").status_code == 404


def test_nobody_listens_without_a_token_for_work_nor_with_anothers_title(ward: Ward) -> None:
    ward.call("POST", "?2.25.28", task())
    for token, status in ((Scope.READ, 403), (Scope.STORE, 403), ("", 401)):
        with pytest.raises(InvalidStatus) as refused:
            ward.channel(token=token)
        assert refused.value.response.status_code == status
        if token:
            assert ward.subscribe("2.25.28", token=token).status_code == 403
    assert ward.http.post("/workitems/2.25.28/subscribers/VIEWER").status_code == 401
    assert ward.subscribe("2.25.404").status_code == 404
    assert ward.subscribe("2.25.28", title="A" * 17).status_code == 400
    ward.tokens["other"] = make(ward.clinic.node.database, "other", Scope.WORK, actor="operator:test")
    ward.subscribe("2.25.28")
    with ward.channel(token="other") as other, ward.channel() as own:
        assert states_of(own, 1) == [("2.25.28", "SCHEDULED")]
        assert ward.call("DELETE", "/2.25.28/subscribers/VIEWER", token="other").status_code == 404
        ward.subscribe("2.25.28", token="other")
        assert states_of(other, 1) == [("2.25.28", "SCHEDULED")]
        # Another channel of the same subscriber takes the place of the first.
        with ward.channel() as second:
            ward.to("2.25.28", "IN PROGRESS", CLAIM)
            assert states_of(second, 1) == [("2.25.28", "IN PROGRESS")]
            with pytest.raises(ConnectionClosed):
                own.recv(timeout=60)
            second.send("anything")
            with pytest.raises(ConnectionClosed) as closed:
                second.recv(timeout=60)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


def test_a_revoked_token_hears_no_more_and_nothing_is_kept_for_it(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_of_events, "CHECKED_EVERY", 1)
    ward.call("POST", "?2.25.29", task())
    ward.subscribe(ALL)
    with ward.channel() as channel:
        assert states_of(channel, 1) == [("2.25.29", "SCHEDULED")]
        revoke(ward.clinic.node.database, "for-work", actor="operator:test")
        with pytest.raises(ConnectionClosed):
            channel.recv(timeout=60)
    ward.opening.tick()
    with ward.clinic.node.database.reading() as session:
        for table in (WorkitemWatch, WorkitemSubscription, WorkitemReport):
            assert session.scalars(select(table)).all() == []


def test_of_a_purged_study_nothing_is_told_any_more(ward: Ward) -> None:
    ward.call("POST", "?2.25.30", task())
    ward.subscribe("2.25.30")
    clinic = ward.clinic
    clinic.node.clock.time += KEEP - timedelta(hours=1)
    ward.call("POST", "?2.25.31", task())
    ward.to("2.25.30", "IN PROGRESS", CLAIM)
    clinic.node.clock.time += timedelta(hours=2)
    Retention(clinic.node.database, clinic.node.door.clinical, clinic.results, KEEP, clinic.node.clock).tick()
    ward.opening.tick()
    waiting = ward.opening._subscriptions.waiting(Subscriber("for-work", "VIEWER"))
    assert [report for _, report in waiting] == [""]
