"""The hub takes a decision only with the entry that this very site signed on this very edition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.hub.runs.run_lab import NOON, Hospital, RunLab, project
from tests.unit.node.projects.node_lab import Wire

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Approval, Refusal
from wardround.contracts.outbound import Answered, CohortAnswer, ProjectDecision
from wardround.foundation.errors import Conflict, NotAllowed, NotFound
from wardround.hub.projects import actions, queries
from wardround.node.gateway.errors import HubRefused

ASKED = project()
DIGEST = ASKED.content_digest()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunLab]:
    made = RunLab(tmp_path)
    made.join("north", "south")
    made.submit(ASKED)
    yield made
    made.close()


def approval(site: Hospital, *, name: str = "glioma", digest: str = DIGEST) -> int:
    return site.put(Approval(origin=site.name, at=NOON, project=name, project_digest=digest))


def tell(lab: RunLab, entry: int, answer: Answered = "approved", *, site: str = "north") -> None:
    message = ProjectDecision(
        project="glioma", project_digest=DIGEST, answer=answer, entry=entry, people=Count(about=None)
    )
    Wire(lab, site).send(message)


def approving(lab: RunLab) -> list[str]:
    with lab.database.reading() as session:
        return queries.approving_sites(session, "glioma", NOON.date())


def test_an_approval_counts_with_its_entry(lab: RunLab) -> None:
    entry = approval(lab.hospitals["north"])
    for _ in range(2):
        tell(lab, entry)
    assert approving(lab) == ["north"]


def test_a_decision_without_its_own_entry_is_refused(lab: RunLab) -> None:
    north, south = lab.hospitals["north"], lab.hospitals["south"]
    refusal = Refusal(origin="north", at=NOON, project="glioma", project_digest=DIGEST, reason="not-here")
    wrong = {
        "another site's": approval(south),
        "another project's": approval(north, name="other"),
        "another edition's": approval(north, digest="0" * 64),
        "a refusal": north.put(refusal),
        "not an entry": 999,
        "the hub's": 0,
    }
    for what, entry in wrong.items():
        with pytest.raises(HubRefused) as refused:
            tell(lab, entry)
        assert refused.value.code == "entry-differs", what
    with pytest.raises(HubRefused):
        tell(lab, approval(north), "refused")
    assert approving(lab) == []


def test_a_decision_on_another_edition_is_void(lab: RunLab) -> None:
    """As when the hub's copy was restored from before an edit: the entry is right, the project isn't."""
    message = ProjectDecision(
        project="glioma", project_digest="0" * 64, answer="approved", entry=0, people=Count(about=None)
    )
    with lab.database.writing() as session, pytest.raises(Conflict, match="another edition"):
        entry = Approval(origin="north", at=NOON, project="glioma", project_digest="0" * 64)
        actions.take_decision(session, "north", message, entry, at=NOON)


def test_what_hospitals_read_isnt_edited(lab: RunLab) -> None:
    with lab.database.writing() as session, pytest.raises(Conflict, match="is submitted and can't be edited"):
        actions.draft(session, project(rounds=9), actor="operator:test", at=NOON)
    with lab.database.writing() as session, pytest.raises(NotAllowed, match="can't become submitted"):
        actions.submit(session, "glioma", actor="operator:test", at=NOON)


def test_a_draft_has_editions_and_needs_somebody_to_read_it(lab: RunLab) -> None:
    first, second = project("draft"), project("draft", rounds=9)
    with lab.database.writing() as session:
        actions.draft(session, first, actor="operator:test", at=NOON)
        actions.draft(session, second, actor="operator:test", at=NOON)
        assert queries.project_of(session, "draft") == second
    for site in ("north", "south"):
        lab.revoke(site)
    with lab.database.writing() as session, pytest.raises(NotAllowed, match="no site has joined"):
        actions.submit(session, "draft", actor="operator:test", at=NOON)
    with lab.database.reading() as session, pytest.raises(NotFound, match="known: draft, glioma"):
        queries.row_of(session, "nothing")


def test_a_newer_count_replaces_the_older_and_answers_its_own_question(lab: RunLab) -> None:
    wire = Wire(lab, "north")
    question = ASKED.cohort.content_digest()
    for about in (None, 20):
        with lab.database.writing() as session:
            asked = actions.ask_counts(session, "glioma", actor="operator:test", at=NOON)
        answer = CohortAnswer(ask=asked.id, project="glioma", question=question, people=Count(about=about))
        wire.send(answer)
        with pytest.raises(Conflict, match="nobody asked"):
            wire.send(answer.model_copy(update={"question": "0" * 64, "people": Count(about=90)}))
    with lab.database.reading() as session:
        assert queries.counts(session, ASKED) == {"north": Count(about=20)}
