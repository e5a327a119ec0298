"""Of whom a model betrays a hospital tells one coarse share, and of too few people nothing."""

from __future__ import annotations

import pytest
from tests.unit.hub.runs.run_lab import NOON, project
from tests.unit.node.projects.node_lab import NodeLab

from wardround.contracts.outbound import EvaluationResult
from wardround.contracts.task import EvaluateModel
from wardround.foundation.errors import NotAllowed
from wardround.hub.runs.tables import RunRow, RunTaskRow
from wardround.node.cohort.disclosure import Discloser
from wardround.node.cohort.noise import PersonWords
from wardround.node.training.learner import Judged


def judged(lab: NodeLab, patients: int, share: int | None) -> None:
    """The learning process tested so many of the cohort's patients."""
    assignment = lab.assignments.check("glioma", project().content_digest(), "glioma-1")
    names = tuple(sorted({case.name for case in assignment.cohort.cases})[:patients])
    lab.worker.lesson = Judged("dice", {names[0]: (0.5,)}, 3, names, share)  # type: ignore[assignment]


def asked(lab: NodeLab) -> None:
    """The hub asks this hospital to judge the run's model."""
    with lab.hub.database.writing() as session:
        session.add(
            RunRow(
                id="glioma-1",
                project="glioma",
                project_digest=project().content_digest(),
                plan=project().plan.canonical(),
                state="finished",
                current="a" * 64,
                engine="toy",
                engine_version="1",
                started_by="test",
                started_at=NOON,
                state_since=NOON,
            )
        )
        session.flush()
        session.add(RunTaskRow(run="glioma-1", site="north", number=1, purpose="evaluate"))


def audit(lab: NodeLab) -> None:
    digest = lab.models.put(b"weights")
    lab.comparison.evaluate(
        EvaluateModel(
            project="glioma",
            project_digest=project().content_digest(),
            run="glioma-1",
            model=digest,
            label="federated",
            membership=True,
        )
    )


def test_of_too_few_people_nothing_is_told(lab: NodeLab) -> None:
    lab.fill(9)
    lab.agree(project())
    judged(lab, 9, 75)
    with pytest.raises(NotAllowed) as refused:
        audit(lab)
    assert refused.value.code == "too-few-people"
    assert not [message for message in lab.wire.sent if isinstance(message, EvaluationResult)]


def test_of_enough_people_one_share_is_told_under_the_approval_that_a_judgement_needs(lab: NodeLab) -> None:
    lab.fill(30)
    lab.agree(project())
    asked(lab)
    judged(lab, 30, 75)
    # With some secrets so few of these thirty are in the hospital's secret third that their number stays untold.
    people = lab.assignments.patients("glioma", lab.worker.lesson.tested)  # type: ignore[attr-defined]
    disclosers = (Discloser(PersonWords(bytes([number]) * 32)) for number in range(256))
    lab.discloser = next(one for one in disclosers if one.people(people).about is not None)
    audit(lab)
    [told] = [message for message in lab.wire.sent if isinstance(message, EvaluationResult)]
    assert (told.membership, told.metric, told.score) == (75, "dice", 0.5)
