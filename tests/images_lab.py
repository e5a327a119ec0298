"""A hospital whose pages show images: a head with a lesion in the enclave, and one on the worklist in two stages."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import select
from tests.front_door import FrontDoor, edited
from tests.pages_lab import Face, NodeLab

from wardround.demo.patients import StudyInstances, to_dicom
from wardround.demo.phantoms import hospitals
from wardround.node.audit import Audit
from wardround.node.clinic.tables import Deployment, WorklistLine
from wardround.node.enclave.tables import EnclaveLabel, EnclaveSeries

SHADOWED, ORDERED = "lesions", "lesions-first"
_PATHWAY = """
title = "Lesions"
purpose = "Outlines lesions."
model = "{model}"

[studies]
when = 'Modality == "MR"'

[output]
kind = "outline"
of = "lesion"
"""


@cache
def heads(slices: int, matrix: int) -> tuple[StudyInstances, ...]:
    """Patients whom no other lab has."""
    hospital = hospitals(2, patients=5, slices=slices, matrix=matrix)[1]
    return tuple(to_dicom(hospital.patient(key)) for key in hospital.keys)


class ImagesLab:
    """`node` has a head in the enclave beside its own patients, and a series with a gap; `study` is on the worklist at
    shadow use (`SHADOWED`) and at prioritisation (`ORDERED`), where both models gave the same outline."""

    def __init__(self, folder: Path, *, slices: int = 8, matrix: int = 32) -> None:
        self.node = NodeLab(folder)
        self.home, self.face = self.node.home, self.node.face
        self.door = FrontDoor(folder)
        self.enclosed, self.sent, self.broken, *_ = heads(slices, matrix)
        self.door.give_study(self.enclosed)
        self.door.give(
            *(edited(one, SeriesDescription="gap") for one in [*self.broken.slices[:3], self.broken.slices[5]])
        )
        self.door.tick()
        self.door.give(*self.sent.slices, called="CLINIC")
        [complete] = self.door.complete()
        self.study = complete.key
        (folder / "pathways").mkdir(exist_ok=True)
        results = folder / "results"
        results.mkdir(exist_ok=True)
        (results / "outline.dcm").write_bytes(self.sent.segmentation)
        at = self.node.clock()
        with self.home.database.writing() as session:
            for name, stage in ((SHADOWED, "shadow"), (ORDERED, "prioritisation")):
                model = ("5a" if stage == "shadow" else "5b") * 32
                (folder / "pathways" / f"{name}.toml").write_text(_PATHWAY.format(model=model))
                deployment = Deployment(
                    model=model,
                    package="brain-mri-glioma",
                    pathway=name,
                    stage=stage,
                    active=True,
                    deployed_by="person:safety-officer",
                    deployed_at=at,
                )
                session.add(deployment)
                session.flush()
                session.add(
                    WorklistLine(
                        study=self.study,
                        version=complete.reopened,
                        deployment=deployment.id,
                        state="kept",
                        finding="lesion, 6.3 ml",
                        volume_ml=6.3,
                        value=6.3,
                        flagged=True,
                        result="outline.dcm",
                        read_as=stage,
                        arrived_at=at,
                        read_at=at,
                    )
                )

    def labelled(self) -> tuple[str, str, str]:
        """Study, series and label of the head in the enclave."""
        with self.home.database.reading() as session:
            rows = session.execute(
                select(EnclaveSeries.study_uid, EnclaveSeries.uid, EnclaveLabel.uid)
                .join(EnclaveLabel, EnclaveLabel.labelled_series_uid == EnclaveSeries.uid)
                .where(EnclaveSeries.rows > 16)
            ).all()
        [(study, series, label)] = rows
        return study, series, label

    def audited(self, *verbs: str) -> list[tuple[str, str, str]]:
        """Actor, verb and subject of what was looked at, oldest first."""
        with self.home.database.reading() as session:
            rows = session.execute(
                select(Audit.actor, Audit.verb, Audit.subject).where(Audit.verb.in_(verbs)).order_by(Audit.id)
            ).all()
        return [(actor, verb, subject) for actor, verb, subject in rows]

    def close(self) -> None:
        self.door.close()
        self.node.close()


def seen_by(face: Face, name: str, path: str) -> int:
    """The status that somebody gets."""
    return face.browser(name).get(path, follow_redirects=False).status_code
