"""Evidence of what a model's order of the worklist did: to those whom it flagged, and to those whom it didn't."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from wardround.contracts.use_evidence import DelayOfUnflagged, OrderEffect, Wait
from wardround.learning.statistics.waiting import in_order_of_arrival
from wardround.node.clinic.tables import Deployment
from wardround.node.evidence.use import Study, check_stage, studies_at

_DAY = 86_400.0


def order_effect(session: Session, deployment: Deployment, *, until: datetime) -> tuple[OrderEffect, DelayOfUnflagged]:
    """What came of the order, over the studies that somebody opened while the model was at its present stage.

    Raises:
        NotAllowed: `wrong-stage`, the model doesn't order the worklist at this stage, or nobody would compare it.
    """
    stage = check_stage(deployment, "order-effect")
    studies = studies_at(session, deployment, stage, until)
    opened = [(study, at.timestamp()) for study in studies if (at := study.opened_at) is not None]
    since = min((study.line.arrived_at for study, _ in opened), default=until)
    finals = [study.final for study, _ in opened if study.final is not None]
    about = {
        "model": deployment.model,
        "pathway": deployment.pathway,
        "stage": stage,
        "since": since,
        "until": until,
    }
    waits = [(study.flagged, wait) for (study, _), wait in zip(opened, _waits(opened), strict=True)]
    effect = OrderEffect.model_validate(
        {
            **about,
            "studies": len(opened),
            "days": max((until - since).total_seconds() / _DAY, 1 / 24),
            "flagged": [wait for flagged, wait in waits if flagged],
            "prevalence": (sum(finals), len(finals)),
        }
    )
    delay = DelayOfUnflagged.model_validate({**about, "unflagged": [wait for flagged, wait in waits if not flagged]})
    return effect, delay


def _waits(opened: list[tuple[Study, float]]) -> list[Wait]:
    """Of studies, each with the moment at which it was opened."""
    came = [study.line.arrived_at.timestamp() for study, _ in opened]
    # One that was opened before its last image came waited for nobody.
    began = [max(moment, at) for (_, moment), at in zip(opened, came, strict=True)]
    by_arrival = in_order_of_arrival(came, began)
    return [
        _wait(study, at, start, instead)
        for (study, _), at, start, instead in zip(opened, came, began, by_arrival, strict=True)
    ]


def _wait(study: Study, came: float, began: float, by_arrival: float) -> Wait:
    reported = None if study.reported_at is None else max(study.reported_at.timestamp(), began)
    due = None if study.line.due_at is None else study.line.due_at.timestamp()
    return Wait(
        open=began - came,
        open_by_arrival=by_arrival - came,
        report=None if reported is None else reported - came,
        report_by_arrival=None if reported is None else by_arrival - came + reported - began,
        late=due is not None and began > due,
        late_by_arrival=due is not None and by_arrival > due,
        finding=study.final,
    )
