"""Have a registered model version judged at a project's sites: a run without rounds.

It is one of the runs that the project asked for and the hospitals approved, since their held-out patients are used once
more; what they tell is kept and shown as at the end of any run.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.algorithm import FedBN
from wardround.foundation.errors import NotAllowed
from wardround.hub.projects import queries as projects
from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs import actions, judging, queries
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import EvaluationRow, RunRow


def check_fits(session: Session, model: ModelRow, project: str) -> None:
    """Can the sites of a project judge that version under its plan?

    Raises:
        NotFound: there is no such project.
        NotAllowed: it is of another package than the project's, or some of its layers never left their hospitals.
    """
    plan = projects.project_of(session, project).plan
    trained = actions.plan_of(queries.row_of(session, model.run))
    if trained.package_digest != plan.package_digest:
        raise NotAllowed(
            f"model {model.digest[:12]} is of package {trained.package} {trained.package_digest[:12]}, and project "
            f"{project} was approved for {plan.package} {plan.package_digest[:12]}; create a project for that package"
        )
    for told in (trained, plan):
        if told.layers.at_home or isinstance(told.algorithm, FedBN):
            raise NotAllowed(
                "layers that stay at home aren't in a registered version, or in no other hospital's; such a model is "
                "judged within the run that made it"
            )


def begin(session: Session, project: str, model: ModelRow, weights: str, *, actor: str, at: datetime) -> RunRow:
    """A run that has the weights of the digest `weights`, all of that version, judged by the project's metric.

    Raises:
        Conflict, NotAllowed, NotFound: as `check_fits` and `actions.check_may_start`.
    """
    check_fits(session, model, project)
    run = actions.start(
        session, project, initial=weights, engine="none", engine_version="", judges=model.digest, actor=actor, at=at
    )
    run.reason = "1 model"
    for site in queries.sites_to_compare(session, run, at.date()):
        judging.ask(session, run, site, weights, "federated")
    return run


def outcome(session: Session, run: RunRow) -> tuple[RunState, str]:
    """What such a run came to, and why, once nobody is waited for."""
    judged = [row.site for row in queries.evaluations(session, run.id)]
    if not judged:
        return RunState.FAILED, "no hospital judged the model; `wardround node` there says why not"
    return RunState.FINISHED, f"judged by {', '.join(judged)}"


def judged(session: Session, model: str) -> list[tuple[RunRow, EvaluationRow]]:
    """What sites told of a version outside the run that made it: by run, then by site."""
    told = select(RunRow, EvaluationRow).join(EvaluationRow, EvaluationRow.run == RunRow.id)
    rows = session.execute(told.where(RunRow.judges == model).order_by(RunRow.started_at, EvaluationRow.site))
    return [(run, row) for run, row in rows]


def metric_of(run: RunRow) -> str:
    """The name of what a run is judged by."""
    return str(actions.plan_of(run).metric)
