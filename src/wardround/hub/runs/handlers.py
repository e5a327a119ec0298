"""What the hub answers to sites about runs and models."""

from __future__ import annotations

from wardround.contracts.outbound import (
    Acknowledged,
    EvaluationResult,
    JobRefused,
    LocalModel,
    ObjectFound,
    ObjectRequest,
)
from wardround.foundation.errors import NotFound
from wardround.foundation.files import ObjectMissing
from wardround.hub import audit
from wardround.hub.api.exchange import Caller, Exchange
from wardround.hub.registry.queries import object_behind
from wardround.hub.runs import intake
from wardround.ledger import store


def register(exchange: Exchange) -> None:
    exchange.register(LocalModel)(_local_model)
    exchange.register(EvaluationResult)(_evaluation)
    exchange.register(ObjectRequest)(_object)
    exchange.register(JobRefused)(_job_refused)


def _local_model(caller: Caller, message: LocalModel, attachment: bytes) -> Acknowledged:
    with caller.database.writing() as session:
        entry = store.entry(session, message.entry)
        intake.take_local_model(session, caller.site, message, attachment, entry)
        caller.objects.put(attachment)
    return Acknowledged()


def _evaluation(caller: Caller, message: EvaluationResult, _attachment: bytes) -> Acknowledged:
    with caller.database.writing() as session:
        entry = store.entry(session, message.entry)
        intake.take_evaluation(session, caller.site, message, entry)
    return Acknowledged()


def _object(caller: Caller, message: ObjectRequest, _attachment: bytes) -> tuple[ObjectFound, bytes]:
    with caller.database.reading() as session:
        digest = object_behind(session, message.digest)
    try:
        return ObjectFound(digest=message.digest), caller.objects.get(digest)
    except ObjectMissing:
        raise NotFound("the hub has no object of this digest", code="no-such-object") from None


def _job_refused(caller: Caller, message: JobRefused, _attachment: bytes) -> Acknowledged:
    with caller.database.writing() as session:
        audit.record(session, caller.actor, "refuse-job", message.run or "unknown", message.reason)
    return Acknowledged()
