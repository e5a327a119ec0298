"""What of a study on the worklist is before whoever asks, and its images as files: one rule for the page and for them.

1. The study is on the worklist.
2. Its images: for who reads studies, once it is opened; for who examines a model and reads none, where its stage gives
   results to examiners.
3. The model's result: where the table of stages shows it, after the study was opened; to examiners as in 2.
4. That somebody looked is in the audit, before anything is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from wardround.foundation.errors import NotAllowed, NotFound, WardroundError
from wardround.node import audit
from wardround.node.clinic.answers import Answers, answers_of, is_for_examiners, is_shown, line_of
from wardround.node.clinic.definition_file import Definitions
from wardround.node.clinic.tables import Deployment, WorklistLine
from wardround.node.desk import Desk
from wardround.node.pages import volumes
from wardround.node.pages.enclave import LONGEST
from wardround.node.receive.clinical import clinical_study, in_clinic
from wardround.ui.page import Sent, Visit
from wardround.ui.viewer import NIFTI, Overlay, Viewing


@dataclass(frozen=True, slots=True)
class Sight:
    """A line, and of it what may be seen: `images` its study, `result` what the model gave; `examines`, as somebody who
    examines the model. `kept`: the images are still at this node."""

    line: WorklistLine
    deployment: Deployment
    said: Answers
    images: bool
    result: bool
    examines: bool
    kept: bool

    @property
    def outline(self) -> bool:
        """Whether there is something to lay over the images."""
        return self.images and self.result and self.line.result is not None and self.line.volume_ml is not None

    @property
    def viewing(self) -> Viewing | None:
        """For the viewer; None where no image may be seen, or none is kept."""
        if not (self.images and self.kept):
            return None
        here, asked = f"/worklist/{self.line.study}", f"?pathway={self.deployment.pathway}"
        overlays = (Overlay(f"{here}/result.nii.gz{asked}", "The model's outline"),) if self.outline else ()
        return Viewing(
            f"{here}/volume.nii.gz{asked}", f"{here}/middle.png{asked}", "the images of this study", overlays=overlays
        )


def sight_of(session: Session, visit: Visit) -> Sight:
    """Steps 1 to 3. Raises `NotFound`, `NotAllowed` as `line_of` does."""
    line, deployment = line_of(session, visit.path["study"], visit.asked("pathway") or None)
    said = answers_of(session, [line.id]).get(line.id, Answers())
    reads = visit.may("read-study")
    examines = not reads and visit.may("examine-model") and is_for_examiners(line, deployment)
    opened = said.opened is not None
    return Sight(
        line,
        deployment,
        said,
        images=(reads and opened) or examines,
        result=(opened and is_shown(line, deployment, said)) or examines,
        examines=examines,
        kept=in_clinic(session, line.study),
    )


def volume(desk: Desk, visit: Visit) -> Sent:
    """The series that the pathway reads, as NIfTI."""
    _, paths = looked_at(desk, visit, "view-study")
    return Sent(desk.volumes.call_within(LONGEST, volumes.volume, paths), NIFTI)


def middle(desk: Desk, visit: Visit) -> Sent:
    """A picture of its middle; of where the result is, for whom that is shown."""
    seen, paths = looked_at(desk, visit, "view-study")
    result = _result(desk, seen) if seen.outline else None
    return Sent(desk.volumes.call_within(LONGEST, volumes.picture, paths, result), "image/png")


def result(desk: Desk, visit: Visit) -> Sent:
    """What the model outlined, as NIfTI on the grid of `volume`."""
    seen, paths = looked_at(desk, visit, "view-result")
    return Sent(desk.volumes.call_within(LONGEST, volumes.mask, paths, _result(desk, seen)), NIFTI)


def looked_at(desk: Desk, visit: Visit, verb: str) -> tuple[Sight, tuple[Path, ...]]:
    """All four steps, and the files of the series.

    Raises:
        NotAllowed: it isn't before them.
        NotFound: it isn't kept here any more.
    """
    with desk.home.database.writing() as session:
        seen = sight_of(session, visit)
        if not seen.images or (verb == "view-result" and not seen.result):
            raise NotAllowed("that isn't shown with this study, or not before it is opened; the study's page says more")
        if verb == "view-result" and not seen.outline:
            raise NotFound("no outline of a model is kept with this study")
        how = f"pathway {seen.deployment.pathway}{', examining the model' if seen.examines else ''}"
        audit.record(session, visit.by, verb, seen.line.study, how, clock=lambda: visit.at)
    study = clinical_study(desk.home.database, desk.home.clinical, seen.line.study)
    if study is None:
        raise NotFound("the images of this study aren't kept at this node any more; they are in the PACS")
    try:
        definition = Definitions(desk.home.pathways).of(seen.deployment.pathway)
    except WardroundError:
        return seen, tuple(sorted(study.series.values(), key=len)[-1])
    return seen, desk.volumes.call_within(LONGEST, volumes.read_of, definition, study.files)


def _result(desk: Desk, seen: Sight) -> Path:
    return desk.home.path / "results" / str(seen.line.result)
