"""A project from its first draft to its run, by the hub's pages alone, as plain forms."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import select
from tests.pages_lab import ASKED, HubLab, form_of, words_of

from wardround.contracts.cohort_builder import imaging, patients
from wardround.contracts.disclosure import Count
from wardround.contracts.outbound import CohortAnswer, CohortPart
from wardround.hub.audit import Audit
from wardround.hub.cohorts import actions as cohorts
from wardround.hub.cohorts import queries as asked
from wardround.hub.projects import queries as projects
from wardround.hub.projects.tables import DecisionRow
from wardround.hub.runs import queries as runs
from wardround.hub.runs import starting
from wardround.hub.tasks import queries as tasks
from wardround.people.roles import Role

NEW = {
    "id": "bleeds",
    "title": "Find bleeds",
    "purpose": "To find them sooner",
    "article_6": "6-1-e",
    "article_9": "9-2-j",
    "permission": "DUO:0000006",
    "DUO:0000021": "yes",
    "ends": str(ASKED.ends),
    "runs": "2",
    "package": "brain-mri-glioma",
    "setting": "default",
    "algorithm": "fedavg",
    "rounds": "3",
    "quorum": "2",
    "images": "yes",
    "modality": "MR",
}


@dataclass
class Desk:
    """A researcher at a browser that sends forms."""

    lab: HubLab
    browser: httpx.Client

    def send(self, where: str, **typed: str | list[str]) -> httpx.Response:
        form = form_of(self.browser.get("/account"))
        return self.browser.post(where, data={"form": form, **typed})

    def reads(self, where: str) -> str:
        answer = self.browser.get(where)
        assert answer.status_code == 200, answer.text
        return words_of(answer)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    lab = HubLab(tmp_path_factory.mktemp("hub") / "home")
    lab.seed()
    yield Desk(lab, lab.face.browser("researcher"))
    lab.close()


def tell(lab: HubLab, site: str, about: int | None, **parts: int | None) -> None:
    with lab.home.database.writing() as session:
        [question] = asked.newest(session, 1, project="bleeds")
        answer = CohortAnswer(
            ask=question.id,
            project="bleeds",
            question=question.digest,
            people=Count(about=about),
            parts=tuple(CohortPart(axis="sex", value=name, people=Count(about=told)) for name, told in parts.items()),
        )
        cohorts.take_answer(session, site, answer, at=lab.clock())


def approve(lab: HubLab, *sites: str) -> None:
    with lab.home.database.writing() as session:
        digest = projects.row_of(session, "bleeds").digest
        for site in sites:
            session.add(
                DecisionRow(
                    project="bleeds",
                    site=site,
                    project_digest=digest,
                    answer="approved",
                    entry=3,
                    about=40,
                    decided_at=lab.clock(),
                )
            )


def test_from_a_draft_to_a_run(desk: Desk) -> None:
    lab, database = desk.lab, desk.lab.home.database
    wrong = desk.send("/draft", **(NEW | {"modality": "any scan"}))
    assert wrong.status_code == 409 and "cohort: modality" in words_of(wrong)
    assert 'value="any scan"' in wrong.text, "what was typed stands there to be corrected"
    assert desk.send("/draft", **NEW).headers["location"] == "/projects/bleeds?done=kept"
    with database.reading() as session:
        made = projects.project_of(session, "bleeds")
    assert made.cohort == patients.with_(imaging(modality="MR")).question()
    assert (made.researcher, made.plan.rounds, made.plan.quorum, made.runs) == ("researcher", 3, 2, 2)
    assert {term.code for term in made.data_use} == {"DUO:0000006", "DUO:0000021"}
    again = desk.send("/draft", **NEW)
    assert again.status_code == 409 and "there is a project bleeds already" in words_of(again)

    shown = desk.browser.get("/projects/bleeds/edit")
    assert 'name="modality" value="MR"' in shown.text
    edited = NEW | {"modality": "CT", "youngest": "18", "rounds": "4"}
    assert desk.send("/projects/bleeds/edit", **edited).headers["location"] == "/projects/bleeds?done=kept"
    with database.reading() as session:
        now = projects.project_of(session, "bleeds")
    assert now.cohort == patients.with_(imaging(modality="CT")).aged(18).question()
    assert now.plan.rounds == 4 and now.leaves == made.leaves

    assert desk.send("/projects/bleeds/count", by=["sex"]).status_code == 303
    assert "0 of 4 have answered" in desk.reads("/projects/bleeds")
    tell(lab, "east", 120, F=60, M=None)
    tell(lab, "north", None)
    told = desk.reads("/projects/bleeds")
    assert "2 of 4 have answered" in told and "at least about 120" in told
    assert "north fewer than 10, or too few to tell suppressed" in told
    assert "2 asked by researcher for this project in the last 24 hours" in told, "the question and its breakdown"
    assert desk.send("/projects/bleeds/uncount").status_code == 303
    told = desk.reads("/projects/bleeds")
    assert "south refused the question was taken back" in told and "Wait no longer" not in told
    with database.reading() as session:
        assert not [one for one in tasks.after(session, "south", 0) if one.task.kind == "count-cohort"]
        assert [one for one in tasks.after(session, "south", 0) if one.task.kind != "count-cohort"]
    tell(lab, "south", 50)
    assert "at least about 170" in desk.reads("/projects/bleeds"), "an answer that was on its way is kept"

    assert desk.send("/projects/bleeds/count", by=["shoe-size"]).status_code == 403
    refused = desk.send("/projects/bleeds/start")
    assert refused.status_code == 403 and "submit it first" in words_of(refused)
    assert desk.send("/projects/bleeds/submit").status_code == 303
    assert desk.browser.get("/projects/bleeds/edit").status_code == 409, "what hospitals read isn't edited"
    approve(lab, "east")
    assert "needs 2 approving sites and has 1 (east)" in desk.reads("/projects/bleeds")
    approve(lab, "north")
    assert "east, north approved it" in desk.reads("/projects/bleeds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starting, "PROGRAM", (sys.executable, "-c", "import time; time.sleep(600)"))
        assert desk.send("/projects/bleeds/start").headers["location"] == "/projects/bleeds#runs"
        assert "A run is being begun" in desk.reads("/projects/bleeds"), "nobody waits for it"
        twice = desk.send("/projects/bleeds/start")
        assert twice.status_code == 409 and "is under way already" in words_of(twice)
        assert desk.send("/projects/bleeds/give-up").status_code == 303
        assert lab.beginnings.of("bleeds").over_within(60)
        late = desk.send("/projects/bleeds/give-up")
        assert late.status_code == 404, "what is over can't be given up"
    told = desk.reads("/projects/bleeds")
    assert "didn't begin: it was given up before it was done" in told and "Start a run" in told
    assert not list(lab.home.path.glob("first-weights-*")) and "bleeds-1" not in told
    desk.send("/projects/bleeds/start")
    assert lab.beginnings.of("bleeds").result(300) == "bleeds-1"
    assert "bleeds-1 gathering" in desk.reads("/projects/bleeds")
    assert "gathering" in desk.reads("/runs/bleeds/bleeds-1")
    with database.reading() as session:
        run = runs.row_of(session, "bleeds-1")
        assert run.started_by == "person:researcher"
        assert lab.home.objects.path(run.current).stat().st_size > 100_000
        verbs = session.scalars(select(Audit.verb).where(Audit.actor == "person:researcher")).all()
    assert {"draft-project", "ask-cohort", "take-back-cohort", "submit-project", "give-up-run", "start-run"} <= set(
        verbs
    )


def test_a_role_for_one_project_drafts_that_one_alone(desk: Desk) -> None:
    desk.lab.face.people.add("visitor", Role.RESEARCHER, project="other")
    visitor = Desk(desk.lab, desk.lab.face.browser("visitor"))
    assert "Draft a project" in visitor.reads("/projects")
    refused = visitor.send("/draft", **(NEW | {"id": "third"}))
    assert refused.status_code == 403 and "for another project only" in words_of(refused)
    assert visitor.send("/draft", **(NEW | {"id": "other"})).status_code == 303
