"""What sites send for the comparison at a run's end: models trained alone, and judgements."""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Entry, Evidence, Update, Use, alone_run
from wardround.contracts.outbound import EvaluationResult, LocalModel
from wardround.contracts.run_plan import RunPlan
from wardround.foundation.errors import Conflict, NotAllowed
from wardround.hub import audit
from wardround.hub.runs import judging, queries
from wardround.hub.runs.tables import EvaluationRow, LocalModelRow, StatisticsRow
from wardround.ledger import store

NO_ENTRY = "the ledger entry that the message names isn't there, isn't this site's, or speaks of something else"
NO_USE = "the ledger entry doesn't name the use of data that it rests on"


def take_local_model(session: Session, site: str, message: LocalModel, weights: bytes, entry: Entry | None) -> None:
    """Keep the model that a site trained alone, or a merge's statistics of it. `weights` are stored by the caller.

    Raises:
        Conflict: the bytes aren't those of the digest, or it is no model of that run.
        NotAllowed: no ledger entry of the site covers them, or the site wasn't asked for them.
    """
    if not isinstance(entry, Update) or entry.origin != site:
        raise NotAllowed(NO_ENTRY)
    if sha256(weights).hexdigest() != message.digest:
        raise Conflict("the attachment's digest isn't the one that the message names; send it again")
    if (entry.digest, entry.run) != (message.digest, alone_run(message.run)):
        raise NotAllowed("the ledger entry speaks of another model")
    if entry.use is None:
        raise NotAllowed(NO_USE, code="no-use")
    if message.statistics_of is not None:
        _take_statistics(session, site, message, message.statistics_of, entry.round)
        return
    _check_asked(session, site, message.run, message.project, "alone")
    row = session.scalar(select(LocalModelRow).where(LocalModelRow.run == message.run, LocalModelRow.site == site))
    if row is None:
        row = LocalModelRow(run=message.run, site=site)
        session.add(row)
    row.digest, row.steps, row.entry = message.digest, message.steps, message.entry
    audit.record(session, f"site:{site}", "send-local-model", message.run, message.digest)


def statistics_for(merge: int) -> str:
    """The purpose of a run's tasks that tell the statistics of the merge of that number."""
    return f"statistics {merge}"


def _take_statistics(session: Session, site: str, message: LocalModel, model: str, round_number: int) -> None:
    # The merge's number is in the entry's round; the task of that purpose named the one model that it is of.
    _check_asked(session, site, message.run, message.project, statistics_for(round_number - 1))
    same = (StatisticsRow.run == message.run, StatisticsRow.site == site, StatisticsRow.model == model)
    row = session.scalar(select(StatisticsRow).where(*same))
    if row is None:
        row = StatisticsRow(run=message.run, site=site, model=model)
        session.add(row)
    row.digest, row.entry = message.digest, message.entry
    audit.record(session, f"site:{site}", "send-statistics", message.run, model)


def take_evaluation(session: Session, site: str, message: EvaluationResult, entry: Entry | None) -> None:
    """Keep a site's judgement of a model.

    Raises:
        NotAllowed: no ledger entry of the site covers it, or the site wasn't asked to judge for that run.
        Conflict: it is by another metric than the run's.
    """
    if not isinstance(entry, Evidence) or entry.origin != site or entry.model != message.model:
        raise NotAllowed(NO_ENTRY)
    use = None if entry.use is None else store.entry(session, entry.use)
    if not isinstance(use, Use) or use.run != message.run:
        raise NotAllowed(NO_USE, code="no-use")
    _check_asked(session, site, message.run, message.project, judging.PURPOSE)
    asked = RunPlan.model_validate_json(queries.row_of(session, message.run).plan).metric
    if message.metric != asked:
        raise Conflict(f"the run is judged by {asked}, not by {message.metric}; judge it anew")
    row = session.scalar(
        select(EvaluationRow).where(
            EvaluationRow.run == message.run,
            EvaluationRow.label == message.label,
            EvaluationRow.model == message.model,
            EvaluationRow.site == site,
        )
    )
    if row is None:
        row = EvaluationRow(run=message.run, label=message.label, model=message.model, site=site)
        session.add(row)
    if message.membership is not None:
        row.membership = message.membership
    row.score, row.patients, row.entry = message.score, message.patients.about, message.entry
    audit.record(session, f"site:{site}", "judge-model", message.run, message.label)


def _check_asked(session: Session, site: str, run: str, project: str, purpose: str) -> None:
    if queries.row_of(session, run).project != project or not queries.was_asked(session, run, site, purpose):
        raise NotAllowed("the run didn't ask this site for it", code="not-asked")
