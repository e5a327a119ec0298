"""Watches a run in the hub's database and shows how far it has come."""

from __future__ import annotations

from sqlalchemy import func, select

from wardround.contracts.run_plan import RunPlan
from wardround.demo.screen import Screen
from wardround.foundation.database import Changes, Database
from wardround.hub.runs import queries
from wardround.hub.runs.states import WAITS_FOR, RunState
from wardround.hub.runs.tables import EvaluationRow, LegRow, LocalModelRow


class RunWatch:
    """`over` is called again and again until it says that the run is."""

    def __init__(self, database: Database, run: str, screen: Screen) -> None:
        self._database = database
        self._run = run
        self._screen = screen
        self._legs_seen = 0
        self._changes = Changes(database)
        self._over = False

    def over(self) -> bool:
        if not self._changes.any():
            return self._over
        with self._database.reading() as session:
            run = queries.row_of(session, self._run)
            state = RunState(run.state)
            plan = RunPlan.model_validate_json(run.plan)
            rounds = queries.rounds(session, self._run)
            lost = session.scalars(select(LegRow).where(LegRow.run == self._run, LegRow.state == "failed")).all()
            alone = session.scalar(select(func.count()).where(LocalModelRow.run == self._run)) or 0
            judged = session.scalar(select(func.count()).where(EvaluationRow.run == self._run)) or 0
        for leg in lost[self._legs_seen :]:
            self._screen.say(f"leg {leg.number} ended early ({leg.reason}); the run goes on from its last whole round")
        self._legs_seen = len(lost)
        scores = [found.score for found in rounds if found.score is not None]
        note = f"round {run.round} of {plan.rounds}"
        if scores:
            note += f", Dice {scores[-1]:.3f}"
        if state is RunState.COMPARING:
            note = f"each alone, for as many steps: {alone} done"
        elif state is RunState.EVALUATING:
            note = f"every model judged at every hospital: {judged} judgements"
        elif state is RunState.GATHERING:
            note += f"; waiting for {WAITS_FOR[state]}"
        self._screen.progress(run.round, plan.rounds, note)
        self._over = state.over
        return self._over
