"""Writes of runs: start, move between states, keep a whole round. Each writes its audit row with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.contracts.metric import is_better
from wardround.contracts.run_plan import RunPlan
from wardround.contracts.task import EndRun, Task
from wardround.federation.engine import RoundResult
from wardround.foundation.errors import Conflict, NotAllowed
from wardround.hub import audit
from wardround.hub.projects import queries as projects
from wardround.hub.projects.states import ProjectState
from wardround.hub.runs import queries
from wardround.hub.runs.states import RunState, check_transition
from wardround.hub.runs.tables import LegRow, RoundRow, RoundSiteRow, RunRow, RunTaskRow
from wardround.hub.sites.queries import members
from wardround.hub.tasks.actions import enqueue


def check_may_start(session: Session, project: str, today: date) -> list[str]:
    """The sites that a run of the project may ask.

    Raises:
        Conflict: another run of it is under way.
        NotAllowed: the project isn't submitted or is over, its runs are used up, or fewer sites approved it than its
            quorum.
    """
    asked = projects.project_of(session, project)
    plan = asked.plan
    state = projects.state_of(session, project, today)
    if state is ProjectState.DRAFT:
        raise NotAllowed(f"project {project} is {state}; submit it first with `wardround project submit {project}`")
    if state is ProjectState.FINISHED:
        raise NotAllowed(f"project {project} asked for {asked.runs} runs and has had them; create another project")
    if state is ProjectState.RUNNING:
        under_way = select(RunRow).where(RunRow.project == project, RunRow.ended_at.is_(None))
        raise Conflict(
            f"run {session.scalars(under_way).one().id} of project {project} is not over; wait for it, or end it with "
            "`wardround run end`"
        )
    if state is not ProjectState.SUBMITTED:
        raise NotAllowed(f"project {project} is {state}, which is the end of it; create another one")
    joined = set(members(session))
    sites = [site for site in projects.approving_sites(session, project, today) if site in joined]
    if len(sites) < plan.quorum:
        raise NotAllowed(
            f"project {project} needs {plan.quorum} approving sites and has {len(sites)} "
            f"({', '.join(sites) or 'none'}); data controllers decide with `wardround node show {project}`"
        )
    return sites


def start(
    session: Session,
    project: str,
    *,
    initial: str,
    began: str | None = None,
    engine: str,
    engine_version: str,
    judges: str | None = None,
    actor: str,
    at: datetime,
) -> RunRow:
    """Begin a run of an approved project from the weights with digest `initial`, those of `began` that travel; or one
    that has `initial`, the weights of the registered model `judges`, judged and no more."""
    check_may_start(session, project, at.date())
    row = projects.row_of(session, project)
    run = RunRow(
        id=_new_id(session, project),
        project=project,
        project_digest=row.digest,
        plan=projects.project_of(session, project).plan.canonical(),
        state=RunState.GATHERING if judges is None else RunState.EVALUATING,
        round=0,
        current=initial,
        began=began,
        judges=judges,
        engine=engine,
        engine_version=engine_version,
        started_by=actor,
        started_at=at,
        state_since=at,
    )
    session.add(run)
    session.flush()
    audit.record(session, actor, "start-run" if judges is None else "evaluate-model", run.id, judges or row.digest)
    return run


def _new_id(session: Session, project: str) -> str:
    """The project's name and a number; projects whose long names begin alike share the numbers.

    At most 34 characters, so that what is named after the run (`ledger_entry.alone_run`) is a name of its own too.
    """
    number = 1
    while session.get(RunRow, f"{project[:30].rstrip('-')}-{number}") is not None:
        number += 1
    return f"{project[:30].rstrip('-')}-{number}"


def plan_of(run: RunRow) -> RunPlan:
    return RunPlan.model_validate_json(run.plan)


def move(session: Session, run: RunRow, new: RunState, *, reason: str, actor: str, at: datetime) -> None:
    """Step to another state, with the reason. Raises `NotAllowed` for a step that the table doesn't have."""
    check_transition(run.id, RunState(run.state), new)
    run.state = new
    run.reason = reason[:200]
    run.state_since = at
    if new.over:
        run.ended_at = at
    audit.record(session, actor, "move-run", run.id, f"{new}: {reason}"[:200])


def stop(session: Session, run: RunRow, *, reason: str, actor: str, at: datetime) -> None:
    """Have a run rest after its last whole round until `resume`. Its sites keep what they need to go on.

    Raises:
        NotAllowed: its rounds are over, or it rests already.
    """
    move(session, run, RunState.STOPPED, reason=reason, actor=actor, at=at)


def resume(session: Session, run: RunRow, *, actor: str, at: datetime) -> None:
    """Have a run that was stopped go on from its last whole round, with whoever is there.

    Raises:
        NotAllowed: it isn't stopped.
    """
    if RunState(run.state) is not RunState.STOPPED:
        raise NotAllowed(f"run {run.id} is {run.state} and not stopped, so there is nothing to resume")
    move(session, run, RunState.RUNNING, reason="resumed", actor=actor, at=at)


def end(session: Session, run: RunRow, new: RunState, *, reason: str, actor: str, at: datetime) -> None:
    """Bring a run to one of its ends, and have its sites free what it held. An open leg is the driver's to give up.

    Raises:
        NotAllowed: it is over already.
    """
    move(session, run, new, reason=reason, actor=actor, at=at)
    for site in queries.sites_to_free(session, run):
        enqueue(session, site, EndRun(project=run.project, run=run.id))


def ask(session: Session, run: RunRow, site: str, task: Task, purpose: str) -> None:
    """Queue a task for a site whose answer the run waits for, by what it is for."""
    number = enqueue(session, site, task)
    session.add(RunTaskRow(run=run.id, site=site, number=number, purpose=purpose))


def open_leg(session: Session, run: RunRow, *, at: datetime) -> LegRow:
    """A new leg from the last whole round."""
    number = 1 + (session.scalar(select(func.max(LegRow.number)).where(LegRow.run == run.id)) or 0)
    leg = LegRow(
        run=run.id,
        number=number,
        first_round=run.round + 1,
        last_round=run.round,
        state="open",
        absent={},
        started_at=at,
    )
    session.add(leg)
    session.flush()
    return leg


def close_leg(session: Session, leg: LegRow, *, state: str, reason: str, at: datetime) -> None:
    leg.state = state
    leg.reason = reason[:200]
    leg.ended_at = at


def keep_round(
    session: Session,
    run: RunRow,
    leg: LegRow,
    result: RoundResult,
    *,
    aggregate: str,
    entry: int,
    at: datetime,
) -> float | None:
    """Write a whole round: the run now stands at it. Returns how good the aggregate before it is, if told.

    Raises:
        Conflict: the round isn't the one after the run's last whole round.
    """
    if result.round != run.round + 1:
        raise Conflict(f"run {run.id} stands at round {run.round}; round {result.round} can't follow")
    metric = plan_of(run).metric
    run.round = result.round
    run.current = aggregate
    leg.last_round = result.round
    session.add(
        RoundRow(
            run=run.id,
            number=result.round,
            leg=leg.number,
            aggregate=aggregate,
            entry=entry,
            seconds=result.seconds,
            committed_at=at,
        )
    )
    for site in result.sites:
        session.add(
            RoundSiteRow(
                run=run.id,
                round=result.round,
                site=site.site,
                state="taken",
                weight=site.weight,
                score=site.metrics.get(metric),
                entry=site.ledger_index,
                bytes_up=site.bytes_up,
                bytes_down=site.bytes_down,
                seconds=site.seconds,
            )
        )
    _keep_absent(session, run, result)
    score = weighted([(s.metrics[metric], s.weight) for s in result.sites if metric in s.metrics])
    if score is not None:
        judge_round(session, run, result.round - 1, score)
    audit.record(session, "hub", "keep-round", run.id, f"{result.round} {aggregate}")
    return score


def _keep_absent(session: Session, run: RunRow, result: RoundResult) -> None:
    for site, reason in result.missing.items():
        session.add(RoundSiteRow(run=run.id, round=result.round, site=site, state="missing", reason=reason))
    for refusal in result.refused:
        session.add(
            RoundSiteRow(run=run.id, round=result.round, site=refusal.site, state="refused", reason=refusal.reason)
        )


def judge_round(session: Session, run: RunRow, number: int, score: float) -> None:
    """Note how good a round's aggregate is, and whether it is the best so far."""
    row = session.scalar(select(RoundRow).where(RoundRow.run == run.id, RoundRow.number == number))
    if row is None:
        return
    row.score = score
    if run.best_score is None or is_better(plan_of(run).metric, score, run.best_score):
        run.best_score, run.best_round = score, number


def weighted(pairs: Sequence[tuple[float, float]]) -> float | None:
    """The mean of values, each by its weight; none where there is nothing to weigh."""
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if total > 0 else None
