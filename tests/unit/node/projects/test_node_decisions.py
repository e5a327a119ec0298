"""A hospital's decision is its own, on exactly what its people read, and reaches the record whatever breaks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.front_door import studies
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import SITE, NodeLab

from wardround.contracts.ledger_entry import Approval, Manifest, Refusal
from wardround.contracts.outbound import CohortAnswer, LedgerSubmission, Message, ProjectDecision
from wardround.contracts.task import CountCohort
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.hub.projects import actions as hub_actions
from wardround.hub.projects import queries as hub_projects
from wardround.hub.tasks import queries as queue
from wardround.ledger.commitment import commitment_root
from wardround.node.gateway.errors import HubRefused, HubUnreachable
from wardround.node.projects import queries

ASKED = project()
DIGEST = ASKED.content_digest()


def heard(lab: NodeLab, name: str = "glioma") -> list[tuple[str, bool]]:
    """What the hub holds as decided."""
    with lab.hub.database.reading() as session:
        return [(found.site, found.answer == "approved") for found in hub_projects.decisions(session, name)]


def test_an_approval_says_what_was_approved_and_freezes_the_cohort(lab: NodeLab) -> None:
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    assert lab.approve("glioma") == 2
    assert lab.telling.tick() == 1
    said, frozen = lab.ledger()
    assert isinstance(said, Approval) and isinstance(frozen, Manifest)
    assert (said.project, said.project_digest) == ("glioma", DIGEST)
    assert said.until is not None and said.until.date() == ASKED.ends
    with lab.database.reading() as session:
        kept = queries.manifest(session, "glioma")
    assert frozen.commitment == commitment_root({row.study: row.salt for row in kept})
    assert frozen.people.about is None, "two patients are told as fewer than ten"
    assert heard(lab) == [(SITE, True)]
    assert lab.telling.tick() == 0


def test_a_refusal_reaches_the_record_with_its_reason(lab: NodeLab) -> None:
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.refuse("glioma", "not-lawful-here")
    lab.telling.tick()
    [said] = lab.ledger()
    assert isinstance(said, Refusal)
    assert (said.project, said.project_digest, said.reason) == ("glioma", DIGEST, "not-lawful-here")
    assert heard(lab) == [(SITE, False)]
    with pytest.raises(NotAllowed, match="is refused here"):
        lab.approve("glioma")


def test_what_cant_be_approved(lab: NodeLab) -> None:
    with pytest.raises(NotFound, match=r"no project glioma .* \(there are: none\)"):
        lab.approve("glioma")
    lab.consider(ASKED)
    with pytest.raises(NotAllowed, match="has 0 patients here"):
        lab.approve("glioma")
    lab.fill(1)
    with pytest.raises(NotAllowed, match="has 1 patients here"):
        lab.approve("glioma")
    lab.door.give_study(studies(2)[1])
    lab.door.tick()
    lab.clock.time += timedelta(days=365 * 5)
    with pytest.raises(NotAllowed, match="ended on 2030-01-01"):
        lab.approve("glioma")
    assert lab.row("glioma").decision is None


def test_patients_who_come_after_the_approval_arent_in_the_cohort(lab: NodeLab) -> None:
    lab.fill(2)
    lab.agree(ASKED)
    before = lab.assignments.check("glioma", DIGEST, "glioma-1").cohort.cases
    lab.door.give_study(studies(3)[2])
    lab.door.tick()
    assert len(lab.door.enclave.manifest(ASKED.cohort).cases) == 3
    assert lab.assignments.check("glioma", DIGEST, "glioma-1").cohort.cases == before
    assert len(before) == 2


def test_another_edition_asks_anew_and_the_old_approval_covers_nothing(lab: NodeLab) -> None:
    """The hub may say what it likes; what was signed is one edition."""
    lab.fill()
    lab.agree(ASKED)
    wider = project(rounds=500)
    lab.consider(wider)
    assert lab.state("glioma") == "waiting"
    for digest in (DIGEST, wider.content_digest()):
        with pytest.raises(NotAllowed) as refused:
            lab.assignments.check("glioma", digest, "glioma-1")
        assert refused.value.code == "not-approved"
    lab.consider(ASKED)
    with pytest.raises(NotAllowed):
        lab.assignments.check("glioma", DIGEST, "glioma-1")


def test_the_same_edition_again_changes_nothing(lab: NodeLab) -> None:
    lab.fill()
    lab.agree(ASKED)
    before = lab.assignments.check("glioma", DIGEST, "glioma-1")
    lab.consider(ASKED)
    assert lab.assignments.check("glioma", DIGEST, "glioma-1") == before


def test_an_edition_that_comes_while_the_old_decision_is_on_its_way_isnt_covered_by_it(lab: NodeLab) -> None:
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.approve("glioma")
    other = project(rounds=3)
    pending = [other]

    def another_edition(message: Message) -> None:
        if isinstance(message, LedgerSubmission) and pending:
            lab.consider(pending.pop())

    lab.wire.cut = another_edition
    lab.telling.tick()
    assert lab.state("glioma") == "waiting"
    with lab.database.reading() as session:
        [former] = queries.decisions(session, "glioma")
    assert former.entry_index is not None and former.told_at is not None, "it was made, so it is on the record"
    assert (former.manifest, heard(lab)) == (None, [])
    assert lab.approve("glioma") == 2
    made = lab.decision("glioma")
    assert (made.entry_index, made.manifest, made.manifest_index) == (None, None, None)


def _moments() -> list[tuple[str, int]]:
    """Before and after each of the three messages of an approval: entry, manifest, decision."""
    return [(when, number) for number in range(3) for when in ("before", "after")]


@pytest.mark.parametrize(("when", "number"), _moments())
def test_telling_goes_on_where_it_broke_and_says_nothing_twice(lab: NodeLab, when: str, number: int) -> None:
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.approve("glioma")
    seen: list[Message] = []

    def cut(message: Message) -> str | None:
        seen.append(message)
        return when if len(seen) == number + 1 else None

    lab.wire.cut = cut
    with pytest.raises(HubUnreachable):
        lab.telling.tick()
    assert lab.decision("glioma").told_at is None
    lab.telling.tick()
    assert [type(entry) for entry in lab.ledger()] == [Approval, Manifest]
    assert heard(lab) == [(SITE, True)]
    assert lab.telling.tick() == 0


def test_a_decision_that_the_hub_wont_take_holds_up_no_other(lab: NodeLab) -> None:
    lab.fill()
    for asked in (project("first"), project("second")):
        lab.hub.submit(asked)
        lab.consider(asked)
    lab.refuse("first", "not-here")
    lab.clock.time += timedelta(seconds=1)
    lab.refuse("second", "not-here")

    def refuse_first(message: Message) -> None:
        if isinstance(message, ProjectDecision) and message.project == "first":
            raise HubRefused("a test")

    lab.wire.cut = refuse_first
    with pytest.raises(HubRefused):
        lab.telling.tick()
    assert heard(lab, "second") == [(SITE, False)]
    lab.wire.cut = lambda _: None
    assert lab.telling.tick() == 1
    assert heard(lab, "first") == [(SITE, False)]


def test_a_count_needs_no_approval_and_tells_no_small_number(lab: NodeLab) -> None:
    lab.hub.submit(ASKED)
    lab.fill()
    with lab.hub.database.writing() as session:
        asked = hub_actions.ask_counts(session, "glioma", actor="person:researcher", at=lab.clock())
        [task] = [task.task for task in queue.after(session, SITE, 0) if isinstance(task.task, CountCohort)]
    lab.answering.answer(task)
    [answer] = lab.wire.sent
    assert isinstance(answer, CohortAnswer)
    assert answer.people.about is None
    assert (answer.ask, answer.question) == (asked.id, ASKED.cohort.content_digest())
