"""Reads of runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.contracts.algorithm import Merge
from wardround.contracts.metric import METRICS
from wardround.contracts.run_plan import RunPlan
from wardround.foundation.errors import NotFound
from wardround.hub.projects import queries as projects
from wardround.hub.runs.tables import (
    EvaluationRow,
    LegRow,
    RoundRow,
    RoundSiteRow,
    RunRow,
    RunTaskRow,
)
from wardround.hub.sites.queries import members
from wardround.hub.tasks.tables import QueuedTask

JOINING = "join leg "


def row_of(session: Session, run: str) -> RunRow:
    """Raises `NotFound`, which names the runs that there are."""
    row = session.get(RunRow, run)
    if row is None:
        known = ", ".join(session.scalars(select(RunRow.id).order_by(RunRow.started_at))) or "none yet"
        raise NotFound(f"there is no run {run} (known: {known}); `wardround run start PROJECT` begins one")
    return row


def runs(session: Session) -> Sequence[RunRow]:
    return session.scalars(select(RunRow).order_by(RunRow.started_at)).all()


def rounds(session: Session, run: str, after: int = 0) -> Sequence[RoundRow]:
    """The whole rounds after that number, in their order."""
    statement = select(RoundRow).where(RoundRow.run == run, RoundRow.number > after)
    return session.scalars(statement.order_by(RoundRow.number)).all()


def round_sites(session: Session, run: str, number: int) -> Sequence[RoundSiteRow]:
    statement = select(RoundSiteRow).where(RoundSiteRow.run == run, RoundSiteRow.round == number)
    return session.scalars(statement.order_by(RoundSiteRow.site)).all()


def parts(session: Session, run: str, after: int = 0) -> dict[int, list[RoundSiteRow]]:
    """Of each round after that number, the sites' parts in the order of their names."""
    statement = select(RoundSiteRow).where(RoundSiteRow.run == run, RoundSiteRow.round > after)
    found: dict[int, list[RoundSiteRow]] = {}
    for row in session.scalars(statement.order_by(RoundSiteRow.site, RoundSiteRow.id)):
        found.setdefault(row.round, []).append(row)
    return found


def bytes_by_site(session: Session, run: str) -> dict[str, tuple[int, int]]:
    """What each site sent and was sent in all rounds together, in bytes: up, and down."""
    up, down = func.sum(RoundSiteRow.bytes_up), func.sum(RoundSiteRow.bytes_down)
    statement = select(RoundSiteRow.site, up, down).where(RoundSiteRow.run == run).group_by(RoundSiteRow.site)
    return {
        site: (int(sent), int(given)) for site, sent, given in session.execute(statement.order_by(RoundSiteRow.site))
    }


def open_legs(session: Session, run: str) -> Sequence[LegRow]:
    statement = select(LegRow).where(LegRow.run == run, LegRow.state == "open")
    return session.scalars(statement.order_by(LegRow.number)).all()


def legs(session: Session, run: str) -> Sequence[LegRow]:
    return session.scalars(select(LegRow).where(LegRow.run == run).order_by(LegRow.number)).all()


def legs_without_progress(session: Session, run: str) -> int:
    """How many of the newest legs, in a row, ended without one whole round, since a person last stopped the run."""
    count = 0
    for leg in reversed(legs(session, run)):
        if leg.last_round >= leg.first_round or leg.state == "stopped":
            break
        count += 1
    return count


def sites_taken(session: Session, run: str) -> list[str]:
    """The sites that gave at least one update that was counted."""
    statement = select(RoundSiteRow.site).where(RoundSiteRow.run == run, RoundSiteRow.state == "taken")
    return sorted(set(session.scalars(statement)))


def sites_to_ask(session: Session, run: RunRow, today: date) -> list[str]:
    """The sites whose approval of the run's project holds today, and who are members now."""
    return sorted(set(projects.approving_sites(session, run.project, today)) & set(members(session)))


def sites_for_round(session: Session, run: RunRow, number: int, today: date) -> list[str]:
    """Those of `sites_to_ask` that approved so many rounds."""
    terms = projects.terms_at(session, run.project)
    return [site for site in sites_to_ask(session, run, today) if terms[site].rounds >= number]


def sites_to_compare(session: Session, run: RunRow, today: date) -> list[str]:
    """The sites that took part and may still be asked; before a merge, or where nothing is trained, all that may be
    asked."""
    asked = sites_to_ask(session, run, today)
    merging = isinstance(RunPlan.model_validate_json(run.plan).algorithm, Merge)
    return asked if merging or run.judges is not None else sorted(set(sites_taken(session, run.id)) & set(asked))


def sites_to_train_alone(session: Session, run: RunRow, today: date) -> list[str]:
    """Those of `sites_to_compare` that let a model trained alone leave."""
    terms = projects.terms_at(session, run.project)
    return [site for site in sites_to_compare(session, run, today) if terms[site].leaving("local-model") is not None]


def sites_to_free(session: Session, run: RunRow) -> list[str]:
    """The members that may hold something of the run: all that ever approved, whatever they decided since."""
    answered = {one.site for one in projects.decisions(session, run.project) if one.answer != "refused"}
    return sorted(answered & set(members(session)))


def tasks_waiting(session: Session, run: str, purpose: str | None = None) -> list[str]:
    """The sites whose task of that purpose, or of any but to join a leg, has no report yet; one that was shut out since
    isn't waited for."""
    statement = (
        select(RunTaskRow.site)
        .join(QueuedTask, QueuedTask.number == RunTaskRow.number)
        .where(RunTaskRow.run == run, QueuedTask.state == "queued")
    )
    if purpose is None:
        statement = statement.where(RunTaskRow.purpose.not_like(f"{JOINING}%"))
    else:
        statement = statement.where(RunTaskRow.purpose == purpose)
    return sorted(set(session.scalars(statement)) & set(members(session)))


def joining(leg: int) -> str:
    """The purpose of the tasks with which sites are asked into a leg."""
    return f"{JOINING}{leg}"


def refused_to_join(session: Session, run: str, leg: int) -> dict[str, str]:
    """The sites that refused to be asked into a leg, and the code that each told."""
    statement = (
        select(RunTaskRow.site, QueuedTask.reason)
        .join(QueuedTask, QueuedTask.number == RunTaskRow.number)
        .where(RunTaskRow.run == run, RunTaskRow.purpose == joining(leg), QueuedTask.state == "refused")
    )
    return {site: reason or "refused-job" for site, reason in session.execute(statement)}


def sites_asked(session: Session, run: str, purpose: str) -> list[str]:
    """The sites that the run asked for something of that purpose."""
    statement = select(RunTaskRow.site).where(RunTaskRow.run == run, RunTaskRow.purpose == purpose)
    return sorted(session.scalars(statement))


def was_asked(session: Session, run: str, site: str, purpose: str) -> bool:
    """Did the run ask this site for something of that purpose?"""
    return site in sites_asked(session, run, purpose)


def candidates(session: Session, run: RunRow) -> set[str]:
    """The aggregates worth judging at the end: the last, and the best by what sites told during the run; of a run that
    merges, every merge."""
    if isinstance(RunPlan.model_validate_json(run.plan).algorithm, Merge):
        return {row.aggregate for row in rounds(session, run.id)}
    found = {run.current}
    if run.best_round is not None:
        best = session.scalar(
            select(RoundRow.aggregate).where(RoundRow.run == run.id, RoundRow.number == run.best_round)
        )
        if best is not None:
            found.add(best)
    return found


def round_of(session: Session, run: str, aggregate: str) -> int | None:
    """The last round of the run that left this aggregate; None for other weights."""
    of_it = select(func.max(RoundRow.number)).where(RoundRow.run == run, RoundRow.aggregate == aggregate)
    return session.scalar(of_it)


def evaluations(session: Session, run: str) -> Sequence[EvaluationRow]:
    statement = select(EvaluationRow).where(EvaluationRow.run == run)
    return session.scalars(statement.order_by(EvaluationRow.label, EvaluationRow.site)).all()


def mean_score(rows: Sequence[EvaluationRow]) -> float | None:
    """Mean over patients as far as it is told: a site with fewer than ten held-out patients weighs five."""
    told = [(row.score, row.patients or 5) for row in rows if row.score is not None]
    if not told:
        return None
    return sum(score * weight for score, weight in told) / sum(weight for _, weight in told)


def best_candidate(session: Session, run: RunRow) -> tuple[str, float | None]:
    """The aggregate with the best mean over the sites, by the plan's metric, and that mean; the last where nobody
    judged."""
    judged: dict[str, list[EvaluationRow]] = {}
    asked = candidates(session, run)
    for row in evaluations(session, run.id):
        if row.label == "federated" and row.model in asked and row.score is not None:
            judged.setdefault(row.model, []).append(row)
    if not judged:
        return run.current, None
    most = max(len(rows) for rows in judged.values())
    scores = {model: mean_score(rows) or 0.0 for model, rows in judged.items() if len(rows) == most}
    sign = 1 if METRICS[RunPlan.model_validate_json(run.plan).metric].larger_is_better else -1
    best = max(sorted(scores), key=lambda model: (sign * scores[model], model == run.current))
    return best, scores[best]
