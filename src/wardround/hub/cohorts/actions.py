"""Asking every site a cohort question, and keeping what they tell."""

from __future__ import annotations

from datetime import datetime
from secrets import token_hex

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from wardround.contracts.cohort_query import LARGEST, CohortQuestion
from wardround.contracts.outbound import CohortAnswer
from wardround.contracts.task import Axis, CountCohort
from wardround.foundation.errors import Conflict, NotAllowed
from wardround.hub import audit
from wardround.hub.cohorts.queries import standing
from wardround.hub.cohorts.tables import CohortAsk, CohortReply
from wardround.hub.sites.queries import members
from wardround.hub.tasks.actions import enqueue
from wardround.hub.tasks.tables import QueuedTask

TAKEN_BACK = "taken-back"
"""The reason of a site that is asked no more."""


def ask(
    session: Session,
    question: CohortQuestion,
    *,
    asked_by: str,
    project: str | None = None,
    by: tuple[Axis, ...] = (),
    actor: str,
    at: datetime,
) -> CohortAsk:
    """Ask every active site; the caller has looked whether there is such a project.

    Args:
        asked_by: the researcher's name, by which nodes keep their budgets.
        by: what to break the answers down by, each once.

    Raises:
        NotAllowed: no site has joined, or the question is too large.
    """
    text = question.canonical().decode()
    if len(text.encode()) > LARGEST:
        raise NotAllowed(
            f"the question is {len(text.encode())} bytes when written out; sites take {LARGEST}. Name groups of codes "
            "by their common ancestor",
            code="question-too-large",
        )
    sites = members(session)
    if not sites:
        raise NotAllowed("no site has joined this federation yet; `wardround hub invite SITE` invites one")
    asked = CohortAsk(
        id=token_hex(8),
        project=project,
        asked_by=asked_by,
        actor=actor,
        question=text,
        digest=question.content_digest(),
        words=question.in_words(),
        by=list(by),
        asked_at=at,
    )
    session.add(asked)
    session.flush()
    task = CountCohort(ask=asked.id, project=project, asked_by=asked_by, question=text, by=by)
    for site in sites:
        session.add(CohortReply(ask=asked.id, site=site, task=enqueue(session, site, task, now=at), parts=[]))
    audit.record(session, actor, "ask-cohort", project or f"researcher:{asked_by}", asked.digest)
    return asked


def take_back(session: Session, ask: str, *, actor: str, at: datetime) -> list[str]:
    """Ask no site any more that hasn't answered yet; gives those sites. What one tells all the same is kept.

    Raises:
        NotFound: nothing was asked under that name.
    """
    waiting = [site.site for site in standing(session, ask).sites if site.state == "waiting"]
    numbers = select(CohortReply.task).where(CohortReply.ask == ask, CohortReply.site.in_(waiting))
    session.execute(
        update(QueuedTask)
        .where(QueuedTask.number.in_(numbers), QueuedTask.state == "queued")
        .values(state="refused", reason=TAKEN_BACK, reported_at=at)
        .execution_options(synchronize_session=False)
    )
    audit.record(session, actor, "take-back-cohort", ask, ", ".join(waiting))
    return waiting


def take_answer(session: Session, site: str, answer: CohortAnswer, *, at: datetime) -> CohortAsk:
    """Keep what a site told; telling it again changes nothing.

    Raises:
        Conflict: the site wasn't asked that (`not-asked`).
    """
    asked = session.get(CohortAsk, answer.ask)
    reply = session.get(CohortReply, (answer.ask, site))
    expected = None if asked is None else (asked.digest, asked.project)
    if asked is None or reply is None or expected != (answer.question, answer.project):
        raise Conflict("nobody asked this site that question", code="not-asked")
    if not {part.axis for part in answer.parts} <= set(asked.by):
        raise Conflict("the answer has a breakdown that nobody asked for", code="not-asked")
    if reply.told_at is None:
        reply.told_at, reply.about = at, answer.people.about
        reply.parts = [part.model_dump(mode="json") for part in answer.parts]
        audit.record(session, f"site:{site}", "tell-cohort", asked.project or f"researcher:{asked.asked_by}", asked.id)
    return asked
