"""A hub that says a hospital approved what it didn't gets no work out of it, whatever it writes where."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.hub.runs.run_lab import NOON, project
from tests.unit.node.projects.node_lab import SITE, NodeLab, task

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Approval, Manifest
from wardround.contracts.outbound import ProjectDecision
from wardround.contracts.project import Project
from wardround.federation.engine import Declined
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.hub.projects import actions as hub_projects
from wardround.hub.runs.states import RunState
from wardround.ledger import store
from wardround.ledger.envelope import sign_entry
from wardround.node.projects.standing import check_may_work

ASKED = project(quorum=1)


def invent(lab: NodeLab, asked: Project) -> None:
    """The hub keeps a decision that nobody made, with limits of its liking."""
    digest = asked.content_digest()
    said = Approval(origin=SITE, at=NOON, project=asked.id, project_digest=digest)
    message = ProjectDecision(
        project=asked.id, project_digest=digest, answer="approved", entry=0, people=Count(about=None)
    )
    with lab.hub.database.writing() as session:
        hub_projects.take_decision(session, SITE, message, said, at=NOON)


def work(lab: NodeLab, asked: Project = ASKED, **said: Any) -> str:
    with pytest.raises(Declined) as declined:
        lab.participant.take_part(task(asked, **said))
    with pytest.raises(WardroundError) as refused:
        lab.assignments.begin(asked.id, said.get("digest") or asked.content_digest(), "glioma-1")
    assert refused.value.code == declined.value.reason
    assert lab.worker.calls == [] and lab.wire.recorded == []
    return declined.value.reason


def test_a_decision_that_nobody_made(lab: NodeLab) -> None:
    """The hub goes as far as a run: it asks, and the hospital's own participant declines."""
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    invent(lab, ASKED)
    assert work(lab) == "not-approved"
    lab.hub.connected[SITE] = lab.participant  # type: ignore[assignment] # the same protocol
    run = lab.hub.start()
    assert lab.hub.drive(run, RunState.FAILED, RunState.FINISHED) is RunState.FAILED
    assert lab.worker.calls == []


def test_a_project_that_was_edited_after_its_approval(lab: NodeLab) -> None:
    lab.fill()
    lab.agree(ASKED)
    for change in (
        {"rounds": 500},
        {"package_digest": "a" * 64},
        {"seed": 7},
    ):
        edited = project(quorum=1, **change)
        invented = edited.content_digest()
        assert work(lab, ASKED, digest=invented) == "not-approved"
        with (
            lab.database.reading() as session,
            pytest.raises(NotAllowed, match=f"the edition {invented[:12]}.+`wardround node show glioma` shows the one"),
        ):
            check_may_work(session, "glioma", invented, today=NOON.date())
    lab.consider(project(quorum=1, rounds=500))
    assert work(lab) == "not-approved", "the edition that was approved isn't the one that stands"
    assert work(lab, project(quorum=1, rounds=500)) == "not-approved"


def test_an_approval_of_the_same_project_at_another_hospital(lab: NodeLab) -> None:
    lab.fill()
    lab.hub.join("south")
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.hub.approve(ASKED, "south")
    lab.catch_up()
    assert work(lab) == "not-approved"


def test_an_approval_that_the_hub_signed_in_the_hospitals_name(lab: NodeLab) -> None:
    """Its ledger won't take it; and where a hub writes it past its own rules, the hospital's mirror stops."""
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    said = Approval(origin=SITE, at=NOON, project="glioma", project_digest=ASKED.content_digest())
    lab.hub.join("south")
    forged = sign_entry(said, lab.hub.hospitals["south"].key, lab.hub.log.origin)
    with lab.hub.database.writing() as session, pytest.raises(WardroundError):
        lab.hub.log.append(session, forged)
    with lab.hub.database.writing() as session:
        store.extend(session, store.frontier(session, store.lock(session)), [store.Row.read(forged)])
    assert work(lab) == "not-approved"
    with pytest.raises(WardroundError):
        lab.catch_up()
    with pytest.raises(WardroundError) as refused:
        lab.assignments.begin("glioma", ASKED.content_digest(), "glioma-1")
    assert refused.value.code == "ledger-untrusted"
    assert lab.worker.calls == []


def test_a_frozen_cohort_of_another_edition_isnt_work_for_this_one(lab: NodeLab) -> None:
    """The manifest of the first edition is settled on the ledger; the second has no approval, whatever that says."""
    lab.fill()
    lab.agree(ASKED)
    assert any(isinstance(entry, Manifest) for entry in lab.ledger())
    second = project(quorum=1, rounds=9)
    lab.consider(second)
    assert work(lab, second) == "not-approved"
    with pytest.raises(NotAllowed, match="a limit can only tighten"):
        lab.approve("glioma", rounds=10)
