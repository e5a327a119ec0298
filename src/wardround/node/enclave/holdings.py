"""What the enclave holds, by modality and by project: the numbers of `wardround enclave status` and of pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.node.enclave.room import Room
from wardround.node.enclave.tables import EnclaveInstance, EnclavePurge, EnclaveRemoval, EnclaveSeries, EnclaveStudy
from wardround.node.enclave.unusable import unusable
from wardround.node.optout.queries import excluded
from wardround.node.projects.served import Served, served_by_project


@dataclass(frozen=True, slots=True)
class Holding:
    """Of one modality (`none` where the objects name none): a study with two modalities counts in both."""

    patients: int
    studies: int
    series: int
    instances: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """opted_out: patients in the enclave who are left out. waiting: files that a purge has still to remove.
    unfinished: purges of which some are. unusable: series by reason."""

    modalities: Mapping[str, Holding]
    projects: Mapping[str, Served]
    opted_out: int
    unfinished: int
    waiting: int
    unusable: Mapping[str, int]
    volumes: int
    room: Room


def holdings(session: Session, room: Room, volumes: int) -> Holdings:
    """The numbers as they stand now.

    Args:
        volumes: bytes of the volumes that are kept for learning.
    """
    modality = func.coalesce(EnclaveSeries.modality, "none")
    query = (
        select(
            modality,
            func.count(EnclaveSeries.pseudonym.distinct()),
            func.count(EnclaveSeries.study_uid.distinct()),
            func.count(EnclaveSeries.uid.distinct()),
            func.count(),
            func.sum(EnclaveInstance.size),
        )
        .join(EnclaveInstance, EnclaveInstance.series_uid == EnclaveSeries.uid)
        .group_by(modality)
        .order_by(modality)
    )
    out = select(func.count(EnclaveStudy.pseudonym.distinct())).where(EnclaveStudy.pseudonym.in_(excluded()))
    unfinished = select(func.count()).select_from(EnclavePurge).where(EnclavePurge.finished_at.is_(None))
    return Holdings(
        modalities={name: Holding(*(int(value) for value in row)) for name, *row in session.execute(query)},
        projects=served_by_project(session),
        opted_out=session.scalar(out) or 0,
        unfinished=session.scalar(unfinished) or 0,
        waiting=session.scalar(select(func.count()).select_from(EnclaveRemoval)) or 0,
        unusable=unusable(session),
        volumes=volumes,
        room=room,
    )
