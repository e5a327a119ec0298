"""Every page of a node in one table: where it is, who may, what answers. `ui.page` says how to add one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from wardround.node.audit import Audit
from wardround.node.desk import Desk
from wardround.node.pages import (
    annotation,
    asked,
    correcting,
    deployed,
    drawing,
    enclave,
    failures,
    pulls,
    reading,
    screening,
    sight,
)
from wardround.node.pages.leaving import left
from wardround.node.pages.today import today
from wardround.ui import record, rosters, trail
from wardround.ui.page import Page, Scope

TEMPLATES = Path(__file__).parent / "templates"
CASE = "/annotation/cases/{series}"


def pages(desk: Desk) -> tuple[Page, ...]:
    """The table, in the order of the menu."""
    return (
        Page("GET", "/today", "see-today", partial(today, desk), place="Today"),
        Page("GET", "/projects", "see-asked", partial(asked.projects, desk), Scope.EACH, place="Projects"),
        Page("GET", "/projects/{project}", "see-asked", partial(asked.project, desk), Scope.PROJECT),
        Page("POST", "/projects/{project}/approve", "approve-project", partial(asked.approve, desk), Scope.PROJECT),
        Page("POST", "/projects/{project}/give-up", "approve-project", partial(asked.give_up, desk), Scope.PROJECT),
        Page("POST", "/projects/{project}/uncount", "approve-project", partial(asked.uncount, desk), Scope.PROJECT),
        Page("POST", "/projects/{project}/refuse", "refuse-project", partial(asked.refuse, desk), Scope.PROJECT),
        Page("POST", "/projects/{project}/withdraw", "withdraw-project", partial(asked.withdraw, desk), Scope.PROJECT),
        Page("GET", "/left", "see-leaving", partial(left, desk), place="What left"),
        Page("GET", "/pulls", "see-pulls", partial(pulls.pulls, desk), place="Pulls"),
        Page("POST", "/pulls", "pull-studies", partial(pulls.order, desk), largest=pulls.LARGEST),
        Page("GET", "/pulls/{number}", "see-pulls", partial(pulls.pull, desk)),
        Page("POST", "/pulls/{number}/names", "pull-studies", partial(pulls.named, desk)),
        Page("POST", "/pulls/{number}/pause", "pull-studies", partial(pulls.pause, desk)),
        Page("POST", "/pulls/{number}/resume", "pull-studies", partial(pulls.resume, desk)),
        Page("POST", "/pulls/{number}/cancel", "pull-studies", partial(pulls.cancel, desk)),
        Page("GET", "/enclave", "see-enclave", partial(enclave.studies, desk), place="Enclave"),
        Page("GET", "/enclave/{study}", "see-enclave", partial(enclave.study, desk)),
        Page("GET", "/enclave/{study}/{series}/volume.nii.gz", "see-enclave", partial(enclave.volume, desk)),
        Page("GET", "/enclave/{study}/{series}/middle.png", "see-enclave", partial(enclave.picture, desk)),
        Page("GET", "/enclave/{study}/{series}/labels/{label}.nii.gz", "see-enclave", partial(enclave.label, desk)),
        Page("GET", "/review", "look-at-pixels", partial(screening.reviews, desk), place="De-identification"),
        Page("GET", "/review/{number}", "look-at-pixels", partial(screening.review, desk)),
        Page("GET", "/review/{number}/frames/{frame}", "look-at-pixels", partial(screening.outlined, desk)),
        Page("GET", "/review/{number}/frames/{frame}/plain", "look-at-pixels", partial(screening.frame, desk)),
        Page("POST", "/review/{number}/identity", "look-at-pixels", partial(screening.identity, desk)),
        Page("POST", "/review/{number}/approve", "decide-review", partial(screening.approve, desk)),
        Page("POST", "/review/{number}/redact", "decide-review", partial(screening.redact, desk)),
        Page("POST", "/review/{number}/refuse", "decide-review", partial(screening.refuse, desk)),
        Page("GET", "/worklist", "see-worklist", partial(reading.studies, desk), place="Worklist"),
        Page("GET", "/worklist/{study}", "see-worklist", partial(reading.study, desk)),
        Page("GET", "/worklist/{study}/volume.nii.gz", "see-worklist", partial(sight.volume, desk)),
        Page("GET", "/worklist/{study}/middle.png", "see-worklist", partial(sight.middle, desk)),
        Page("GET", "/worklist/{study}/result.nii.gz", "see-worklist", partial(sight.result, desk)),
        Page("POST", "/worklist/{study}/open", "read-study", partial(reading.opened, desk)),
        Page("POST", "/worklist/{study}/report", "read-study", partial(reading.reported, desk)),
        Page("POST", "/worklist/{study}/judge", "read-study", partial(reading.judged, desk)),
        Page("GET", "/worklist/{study}/correct", "read-study", partial(correcting.drawing, desk)),
        Page(
            "POST",
            "/worklist/{study}/outline",
            "read-study",
            partial(correcting.outline, desk),
            largest=drawing.LARGEST,
        ),
        Page(
            "POST", "/worklist/{study}/correct", "read-study", partial(correcting.keep, desk), largest=drawing.LARGEST
        ),
        Page("GET", "/annotation", "see-annotation", partial(annotation.queue, desk), place="Annotation"),
        Page("GET", "/annotation/minutes", "see-annotation", partial(annotation.minutes, desk)),
        Page("POST", "/annotation/take", "annotate-images", partial(annotation.take, desk)),
        Page("POST", "/annotation/give-back", "annotate-images", partial(annotation.give_back, desk)),
        Page("POST", "/annotation/train", "annotate-images", partial(annotation.train, desk)),
        Page("POST", "/annotation/stop-training", "annotate-images", partial(annotation.stop_training, desk)),
        Page("GET", CASE, "annotate-images", partial(annotation.case, desk)),
        Page("POST", f"{CASE}/take", "annotate-images", partial(annotation.take_this, desk)),
        Page("GET", f"{CASE}/draw", "annotate-images", partial(drawing.draw, desk)),
        Page("POST", f"{CASE}/outline", "annotate-images", partial(drawing.outline, desk), largest=drawing.LARGEST),
        Page("POST", f"{CASE}/save", "annotate-images", partial(drawing.save, desk), largest=drawing.LARGEST),
        Page("GET", "/annotation/labels/{number}.nii.gz", "annotate-images", partial(drawing.label, desk)),
        Page("POST", "/annotation/labels/{number}/accept", "decide-label", partial(annotation.accept, desk)),
        Page("POST", "/annotation/labels/{number}/reject", "decide-label", partial(annotation.reject, desk)),
        Page("GET", "/models", "see-deployments", partial(deployed.models, desk), place="Models here"),
        Page("GET", "/models/failures/{plan}", "see-failures", partial(failures.failures, desk)),
        Page("GET", "/models/failures/{plan}/{number}.png", "see-failures", partial(failures.failure, desk)),
        Page("POST", "/models/{number}/promote", "promote-model", partial(deployed.promote, desk)),
        Page("POST", "/models/{number}/suspend", "suspend-model", partial(deployed.take_out, desk)),
        *record.pages(desk.home.database, lambda: desk.hub),
        *rosters.pages(),
        *trail.pages(Audit),
    )
