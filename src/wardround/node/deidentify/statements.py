"""How each study of the enclave was de-identified, for an auditor: profiles, actions and counts, never a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.node.deidentify.openness import unready
from wardround.node.enclave.tables import EnclaveStudy


@dataclass(frozen=True, slots=True)
class StudyStatement:
    """`applied` has an entry for each profile and software version that its objects went through; `ready` is false
    while the study is still coming in."""

    study: str
    pseudonym: str
    applied: tuple[dict[str, Any], ...]
    ready: bool


def statements(session: Session, study: str | None = None) -> list[StudyStatement]:
    """The statement of one study by its (new) Study Instance UID, or of all, in the order of pseudonym and study."""
    query = select(EnclaveStudy).order_by(EnclaveStudy.pseudonym, EnclaveStudy.uid)
    if study is not None:
        query = query.where(EnclaveStudy.uid == study)
    coming = set(session.scalars(unready()))
    return [
        StudyStatement(row.uid, row.pseudonym, tuple(row.statements), row.uid not in coming)
        for row in session.scalars(query)
    ]
