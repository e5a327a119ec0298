"""A purge takes exactly what it said, is on the record, and is finished after a crash at any moment."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update
from tests.front_door import EVERYONE, FrontDoor

from wardround.contracts.cohort_builder import imaging, patients
from wardround.foundation.errors import NotFound
from wardround.ledger.commitment import commitment, draw_salts
from wardround.node.audit import Audit
from wardround.node.enclave.case import CaseUnusable
from wardround.node.enclave.purge import Finished, Scope, finish_purges, order_purge, preview, purge_patient
from wardround.node.enclave.tables import EnclaveInstance, EnclavePurge, EnclaveRemoval, EnclaveSeries, EnclaveStudy
from wardround.node.projects.queries import manifest
from wardround.node.projects.tables import Decision, ManifestRow, ProjectRow

NO_TIME = timedelta(0)


def settle(door: FrontDoor, settling: timedelta = NO_TIME) -> Finished:
    at = door.clock() + timedelta(days=36500)  # the files' times are the machine's, not the door's
    return finish_purges(door.database, door.objects, door.home / "enclave" / "volumes", at=at, settling=settling)


def frozen(door: FrontDoor, project: str, cases: list[tuple[str, str]]) -> dict[str, bytes]:
    salts = draw_salts([study for _, study in cases])
    with door.database.writing() as session:
        row = ProjectRow(id=project, document=b"", digest="0" * 64, arrived_at=door.clock())
        session.add(row)
        session.flush()
        decision = Decision(
            project=project,
            project_digest="0" * 64,
            document=b"",
            approved=True,
            decided_by="person:controller",
            decided_at=door.clock(),
            entry=b"",
        )
        session.add(decision)
        session.flush()
        row.decision = decision.id
        for patient, study in cases:
            session.add(
                ManifestRow(
                    project=project, decision=decision.id, patient=patient, study=study, case="{}", salt=salts[study]
                )
            )
    return {study: commitment(salt, study) for study, salt in salts.items()}


def test_a_patient_is_gone_with_all_that_was_made_of_them(door: FrontDoor) -> None:
    first, second = door.enclave.find(patients.with_(imaging(has_label=True)).question())
    for ref in (first, second):
        door.enclave.case(ref)
    scope = Scope("patient", first.pseudonym)
    with door.database.reading() as session:
        seen = preview(session, scope)
    assert (seen.patients, seen.studies, seen.series, seen.instances, seen.objects, seen.shared) == (1, 1, 2, 5, 5, 0)
    before = set(door.objects.digests())
    with door.database.writing() as session:
        assert (
            purge_patient(session, first.pseudonym, door.purges, actor="person:ig", reason="erasure", at=door.clock())
            == seen
        )
    assert door.enclave.find(EVERYONE) == (second,), "gone for cohorts before the files are"
    assert set(door.objects.digests()) == before
    done = settle(door)
    assert (done.removed, done.bytes, done.waiting) == (5, seen.bytes, 0)
    assert len(set(door.objects.digests())) == 5
    assert len(list((door.home / "enclave" / "volumes").iterdir())) == 1
    assert door.enclave.case(second).label is not None
    with door.database.reading() as session:
        [row] = session.scalars(select(Audit).where(Audit.verb == "purge-enclave"))
        assert (row.actor, row.subject) == ("person:ig", str(scope)) and "erasure" in row.detail
        [purge] = session.scalars(select(EnclavePurge))
        assert purge.finished_at is not None and purge.counts["objects"] == 5


def test_a_volume_goes_with_its_label(door: FrontDoor) -> None:
    """The label may be of another study than the series that it was drawn on."""
    [first, _] = door.enclave.find(patients.with_(imaging(has_label=True)).question())
    assert door.enclave.case(first).label is not None
    with door.database.writing() as session:
        session.add(EnclaveStudy(uid="1.2.77", pseudonym=first.pseudonym, statements=[], date=None, description=None))
        session.flush()
        of_label = select(EnclaveInstance.series_uid).where(EnclaveInstance.uid == first.label)
        session.execute(update(EnclaveSeries).where(EnclaveSeries.uid.in_(of_label)).values(study_uid="1.2.77"))
        order_purge(session, Scope("study", "1.2.77"), door.purges, actor="person:ig", reason="r", at=door.clock())
    with pytest.raises(CaseUnusable) as refused:
        door.enclave.case(first)
    assert refused.value.code == "case-gone", "before the files are"
    assert list((door.home / "enclave" / "volumes").rglob("*.npz"))
    assert settle(door).removed == 1
    assert not list((door.home / "enclave" / "volumes").rglob("*.npz")), "no volume is left that holds it"


def test_nothing_is_purged_without_its_audit(door: FrontDoor) -> None:
    [first, _] = door.enclave.find(EVERYONE)
    with pytest.raises(RuntimeError), door.database.writing() as session:
        purge_patient(session, first.pseudonym, door.purges, actor="person:ig", reason="erasure", at=door.clock())
        raise RuntimeError("the process ends here")
    assert len(door.enclave.find(EVERYONE)) == 2 and settle(door).removed == 0
    with pytest.raises(ValueError, match="reason"), door.database.writing() as session:
        purge_patient(session, first.pseudonym, door.purges, actor="person:ig", reason=" ", at=door.clock())


def test_a_crash_among_the_files_is_finished_later(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    [first, _] = door.enclave.find(EVERYONE)
    with door.database.writing() as session:
        order_purge(session, Scope("study", first.study), door.purges, actor="person:ig", reason="r", at=door.clock())
    calls = iter(range(3))
    remove = door.objects.remove

    def breaks(digest: str) -> None:
        if next(calls, None) is None:
            raise OSError(5, "Input/output error")
        remove(digest)

    with monkeypatch.context() as patch:
        patch.setattr(door.objects, "remove", breaks)
        with pytest.raises(OSError, match="error"):
            settle(door)
    assert len(set(door.objects.digests())) == 7
    assert settle(door).waiting == 0
    assert len(set(door.objects.digests())) == 5


def test_an_object_that_something_else_names_stays(door: FrontDoor) -> None:
    first, second = door.enclave.find(EVERYONE)
    with door.database.writing() as session:
        [shared, *_] = session.scalars(select(EnclaveInstance).where(EnclaveInstance.series_uid == first.series))
        values = {column.name: getattr(shared, column.name) for column in EnclaveInstance.__table__.columns}
        session.execute(insert(EnclaveInstance).values(values | {"uid": "1.2.3", "series_uid": second.series}))
    with door.database.writing() as session:
        seen = order_purge(
            session, Scope("study", first.study), door.purges, actor="person:ig", reason="r", at=door.clock()
        )
    assert (seen.instances, seen.objects, seen.shared) == (5, 4, 1)
    assert settle(door).removed == 4
    assert door.objects.has(shared.digest)


def test_what_was_just_put_is_left_until_its_row_can_be_there(door: FrontDoor) -> None:
    first, second = door.enclave.find(EVERYONE)
    with door.database.writing() as session:
        order_purge(session, Scope("study", first.study), door.purges, actor="person:ig", reason="r", at=door.clock())
    century = timedelta(days=40000)
    assert settle(door, century) == Finished(0, 0, 5)
    with door.database.writing() as session:
        [kept, *_] = session.scalars(select(EnclaveRemoval.name).where(EnclaveRemoval.kind == "object"))
        [one, *_] = session.scalars(select(EnclaveInstance).where(EnclaveInstance.series_uid == second.series))
        values = {column.name: getattr(one, column.name) for column in EnclaveInstance.__table__.columns}
        session.execute(insert(EnclaveInstance).values(values | {"uid": "1.2.3", "digest": kept}))
    assert settle(door).removed == 4, "what was indexed meanwhile stays"
    assert door.objects.has(kept)


def test_a_frozen_cohort_forgets_the_study_and_keeps_its_commitment(door: FrontDoor) -> None:
    cases = [(ref.pseudonym, ref.study) for ref in door.enclave.find(EVERYONE)]
    commitments = frozen(door, "glioma", cases)
    patient, study = cases[0]
    with door.database.writing() as session:
        assert purge_patient(
            session, patient, door.purges, actor="person:ig", reason="r", at=door.clock()
        ).manifests == {"glioma": 1}
    with door.database.reading() as session:
        assert [row.study for row in manifest(session, "glioma")] == [cases[1][1]]
        [row] = session.scalars(select(ManifestRow).where(ManifestRow.removed_at.is_not(None)))
        assert row.commitment == commitments[study]
        assert (row.salt, row.patient, row.study, row.case) == (b"", "", "", "")


def test_a_project_is_purged_without_what_another_project_needs(door: FrontDoor) -> None:
    cases = [(ref.pseudonym, ref.study) for ref in door.enclave.find(EVERYONE)]
    frozen(door, "over", cases)
    frozen(door, "running", cases[1:])
    with door.database.writing() as session:
        gone = order_purge(
            session, Scope("project", "over"), door.purges, actor="person:ig", reason="it ended", at=door.clock()
        )
    assert (gone.studies, gone.kept, gone.manifests) == (1, 1, {"over": 1})
    assert [ref.study for ref in door.enclave.find(EVERYONE)] == [cases[1][1]]


def test_retention_counts_from_the_last_object_of_a_study(door: FrontDoor) -> None:
    with door.database.writing() as session:
        uid = session.scalars(select(EnclaveSeries.study_uid)).first()
        assert preview(session, Scope("before", door.clock().isoformat())).studies == 0
        later = door.clock() + timedelta(days=1)
        assert preview(session, Scope("before", later.isoformat())).studies == 2
        of_one = select(EnclaveSeries.uid).where(EnclaveSeries.study_uid == uid)
        [late, *_] = session.scalars(select(EnclaveInstance).where(EnclaveInstance.series_uid.in_(of_one)))
        late.indexed_at = later
        session.flush()
        assert preview(session, Scope("before", later.isoformat())).studies == 1


@pytest.mark.parametrize("kind", ["study", "patient"])
def test_a_name_that_is_not_there_is_said_so(door: FrontDoor, kind: str) -> None:
    with door.database.reading() as session, pytest.raises(NotFound, match=kind):
        preview(session, Scope(kind, "1.2.3"))  # type: ignore[arg-type] # one of the kinds
