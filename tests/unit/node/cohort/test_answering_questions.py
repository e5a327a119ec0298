"""A node answers what it may, keeps its budget whatever the hub says, and logs all of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import SITE, NodeLab

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.cohort_tree import AgeAt, Imaging
from wardround.contracts.disclosure import Count
from wardround.contracts.outbound import CohortAnswer
from wardround.contracts.task import Axis, CountCohort
from wardround.foundation.errors import NotAllowed
from wardround.hub.cohorts import actions as hub_actions
from wardround.hub.cohorts import queries as hub_queries
from wardround.hub.tasks import queries as queue
from wardround.node.cohort import queries
from wardround.node.cohort.answering import Answering, Found
from wardround.node.cohort.noise import Tally
from wardround.node.cohort.tables import AskedQuestion
from wardround.node.gateway.errors import HubUnreachable
from wardround.node.settings import CohortSettings

MANY = Found(Tally(300, 100))


def asking(age: int = 40) -> CohortQuestion:
    return CohortQuestion(where=AgeAt(at=Imaging(modality="MR"), min=age))


class Desk:
    """A node whose records are what the test says, and the hub that asks it."""

    def __init__(self, lab: NodeLab) -> None:
        self.lab = lab
        self.finds: Callable[[CohortQuestion, tuple[Axis, ...]], Found] = lambda _question, _by: MANY
        self.evaluated = 0
        self.limits()

    def limits(self, **chosen: Any) -> None:
        def count(question: CohortQuestion, by: tuple[Axis, ...]) -> Found:
            self.evaluated += 1
            return self.finds(question, by)

        lab, gateway = self.lab, cast(Any, self.lab.wire)
        self.answering = Answering(lab.database, count, gateway, lab.discloser, CohortSettings(**chosen), lab.clock)

    def ask(self, age: int = 40, *, by: tuple[Axis, ...] = (), who: str = "Ada", project: str | None = None) -> str:
        """The hub asks, the node does its task; the asking's id."""
        with self.lab.hub.database.writing() as session:
            asked = hub_actions.ask(
                session, asking(age), asked_by=who, project=project, by=by, actor="os:test", at=self.lab.clock()
            )
            task = queue.after(session, SITE, 0)[-1].task
        assert isinstance(task, CountCohort) and task.ask == asked.id
        self.answering.answer(task)
        return asked.id

    def refused(self, *arguments: Any, **named: Any) -> str:
        with pytest.raises(NotAllowed) as refusal:
            self.ask(*arguments, **named)
        return refusal.value.code

    def told(self, ask: str) -> hub_queries.SiteAnswer:
        """What the hub has of this site."""
        with self.lab.hub.database.reading() as session:
            [answer] = hub_queries.standing(session, ask).sites
        return answer

    def log(self) -> list[AskedQuestion]:
        with self.lab.database.reading() as session:
            return list(queries.newest(session, 100))[::-1]


@pytest.fixture
def desk(lab: NodeLab) -> Desk:
    return Desk(lab)


def test_an_answer_is_rounded_and_logged_with_who_asked_and_what_was_told(desk: Desk) -> None:
    desk.lab.hub.submit(project())
    answer = desk.told(desk.ask(project="glioma"))
    assert (answer.state, answer.people) == ("told", Count(about=300))
    [row] = desk.log()
    assert (row.asked_by, row.project, row.outcome, row.cost) == ("Ada", "glioma", "told", 1)
    assert row.words == asking().in_words() and row.told is not None
    assert row.told["people"] == {"about": 300}


def test_a_breakdown_obeys_the_same_rule_and_names_no_small_group(desk: Desk) -> None:
    women, few, none = Tally(200, 70), Tally(9, 9), Tally(0, 0)
    desk.finds = lambda _question, by: Found(
        Tally(300, 100), {axis: {"F": women, "M": Tally(90, 25), "O": few, "U": none} for axis in by}
    )
    answer = desk.told(desk.ask(by=("sex", "age")))
    parts = [(part.axis, part.value, part.people.about) for part in answer.parts]
    assert parts == [("sex", "F", 220), ("age", "F", 220)], "M goes with O, which could else be had by subtraction"
    assert [row.cost for row in desk.log()] == [3]


def test_a_groups_name_that_the_message_has_no_room_for_stays_here(desk: Desk) -> None:
    desk.finds = lambda _question, by: Found(
        MANY.people, {"manufacturer": {"SIEMENS": Tally(90, 30), "<script>": Tally(90, 30), "x" * 99: Tally(90, 30)}}
    )
    assert [part.value for part in desk.told(desk.ask(by=("manufacturer",))).parts] == ["SIEMENS"]


def test_the_largest_answer_there_is_fits_its_limit(desk: Desk) -> None:
    groups = {f"{number:064d}": Tally(3_000_000, 1_000_000) for number in range(300)}
    axes: tuple[Axis, ...] = ("age", "sex", "year", "modality", "manufacturer")
    desk.finds = lambda _question, by: Found(MANY.people, dict.fromkeys(by, groups))
    assert len(desk.told(desk.ask(by=axes)).parts) == 500


def test_asking_again_costs_nothing_and_gives_the_same(desk: Desk) -> None:
    desk.limits(questions_per_day=1)
    first = desk.ask()
    for _ in range(3):
        assert desk.told(desk.ask()).people == desk.told(first).people
    assert [(row.outcome, row.cost) for row in desk.log()] == [("told", 1)] + [("repeated", 0)] * 3
    assert desk.refused(41) == "question-budget-today"


def test_asking_again_costs_once_people_have_come_and_without_budget_the_old_answer_stands(desk: Desk) -> None:
    desk.limits(questions_per_day=2)
    desk.ask()
    desk.finds = lambda _question, _by: Found(Tally(400, 140))
    assert desk.told(desk.ask()).people == Count(about=420)
    desk.finds = lambda _question, _by: Found(Tally(500, 170))
    assert desk.told(desk.ask()).people == Count(about=420)
    assert [row.cost for row in desk.log()] == [1, 1, 0]


def test_the_budget_is_a_persons_in_a_project_and_a_days(desk: Desk) -> None:
    desk.limits(questions_per_day=2, questions_in_total=3)
    desk.lab.hub.submit(project())
    for age in (40, 41):
        desk.ask(age)
    assert desk.refused(42) == "question-budget-today"
    desk.ask(42, who="Grace")
    desk.ask(42, project="glioma")
    desk.lab.clock.time += timedelta(hours=25)
    desk.ask(43)
    assert desk.refused(44) == "question-budget-spent"
    assert desk.log()[-1].outcome == "refused" and desk.log()[-1].cost == 0
    assert desk.evaluated == 5, "what is refused isn't evaluated"


def test_a_breakdown_that_the_budget_has_no_room_for_is_refused_whole(desk: Desk) -> None:
    desk.limits(questions_per_day=2)
    assert desk.refused(40, by=("age", "sex")) == "question-budget-today"
    desk.ask(40, by=("age",))


def test_a_hub_that_makes_up_names_has_a_days_questions_and_no_more(desk: Desk) -> None:
    desk.limits(all_per_day=5)
    for number in range(5):
        desk.ask(40 + number, who=f"Nobody {number}")
    assert desk.refused(50, who="Nobody else") == "questions-of-all-today"


def test_questions_without_a_project_can_be_shut_out(desk: Desk) -> None:
    desk.limits(without_project=False)
    desk.lab.hub.submit(project())
    assert desk.refused() == "question-without-project"
    desk.ask(project="glioma")


def test_an_answer_that_the_hub_didnt_hear_is_sent_again_and_paid_once(desk: Desk) -> None:
    when: list[str | None] = ["before", "after", None]
    desk.lab.wire.cut = lambda _message: when[0]
    with pytest.raises(HubUnreachable):
        desk.ask()
    with desk.lab.hub.database.reading() as session:
        [numbered] = queue.after(session, SITE, 0)
    while len(when) > 1:
        when.pop(0)
        try:
            desk.answering.answer(cast(CountCohort, numbered.task))
        except HubUnreachable:
            continue
    assert [row.cost for row in desk.log()] == [1] and desk.evaluated == 1
    assert len({message.model_dump_json() for message in desk.lab.wire.sent}) == 1


def test_a_question_that_a_crash_cut_short_is_evaluated_when_it_is_taken_up_again(desk: Desk) -> None:
    def crash(_question: CohortQuestion, _by: tuple[Axis, ...]) -> Found:
        raise KeyboardInterrupt

    good, desk.finds = desk.finds, crash
    with pytest.raises(KeyboardInterrupt):
        desk.ask()
    assert [(row.outcome, row.cost) for row in desk.log()] == [("asked", 1)]
    desk.finds = good
    with desk.lab.hub.database.reading() as session:
        [numbered] = queue.after(session, SITE, 0)
    desk.answering.answer(cast(CountCohort, numbered.task))
    assert [(row.outcome, row.cost) for row in desk.log()] == [("told", 1)]


def test_what_the_records_cant_answer_is_refused_with_its_code_and_costs_nothing(desk: Desk) -> None:
    def refuse(_question: CohortQuestion, _by: tuple[Axis, ...]) -> Found:
        raise NotAllowed("/home/node/omop.duckdb isn't there", code="no-records-here")

    desk.finds = refuse
    assert desk.refused() == "no-records-here"
    assert [(row.outcome, row.reason, row.cost) for row in desk.log()] == [("refused", "no-records-here", 0)]
    assert desk.lab.wire.sent == []


BAD = {
    "no JSON": "{",
    "SQL": "SELECT * FROM person",
    "a list": "[]",
    "an unknown key": '{"where": {"kind": "imaging", "patient_name": "DOE"}}',
    "deep": '{"where": ' + '{"kind": "not", "of": ' * 2500 + "{}" + "}" * 2501,
    "deep lists": "[" * 60_000,
    "no text": "\x00\x01",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_isnt_a_question_is_refused_here_whatever_the_hub_let_through(desk: Desk, text: str) -> None:
    with pytest.raises(NotAllowed) as refusal:
        desk.answering.answer(CountCohort(ask="0" * 16, asked_by="Ada", question=text))
    assert refusal.value.code == "question-not-understood"
    [row] = desk.log()
    assert (row.outcome, row.words, row.cost) == ("refused", "", 0)
    assert desk.evaluated == 0 and desk.lab.wire.sent == []


def test_a_question_of_many_bytes_in_few_characters_is_too_large(desk: Desk) -> None:
    with pytest.raises(NotAllowed) as refusal:
        desk.answering.answer(CountCohort(question='"' + "\N{GREEK SMALL LETTER MU}" * 40_000 + '"'))
    assert refusal.value.code == "question-too-large"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=400))
def test_no_text_of_the_hub_is_more_than_refused(desk: Desk, text: str) -> None:
    with pytest.raises(NotAllowed):
        desk.answering.answer(CountCohort(ask="1" * 16, question=text))


def test_question_after_question_about_nearly_the_same_people_is_marked_for_the_hospital_alone(desk: Desk) -> None:
    numbers = iter([300, 301, 299, 900, 300])
    desk.finds = lambda _question, _by: Found(Tally(next(numbers), 100))
    for age in (40, 41, 42, 43):
        desk.ask(age)
    desk.ask(44, who="Grace")
    assert [row.near for row in desk.log()] == [0, 1, 2, 0, 0]
    assert all("near" not in (row.told or {}) and "people" in (row.told or {}) for row in desk.log())


def test_what_leaves_is_all_that_the_log_says(desk: Desk) -> None:
    desk.ask()
    [sent] = desk.lab.wire.sent
    assert isinstance(sent, CohortAnswer)
    told = desk.log()[0].told
    assert told == sent.model_dump(mode="json", include={"question", "people", "parts"})
