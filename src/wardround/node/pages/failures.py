"""Whom a model failed on most when it was judged here, in pictures, for those who decide about it and those who read.

The pictures are of de-identified images and stay at this node, sealed: they are rows beside the enclave's, which go
with the study when it is purged or its person is erased, and aren't shown of whoever opted out. That somebody looked is
in the audit before anything is given.
"""

from __future__ import annotations

from wardround.contracts.validation import ValidationPlan
from wardround.foundation.errors import NotFound
from wardround.node import audit
from wardround.node.desk import Desk
from wardround.node.evidence.sealed_picture import PictureSeal
from wardround.node.evidence.validation import gallery, picture, planned
from wardround.ui.forms import whole
from wardround.ui.page import Sent, Shown, Visit


def failures(desk: Desk, visit: Visit) -> Shown:
    """Of one validation, the worst of each kind first."""
    with desk.home.database.reading() as session:
        row = planned(session, visit.path["plan"])
        found = gallery(session, row)
    asked = ValidationPlan.model_validate_json(row.document)
    return Shown("failures.html", {"row": row, "asked": asked, "failures": found})


def failure(desk: Desk, visit: Visit) -> Sent:
    """One of its pictures. Raises `NotFound`: it has none, or isn't one of the worst."""
    with desk.home.database.writing() as session:
        row = planned(session, visit.path["plan"])
        number = whole(visit.path["number"])
        one = next((one for one in gallery(session, row) if one.number == number and one.pictured), None)
        if one is None:
            raise NotFound("there is no such picture: its study was purged, or whoever it is of opted out")
        audit.record(session, visit.by, "view-failure", one.series, row.digest, clock=lambda: visit.at)
        return Sent(picture(session, PictureSeal(desk.pseudonyms), one.number), "image/png")
