"""What may leave: the closed list, its sizes, and the forms of its fields."""

from __future__ import annotations

import types
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from tests.federation_lab import free_ports
from tests.node_home import node_home

from wardround.contracts.frame import pack
from wardround.contracts.limits import LIMITS
from wardround.contracts.outbound import Message, Outbound, RunUpdate, TaskPoll, TaskReport
from wardround.node.gateway.egress import bytes_out, newest, totals
from wardround.node.gateway.errors import HubUntrusted, MayNotLeave
from wardround.node.gateway.gateway import Gateway, checked
from wardround.node.home import NodeHome

KINDS: tuple[type[Message], ...] = get_args(get_args(Outbound)[0])
UPDATE = RunUpdate(project="p1", run="r1", round=1, digest="a" * 64, entry=0, weight=1, metrics={"dice": 0.5})

# Text that no pattern confines, with why it can hold nothing of a patient's or of this machine's.
FREE_TEXT = {
    ("join-request", "secret"): "made by the hub",
    ("join-request", "csr"): "a public key, signed",
    ("join-request", "ledger_verifier"): "a public key",
    ("join-request", "version"): "of the package",
    ("certificate-renewal", "csr"): "a public key, signed",
    ("task-poll", "version"): "of the package",
    ("ledger-submission", "entry"): "an entry of the ledger, whose own form is closed",
    ("witness-cosignature", "line"): "a signature",
}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[NodeHome]:
    with node_home(tmp_path, api_port=free_ports(1)[0], largest_attachment=1000) as made:
        yield made


def _unconfined(annotation: Any, metadata: list[Any]) -> bool:
    """Whether the type lets any text through."""
    if get_origin(annotation) is Literal:
        return False
    if get_origin(annotation) in (Union, types.UnionType, tuple, dict, list):
        return any(_unconfined(part, []) for part in get_args(annotation) if part is not Ellipsis)
    if hasattr(annotation, "__metadata__"):
        return _unconfined(annotation.__origin__, [*annotation.__metadata__, *metadata])
    if annotation is str:
        flat = [part for item in metadata for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
        return not any(getattr(part, "pattern", None) for part in flat)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return any(_unconfined(field.annotation, field.metadata) for field in annotation.model_fields.values())
    return annotation in (bytes, Any, object)


def test_no_field_that_leaves_takes_any_text_but_those_listed() -> None:
    """An exception's text, a path or a name has nowhere to go."""
    found = {
        (kind.model_fields["kind"].default, name)
        for kind in KINDS
        for name, field in kind.model_fields.items()
        if _unconfined(field.annotation, field.metadata)
    }
    assert found == FREE_TEXT.keys()


@pytest.mark.parametrize("text", ["/srv/node", "Doe^Jane", "1.2.840.1.1", "Not Approved", "x" * 80, "", "línea"])
def test_a_reason_is_a_code_and_nothing_else(text: str) -> None:
    with pytest.raises(ValidationError):
        TaskReport(number=1, outcome="failed", reason=text)


@pytest.mark.parametrize(
    "metrics", [{"patients": 7}, {"dice": 7}, {"dice": float("nan")}, {"mae": -1}, {"dice": 0.5, "auc": 0.5}]
)
def test_beside_an_update_there_is_room_for_no_number_of_people(metrics: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        RunUpdate.model_validate({**UPDATE.model_dump(), "metrics": metrics})


def test_every_kind_has_its_limit_and_no_other_has() -> None:
    assert set(LIMITS) == set(KINDS)
    assert len({kind.model_fields["kind"].default for kind in KINDS}) == len(KINDS)


class Smuggled(Message):
    kind: Literal["smuggled"] = "smuggled"
    image: str


class Widened(TaskReport):
    note: str = "Doe^Jane"


@pytest.mark.parametrize(
    "message",
    [
        Smuggled(image="pixels"),
        Widened(number=1, outcome="done"),
        TaskReport.model_construct(number=1, outcome="done", reason="Doe^Jane in /srv"),
        Message(),
    ],
    ids=["another", "a-subclass", "unvalidated", "the-base"],
)
def test_what_isnt_on_the_list_doesnt_leave_and_isnt_logged(home: NodeHome, message: Message) -> None:
    gateway = Gateway(home)
    with pytest.raises(MayNotLeave):
        gateway.send(message)
    with pytest.raises(MayNotLeave):
        gateway.record(message, 10)
    with home.database.reading() as session:
        assert newest(session, 10) == []


def test_what_the_engine_carries_isnt_posted(home: NodeHome) -> None:
    with pytest.raises(MayNotLeave, match="carried by the engine"):
        Gateway(home).send(UPDATE, b"weights")


def test_a_larger_attachment_than_this_hospital_allows_doesnt_leave(home: NodeHome) -> None:
    gateway = Gateway(home)
    gateway.record(UPDATE, 1000)
    with pytest.raises(MayNotLeave, match="at most 1000"):
        gateway.record(UPDATE, 1001)


def test_what_another_carries_is_on_the_log_before_it_goes(home: NodeHome) -> None:
    Gateway(home).record(UPDATE, 400)
    with home.database.reading() as session:
        (line,) = newest(session, 10)
        assert bytes_out(session, project="p1") == 400
        assert bytes_out(session, project="p2") == 0
    assert (line.kind, line.project, line.run, line.size, line.outcome) == ("run-update", "p1", "r1", 400, "carried")
    assert line.digest == sha256(checked(UPDATE, 0, 0)).hexdigest()


def test_a_try_that_met_nobody_is_logged_as_not_gone(home: NodeHome) -> None:
    """No certificate here: the row is written all the same, before the connection would be made."""
    poll = TaskPoll(after=0, wait_seconds=0, version="test")
    with pytest.raises(HubUntrusted):
        Gateway(home).send(poll)
    body = pack(poll.model_dump_json().encode())
    with home.database.reading() as session:
        (line,) = newest(session, 10)
        (total,) = totals(session)
        assert bytes_out(session) == 0
    assert (line.outcome, line.reason) == ("untrusted", "no-certificate")
    assert (line.size, line.digest) == (len(body), sha256(body).hexdigest())
    assert (total.kind, total.messages, total.size, total.not_sent) == ("task-poll", 1, 0, 1)
