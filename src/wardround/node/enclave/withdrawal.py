"""Takes one label out of the enclave, and leaves its patient's study there."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.node.enclave import changes
from wardround.node.enclave.case import volumes_folder
from wardround.node.enclave.purge import PurgePreview
from wardround.node.enclave.tables import EnclaveInstance, EnclaveLabel, EnclavePurge, EnclaveRemoval, EnclaveSeries


def withdraw_label(session: Session, uid: str, *, actor: str, reason: str, at: datetime) -> None:
    """Delete its rows in the caller's transaction, and list its bytes, and the volumes that were made with it, for
    `purge.finish_purges`. A cohort that was frozen with it says from then on that the label is gone.

    Args:
        uid: its SOP Instance UID in the enclave; where there is no such label nothing is done.
    """
    label, instance = session.get(EnclaveLabel, uid), session.get(EnclaveInstance, uid)
    if label is None or instance is None:
        return
    gone = PurgePreview(0, 0, 0, 1, 1, instance.size, 0, 0)
    ordered = EnclavePurge(
        actor=actor, scope="label", reason=reason, counts=gone.counts(), ordered_at=at, finished_at=None
    )
    session.add(ordered)
    session.flush()
    for kind, name in (("object", instance.digest), ("volumes", volumes_folder(label.labelled_series_uid))):
        session.add(EnclaveRemoval(purge_id=ordered.id, kind=kind, name=name))
    series = session.get_one(EnclaveSeries, instance.series_uid)
    labelled = session.get(EnclaveSeries, label.labelled_series_uid)
    changes.note(session, {series.study_uid} | ({labelled.study_uid} if labelled is not None else set()))
    session.delete(label)
    session.flush()
    session.delete(instance)
    session.flush()
    if session.scalar(select(EnclaveInstance.uid).where(EnclaveInstance.series_uid == series.uid).limit(1)) is None:
        session.delete(series)
