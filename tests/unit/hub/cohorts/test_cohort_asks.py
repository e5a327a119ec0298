"""The hub asks every hospital, takes the answers that it asked for, and adds up what may be added."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.hub.runs.run_lab import NOON, RunLab, project
from tests.unit.node.projects.node_lab import Wire

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.cohort_tree import Imaging
from wardround.contracts.disclosure import Count
from wardround.contracts.outbound import CohortAnswer, CohortPart, TaskReport
from wardround.contracts.task import Axis, CountCohort
from wardround.foundation.errors import Conflict, NotAllowed, NotFound
from wardround.hub.cohorts import actions, queries
from wardround.hub.cohorts.queries import Standing
from wardround.hub.projects import queries as projects
from wardround.hub.tasks import actions as tasks
from wardround.hub.tasks import queries as queue

QUESTION = CohortQuestion(where=Imaging(modality="MR"))
SITES = ("east", "north", "south", "west")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunLab]:
    made = RunLab(tmp_path)
    made.join(*SITES)
    yield made
    made.close()


def ask(lab: RunLab, *, by: tuple[Axis, ...] = (), project: str | None = None) -> str:
    with lab.database.writing() as session:
        return actions.ask(session, QUESTION, asked_by="Ada", project=project, by=by, actor="os:test", at=NOON).id


def tell(lab: RunLab, site: str, ask: str, about: int | None, **more: Any) -> None:
    message = {"ask": ask, "question": QUESTION.content_digest(), "people": Count(about=about), **more}
    Wire(lab, site).send(CohortAnswer.model_validate(message))


def standing(lab: RunLab, ask: str) -> Standing:
    with lab.database.reading() as session:
        return queries.standing(session, ask)


def test_every_site_gets_the_question_at_once(lab: RunLab) -> None:
    asked = ask(lab, by=("sex",))
    with lab.database.reading() as session:
        for site in SITES:
            [numbered] = queue.after(session, site, 0)
            task = numbered.task
            assert isinstance(task, CountCohort)
            assert (task.ask, task.asked_by, task.project, task.by) == (asked, "Ada", None, ("sex",))
            assert CohortQuestion.model_validate_json(task.question) == QUESTION


def test_sites_that_told_nothing_are_named_and_the_total_says_at_least(lab: RunLab) -> None:
    asked = ask(lab)
    tell(lab, "north", asked, 40)
    tell(lab, "south", asked, None)
    with lab.database.writing() as session:
        [numbered] = queue.after(session, "east", 0)
        tasks.report(
            session,
            "east",
            TaskReport(number=numbered.number, outcome="refused", reason="question-budget-spent"),
            now=NOON,
        )
    found = standing(lab, asked)
    assert [(site.site, site.state) for site in found.sites] == [
        ("east", "refused"), ("north", "told"), ("south", "told"), ("west", "waiting"),
    ]  # fmt: skip
    assert not found.over
    assert [(site.site, site.reason) for site in found.missing] == [("east", "question-budget-spent"), ("west", None)]
    assert found.people.in_words() == "at least about 40"


def test_groups_add_up_and_one_that_a_site_didnt_name_makes_them_at_least(lab: RunLab) -> None:
    asked = ask(lab, by=("sex",))

    def part(value: str, about: int) -> CohortPart:
        return CohortPart(axis="sex", value=value, people=Count(about=about))

    for site, parts in {"north": (part("F", 30), part("M", 20)), "south": (part("F", 50),), "east": ()}.items():
        tell(lab, site, asked, 60, parts=parts)
    groups = standing(lab, asked).groups("sex")
    assert {name: (people.about, people.untold) for name, people in groups.items()} == {"F": (80, 1), "M": (20, 2)}


@pytest.mark.parametrize(
    "changed",
    [
        {"ask": "f" * 16},
        {"question": "0" * 64},
        {"project": "glioma"},
        {"parts": (CohortPart(axis="age", value="40-49", people=Count(about=20)),)},
    ],
    ids=["another asking", "another question", "another project", "a breakdown that nobody asked for"],
)
def test_an_answer_to_what_wasnt_asked_isnt_taken(lab: RunLab, changed: dict[str, Any]) -> None:
    lab.submit(project())
    asked = ask(lab)
    with pytest.raises(Conflict) as refused:
        tell(lab, "north", **{"ask": asked, "about": 90, **changed})
    assert refused.value.code == "not-asked"
    assert all(site.state == "waiting" for site in standing(lab, asked).sites)


def test_a_site_that_joined_later_wasnt_asked(lab: RunLab) -> None:
    asked = ask(lab)
    lab.join("late")
    with pytest.raises(Conflict):
        tell(lab, "late", asked, 90)


def test_the_first_answer_stands(lab: RunLab) -> None:
    asked = ask(lab)
    for about in (40, 90):
        tell(lab, "north", asked, about)
    [north] = [site for site in standing(lab, asked).sites if site.site == "north"]
    assert north.people == Count(about=40)


def test_a_projects_count_is_asked_under_its_researcher_and_kept_with_it(lab: RunLab) -> None:
    wanted = project()
    lab.submit(wanted)
    from wardround.hub.projects.actions import ask_counts

    with lab.database.writing() as session:
        asked = ask_counts(session, "glioma", actor="os:test", at=NOON)
    assert asked.asked_by == wanted.researcher
    message = CohortAnswer(
        ask=asked.id, project="glioma", question=wanted.cohort.content_digest(), people=Count(about=70)
    )
    Wire(lab, "north").send(message)
    with lab.database.reading() as session:
        assert projects.counts(session, wanted) == {"north": Count(about=70)}


def test_nobody_to_ask_and_nothing_asked_are_said(lab: RunLab) -> None:
    for site in SITES:
        lab.revoke(site)
    with pytest.raises(NotAllowed, match="no site has joined"):
        ask(lab)
    with pytest.raises(NotFound, match="cohort list"):
        standing(lab, "0" * 16)
