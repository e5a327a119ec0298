"""Correcting a model's outline: the study with the outline to begin with, the tools of annotation, and what is kept.

It is shown and kept where the result is shown, by the rule of `sight`; what is kept is an answer on the worklist.
"""

from __future__ import annotations

import uuid

from wardround.foundation.errors import NotAllowed, NotFound
from wardround.foundation.files import write_whole
from wardround.node.annotate import work
from wardround.node.annotate.inference import clicks_of
from wardround.node.annotate.models import BUILT_IN
from wardround.node.annotate.volume_file import NIFTI_GZ
from wardround.node.annotate.work import Ask, Source
from wardround.node.clinic.answers import Corrected, judge, line_of
from wardround.node.clinic.correction import correct
from wardround.node.clinic.definition_file import Definitions
from wardround.node.clinic.states import AnswerVerb
from wardround.node.desk import Desk
from wardround.node.dicomweb.failure import WebFailure
from wardround.node.pages.drawing import mask_of
from wardround.node.pages.enclave import LONGEST
from wardround.node.pages.sight import looked_at, sight_of
from wardround.node.receive.clinical import clinical_study
from wardround.ui.forms import code_of
from wardround.ui.page import Moved, Sent, Shown, Visit
from wardround.ui.viewer import NIFTI, WIDENED, Viewing


def drawing(desk: Desk, visit: Visit) -> Shown:
    """The study, with the tools. Raises `NotAllowed`, `NotFound` where there is no outline before them."""
    with desk.home.database.reading() as session:
        seen = sight_of(session, visit)
    if not seen.outline:
        raise NotAllowed("no outline of a model is shown with this study, so there is none to correct")
    if (viewing := seen.viewing) is None:
        raise NotFound("the images of this study aren't kept at this node any more; they are in the PACS")
    plain = Viewing(viewing.volume, viewing.picture, viewing.words)
    values = {"line": seen.line, "deployment": seen.deployment, "viewing": plain}
    return Shown("study-correct.html", values, widened=WIDENED)


def outline(desk: Desk, visit: Visit) -> Sent:
    """What clicks, scribbles or drawn slices make an outline of, as `drawing.outline`; no model of annotation's."""
    _, paths = looked_at(desk, visit, "view-result")
    if visit.field("model") not in BUILT_IN:
        raise NotAllowed("clicks, scribbles and drawn slices help here, and no other model")
    try:
        inside, outside = (clicks_of(visit.field(name) or None) for name in ("foreground", "background"))
    except WebFailure as failure:
        raise NotAllowed(failure.text) from None
    drawn = mask_of(visit) if visit.field("label") else None
    ask = Ask(
        source=Source(paths),
        model=visit.field("model"),
        ending=NIFTI_GZ,
        foreground=inside,
        background=outside,
        drawn=None if drawn is None else (drawn.name, drawn.data),
    )
    return Sent(desk.volumes.call_within(LONGEST, work.infer, ask).data, NIFTI)


def keep(desk: Desk, visit: Visit) -> Moved:
    """A judgement, `correct-result`, with the outline as it should have been.

    Raises:
        NotAllowed: no outline is before them, or the reason is no code.
        NotCorrected: the drawing can't stand for one.
    """
    reason = code_of(visit)
    seen, _ = looked_at(desk, visit, "view-result")
    study = clinical_study(desk.home.database, desk.home.clinical, seen.line.study)
    if study is None:
        raise NotFound("the images of this study aren't kept at this node any more; they are in the PACS")
    definitions, results = Definitions(desk.home.pathways), desk.home.path / "results"
    found = desk.volumes.call_within(
        LONGEST,
        correct,
        definitions.of(seen.deployment.pathway),
        study.files,
        results / str(seen.line.result),
        mask_of(visit).data,
        assisted_by=seen.deployment.name,
        at=visit.at,
    )
    name = f"correction-{uuid.uuid4().hex}.dcm"
    write_whole(results / name, found.segmentation)
    try:
        with desk.home.database.writing() as session:
            line, deployment = line_of(session, seen.line.study, seen.deployment.pathway)
            if line.id != seen.line.id:
                raise NotAllowed("the study grew meanwhile and was read anew; look at it once more")
            judge(
                session,
                line,
                deployment,
                AnswerVerb.CORRECTED,
                reason=reason,
                label=definitions.labels(deployment.pathway),
                corrected=Corrected(name, found.overlap),
                actor=visit.by,
                at=visit.at,
            )
    except BaseException:
        (results / name).unlink(missing_ok=True)
        raise
    return Moved(f"/worklist/{seen.line.study}?pathway={seen.deployment.pathway}&done=judged")
