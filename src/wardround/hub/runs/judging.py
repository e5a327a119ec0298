"""Ask a site to judge a model for a run, which waits for it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from wardround.contracts.task import EvaluateModel
from wardround.hub.runs import actions, queries
from wardround.hub.runs.tables import RunRow

PURPOSE = "evaluate"
"""Of the run's tasks that are judgements."""


def ask(session: Session, run: RunRow, site: str, model: str, label: str, *, membership: bool = False) -> None:
    """Queue the task for one site.

    Args:
        model: the digest of the weights.
        label: what it is (`contracts.task.ModelLabel`).
        membership: ask how well it betrays whom it was trained on, too.
    """
    task = EvaluateModel(
        project=run.project,
        project_digest=run.project_digest,
        run=run.id,
        model=model,
        label=label,
        round=queries.round_of(session, run.id, model) or 0,
        membership=membership,
    )
    actions.ask(session, run, site, task, PURPOSE)
