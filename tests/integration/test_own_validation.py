"""A hospital that took no part in a run judges the model on patients of its own, and may use it then."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select
from tests.clinic_lab import Clinic, ToyReader, made
from tests.front_door import SECRET, studies

from wardround.contracts.cohort_builder import imaging, patients
from wardround.contracts.ledger_entry import Evidence
from wardround.contracts.outbound import EvidenceSummary
from wardround.contracts.validation import LocalValidation, ValidationPlan
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.learning.archive import unpack
from wardround.learning.bundle import BundleRefused
from wardround.node.audit import Audit
from wardround.node.desk import Desk
from wardround.node.enclave.purge import purge_patient
from wardround.node.evidence.ladder import NotYet
from wardround.node.evidence.picture import MODEL, REFERENCE, picture_of
from wardround.node.evidence.sealed_picture import PictureSeal
from wardround.node.evidence.sharing import share
from wardround.node.evidence.shelf import latest
from wardround.node.evidence.tables import ValidationCase, ValidationRow
from wardround.node.evidence.validation import allow, gallery, plan, planned, validate
from wardround.node.optout.tables import OptOut, PatientKey
from wardround.node.pages import failures
from wardround.node.settings import RecordsSettings
from wardround.node.training.cohort import EnclavePlace

PATIENTS = 4


class Here:
    """The process for judging, in this one."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


class Hospital:
    def __init__(self, clinic: Clinic, folder: Path) -> None:
        self.clinic, node = clinic, clinic.node
        settings = SimpleNamespace(records=RecordsSettings(), learning=SimpleNamespace(threads=1))
        home = SimpleNamespace(database=node.database, path=folder, runs=folder / "runs", settings=settings)
        self.desk = cast(
            Desk,
            SimpleNamespace(
                home=home,
                deployments=clinic.deployments,
                cases=node.door.enclave.find,
                clock=node.clock,
                entries=node.entries,
                own=node.own,
                pseudonyms=PseudonymKeys(SECRET),
                gateway=node.wire,
                discloser=node.discloser,
                place=EnclavePlace(str(node.database.engine.url), node.door.objects.root, folder / "volumes"),
            ),
        )
        for study in studies(PATIENTS)[:PATIENTS]:
            node.door.give_study(study)
        node.door.complete()
        node.door.tick()

    def asked(self, **values: Any) -> ValidationPlan:
        found: dict[str, Any] = {"threshold": 0.5, "fewest": 3, **values}
        question = patients.with_(imaging(modality="MR")).question()
        return ValidationPlan(model=self.clinic.digest, package="brain-mri-glioma", cohort=question, **found)

    def plan(self, **values: Any) -> str:
        return plan(self.desk, self.asked(**values), actor="person:officer").digest

    def allow(self, digest: str, days: int = 30) -> int:
        until = self.clinic.node.clock() + timedelta(days=days)
        return allow(self.desk, digest, until, actor="person:controller")

    def validate(self, digest: str) -> LocalValidation:
        return validate(self.desk, digest, actor="person:officer", worker=cast(Any, Here()))

    def deploy(self) -> int:
        return self.clinic.deployments.deploy(self.clinic.digest, "brain", actor="person:officer")


@pytest.fixture
def hospital(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Hospital]:
    for clinic in made(tmp_path, package, ToyReader()):
        clinic.register()
        yield Hospital(clinic, tmp_path / "node")


def test_it_is_planned_allowed_and_done_and_then_the_model_may_be_used(hospital: Hospital) -> None:
    node = hospital.clinic.node
    with pytest.raises(NotYet):
        hospital.deploy()
    digest = hospital.plan()
    with pytest.raises(NotAllowed) as raised:
        hospital.validate(digest)
    assert raised.value.code == "not-allowed"
    assert hospital.allow(digest[:12]) == PATIENTS
    record = hospital.validate(digest[:12])
    assert len(record.cases) == PATIENTS and all(case.dice is not None for case in record.cases.values())
    groups = [case.groups for case in record.cases.values()]
    assert all({"sex", "age", "scanner", "protocol"} <= one.keys() for one in groups)
    assert all(name.startswith("WP-") for name in record.cases)
    # The ledger hears of it, and of nothing but its digest.
    node.entries.submit_waiting(node.database)
    [entry] = [one for one in node.ledger() if isinstance(one, Evidence)]
    assert (entry.record, entry.model, entry.stage) == (record.content_digest(), hospital.clinic.digest, "offline")
    hospital.deploy()
    with node.database.reading() as session:
        told = [(row.actor, row.verb) for row in session.scalars(select(Audit).order_by(Audit.id))]
    assert ("person:controller", "allow-validation") in told and ("person:officer", "plan-validation") in told
    kinds = {str(message.model_dump()["kind"]) for message in node.wire.sent}
    assert kinds <= {"object-request", "ledger-submission", "mirror-request", "witness-cosignature"}


def test_of_so_few_patients_nothing_is_told_to_the_hub(hospital: Hospital) -> None:
    node = hospital.clinic.node
    digest = hospital.plan()
    hospital.allow(digest)
    with pytest.raises(NotAllowed) as raised:
        share(hospital.desk, digest, actor="person:controller")
    assert raised.value.code == "not-done"
    hospital.validate(digest)
    with pytest.raises(NotAllowed) as raised:
        share(hospital.desk, digest, actor="person:controller")
    assert raised.value.code == "not-on-ledger"
    node.entries.submit_waiting(node.database)
    with pytest.raises(NotAllowed) as raised:
        share(hospital.desk, digest, actor="person:controller")
    assert raised.value.code == "too-few-people"
    assert not [one for one in node.wire.sent if isinstance(one, EvidenceSummary)]


def test_an_untrained_model_that_misses_what_was_planned_opens_no_stage(hospital: Hospital) -> None:
    digest = hospital.plan(least={"dice": 0.7})
    hospital.allow(digest)
    hospital.validate(digest)
    hospital.clinic.node.entries.submit_waiting(hospital.clinic.node.database)
    with pytest.raises(NotYet) as raised:
        hospital.deploy()
    assert [one.code for one in raised.value.missing] == ["below-plan"]
    assert "dice of at least 0.7" in str(raised.value)
    with hospital.clinic.node.database.reading() as session:
        worst = gallery(session, planned(session, digest))
    assert len(worst) == PATIENTS
    assert worst[0].series


def test_failures_have_pictures_that_only_pages_give_and_on_the_record(hospital: Hospital) -> None:
    node = hospital.clinic.node
    digest = hospital.plan()
    hospital.allow(digest)
    record = hospital.validate(digest)
    visit = SimpleNamespace(path={"plan": digest}, by="person:officer", at=node.clock())
    shown = cast(Any, failures.failures(hospital.desk, cast(Any, visit))).values["failures"]
    pictured = [one for one in shown if one.pictured]
    assert pictured
    visit.path["number"] = str(pictured[0].number)
    given = cast(Any, failures.failure(hospital.desk, cast(Any, visit)))
    assert Image.open(BytesIO(given.content)).width >= 320
    # It lies sealed, and a picture that an earlier version kept open is sealed as well.
    with node.database.writing() as session:
        row = session.get_one(ValidationCase, pictured[0].number)
        assert b"PNG" not in (row.picture or b"PNG")
        row.picture = given.content
    for _ in range(2):
        PictureSeal(hospital.desk.pseudonyms).seal_what_lies_open(node.database)
        with node.database.reading() as session:
            sealed = session.get_one(ValidationCase, pictured[0].number).picture or b""
        assert given.content[:20] not in sealed
        assert cast(Any, failures.failure(hospital.desk, cast(Any, visit))).content == given.content
    with pytest.raises(NotFound, match="doesn't open with this node's key"):
        PictureSeal(PseudonymKeys(b"of another site.")).open(sealed, pictured[0].number)
    # It is in the audit, and in nothing that leaves.
    with node.database.reading() as session:
        looked = session.scalars(select(Audit).where(Audit.verb == "view-failure")).all()[-1]
    assert (looked.actor, looked.subject) == ("person:officer", pictured[0].series)
    node.entries.submit_waiting(node.database)
    told = record.canonical() + b"".join(message.canonical() for message in node.wire.sent)
    assert b"PNG" not in told and base64.b64encode(given.content)[:40] not in told
    with node.database.writing() as session:
        who = session.get_one(ValidationCase, pictured[0].number).patient
        purge_patient(session, who, node.door.purges, actor="person:controller", reason="asked", at=node.clock())
    with pytest.raises(NotFound):
        failures.failure(hospital.desk, cast(Any, visit))


def test_no_picture_outlasts_a_study_that_it_may_be_of(hospital: Hospital) -> None:
    """A patient of several studies is judged on the first that will do, whichever of their rows has the picture."""
    node = hospital.clinic.node
    digest = hospital.plan()
    hospital.allow(digest)
    hospital.validate(digest)
    with node.database.writing() as session:
        one, other = (row for row in session.scalars(select(ValidationCase).limit(2)))
        pictured, purged = one.id, other.patient
        other.patient, other.name = one.patient, one.name
        assert one.picture is not None
    with node.database.writing() as session:
        purge_patient(session, purged, node.door.purges, actor="person:controller", reason="asked", at=node.clock())
    with node.database.reading() as session:
        assert session.get_one(ValidationCase, pictured).picture is None


def test_the_picture_is_of_the_slice_where_they_differ_most() -> None:
    image = np.linspace(0, 1, 3 * 16 * 16, dtype=np.float32).reshape(3, 16, 16)
    told, drawn = np.zeros((3, 16, 16), bool), np.zeros((3, 16, 16), bool)
    told[2, 2:9, 2:9] = drawn[1, 4:6, 4:6] = True
    assert picture_of(image, drawn, drawn) is None
    rgb = np.asarray(Image.open(BytesIO(picture_of(image, told, drawn) or b"")))
    assert (rgb == MODEL).all(axis=2).any() and not (rgb == REFERENCE).all(axis=2).any()


def test_whoever_is_purged_or_opts_out_is_in_no_frozen_cohort_and_in_no_gallery(hospital: Hospital) -> None:
    node = hospital.clinic.node
    digest = hospital.plan()
    hospital.allow(digest)
    hospital.validate(digest)
    with node.database.writing() as session:
        who = session.scalars(select(ValidationCase.patient)).first()
        assert who is not None
        purge_patient(session, who, node.door.purges, actor="person:controller", reason="asked", at=node.clock())
    with node.database.reading() as session:
        assert who not in session.scalars(select(ValidationCase.patient)).all()
        assert len(gallery(session, planned(session, digest))) == PATIENTS - 1
        other = session.scalars(select(ValidationCase)).first()
    assert other is not None
    with node.database.writing() as session:
        session.add(PatientKey(key="k" * 64, pseudonym=other.patient))
        session.add(OptOut(key="k" * 64, kind="patient", scheme=None, added_at=node.clock(), added_by="person:ig"))
    with pytest.raises(NotAllowed) as raised:
        hospital.validate(digest)
    assert raised.value.code == "too-few", "two of four are left, and the plan asks for three"
    with node.database.reading() as session:
        assert len(gallery(session, planned(session, digest))) == PATIENTS - 2


def test_who_came_after_the_data_controllers_word_is_not_read(hospital: Hospital) -> None:
    digest = hospital.plan()
    hospital.allow(digest)
    hospital.clinic.node.door.give_study(studies(PATIENTS + 1)[PATIENTS])
    hospital.clinic.node.door.complete()
    hospital.clinic.node.door.tick()
    assert len(hospital.validate(digest).cases) == PATIENTS


def test_an_allowance_ends_is_given_once_and_for_one_plan(hospital: Hospital) -> None:
    digest = hospital.plan()
    hospital.allow(digest, days=3)
    refused: list[tuple[str, Callable[[], object]]] = [
        ("allowed", lambda: hospital.allow(digest)),
        ("not-allowed", lambda: hospital.validate(hospital.plan(threshold=0.6))),
        ("over", lambda: hospital.allow(hospital.plan(threshold=0.7), days=-1)),
        ("too-few", lambda: hospital.allow(hospital.plan(fewest=PATIENTS + 1))),
    ]
    for code, act in refused:
        with pytest.raises(NotAllowed) as raised:
            act()
        assert raised.value.code == code
    hospital.clinic.node.clock.time += timedelta(days=4)
    with pytest.raises(NotAllowed, match="was allowed until"):
        hospital.validate(digest)
    with pytest.raises(NotFound):
        hospital.validate("0" * 12)
    with hospital.clinic.node.database.reading() as session:
        assert latest(session, "offline-validation", (hospital.clinic.digest,)) is None


def test_a_model_of_the_hospitals_own_goes_the_same_way_and_by_nobody_elses_evidence(
    hospital: Hospital, tmp_path: Path
) -> None:
    clinic = hospital.clinic
    bundle = tmp_path / "bought"
    unpack(clinic.hub.objects.get(clinic.archive), bundle)
    metadata = bundle / "configs" / "metadata.json"
    # It says of itself that it has the weights of a model which did well here.
    forged = {"run": "r-1", "project": "glioma", "weights_sha256": clinic.digest}
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"lineage": forged}))
    clinic.validate()
    clinic.digest = clinic.packages.add(bundle)
    clinic.define()
    with pytest.raises(NotYet):
        hospital.deploy()
    digest = hospital.plan()
    hospital.allow(digest)
    hospital.validate(digest)
    clinic.node.entries.submit_waiting(clinic.node.database)
    hospital.deploy()
    (clinic.packages._folder / clinic.digest / "configs" / "metadata.json").write_text("{}")
    shutil.rmtree(clinic.models / clinic.digest)
    with pytest.raises(BundleRefused):
        clinic.deployments.fetch(clinic.digest)


def test_the_same_plan_is_one_plan(hospital: Hospital) -> None:
    assert hospital.plan() == hospital.plan()
    with hospital.clinic.node.database.reading() as session:
        [row] = session.scalars(select(ValidationRow)).all()
    assert isinstance(row.planned_at, datetime)


def test_a_model_that_the_ledger_does_not_know_cannot_be_planned(hospital: Hospital) -> None:
    with pytest.raises(NotAllowed, match="knows no model"):
        plan(hospital.desk, hospital.asked().model_copy(update={"model": "f" * 64}), actor="person:officer")
