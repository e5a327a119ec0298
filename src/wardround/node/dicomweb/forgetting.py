"""Takes a patient's headers out of what is kept for viewers, whether the DICOMweb server runs or not."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from wardround.node.dicomweb.tables import WebInstance, WebSeries, WebStudy


def kept(session: Session, pseudonym: str) -> int:
    """How many objects' headers are kept of a patient."""
    studies = select(WebStudy.uid).where(WebStudy.patient_id == pseudonym)
    return session.scalar(select(func.count()).select_from(WebInstance).where(WebInstance.study_uid.in_(studies))) or 0


def forget(session: Session, pseudonym: str) -> None:
    """Delete them, in the caller's transaction."""
    studies = list(session.scalars(select(WebStudy.uid).where(WebStudy.patient_id == pseudonym)))
    session.execute(delete(WebInstance).where(WebInstance.study_uid.in_(studies)))
    session.execute(delete(WebSeries).where(WebSeries.study_uid.in_(studies)))
    session.execute(delete(WebStudy).where(WebStudy.uid.in_(studies)))
