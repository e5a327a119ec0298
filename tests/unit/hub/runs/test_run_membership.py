"""A finished model is tested for whom it betrays: each hospital that took part is asked, until it told."""

from __future__ import annotations

import pytest
from tests.unit.hub.runs.run_lab import NOON, RunLab

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Evidence
from wardround.contracts.outbound import EvaluationResult
from wardround.contracts.task import EvaluateModel
from wardround.foundation.errors import NotAllowed
from wardround.hub.runs import membership, queries
from wardround.hub.runs.intake import take_evaluation
from wardround.hub.runs.states import RunState
from wardround.ledger import store

SITES = ("east", "north", "south")


def ask(lab: RunLab, run: str) -> list[str]:
    with lab.database.writing() as session:
        return membership.ask(session, queries.row_of(session, run), actor="person:operator", at=NOON)


def told(lab: RunLab, run: str) -> dict[str, int | None]:
    with lab.database.reading() as session:
        return {row.site: row.membership for row in membership.found(session, queries.row_of(session, run))}


def tell(lab: RunLab, site: str, task: EvaluateModel, share: int) -> None:
    use = lab.hospitals[site].use(task.run, purpose="judging", model=task.model)
    evidence = Evidence(
        origin=site, at=NOON, model=task.model, pathway="toy", stage="offline", record="d" * 64, use=use
    )
    index = lab.hospitals[site].put(evidence)
    message = EvaluationResult(
        project=task.project,
        run=task.run,
        model=task.model,
        label=task.label,
        metric="dice",
        score=0.5,
        patients=Count(about=None),
        membership=share,
        entry=index,
    )
    with lab.database.writing() as session:
        take_evaluation(session, site, message, store.entry(session, index))


def test_each_hospital_that_took_part_is_asked_until_it_told(lab: RunLab) -> None:
    run = lab.ready(*SITES, rounds=1, compare_alone=False)
    lab.drive(run, RunState.EVALUATING)
    with pytest.raises(NotAllowed, match="finished"):
        ask(lab, run)
    lab.judge(lambda _site, _task: 0.5)
    assert lab.drive(run, RunState.FINISHED) is RunState.FINISHED
    assert told(lab, run) == dict.fromkeys(SITES)
    assert ask(lab, run) == list(SITES)
    assert ask(lab, run) == [], "they are asked already"
    for site, number, task in lab.tasks("evaluate-model"):
        assert isinstance(task, EvaluateModel) and task.membership
        if site == "south":
            lab.reported(site, number, "refused", "too-few-people")
            continue
        tell(lab, site, task, 60)
        lab.reported(site, number)
    assert told(lab, run) == {"east": 60, "north": 60, "south": None}
    assert ask(lab, run) == ["south"]
