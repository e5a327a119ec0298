"""Puts a label that was drawn at this hospital into the enclave's index: it never was identified."""

from __future__ import annotations

from datetime import datetime

from pydicom.dataset import Dataset
from sqlalchemy.orm import Session

from wardround.foundation.errors import NotFound
from wardround.node.enclave import changes
from wardround.node.enclave.tables import EnclaveInstance, EnclaveLabel, EnclaveSeries


def add_drawn(session: Session, header: Dataset, *, digest: str, size: int, labelled: str, at: datetime) -> None:
    """Add a segmentation that a person drew on the series `labelled`, in the caller's transaction. One that is there
    already counts as drawn now: of several labels of a series the one that came last is the reference.

    Args:
        header: the object's attributes; its bytes are in the store under `digest`.

    Raises:
        NotFound: the series isn't in the enclave.
    """
    image = session.get(EnclaveSeries, labelled)
    if image is None:
        raise NotFound("the series that was drawn on is no longer in the enclave")
    uid, series, sop_class = (
        str(header[name].value) for name in ("SOPInstanceUID", "SeriesInstanceUID", "SOPClassUID")
    )
    known = session.get(EnclaveInstance, uid)
    if known is not None:
        known.indexed_at = at
    else:
        if session.get(EnclaveSeries, series) is None:
            session.add(
                EnclaveSeries(
                    uid=series,
                    study_uid=image.study_uid,
                    pseudonym=image.pseudonym,
                    modality="SEG",
                    rows=int(header.Rows),
                    columns=int(header.Columns),
                    date=image.date,
                    sop_class=sop_class,
                )
            )
            session.flush()
        session.add(
            EnclaveInstance(
                uid=uid,
                series_uid=series,
                sop_class=sop_class,
                digest=digest,
                size=size,
                indexed_at=at,
                frames=int(header.NumberOfFrames),
                rows=int(header.Rows),
                columns=int(header.Columns),
                bits=1,
                transfer_syntax=str(header.file_meta.TransferSyntaxUID),
            )
        )
        session.flush()
        session.add(EnclaveLabel(uid=uid, pseudonym=image.pseudonym, labelled_series_uid=labelled, is_reference=True))
    changes.note(session, [image.study_uid])
