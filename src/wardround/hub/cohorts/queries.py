"""Reads of cohort questions: how an asking stands at each site, and all sites together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.disclosure import Count, Total, total
from wardround.contracts.outbound import CohortPart
from wardround.foundation.errors import NotFound
from wardround.hub.cohorts.tables import CohortAsk, CohortReply
from wardround.hub.tasks.tables import QueuedTask


@dataclass(frozen=True, slots=True)
class SiteAnswer:
    """How one site stands to a question: `waiting`, or what it told, or why it didn't (a reason's code)."""

    site: str
    state: Literal["waiting", "told", "refused", "failed"]
    people: Count | None = None
    parts: tuple[CohortPart, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a question stands at all sites that were asked."""

    asked: CohortAsk
    sites: tuple[SiteAnswer, ...] = field(default_factory=tuple)

    @property
    def over(self) -> bool:
        return all(site.state != "waiting" for site in self.sites)

    @property
    def missing(self) -> list[SiteAnswer]:
        """The sites without an answer."""
        return [site for site in self.sites if site.state != "told"]

    @property
    def people(self) -> Total:
        """All sites together, of those that answered."""
        return total(site.people for site in self.sites if site.people is not None)

    def groups(self, axis: str) -> dict[str, Total]:
        """For each group of an axis that any site told, all sites together; a site that answered and didn't name the
        group counts among those that told nothing."""
        answered = [site for site in self.sites if site.state == "told"]
        told = [{part.value: part.people for part in site.parts if part.axis == axis} for site in answered]
        names = sorted({name for groups in told for name in groups})
        return {name: total(groups.get(name, Count(about=None)) for groups in told) for name in names}


def standing(session: Session, ask: str) -> Standing:
    """Raises `NotFound` where nothing was asked under that name."""
    asked = session.get(CohortAsk, ask)
    if asked is None:
        raise NotFound(f"nobody asked a question {ask}; `wardround cohort list` shows what was asked")
    rows = session.execute(
        select(CohortReply, QueuedTask)
        .outerjoin(QueuedTask, QueuedTask.number == CohortReply.task)
        .where(CohortReply.ask == ask)
        .order_by(CohortReply.site)
    )
    return Standing(asked, tuple(_answer(reply, task) for reply, task in rows))


def _answer(reply: CohortReply, task: QueuedTask | None) -> SiteAnswer:
    if reply.told_at is not None:
        parts = tuple(CohortPart.model_validate(part) for part in reply.parts)
        return SiteAnswer(reply.site, "told", Count(about=reply.about), parts)
    if task is not None and task.state == "refused":
        return SiteAnswer(reply.site, "refused", reason=task.reason)
    if task is not None and task.state == "failed":
        return SiteAnswer(reply.site, "failed", reason=task.reason)
    return SiteAnswer(reply.site, "waiting")


def newest(session: Session, last: int, *, project: str | None = None) -> Sequence[CohortAsk]:
    """What was asked last, the newest first; of one project where that is given."""
    query = select(CohortAsk).order_by(CohortAsk.asked_at.desc(), CohortAsk.id).limit(last)
    return session.scalars(query if project is None else query.where(CohortAsk.project == project)).all()


def spent(session: Session, asked_by: str, project: str, *, since: datetime | None = None) -> int:
    """What somebody asked for a project, as hospitals' budgets count it at most: each question and each of its
    breakdowns is one. A hospital takes nothing for what it told before."""
    query = select(CohortAsk.by).where(CohortAsk.asked_by == asked_by, CohortAsk.project == project)
    rows = session.scalars(query if since is None else query.where(CohortAsk.asked_at >= since))
    return sum(1 + len(by) for by in rows)
