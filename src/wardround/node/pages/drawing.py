"""Drawing on a case: the page with its tools, the outlines that the node answers with, and what is saved.

Whoever draws has the case before them, or drew it before. Help and saving are what MONAI Label's API does for clients:
the same functions, processes and records.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode

from wardround.foundation.errors import NotAllowed, NotFound
from wardround.node import audit
from wardround.node.annotate.cases import Case
from wardround.node.annotate.form import Form, FormFile
from wardround.node.annotate.labels import FINAL
from wardround.node.annotate.models import BUILT_IN
from wardround.node.annotate.sittings import check_may_draw
from wardround.node.annotate.volume_file import NIFTI_GZ
from wardround.node.desk import Desk
from wardround.node.dicomweb.failure import WebFailure
from wardround.node.pages.annotation import case_of, check_on, may_see, number_of, viewing
from wardround.ui.page import Moved, Sent, Shown, Visit
from wardround.ui.viewer import NIFTI, WIDENED

LARGEST = 32 * 1024 * 1024
"""Bytes of a form with a mask in it: one of 512 x 512 x 1,000 voxels takes a tenth of it as a rule."""


def draw(desk: Desk, visit: Visit) -> Shown:
    """The case with tools, and the person's own drawing so far if there is one."""
    found = _theirs(desk, visit)
    series, settings = found.subject.series, desk.home.settings.annotation
    try:
        begun = desk.annotation.labels.newest(series, FINAL, actor=visit.by, readers=settings.readers)
    except NotFound:
        begun = None
    desk.annotation.inference.warm(series)
    values = {
        "case": found,
        "begun": begun,
        "held": next((row for row in found.sittings if row.person == visit.by), None),
        "viewing": viewing(found),
        "models": [name for name in desk.annotation.helpers.listed() if name not in BUILT_IN],
        "settings": settings,
    }
    return Shown("annotation-draw.html", values, widened=WIDENED)


def label(desk: Desk, visit: Visit) -> Sent:
    """A label that was saved, as NIfTI on its image's grid.

    Raises:
        NotFound: it isn't here, or its image may not be used.
        NotAllowed: it would lead who has the case before them.
    """
    check_on(desk)
    row = desk.annotation.labels.find(number_of(visit.path["number"]))
    if not may_see(desk, case_of(desk, visit, row.series), row, visit):
        raise NotAllowed("you have this case before you: what others drew of it is shown once yours is saved")
    with desk.home.database.writing() as session:
        audit.record(session, visit.by, "view-label", row.series, f"version {row.version}", clock=lambda: visit.at)
    return Sent(desk.annotation.labels.files.get(row.nifti), NIFTI)


def outline(desk: Desk, visit: Visit) -> Sent:
    """What a model makes of the clicks, or of the mask, that the form has: NIfTI on the image's grid.

    Raises:
        NotAllowed: they can't be read.
        NotAnnotated, WorkerDied: the model can't answer.
    """
    found = _theirs(desk, visit)
    params = {"result_extension": NIFTI_GZ} | {name: visit.field(name) for name in ("foreground", "background")}
    files = {"label": (mask_of(visit),)} if visit.field("label") else {}
    form = Form({"params": json.dumps(params)}, files)
    inference, series = desk.annotation.inference, found.subject.series
    try:
        answer = inference.infer(visit.by, visit.field("model"), series, "", form, "image")
    except WebFailure as failure:
        raise NotAllowed(failure.text) from None
    return Sent(answer.data or b"", NIFTI)


def save(desk: Desk, visit: Visit) -> Moved:
    """Keep the drawing as a version of its own, with its author, what helped, and how long it took.

    It isn't asked whether the case is still theirs: what somebody drew is never lost, and overwrites nothing.
    """
    check_on(desk)
    note = {"note": visit.field("note")}
    desk.annotation.save(visit.by, visit.path["series"], FINAL, note, mask_of(visit))
    return Moved("/annotation?done=saved")


def _theirs(desk: Desk, visit: Visit) -> Case:
    """The case that the address names. Raises `Conflict` where it isn't theirs, which says whose it is."""
    found = case_of(desk, visit)
    readers = desk.home.settings.annotation.readers
    with desk.home.database.reading() as session:
        check_may_draw(session, found.subject.series, readers, actor=visit.by)
    return found


def mask_of(visit: Visit) -> FormFile:
    """The drawing that the form has. Raises `NotAllowed`."""
    try:
        return FormFile(f"drawn{NIFTI_GZ}", urlsafe_b64decode(visit.field("label").encode("ascii")))
    except (binascii.Error, UnicodeEncodeError):
        raise NotAllowed("the drawing can't be read as the page sends it") from None
