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
from wardround.ledger.store import Row
from wardround.ledger.study_proof import StudyProof
from wardround.node.projects.tables import ManifestRow, ProjectRow


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
        query = select(ManifestRow.project).where(ManifestRow.study == study, ManifestRow.removed_at.is_(None))
        projects = sorted(
            set(session.scalars(query if project is None else query.where(ManifestRow.project == project)))
        )
        if projects:
            return _answer(session, hub, study, projects)
    return StudyAnswer(None, ())


def _answer(session: Session, hub: Verifier, study: str, projects: Sequence[str]) -> StudyAnswer:
    memberships: dict[int, Membership] = {}
    waiting: list[str] = []
    settled = store.settled(session, hub, store.size(session))
    for project in projects:
        index = _manifest_index(session, project)
        if index is None or index >= settled:
            waiting.append(project)
        else:
            memberships[index] = _membership(session, project, study, index)
    if not memberships:
        return StudyAnswer(None, tuple(waiting))
    try:
        return StudyAnswer(prove_study(session, hub, study, memberships), tuple(waiting))
    except NotSettledYet:
        return StudyAnswer(None, tuple(projects))


def _manifest_index(session: Session, project: str) -> int | None:
    signed = session.get_one(ProjectRow, project).manifest
    if signed is None:
        return None
    row = Row.read(signed)
    return store.find(session, [row]).get(row.leaf)


def _membership(session: Session, project: str, study: str, index: int) -> Membership:
    rows = session.scalars(select(ManifestRow).where(ManifestRow.project == project)).all()
    salts = {row.study: row.salt for row in rows if row.removed_at is None}
    erased = [row.commitment for row in rows if row.removed_at is not None and row.commitment is not None]
    membership = prove_membership(study, salts, erased)
    manifest = store.entry(session, index)
    try:
        verify_membership(study, manifest.commitment if isinstance(manifest, Manifest) else "", membership)
    except ProofRefused as error:
        raise SaltsDiffer(
            f"the salts kept here for {project} don't make what its manifest commits to; restore the node's database"
        ) from error
    return membership
