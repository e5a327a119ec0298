"""The worklist only lifts: whoever isn't flagged keeps their order, and whoever has waited too long their place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.contracts.stage import LADDER, STAGES, StageName
from wardround.node.clinic.answers import Answers, is_shown
from wardround.node.clinic.order import ARRIVAL, FLAGGED, WAITED, Place, in_order
from wardround.node.clinic.states import WITH_RESULT, AnswerVerb, ReadingState
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
READ = sorted(WITH_RESULT)


def deployment(stage: StageName = "prioritisation", *, active: bool = True) -> Deployment:
    return Deployment(id=1, model="a" * 64, pathway="brain", stage=stage, active=active)


def line(
    number: int, *, state: ReadingState = ReadingState.DELIVERED, flagged: bool = False, due: int | None = None
) -> WorklistLine:
    return WorklistLine(
        id=number,
        study=f"{number:032x}",
        version=0,
        deployment=1,
        state=state,
        reason="",
        finding="lesion marked, 4.2 ml",
        flagged=flagged,
        read_as="prioritisation" if state in WITH_RESULT else "",
        arrived_at=NOON + timedelta(minutes=number),
        due_at=None if due is None else NOON + timedelta(minutes=due),
    )


def places(lines: list[WorklistLine], model: Deployment, *, at: int = 10_000) -> list[Place]:
    return in_order([(one, model) for one in lines], {}, NOON + timedelta(minutes=at))


states = st.sampled_from([state for state in ReadingState if state is not ReadingState.ELSEWHERE])
studies = st.lists(st.tuples(states, st.booleans(), st.one_of(st.none(), st.integers(0, 40))), max_size=20)


@given(studies, st.sampled_from(LADDER), st.booleans())
def test_nobody_stands_below_their_order_but_for_those_that_a_model_flagged(
    drawn: list[tuple[ReadingState, bool, int | None]], stage: StageName, in_use: bool
) -> None:
    lines = [line(place, state=state, flagged=flag, due=due) for place, (state, flag, due) in enumerate(drawn)]
    found = places(list(reversed(lines)), deployment(stage, active=in_use), at=20)
    assert sorted(one.line.id for one in found) == list(range(len(lines)))
    order = {one.line.id: place for place, one in enumerate(found)}
    left = [one.line.id for one in found if one.why != FLAGGED]
    assert left == sorted(left), "those who weren't flagged keep their order, whatever became of the model"
    for place, one in enumerate(found):
        later = [other for other in found[:place] if other.line.arrived_at > one.line.arrived_at]
        assert all(other.why == FLAGGED for other in later)
        if one.why != ARRIVAL:
            assert order[one.line.id] <= one.line.id, "it stands no later than it came"
        if one.why == FLAGGED:
            assert one.line.state in READ and one.line.flagged and in_use and STAGES[stage].orders_worklist
        if one.why == WAITED:
            assert later == [], "nothing overtakes it"


def test_each_row_says_why_it_stands_where_it_stands() -> None:
    lines = [
        line(0, state=ReadingState.FAILED, due=5),
        line(1, state=ReadingState.OUT_OF_SCOPE),
        line(2, flagged=True),
        line(3, state=ReadingState.WAITING),
    ]
    lines[1].reason = "coverage"
    found = places(lines, deployment(), at=10)
    assert [(one.line.id, one.why) for one in found] == [(0, WAITED), (2, FLAGGED), (1, ARRIVAL), (3, ARRIVAL)]
    assert [one.reason for one in found] == [
        "by arrival, before what is flagged: it has waited past its deadline",
        "moved up: flagged by a model",
        "by arrival: out-of-scope (coverage)",
        "by arrival",
    ]
    before = places(lines, deployment(), at=4)
    assert [one.line.id for one in before] == [2, 0, 1, 3]


def test_a_study_stands_once_in_its_last_version_with_what_every_pathway_says_of_it() -> None:
    old, new, other = line(0, flagged=True), line(1), line(2, flagged=True)
    new.study = other.study = old.study
    new.version = other.version = 1
    assert [one.line.id for one in places([old, new, other], deployment())] == [1, 2]
    assert {one.why for one in places([old, new, other], deployment())} == {FLAGGED}


@pytest.mark.parametrize("stage", sorted(STAGES))
@pytest.mark.parametrize("state", sorted(ReadingState))
def test_a_result_is_before_somebody_only_where_the_table_of_stages_says_so(stage: str, state: ReadingState) -> None:
    one, model = line(0, state=state), deployment()
    one.read_as = stage
    first = Answers((WorklistAnswer(verb=AnswerVerb.FOUND, shown=False, found=True),))
    readable = state in WITH_RESULT and state is not ReadingState.WITHHELD
    row = STAGES[stage]
    assert is_shown(one, model, Answers()) is (readable and row.findings_shown and not row.after_first_reading)
    assert is_shown(one, model, first) is (readable and row.findings_shown)
    model.active = False
    assert not is_shown(one, model, first)
    assert not (STAGES["shadow"].findings_shown or STAGES["shadow"].results == "ward"), "nobody on the ward sees it"
