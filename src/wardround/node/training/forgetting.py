"""Takes a person out of what judgements of models kept of each patient."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.node.projects.tables import ProjectRow
from wardround.node.training.tables import Judgement


def forget(session: Session, pseudonym: str, keys: PseudonymKeys) -> None:
    """Delete how models did on them, under whatever project's name for them, in the caller's transaction. The values
    that were told, and the ledger's digests of the whole, stay."""
    names = {keys.for_project(project).patient(pseudonym) for project in session.scalars(select(ProjectRow.id))}
    for judgement in session.scalars(select(Judgement)):
        if names & judgement.outcomes.keys():
            kept = {name: outcome for name, outcome in judgement.outcomes.items() if name not in names}
            judgement.outcomes = kept
