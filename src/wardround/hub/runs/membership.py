"""Have hospitals test how well a finished run's model betrays whom it was trained on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from wardround.foundation.errors import NotAllowed
from wardround.hub import audit
from wardround.hub.runs import judging, queries
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import EvaluationRow, RunRow


def ask(session: Session, run: RunRow, *, actor: str, at: datetime) -> list[str]:
    """Ask the hospitals of a finished run that haven't told it yet and aren't asked already; returns those asked.

    Raises:
        NotAllowed: the run isn't finished, so there is no model to test.
    """
    if RunState(run.state) is not RunState.FINISHED:
        raise NotAllowed(f"run {run.id} is {run.state}; what is tested is the model of a finished run")
    model = queries.best_candidate(session, run)[0]
    told = {row.site for row in found(session, run) if row.membership is not None}
    waiting = set(queries.tasks_waiting(session, run.id, judging.PURPOSE))
    asked = [site for site in queries.sites_to_compare(session, run, at.date()) if site not in told | waiting]
    for site in asked:
        judging.ask(session, run, site, model, "federated", membership=True)
    if asked:
        audit.record(session, actor, "audit-run", run.id, ", ".join(asked)[:200])
    return asked


def found(session: Session, run: RunRow) -> list[EvaluationRow]:
    """What the hospitals told of the run's model."""
    model = queries.best_candidate(session, run)[0]
    return [row for row in queries.evaluations(session, run.id) if (row.label, row.model) == ("federated", model)]
