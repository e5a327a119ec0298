"""Nothing here is learned from, and nothing leaves, without this hospital's own approval of exactly that."""

from __future__ import annotations

import errno
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from tests.unit.hub.runs.run_lab import NOON, project
from tests.unit.node.projects.node_lab import NodeLab, task

from wardround.compute.worker import WorkerDied
from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Approval, Update
from wardround.contracts.outbound import RunUpdate
from wardround.contracts.task import EvaluateModel
from wardround.federation.engine import Declined
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.node.gateway.errors import HubUnreachable
from wardround.node.projects import actions
from wardround.node.training.learner import Judged, LessonRefused
from wardround.node.training.tables import RoundDone

ASKED = project()
DIGEST = ASKED.content_digest()


def test_work_without_an_approval_is_refused(lab: NodeLab) -> None:
    assert lab.refusals(ASKED) == {"not-approved"}
    lab.fill()
    lab.consider(ASKED)
    assert lab.refusals(ASKED) == {"not-approved"}


def test_work_on_a_refused_project_is_refused(lab: NodeLab) -> None:
    lab.consider(ASKED)
    lab.refuse("glioma", "not-here")
    assert lab.refusals(ASKED) == {"not-approved"}


def test_work_on_another_edition_is_refused(lab: NodeLab) -> None:
    lab.fill()
    lab.agree(ASKED)
    assert lab.refusals(ASKED, project(rounds=500).content_digest()) == {"not-approved"}


@pytest.mark.parametrize(
    ("package", "code"),
    [
        ({"package_digest": "a" * 64}, "package-differs"),
        ({"package": "of-another-installation", "package_digest": "a" * 64}, "no-package"),
    ],
)
def test_work_with_another_package_than_was_approved_is_refused(
    lab: NodeLab, package: dict[str, object], code: str
) -> None:
    asked = project(**package)
    lab.fill()
    lab.agree(asked)
    assert lab.refusals(ASKED, asked.content_digest()) == {code}


def test_work_after_the_projects_end_is_refused(lab: NodeLab) -> None:
    lab.fill()
    lab.agree(ASKED)
    lab.assignments.check("glioma", DIGEST, "glioma-1")
    lab.clock.time += timedelta(days=365 * 5)
    assert lab.refusals(ASKED) == {"expired"}


def test_work_before_the_manifest_is_on_the_ledger_and_cosigned_is_refused(lab: NodeLab) -> None:
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.approve("glioma")
    assert lab.refusals(ASKED) == {"no-manifest"}
    lab.telling.tick()
    assert lab.refusals(ASKED) == {"manifest-not-settled"}
    lab.catch_up()
    assert lab.assignments.check("glioma", DIGEST, "glioma-1").manifest == lab.decision("glioma").manifest_index


def test_a_hub_that_lies_about_the_manifests_place_gains_nothing(lab: NodeLab) -> None:
    """It takes the manifest without a trace and names an entry that is settled already."""
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.approve("glioma")
    lab.catch_up()
    with lab.database.writing() as session:
        made = session.merge(lab.decision("glioma"))
        made.entry_index = 0
        actions.sign_manifest(session, made, lab.entries, lab.discloser, at=lab.clock())
        made.manifest_index, made.told_at = 0, lab.clock()
    assert lab.mirror.settled() > 0
    assert lab.refusals(ASKED) == {"manifest-not-settled"}


def test_a_hub_that_contradicts_itself_gets_no_work(lab: NodeLab) -> None:
    lab.fill()
    lab.agree(ASKED)
    fork = lab.hub.log
    with lab.hub.database.writing() as session:
        # Another history of the same size, signed by the same hub.
        size = fork.size(session)
        from wardround.ledger.checkpoint import Checkpoint, sign_checkpoint

        note = sign_checkpoint(Checkpoint(fork.origin, size, bytes(32)), fork._signer)
    with pytest.raises(WardroundError):
        lab.mirror.observe(note, lab.clock())
    assert lab.refusals(ASKED) == {"ledger-untrusted"}


@pytest.mark.parametrize(("round_number", "total"), [(3, 2), (500, 500), (1, 3), (1, 1)])
def test_a_plan_that_differs_from_the_approved_one_is_declined(lab: NodeLab, round_number: int, total: int) -> None:
    lab.fill()
    lab.agree(ASKED)
    with pytest.raises(Declined) as declined:
        lab.participant.take_part(task(ASKED, round_number=round_number, total=total))
    assert declined.value.reason == "not-the-approved-plan"
    assert lab.worker.calls == []


def test_what_is_learned_from_is_the_approved_cohort_and_plan_whatever_the_hub_sends(lab: NodeLab) -> None:
    lab.fill()
    lab.agree(ASKED)
    sent = task(ASKED)
    lab.participant.take_part(sent)
    [(_, assignment, arrays, round_number, total, *_)] = lab.worker.calls
    assert assignment.plan == ASKED.plan
    assert len(assignment.cohort.cases) == 2
    assert (arrays, round_number, total) == (sent.arrays, 1, 2)


def test_an_update_is_on_the_ledger_and_in_the_log_before_it_goes(lab: NodeLab) -> None:
    lab.fill()
    lab.agree(ASKED)
    update = lab.participant.take_part(task(ASKED))
    entry = lab.ledger()[-1]
    assert isinstance(entry, Update)
    assert (entry.run, entry.round, entry.digest) == ("glioma-1", 1, lab.worker.lesson.digest)
    assert entry.manifest == lab.decision("glioma").manifest_index
    [logged] = lab.wire.recorded
    assert isinstance(logged, RunUpdate)
    assert (logged.digest, logged.entry) == (entry.digest, update.ledger_index)
    assert update.weight == logged.weight == 10.0, "two patients weigh as much as nine would"


def test_an_update_whose_ledger_entry_cant_be_made_doesnt_leave(lab: NodeLab) -> None:
    lab.fill()
    lab.agree(ASKED)
    lab.wire.cut = lambda _: "before"
    with pytest.raises(Declined) as declined:
        lab.participant.take_part(task(ASKED))
    assert declined.value.reason == HubUnreachable.code
    assert lab.wire.recorded == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/secret/path"),
        OperationalError("INSERT", {}, Exception("database or disk is full")),
    ],
)
def test_a_full_disk_is_told_by_a_word_and_the_next_round_is_done(lab: NodeLab, error: Exception) -> None:
    lab.fill()
    lab.agree(ASKED)
    record = lab.wire.record

    def full(*_: object, **__: object) -> None:
        raise error

    lab.wire.record = full  # type: ignore[method-assign]
    with pytest.raises(Declined) as declined:
        lab.participant.take_part(task(ASKED))
    assert declined.value.reason == "disk-full"
    lab.wire.record = record  # type: ignore[method-assign]
    assert lab.participant.take_part(task(ASKED, round_number=2)).update


def test_a_round_that_is_done_again_gives_the_same_update(lab: NodeLab) -> None:
    """A leg may die after this site's update: the next one asks for the round again, from the same weights."""
    lab.fill()
    lab.agree(ASKED)
    first = lab.participant.take_part(task(ASKED))
    second = lab.participant.take_part(task(ASKED))
    assert first.update == second.update
    assert first.ledger_index != second.ledger_index, "each use of the data is on the record"
    with lab.database.reading() as session:
        [done] = session.scalars(select(RoundDone)).all()
    assert done.entry == second.ledger_index


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (WorkerDied("a test"), "learning-process-died"),
        (LessonRefused("fewer than two patients"), "not-learnable"),
        (LessonRefused("the arrays hold NaN", code="not-finite"), "not-finite"),
    ],
)
def test_a_lesson_that_fails_is_declined_with_its_reason(lab: NodeLab, error: Exception, reason: str) -> None:
    lab.fill()
    lab.agree(ASKED)
    lab.worker.raises = error
    with pytest.raises(Declined) as declined:
        lab.participant.take_part(task(ASKED))
    assert declined.value.reason == reason


def test_a_judgement_tells_the_mean_and_keeps_each_patients_dice(lab: NodeLab) -> None:
    lab.fill()
    lab.agree(ASKED)
    with lab.hub.database.writing() as session:
        from wardround.hub.runs.tables import RunRow, RunTaskRow

        session.add(
            RunRow(
                id="glioma-1",
                project="glioma",
                project_digest=DIGEST,
                plan=ASKED.plan.canonical(),
                state="evaluating",
                current="a" * 64,
                engine="toy",
                engine_version="1",
                started_by="test",
                started_at=NOON,
                state_since=NOON,
            )
        )
        session.flush()
        session.add(RunTaskRow(run="glioma-1", site="north", number=1, purpose="evaluate"))
    model = lab.hub.objects.put(b"the model")
    lab.worker.lesson = Judged("dice", {"pseudonym-1": (0.2,), "pseudonym-2": (0.6,)}, 9)  # type: ignore[assignment]
    asked = EvaluateModel(project="glioma", project_digest=DIGEST, run="glioma-1", model=model, label="federated")
    work = lab.comparison
    work.evaluate(asked)
    work.evaluate(asked)
    told = lab.wire.sent[-1]
    assert told.score == pytest.approx(0.4)  # type: ignore[attr-defined]
    assert told.patients == Count(about=None)  # type: ignore[attr-defined]
    assert all(b"pseudonym" not in message.canonical() for message in lab.wire.sent)


def test_a_model_that_isnt_what_its_digest_says_is_not_used(lab: NodeLab) -> None:
    lab.fill()
    lab.agree(ASKED)
    model = lab.hub.objects.put(b"the model")
    lab.hub.objects.path(model).write_bytes(b"another")
    work = lab.comparison
    real = lab.wire.send
    lab.wire.send = lambda message, *rest: (real.__self__, b"another")  # type: ignore[method-assign,assignment]
    with pytest.raises(WardroundError) as refused:
        work.fetch(model)
    assert refused.value.code == "model-differs"
    assert lab.worker.calls == []


def test_an_approval_in_anothers_name_isnt_one(lab: NodeLab) -> None:
    """What the node holds decides; an approval entry on the ledger opens nothing here."""
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.entries.put(Approval(origin="north", at=NOON, project="glioma", project_digest=DIGEST))
    lab.catch_up()
    assert lab.refusals(ASKED) == {"not-approved"}
    with pytest.raises(NotAllowed):
        lab.assignments.check("glioma", DIGEST, "glioma-1")
