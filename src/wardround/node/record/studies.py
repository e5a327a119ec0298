"""Was this study used, when, by whom and for what? From the hospital's own salts and its own copy of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Manifest
from wardround.foundation.errors import WardroundError
from wardround.ledger import store
from wardround.ledger.commitment import Membership, prove_membership, verify_membership
from wardround.ledger.note import Verifier
from wardround.ledger.proof import ProofRefused
from wardround.ledger.proving import NotSettledYet, prove_study
from wardround.ledger.study_proof import StudyProof
from wardround.node.projects.tables import Decision, ManifestRow, ProjectRow


class SaltsDiffer(WardroundError):
    """The salts at hand don't make the commitment of the manifest on the ledger; restore the node's database."""

    code = "salts-differ"


@dataclass(frozen=True)
class StudyAnswer:
    """Whether a study was used.

    Attributes:
        proof: the file that shows how, or None if it is in no manifest on the ledger.
        waiting: projects whose frozen cohort has the study and whose manifest isn't settled on the ledger yet.
    """

    proof: StudyProof | None
    waiting: tuple[str, ...]


def study_answer(session: Session, hub: Verifier, studies: Sequence[str], *, project: str | None = None) -> StudyAnswer:
    """What the ledger says of a study, for the frozen cohorts whose salts are here.

    Args:
        studies: names that the study may have in a manifest; the first that is in one counts.
        project: only this one.

    Raises:
        SaltsDiffer: the node's database isn't the one that made a manifest.
    """
    for study in studies:
        query = (
            select(Decision)
            .join(ManifestRow, ManifestRow.decision == Decision.id)
            .where(ManifestRow.study == study, ManifestRow.removed_at.is_(None))
            .order_by(Decision.project, Decision.id)
        )
        frozen = session.scalars(query if project is None else query.where(Decision.project == project)).unique().all()
        if frozen:
            return _answer(session, hub, study, frozen)
    return StudyAnswer(None, ())


def _answer(session: Session, hub: Verifier, study: str, frozen: Sequence[Decision]) -> StudyAnswer:
    """Of every approval that froze the study, on whichever edition of its project."""
    memberships: dict[int, Membership] = {}
    waiting: set[str] = set()
    settled = store.settled(session, hub, store.size(session))
    for decision in frozen:
        index = None if decision.manifest is None else store.index_of(session, decision.manifest)
        if index is not None and index < settled:
            memberships[index] = _membership(session, decision, study, index)
        elif not _superseded(session, decision):
            waiting.add(decision.project)
    if not memberships:
        return StudyAnswer(None, tuple(sorted(waiting)))
    try:
        return StudyAnswer(prove_study(session, hub, study, memberships), tuple(sorted(waiting)))
    except NotSettledYet:
        return StudyAnswer(None, tuple(sorted({decision.project for decision in frozen})))


def _superseded(session: Session, decision: Decision) -> bool:
    """A decision whose manifest was never made, since another edition came: nothing was used under it."""
    return decision.manifest is None and session.get_one(ProjectRow, decision.project).decision != decision.id


def _membership(session: Session, decision: Decision, study: str, index: int) -> Membership:
    rows = session.scalars(select(ManifestRow).where(ManifestRow.decision == decision.id)).all()
    salts = {row.study: row.salt for row in rows if row.removed_at is None}
    erased = [row.commitment for row in rows if row.removed_at is not None and row.commitment is not None]
    membership = prove_membership(study, salts, erased)
    manifest = store.entry(session, index)
    try:
        verify_membership(study, manifest.commitment if isinstance(manifest, Manifest) else "", membership)
    except ProofRefused as error:
        raise SaltsDiffer(
            f"the salts kept here for {decision.project} don't make what its manifest commits to; restore the node's "
            "database"
        ) from error
    return membership
