"""The page of models in use here: the ladder of stages, what the next one lacks, what is watched; agree and suspend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.stage import LADDER, STAGES, Stage, StageName, next_stage
from wardround.foundation.errors import Conflict, NotFound, WardroundError
from wardround.learning.bundle import BundleRefused
from wardround.node.clinic.deployment import active
from wardround.node.clinic.suspension import suspend
from wardround.node.clinic.tables import Deployment
from wardround.node.desk import Desk
from wardround.node.evidence.ladder import Approver
from wardround.node.evidence.promotion import Standing, agree, standing
from wardround.node.evidence.shelf import Kept, records, seen_by
from wardround.node.monitoring.charts import Chart
from wardround.node.monitoring.monitor import charts_of
from wardround.people.rights import right_of
from wardround.ui.chart import legend, lines
from wardround.ui.forms import code_of, whole
from wardround.ui.page import Moved, Shown, Visit


@dataclass(frozen=True, slots=True)
class InUse:
    """A model in use. `fault`: why its package can't be looked at, where it can't."""

    row: Deployment
    stage: Stage
    above: StageName | None
    standing: Standing | None
    evidence: tuple[tuple[Kept, int], ...]
    charts: tuple[Chart, ...]
    fault: str = ""


def models(desk: Desk, visit: Visit) -> Shown:
    with desk.home.database.reading() as session:
        found = [_in_use(session, desk, row, visit) for row in active(session)]
        ended = session.scalars(
            select(Deployment).where(Deployment.active.is_(False)).order_by(Deployment.id.desc()).limit(20)
        ).all()
    values = {
        "models": found,
        "watched": {one.row.id: _watched(one.charts) for one in found},
        "ended": ended,
        "ladder": LADDER,
        "stages": STAGES,
        "may_agree": visit.may("promote-model"),
        "may_see_failures": visit.may("see-failures"),
        "may_suspend": visit.may("suspend-model"),
        "done": visit.asked("done"),
    }
    return Shown("models.html", values)


def promote(desk: Desk, visit: Visit) -> Moved:
    """By the same verb as `wardround node model promote`; the stage is the one that the page showed."""
    stage = next((rung for rung in LADDER if rung == visit.field("stage")), None)
    if stage is None:
        raise NotFound(f"there is no stage {visit.field('stage')!r}; the stages are {', '.join(LADDER)}")
    able = right_of("promote-model").roles
    person = Approver(visit.by, frozenset(grant.role for grant in visit.somebody.grants if grant.role in able))
    with desk.home.database.writing() as session:
        row = _row(session, visit)
        agree(session, row, desk.deployments.model(row), stage, person, desk.entries, at=visit.at)
        reached = row.stage == stage
    return Moved(f"/models?done={'promoted' if reached else 'agreed'}")


def take_out(desk: Desk, visit: Visit) -> Moved:
    """By the same verb as `wardround node suspend`: at once, whether the hub answers or not."""
    reason = code_of(visit)
    with desk.home.database.writing() as session:
        row = _row(session, visit)
        suspend(session, row.pathway, reason, desk.entries, actor=visit.by, at=visit.at)
    return Moved("/models?done=suspended")


def _watched(charts: Sequence[Chart]) -> tuple[Markup, Markup]:
    """All charts in one picture, each as a share of its own limit, which is the line at 1; and what the lines are."""
    drawn = {chart.words: [(x, y / chart.limit) for x, y in chart.path] for chart in charts if chart.path}
    if not drawn:
        return Markup(""), Markup("")
    last = max(x for line in drawn.values() for x, _ in line)
    limit = {"the limit, at which the model is taken out of use": [(1.0, 1.0), (last, 1.0)]}
    return lines("What is watched, as a share of its limit, by study", drawn | limit), legend([*drawn, *limit])


def _row(session: Session, visit: Visit) -> Deployment:
    """The deployment that the form is about, as it was when the page was shown.

    Raises:
        NotFound: there is none of that number.
        Conflict: it isn't in use any more.
    """
    number = whole(visit.path["number"])
    row = None if number is None else session.get(Deployment, number)
    if row is None:
        raise NotFound(f"no model was ever in use here under the number {visit.path['number']!r}")
    if not row.active:
        raise Conflict(f"model {row.model[:12]} isn't in use any more; look at the page again")
    return row


def _in_use(session: Session, desk: Desk, row: Deployment, visit: Visit) -> InUse:
    stage, above, charts = STAGES[row.stage], next_stage(row.stage), charts_of(session, row, desk.home.settings.clinic)
    try:
        model = desk.deployments.model(row)
    except (WardroundError, BundleRefused, OSError):
        words = "its package isn't whole on this node's disk, so nothing can be told of its evidence"
        return InUse(row, stage, above, None, (), charts, words)
    kept = tuple((one, seen_by(one.record)) for one in records(session, model.digests))
    before = None if above is None else standing(session, row, model, above, visit.at)
    return InUse(row, stage, above, before, kept, charts)
