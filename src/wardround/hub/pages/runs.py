"""The pages of runs: a curve for each hospital, the rounds, bytes, who is missing and why; stop, resume, end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.contracts.metric import METRICS
from wardround.contracts.run_plan import RunPlan
from wardround.foundation.errors import NotFound
from wardround.hub.home import HubHome
from wardround.hub.runs import actions, queries
from wardround.hub.runs.reasons import explained
from wardround.hub.runs.states import WAITS_FOR, RunState
from wardround.hub.runs.tables import EvaluationRow, RoundSiteRow, RunRow
from wardround.hub.runs.view import RoundView, see
from wardround.ui.chart import KINDS, legend, lines
from wardround.ui.page import Moved, Shown, Visit

COMPARED = 6
"""So many of the newest runs are drawn together where nobody chose others."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One run beside others. `seconds`: of its middle round, None before one is whole. `carried`: bytes, both ways.
    `curve`: its score after each round that has one."""

    row: RunRow
    plan: RunPlan
    sites: Sequence[str]
    seconds: float | None
    carried: int
    curve: Sequence[tuple[float, float]]


def runs(home: HubHome, visit: Visit) -> Shown:
    """The newest first, and beside each other those that were chosen, else the newest ones."""
    chosen = visit.query.get("run", ())
    with home.database.reading() as session:
        rows = [row for row in reversed(queries.runs(session)) if visit.may("see-runs", row.project)]
        carried = func.sum(RoundSiteRow.bytes_up + RoundSiteRow.bytes_down)
        sent = dict(session.execute(select(RoundSiteRow.run, carried).group_by(RoundSiteRow.run)).all())
        beside = [row for row in rows if row.id in chosen][:KINDS] or rows[:COMPARED]
        compared = [_compared(session, row, sent.get(row.id) or 0) for row in beside]
    values = {
        "rows": [(row, RunState(row.state), sent.get(row.id) or 0) for row in rows],
        "waits": WAITS_FOR,
        "chosen": set(chosen),
        "compared": compared,
        "metrics": METRICS,
        "charts": list(_charts(compared)),
    }
    return Shown("runs.html", values)


def _compared(session: Session, row: RunRow, carried: int) -> Compared:
    rounds = queries.rounds(session, row.id)
    seconds = [one.seconds for one in rounds]
    curve = [(float(one.number), one.score) for one in rounds if one.score is not None]
    taken = queries.sites_taken(session, row.id)
    return Compared(row, actions.plan_of(row), taken, median(seconds) if seconds else None, carried, curve)


def _charts(compared: Sequence[Compared]) -> Iterator[tuple[str, Markup, Markup]]:
    """For each metric its words, a line for each run that has a score by it, and what the lines stand for."""
    for metric in dict.fromkeys(one.plan.metric for one in compared):
        drawn = {one.row.id: one.curve for one in compared if one.plan.metric == metric and one.curve}
        if drawn:
            words = METRICS[metric].words
            yield words, lines(f"{words} of each run's model after each round", drawn), legend(list(drawn))


def run(home: HubHome, visit: Visit) -> Shown:
    with home.database.reading() as session:
        row = _row(session, visit)
        view = see(session, row.id, visit.at.date())
    metric = METRICS[view.plan.metric]
    after = {one.row.aggregate: one.row.number for one in view.rounds}
    curves = _curves(view.rounds, [(after[one.model], one) for one in view.judgements if one.model in after])
    reasons = [why for one in view.rounds for _, why in one.absent]
    if view.under_way is not None:
        reasons += view.under_way.absent.values()
    values = {
        "view": view,
        "row": row,
        "metric": metric,
        "chart": lines(f"{metric.words} at each hospital, by round", curves),
        "legend": legend(list(curves)),
        "reasons": explained(reasons),
        "judged": view.judgements,
        "after": after,
        "may_stop": visit.may("stop-run", row.project),
        "may_resume": visit.may("resume-run", row.project),
        "may_end": visit.may("end-run", row.project),
        "restable": view.state in (RunState.GATHERING, RunState.RUNNING),
        "stopped": view.state is RunState.STOPPED,
    }
    return Shown("run.html", values)


def stop(home: HubHome, visit: Visit) -> Moved:
    with home.database.writing() as session:
        row = _row(session, visit)
        actions.stop(session, row, reason="stopped by a person", actor=visit.by, at=visit.at)
    return _back(row)


def resume(home: HubHome, visit: Visit) -> Moved:
    with home.database.writing() as session:
        row = _row(session, visit)
        actions.resume(session, row, actor=visit.by, at=visit.at)
    return _back(row)


def end(home: HubHome, visit: Visit) -> Moved:
    with home.database.writing() as session:
        row = _row(session, visit)
        actions.end(session, row, RunState.ENDED, reason="ended by a person", actor=visit.by, at=visit.at)
    return _back(row)


def _row(session: Session, visit: Visit) -> RunRow:
    """The run of the address; the right was asked for the project of the address, so the run has to be of it."""
    row = queries.row_of(session, visit.path["run"])
    if row.project != visit.path["project"]:
        raise NotFound(f"project {visit.path['project']} has no run {visit.path['run']}")
    return row


def _back(row: RunRow) -> Moved:
    return Moved(f"/runs/{row.project}/{row.id}")


def _curves(
    rounds: Sequence[RoundView], judged: Sequence[tuple[int, EvaluationRow]]
) -> dict[str, list[tuple[float, float]]]:
    """What each hospital told of the model that it was given, which is the round before's; and, where no later round
    told it, what the model of a round was judged at once all were over."""
    found: dict[str, dict[float, float]] = {}
    for one in rounds:
        for part in one.taken:
            if part.score is not None:
                found.setdefault(part.site, {})[float(one.row.number - 1)] = part.score
    for number, told in judged:
        if told.score is not None:
            found.setdefault(told.site, {}).setdefault(float(number), told.score)
    return {site: sorted(points.items()) for site, points in sorted(found.items())}
