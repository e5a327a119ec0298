"""A node that is killed in a round goes on from there: to the same bits, and only with the same people."""

from __future__ import annotations

import errno
import os
import signal
import threading
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wardround.compute.worker import Worker
from wardround.contracts.run_plan import RunPlan
from wardround.learning.arrays import to_bytes
from wardround.learning.bundle import packaged, read_bundle
from wardround.learning.case import Case
from wardround.learning.resumption import Halfway, StateRefused
from wardround.learning.segmenter import Segmenter
from wardround.learning.split import Split
from wardround.node.projects.served import ServedCase
from wardround.node.training import checkpoint, learner
from wardround.node.training.assignment import Assignment
from wardround.node.training.checkpoint import RunNotes

PLAN = RunPlan.model_validate(
    {"package": "brain-mri-glioma", "package_digest": "0" * 64, "rounds": 3, "quorum": 1, "local_steps": 6}
)
START = {"w": np.zeros(2, np.float32)}
OTHER = {"w": np.ones(2, np.float32)}
KEY = bytes(range(32))


def assignment(*cases: str, plan: RunPlan = PLAN) -> Assignment:
    told: Any = {"site": "north", "manifest": 7, "plan": plan, "terms": None}
    return Assignment(cohort=_Cohort(tuple(ServedCase(name, f"case of {name}") for name in cases)), **told)  # type: ignore[arg-type]


class _Cohort:
    """A frozen cohort: only its cases' names count here."""

    def __init__(self, cases: tuple[ServedCase, ...]) -> None:
        self.cases = cases


@pytest.fixture
def notes(tmp_path: Path) -> RunNotes:
    return RunNotes("glioma-1", tmp_path / "glioma-1", KEY)


def files(notes: RunNotes) -> list[str]:
    return sorted(path.name for path in notes.folder.rglob("*") if path.is_file())


def test_a_state_is_found_again_for_the_same_round_and_its_moments_for_the_next(notes: RunNotes) -> None:
    people = assignment("a", "b")
    notes.of(people, 2, START).keep(b"halfway", whole=False)
    assert notes.of(people, 2, START).begun() == b"halfway"
    assert notes.of(people, 3, START).before() is None, "the round before isn't whole"
    notes.of(people, 2, START).keep(b"whole", whole=True)
    assert notes.of(people, 2, START).begun() == b"whole"
    assert notes.of(people, 3, OTHER).before() == b"whole"
    assert notes.of(people, 3, OTHER).begun() is None
    assert notes.of(people, 2, OTHER).begun() is None, "the round began with other weights"
    assert notes.of(people, 4, OTHER).before() is None
    assert notes.of(people, 2, START, personal=True).begun() is None, "a model that stays here has states of its own"


@pytest.mark.parametrize("people", [("a",), ("a", "b", "c"), ("a", "c")])
def test_nobody_goes_on_with_what_another_cohort_gave(notes: RunNotes, people: tuple[str, ...]) -> None:
    """Somebody opted out since, as it may be: the state knows them."""
    notes.of(assignment("a", "b"), 1, START).keep(b"halfway", whole=False)
    assert notes.of(assignment(*people), 1, START).begun() is None
    assert files(notes) == [], "and it isn't kept any longer"


def test_another_plan_another_run_and_another_key_dont_open_it(notes: RunNotes) -> None:
    people = assignment("a", "b")
    for other, its in (
        (notes, assignment("a", "b", plan=PLAN.model_copy(update={"seed": 4}))),
        (replace(notes, run="glioma-2"), people),
        (replace(notes, key=bytes(32)), people),
    ):
        notes.of(people, 1, START).keep(b"halfway", whole=False)
        assert other.of(its, 1, START).begun() is None


def test_it_is_sealed_and_its_owner_alone_may_read_it(notes: RunNotes) -> None:
    notes.of(assignment("a"), 1, START).keep(b"halfway" * 9, whole=False)
    [file] = [path for path in notes.folder.rglob("*") if path.is_file()]
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"halfway" not in file.read_bytes()


def test_a_full_disk_costs_the_state_and_no_round(notes: RunNotes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_whole", full)
    kept = notes.of(assignment("a"), 1, START)
    kept.keep(b"halfway", whole=False)
    assert kept.begun() is None


def heads() -> dict[str, Case]:
    draws = np.random.default_rng(0)
    found = {}
    for name in ("a", "b", "c"):
        image = draws.random((4, 32, 32), np.float32)
        found[name] = Case(name, image, image > 0.9, (6.0, 6.0, 6.0))
    return found


def small_teacher() -> Segmenter:
    bundle = read_bundle(packaged())
    quick = replace(bundle.setting("phantoms"), batch_size=2, learning_rate=1e-2)
    return Segmenter(replace(bundle, network={**bundle.network, "init_filters": 8}, settings={"default": quick}))


def taught(notes: RunNotes, arrays: bytes, slowly: bool) -> tuple[str, int]:
    """In a process of its own: a round as the node's learning process does it, kept after each step."""
    teacher, steps = small_teacher(), []
    train = teacher.train

    def counted(*given: Any, **asked: Any) -> Any:
        def progress(done: int, *_: object) -> None:
            steps.append(done)
            if slowly and done == 3:
                os.kill(os.getpid(), signal.SIGSTOP)  # until the test kills it

        return train(*given, **asked, progress=progress)

    teacher.train = counted  # type: ignore[method-assign]
    learner._classroom = lambda _: (teacher, Split(("a", "b"), ("c",)), heads())  # type: ignore[assignment]
    terms: Any = _NoTerms()
    people = replace(assignment("a", "b", "c"), terms=terms)
    lesson = learner.learn(people, arrays, 1, 3, bytes(32), b"", notes)
    return lesson.digest, len(steps)


class _NoTerms:
    """Nothing is done to the update but what always is."""

    privacy = patient_privacy = masking = None
    steps = ("agreed-parameters", "delta")


def await_stop(process: int) -> None:
    """Until the process stands still; it loads torch first, which takes a busy machine its time."""
    pause = threading.Event()
    for _ in range(3000):
        if Path(f"/proc/{process}/stat").read_text().split(") ")[1].startswith("T"):
            return
        pause.wait(0.1)
    pytest.fail("it doesn't come to its third step")


def test_a_learning_process_that_was_killed_goes_on_to_the_very_same_update(notes: RunNotes) -> None:
    bundle = read_bundle(packaged())
    small = replace(bundle, network={**bundle.network, "init_filters": 8})
    arrays = to_bytes(Segmenter(small).initial(0))
    each = replace(notes, every=0.0)
    worker = Worker("learning")
    try:
        unbroken, all_steps = worker.call(taught, replace(each, folder=notes.folder / "unbroken"), arrays, False)
        future = worker.submit(taught, each, arrays, True)
        [process] = worker.process_ids()
        await_stop(process)
        os.kill(process, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            future.result(60)
        resumed, left = worker.call(taught, each, arrays, False)
        again, none = worker.call(taught, each, arrays, False)
    finally:
        worker.stop()
    assert (all_steps, left, none) == (6, 4, 0), "killed after its second state"
    assert resumed == unbroken, "and nothing of the update tells of it"
    assert again == unbroken, "a round that is asked for again isn't trained again"


class Broken(BaseException):
    """As if the process were gone at that step."""


def test_training_alone_that_was_broken_off_goes_on_in_the_round_that_it_had_reached(
    notes: RunNotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    each, steps = replace(notes, every=0.0), [0]
    shorter = PLAN.model_copy(update={"local_steps": 3})
    people = replace(assignment("a", "b", "c", plan=shorter), terms=_NoTerms())  # type: ignore[arg-type]

    def alone(kept: RunNotes | None, rounds: int = 2, until: int = 100) -> tuple[str, int, int]:
        """In a program that has loaded everything anew: what came out, how many steps it tells and how many it took."""
        teacher, steps[0] = small_teacher(), 0
        train = teacher.train

        def progress(*_: object) -> None:
            steps[0] += 1
            if steps[0] == until:
                raise Broken

        monkeypatch.setattr(teacher, "train", lambda *given, **asked: train(*given, **asked, progress=progress))
        monkeypatch.setattr(learner, "_classroom", lambda _: (teacher, Split(("a", "b"), ("c",)), heads()))
        lesson = learner.learn_alone(people, rounds, kept)
        return lesson.digest, lesson.steps, steps[0]

    unbroken = alone(None)
    assert unbroken[1:] == (6, 6)
    with pytest.raises(Broken):
        alone(each, until=5)
    assert alone(each) == (unbroken[0], 6, 2), "one of the second round's three steps was kept"
    assert alone(each) == (unbroken[0], 6, 0), "asked again, it isn't trained again"
    assert alone(each, rounds=1)[1:] == (3, 3), "of so many rounds it is another training"
    [file] = [path for path in notes.folder.rglob("*") if path.is_file()]
    assert file.name == "alone"

    def other_network(_state: object, _bytes: bytes) -> None:
        raise StateRefused("of another version")

    monkeypatch.setattr(Halfway, "take_up", other_network)
    assert alone(each, rounds=1)[1:] == (3, 3), "what can't be gone on with is begun anew"
