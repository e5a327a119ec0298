"""Takes what annotation keeps of patients and studies that are gone, whether its server runs or not."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.node.annotate.tables import AnnotationLabel, AnnotationSitting, AnnotationTrait
from wardround.node.enclave.tables import EnclaveSeries

SETTLING = timedelta(minutes=2)
"""How long a label's file is left that no row names: whoever put it may be about to write its row."""

_TABLES = (AnnotationLabel, AnnotationSitting, AnnotationTrait)


def label_files(home: Path) -> ObjectStore:
    """The labels of a node's home that aren't the enclave's, or not yet."""
    return ObjectStore(home / "annotation" / "labels")


def forget(session: Session, pseudonym: str) -> None:
    """Delete a patient's rows, in the caller's transaction; then call `sweep`."""
    for table in _TABLES:
        session.execute(delete(table).where(table.pseudonym == pseudonym))


def sweep(database: Database, files: ObjectStore, at: datetime, settling: timedelta = SETTLING) -> int:
    """Delete the rows of series that are no longer in the enclave, and the files that no row names; returns how many
    files went."""
    here = select(EnclaveSeries.uid)
    with database.reading() as session:
        stale = [table for table in _TABLES if session.scalar(select(table.series).where(table.series.not_in(here)))]
    if stale:
        with database.writing() as session:
            for table in stale:
                session.execute(
                    delete(table).where(table.series.not_in(here)).execution_options(synchronize_session=False)
                )
    if not files.root.is_dir():
        return 0
    before = (at - settling).timestamp()
    gone = 0
    with database.writing() as session:
        named = {
            digest for row in session.execute(select(AnnotationLabel.seg, AnnotationLabel.nifti)) for digest in row
        }
        for digest in list(files.digests()):
            if digest not in named and not files.put_since(digest, before):
                files.remove(digest)
                gone += 1
    return gone
