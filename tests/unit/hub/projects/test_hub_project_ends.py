"""A project's state at the hub follows from what happened; withdrawn, expired or used up, no run takes part in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from tests.unit.hub.runs.run_lab import NOON, RunLab, project
from tests.unit.node.projects.node_lab import Wire

from wardround.contracts.approval_limits import ApprovalLimits
from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Approval, Withdrawal
from wardround.contracts.outbound import Answered, ProjectDecision
from wardround.foundation.errors import NotAllowed
from wardround.hub.audit import Audit
from wardround.hub.projects import actions, queries
from wardround.hub.projects.states import Facts, ProjectState, state_now
from wardround.hub.projects.withdrawal import withdraw
from wardround.hub.runs import actions as runs
from wardround.hub.runs import queries as run_queries
from wardround.hub.runs.states import RunState
from wardround.node.gateway.errors import HubRefused

TODAY = NOON.date()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunLab]:
    made = RunLab(tmp_path)
    yield made
    made.close()


def state(lab: RunLab, today: date = TODAY) -> str:
    with lab.database.reading() as session:
        return queries.state_of(session, "glioma", today)


def stop(lab: RunLab, run: str) -> None:
    with lab.database.writing() as session:
        row = run_queries.row_of(session, run)
        runs.end(session, row, RunState.ENDED, reason="enough", actor="operator:test", at=NOON)


def tell(lab: RunLab, answer: Answered, entry: int, site: str = "north") -> None:
    digest = project().content_digest()
    message = ProjectDecision(
        project="glioma", project_digest=digest, answer=answer, entry=entry, people=Count(about=None)
    )
    Wire(lab, site).send(message)


def take_back(lab: RunLab, site: str = "north") -> int:
    hospital = lab.hospitals[site]
    said = Withdrawal(origin=site, at=NOON, project="glioma", approval=hospital.entry, reason="board-decided")
    return hospital.put(said)


STATES = {
    ProjectState.DRAFT: Facts(ProjectState.DRAFT, TODAY, 1),
    ProjectState.SUBMITTED: Facts(ProjectState.SUBMITTED, TODAY, 2, started=1),
    ProjectState.RUNNING: Facts(ProjectState.SUBMITTED, TODAY, 1, started=1, running=True),
    ProjectState.FINISHED: Facts(ProjectState.SUBMITTED, TODAY, 1, started=1),
    ProjectState.WITHDRAWN: Facts(ProjectState.WITHDRAWN, TODAY - timedelta(days=9), 1, started=1),
    ProjectState.EXPIRED: Facts(ProjectState.SUBMITTED, TODAY - timedelta(days=1), 1, started=1, running=True),
}


@pytest.mark.parametrize("found", ProjectState)
def test_a_state_follows_from_what_happened_and_the_day(found: ProjectState) -> None:
    assert state_now(STATES[found], TODAY) is found


def test_a_project_from_submission_to_its_last_run(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    assert state(lab) == "running"
    stop(lab, run)
    assert state(lab) == "submitted"
    for _ in range(2):
        stop(lab, lab.start())
    assert state(lab) == "finished"
    with pytest.raises(NotAllowed, match="asked for 3 runs and has had them"):
        lab.start()
    assert state(lab, date(2030, 1, 2)) == "expired"


def test_no_run_begins_of_what_has_expired(lab: RunLab) -> None:
    stop(lab, lab.ready("north", "south"))
    with lab.database.reading() as session:
        assert queries.approving_sites(session, "glioma", date(2030, 1, 1)) == ["north", "south"]
        assert queries.approving_sites(session, "glioma", date(2030, 1, 2)) == []
        with pytest.raises(NotAllowed, match="is expired, which is the end of it"):
            runs.check_may_start(session, "glioma", date(2030, 1, 2))


def test_a_draft_whose_day_is_past_isnt_submitted(lab: RunLab) -> None:
    lab.join("north")
    with lab.database.writing() as session:
        actions.draft(session, project(), actor="operator:test", at=NOON)
        with pytest.raises(NotAllowed, match=r"is expired .* can't become submitted"):
            actions.submit(session, "glioma", actor="operator:test", at=NOON + timedelta(days=3650))


def test_a_project_that_is_withdrawn_stops_its_run_and_tells_every_site(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    lab.driver.tick()
    with lab.database.writing() as session:
        assert withdraw(session, "glioma", "wrong-cohort", actor="person:r", at=NOON) == ["north", "south"]
    assert state(lab) == "withdrawn"
    assert lab.state(run) is RunState.ENDED
    assert lab.row(run).reason == "the project was withdrawn: wrong-cohort"
    for kind in ("withdraw-project", "end-run"):
        assert [site for site, _, _ in lab.tasks(kind)] == ["north", "south"]
    lab.driver.tick()
    assert lab.leg(run) is None, "its leg is given up"
    with lab.database.reading() as session:
        assert queries.approving_sites(session, "glioma", TODAY) == []
        [row] = session.query(Audit).filter(Audit.verb == "end-project")
    assert (row.actor, row.subject, row.detail) == ("person:r", "glioma", "wrong-cohort")
    with pytest.raises(NotAllowed, match="is withdrawn, which is the end of it"):
        lab.start()
    with lab.database.writing() as session, pytest.raises(NotAllowed, match="can't become withdrawn"):
        withdraw(session, "glioma", "again", actor="person:r", at=NOON)


def test_a_draft_that_is_withdrawn_tells_nobody(lab: RunLab) -> None:
    lab.join("north")
    with lab.database.writing() as session:
        actions.draft(session, project(), actor="operator:test", at=NOON)
        assert withdraw(session, "glioma", "wrong-cohort", actor="person:r", at=NOON) == []
    assert lab.tasks("withdraw-project") == []


def test_a_site_that_withdrew_is_asked_nothing_more_and_its_update_isnt_taken(lab: RunLab) -> None:
    run = lab.ready("north", "south", "west")
    tell(lab, "withdrawn", take_back(lab))
    with lab.database.reading() as session:
        row = run_queries.row_of(session, run)
        assert run_queries.sites_to_ask(session, row, TODAY) == ["south", "west"]
        assert run_queries.sites_to_free(session, row) == ["north", "south", "west"], "it may hold something still"
        [first, *_] = queries.decisions(session, "glioma")
    assert (first.site, first.answer, first.reason) == ("north", "withdrawn", "board-decided")
    assert first.in_words(TODAY) == "withdrawn (board-decided)"
    lab.drive(run, RunState.COMPARING, RunState.FAILED)
    assert lab.hospitals["north"].rounds == []


def test_a_withdrawal_counts_with_its_own_entry_alone(lab: RunLab) -> None:
    lab.ready("north", "south")
    north = lab.hospitals["north"]
    for entry in (north.entry, take_back(lab, "south"), 0):
        with pytest.raises(HubRefused) as refused:
            tell(lab, "withdrawn", entry)
        assert refused.value.code == "entry-differs"


def test_an_approval_that_comes_late_doesnt_bring_back_what_was_withdrawn(lab: RunLab) -> None:
    lab.ready("north", "south")
    tell(lab, "withdrawn", take_back(lab))
    tell(lab, "approved", lab.hospitals["north"].entry)
    with lab.database.reading() as session:
        assert queries.approving_sites(session, "glioma", TODAY) == ["south"]


def test_an_approval_holds_to_its_last_day(lab: RunLab) -> None:
    lab.join("north", "south")
    lab.submit(project())
    hospital = lab.hospitals["north"]
    until = NOON + timedelta(days=3)
    said = Approval(origin="north", at=NOON, project="glioma", project_digest=project().content_digest(), until=until)
    tell(lab, "approved", hospital.put(said))
    with lab.database.reading() as session:
        assert queries.approving_sites(session, "glioma", until.date()) == ["north"]
        assert queries.approving_sites(session, "glioma", until.date() + timedelta(days=1)) == []
        [told] = queries.decisions(session, "glioma")
    assert told.in_words(TODAY) == "approved until 2026-11-26"
    assert told.in_words(date(2027, 1, 1)) == "expired on 2026-11-26"


def test_a_site_is_asked_for_no_more_than_its_limits_allow(lab: RunLab) -> None:
    """The node keeps to them itself; an honest hub doesn't try."""
    asked = project(rounds=3)
    lab.join("north", "south", "west")
    lab.submit(asked)
    lab.approve(asked, "south", "west")
    lab.approve(asked, "north", limits=ApprovalLimits(rounds=1, no_local_model=True))
    run = lab.start()
    with lab.database.reading() as session:
        row = run_queries.row_of(session, run)
        assert run_queries.sites_for_round(session, row, 1, TODAY) == ["north", "south", "west"]
        assert run_queries.sites_for_round(session, row, 2, TODAY) == ["south", "west"]
    lab.drive(run, RunState.COMPARING)
    assert [site for site, _, _ in lab.tasks("train-alone")] == ["south", "west"]
