"""What stays at a hospital: its own layers, variates and personal model never leave, and survive what a round does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import select
from tests.front_door import EVERYONE
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import NodeLab
from tests.unit.node.training.test_node_uses import ABOUT, ASKED, agreed
from tests.unit.node.training.test_node_uses import task as task_of

from wardround.contracts.algorithm import FedBN, Scaffold
from wardround.contracts.approval_limits import ApprovalLimits, terms_of
from wardround.contracts.run_plan import RunPlan
from wardround.contracts.task import EvaluateModel
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.federation.engine import RoundTask
from wardround.foundation.errors import WardroundError
from wardround.foundation.sealing import NotOpened
from wardround.learning.arrays import Arrays, from_bytes, to_bytes
from wardround.learning.layers import Sharing, sharing
from wardround.learning.split import Split
from wardround.learning.steering import Steering
from wardround.learning.wire import arrays_of
from wardround.node.audit import Audit
from wardround.node.deidentify.erasure import Erasures
from wardround.node.deidentify.received import Places
from wardround.node.record.purges import Purges
from wardround.node.training import learner
from wardround.node.training.assignment import Assignment
from wardround.node.training.cohort import Cohort
from wardround.node.training.learner import Judged
from wardround.node.training.own import OwnArrays

__all__ = ["agreed"]

KEY = bytes(range(32))
KEYS = PseudonymKeys(KEY)
BEGAN: Arrays = {"w": np.zeros(3, np.float32), "norm": np.full(2, 0.25, np.float32)}


@dataclass
class ToySegmenter:
    """Each training moves every weight towards `aim` by a tenth of the way, and notes from where."""

    aim: float = 1.0
    setting: Any = field(default_factory=lambda: SimpleNamespace(local_steps=3))
    trained: list[tuple[Arrays, Steering]] = field(default_factory=list)
    judged: list[Arrays] = field(default_factory=list)

    def initial(self, _seed: int) -> Arrays:
        return BEGAN

    def sharing(self, plan: RunPlan) -> Sharing:
        return sharing(BEGAN.keys(), {"norm"}, plan)

    def evaluate(self, weights: Arrays, _cases: Any) -> Any:
        self.judged.append(weights)
        return {"somebody": (0.5,)}

    def train(self, weights: Arrays, _cases: Any, *, steering: Steering, **_: Any) -> Any:
        self.trained.append((weights, steering))
        moved = {name: np.float32(0.9) * one + np.float32(0.1 * self.aim) for name, one in weights.items()}
        return SimpleNamespace(arrays=moved, steps=3, loss=0.1, rates=0.1)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ToySegmenter:
    made = ToySegmenter()
    parts = Split(training=("a",), held_out=("b",))
    monkeypatch.setattr(learner, "_classroom", lambda _: (made, parts, {"a": None, "b": None}))
    return made


def work(**plan: Any) -> Assignment:
    asked = project(compare_alone=False, **plan)
    place: Any = None
    return Assignment("north", Cohort(place, ()), asked.plan, 0, terms_of(asked, ApprovalLimits()))


def task(round_number: int = 1) -> RoundTask:
    return replace(task_of(ASKED, round_number=round_number), update_kind="delta")


def test_no_layer_of_normalisation_is_in_the_bytes_that_leave(toy: ToySegmenter) -> None:
    told = to_bytes({"w": np.full(3, 0.5, np.float32)})
    lesson = learner.learn(work(algorithm="fedbn"), told, 1, 2, KEY)
    assert b"norm" not in lesson.update and arrays_of(lesson.update, {"w": BEGAN["w"]})
    own = from_bytes(lesson.own)
    assert own.keys() == {"norm"} and own["norm"][0] == pytest.approx(0.9 * 0.25 + 0.1)
    assert toy.judged[0]["norm"][0] == 0.25, "the first round begins with what the run began with"
    learner.learn(work(algorithm="fedbn"), told, 2, 2, KEY, lesson.own)
    assert np.array_equal(toy.judged[1]["norm"], own["norm"]) and np.array_equal(toy.trained[1][0]["norm"], own["norm"])
    learner.judge(work(algorithm="fedbn"), told, lesson.own)
    assert np.array_equal(toy.judged[2]["norm"], own["norm"]), "and is judged with its own"


@pytest.mark.parametrize("algorithm", ["fedbn", "scaffold"])
def test_a_hub_that_tells_what_the_plan_does_not_is_refused(toy: ToySegmenter, algorithm: str) -> None:
    with pytest.raises(learner.LessonRefused) as refused:
        learner.learn(work(algorithm=algorithm), to_bytes(BEGAN), 1, 2, KEY)
    assert refused.value.code == "wrong-names" and toy.trained == []


def test_what_nobody_trains_is_not_in_the_update_either(toy: ToySegmenter) -> None:
    lesson = learner.learn(work(layers={"frozen": ["n*"]}), to_bytes({"w": BEGAN["w"]}), 1, 2, KEY)
    assert arrays_of(lesson.update, {"w": BEGAN["w"]}) and lesson.own == b""
    assert toy.trained[0][1].frozen == {"norm"}


def test_a_sites_variate_stays_and_its_change_leaves_with_the_weights(toy: ToySegmenter) -> None:
    plan = work(algorithm=Scaffold(local_rate=0.5))
    told = BEGAN | {f"control:{name}": np.full_like(array, 2) for name, array in BEGAN.items()}
    first = learner.learn(plan, to_bytes(told), 1, 2, KEY)
    steering = toy.trained[0][1]
    assert steering.descent == 0.5 and steering.correction["w"][0] == 2.0, "the hub's variate less one of nought"
    update, own = arrays_of(first.update, told), from_bytes(first.own)
    # It moved from 0 to 0.1 with rates that sum to 0.1: its mean gradient was -1.
    assert own["control:w"][0] == pytest.approx(-1 - 2, abs=1e-5) and update["control:w"][0] == pytest.approx(-3)
    assert update.keys() == told.keys(), "weights and variates in one message"
    learner.learn(plan, to_bytes(told), 2, 2, KEY, first.own)
    assert toy.trained[1][1].correction["w"][0] == pytest.approx(2 + 3)


def test_a_personal_model_is_held_to_the_model_of_all_and_judged_as_such(toy: ToySegmenter) -> None:
    plan = work(algorithm={"name": "ditto", "strength": 0.25})
    first = learner.learn(plan, to_bytes(BEGAN), 1, 2, KEY)
    assert arrays_of(first.update, BEGAN) and b"personal" not in first.update
    moved = {name: array + np.float32(1) for name, array in BEGAN.items()}
    learner.learn(plan, to_bytes(moved), 2, 2, KEY, first.own)
    began, steering = toy.trained[3]
    assert np.array_equal(began["w"], from_bytes(first.own)["personal:w"]), "it goes on from where it was"
    assert steering.proximal == 0.25 and steering.held_to is not None and steering.held_to["w"][0] == 1.0
    learner.judge(plan, to_bytes(moved), first.own, personal=True)
    assert np.array_equal(toy.judged[-1]["w"], began["w"])
    with pytest.raises(learner.LessonRefused) as refused:
        learner.judge(plan, to_bytes(moved), personal=True)
    assert refused.value.code == "no-personal-model"


def test_what_a_round_left_is_what_the_next_one_finds(tmp_path: Path) -> None:
    own = OwnArrays(tmp_path, KEYS)
    assert own.before("run-1", 1) == b""
    for number in (1, 2, 10):
        own.keep("run-1", number, b"%d" % number)
    own.settle("run-1", "f" * 64, b"model")
    assert [own.before("run-1", number) for number in (1, 2, 3, 10, 11)] == [b"", b"1", b"2", b"2", b"10"]
    assert own.before("run-2", 3) == b""
    own.end("run-1")
    assert own.before("run-1", 11) == b"10" and own.before("run-1", 10) == b""
    assert own.sealed("run-1", "f" * 64).open() == b"model" and not own.sealed("run-1", "e" * 64).there
    own.end("never-joined")
    own.forget("run-1")
    assert own.before("run-1", 11) == b"" and not own.sealed("run-1", "f" * 64).there


def test_nobody_else_reads_it_and_none_passes_for_another(tmp_path: Path) -> None:
    own, clear = OwnArrays(tmp_path, KEYS), b"normalised to this hospital's patients"
    own.keep("run-1", 1, clear)
    own.keep("run-2", 1, clear)
    first, second = sorted(file for file in tmp_path.rglob("*") if file.is_file())
    assert clear not in first.read_bytes() and first.stat().st_mode & 0o077 == 0
    second.write_bytes(first.read_bytes())
    first.with_name("0002.sealed").write_bytes(first.read_bytes())
    for run, number in (("run-2", 2), ("run-1", 3)):
        with pytest.raises(NotOpened):
            own.before(run, number)
    with pytest.raises(NotOpened):
        OwnArrays(tmp_path, PseudonymKeys(bytes(31) + b"1")).before("run-1", 2)


def test_it_is_on_the_disk_before_the_update_leaves_and_a_round_done_again_begins_alike(agreed: NodeLab) -> None:
    lab = agreed
    lab.worker.lesson = replace(lab.worker.lesson, own=b"of round 1")
    seen: list[bytes] = []
    record = lab.wire.record

    def recorded(*said: Any, **more: Any) -> None:
        seen.append(lab.own.before("glioma-1", 2))
        record(*said, **more)

    lab.wire.record = recorded  # type: ignore[method-assign] # what leaves is seen on its way
    lab.participant.take_part(task())
    assert seen == [b"of round 1"]
    lab.worker.lesson = replace(lab.worker.lesson, own=b"of round 2")
    lab.participant.take_part(task(2))
    lab.participant.take_part(task(2))
    given = [call[6] for call in lab.worker.calls if call[0] is learner.learn]
    assert given == [b"", b"of round 1", b"of round 1"]


def test_what_was_learned_from_a_person_here_ends_with_their_erasure(agreed: NodeLab) -> None:
    lab, door = agreed, agreed.door
    lab.worker.lesson = replace(lab.worker.lesson, own=b"of round 1")
    lab.participant.take_part(task())
    lab.own.keep("another-1", 1, b"of a run that never learned from them")
    places = Places(door.quarantine, door.clinical, door.home / "results", door.objects, door.home / "volumes")
    purges = Purges(lab.entries, lab.discloser)
    every = Erasures(lab.database, door.vault, places, purges, KEY, lab.clock, own=lab.own)
    who = {"actor": "controller", "reason": "request 7"}
    for pseudonym, left in (("WR-NOBODYHERE", b"of round 1"), (door.enclave.find(EVERYONE)[0].pseudonym, b"")):
        every.order(every.find([pseudonym], **who), **who)
        every.finish()
        assert lab.own.before("glioma-1", 2) == left
    assert lab.own.before("another-1", 2)


def begun_anew(lab: NodeLab) -> list[tuple[str, str]]:
    with lab.database.reading() as session:
        rows = session.scalars(select(Audit).where(Audit.verb == "begin-own-anew").order_by(Audit.id))
        return [(row.subject, row.detail) for row in rows]


def test_that_what_was_kept_of_a_run_begins_anew_is_on_the_record_here_alone(
    agreed: NodeLab, caplog: pytest.LogCaptureFixture
) -> None:
    lab = agreed
    lab.worker.lesson = replace(lab.worker.lesson, own=b"of round 1")
    lab.participant.take_part(task())
    lab.participant.take_part(task())
    lab.participant.take_part(task(2))
    assert begun_anew(lab) == [], "a first round begins with nothing, and however often it is done"
    lab.own.forget("glioma-1")
    told = len(lab.wire.recorded)
    lab.participant.take_part(task(2))
    assert begun_anew(lab) == [("glioma-1", "round 2")]
    assert "begin-own-anew" in caplog.text
    assert "anew" not in str(lab.wire.recorded[told:])
    lab.own.forget("glioma-1")
    lab.worker.lesson = replace(lab.worker.lesson, own=b"")
    lab.participant.take_part(task(2))
    assert len(begun_anew(lab)) == 1, "where a plan keeps nothing, nothing is gone"


def test_a_model_is_judged_with_what_its_own_round_left(agreed: NodeLab) -> None:
    lab = agreed
    for number in (1, 2):
        lab.own.keep("glioma-1", number, b"of round %d" % number)
    model = lab.hub.objects.put(b"the model")
    work = lab.comparison
    work._models.put(b"the model")
    lab.worker.lesson = cast(Any, Judged("dice", {"somebody": (0.5,)}, training=1))
    with pytest.raises(WardroundError):  # this hub never began the run
        work.evaluate(EvaluateModel(**ABOUT, model=model, label="federated", round=1))
    assert lab.worker.calls[-1][3:] == (b"of round 1", False, False)
    assert lab.own.sealed("glioma-1", model).open() == b"of round 1"


def test_an_update_stays_here_when_its_own_arrays_cannot_be_kept(agreed: NodeLab) -> None:
    lab = agreed
    lab.worker.lesson = replace(lab.worker.lesson, own=b"of round 1")
    lab.own._runs.parent.mkdir(exist_ok=True)
    lab.own._runs.write_text("not a folder")
    with pytest.raises(OSError):
        lab.participant.take_part(task())
    assert lab.wire.recorded == []


def test_fedbn_and_names_are_told_in_words() -> None:
    from wardround.contracts.project_words import in_words

    asked = project(compare_alone=False, algorithm=FedBN(), layers={"at_home": ["head.*"], "frozen": ["stem.*"]})
    text = "\n".join(in_words(asked))
    assert "by fedbn" in text and "never leave: head.*" in text and "nobody trains: stem.*" in text
