"""Takes a person out of what judgements of models kept of each patient, and finds what else was learned of them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.node.enclave.tables import EnclaveStudy
from wardround.node.projects.person import frozen_as
from wardround.node.projects.tables import ManifestRow, ProjectRow, ProjectRun
from wardround.node.training.tables import Judgement


def forget(session: Session, pseudonym: str, keys: PseudonymKeys) -> None:
    """Delete how models did on them, under whatever project's name for them, in the caller's transaction. The values
    that were told, and the ledger's digests of the whole, stay."""
    names = {keys.for_project(project).patient(pseudonym) for project in session.scalars(select(ProjectRow.id))}
    for judgement in session.scalars(select(Judgement)):
        if names & judgement.outcomes.keys():
            kept = {name: outcome for name, outcome in judgement.outcomes.items() if name not in names}
            judgement.outcomes = kept


def learned_from(session: Session, pseudonym: str) -> list[str]:
    """The runs that learned here from a frozen cohort which this person is in, as long as that still says so."""
    theirs = select(EnclaveStudy.uid).where(EnclaveStudy.pseudonym == pseudonym)
    frozen = select(ManifestRow.decision).where(
        ManifestRow.study.in_(theirs) | (ManifestRow.study == frozen_as(pseudonym)), ManifestRow.removed_at.is_(None)
    )
    return sorted(session.scalars(select(ProjectRun.run).where(ProjectRun.decision.in_(frozen)).distinct()))
