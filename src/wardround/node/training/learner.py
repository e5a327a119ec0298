"""What the learning process does: load the frozen cohort, train, judge. It has no way to the network.

These functions run in a `compute.worker.Worker`, the only place of a node that imports torch for training. They
are called by name with plain values; what they load stays loaded until the process ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from wardround.compute.jail import JailEnded, JailUnavailable
from wardround.compute.jailed import JailedLearner
from wardround.contracts.approval_limits import Terms
from wardround.contracts.metric import MetricName
from wardround.contracts.run_plan import RunPlan
from wardround.foundation.errors import WardroundError
from wardround.foundation.stored import Held
from wardround.learning.arrays import Arrays, ArraysRefused, from_bytes, to_bytes
from wardround.learning.bundle import BundleRefused, read_bundle
from wardround.learning.case import CaseRefused, Example
from wardround.learning.ensemble import members_of
from wardround.learning.membership import betrayal
from wardround.learning.metrics import Outcome, over
from wardround.learning.release import Trained, released
from wardround.learning.split import Split, apart, split
from wardround.learning.steering import Steering
from wardround.learning.strategies.site import Trained as Learned
from wardround.learning.strategies.site import personal_model, take_turn, weights_told, whole_model
from wardround.learning.wire import packed
from wardround.node.training.assignment import Assignment
from wardround.node.training.checkpoint import RoundCheckpoint, RunNotes
from wardround.node.training.patients import guard_of

if TYPE_CHECKING:
    from wardround.learning.learner import Learner

    Teacher = Learner[Any, Any] | JailedLearner


BATCHES = 64
"""So many batches tell the statistics of a model, at every site."""

OWED = "owed:"
"""The names of what eight bits lost of an update, in what this site keeps of a round: this, and the weight's own."""


class LessonRefused(WardroundError):
    """The cohort or the weights can't be learned from. It crosses processes, so it holds one text.

    `code` leaves the node. It says what is wrong with weights that came, and of a cohort that something is: one word
    for every cause, since one of them is a small number of people. The text says which, and stays here.
    """

    code = "not-learnable"


@contextmanager
def _refusals() -> Iterator[None]:
    """Errors of learning as errors that cross the process boundary whole."""
    try:
        yield
    except ArraysRefused as error:
        raise LessonRefused(str(error), code=error.reason) from None
    except CaseRefused as error:
        raise LessonRefused(f"{error} ({error.reason})") from None
    except BundleRefused as error:
        raise LessonRefused(str(error), code=error.reason) from None
    except (JailUnavailable, JailEnded) as error:
        raise LessonRefused(str(error), code=error.code) from None


@dataclass(frozen=True)
class Lesson:
    """What was learned. `update` is a round's update, or the weights of a model trained alone (safetensors); `score`,
    by `metric`, judges the weights that came in, or that model: None where the held-out patients can't tell it. `own`
    is what this site keeps to itself for the next round, if the plan has it keep anything."""

    update: bytes
    digest: str
    steps: int
    loss: float
    metric: MetricName
    score: float | None
    training: int
    held_out: int
    own: bytes = b""

    @property
    def metrics(self) -> dict[str, float]:
        """The score by its metric's name, where there is one."""
        return {} if self.score is None else {str(self.metric): self.score}


@dataclass(frozen=True)
class Judged:
    """What the metric needs of each held-out patient, by the project's own pseudonyms, and how many are trained on.
    `tested` are the names of all of them where it was asked how well the model betrays whom it was trained on, and
    `membership` is the answer (`learning.membership`)."""

    metric: MetricName
    outcomes: dict[str, Outcome]
    training: int
    tested: tuple[str, ...] = ()
    membership: int | None = None


@lru_cache(maxsize=2)
def _classroom(assignment: Assignment) -> tuple[Teacher, Split, dict[str, Example]]:
    # The node's own process imports this module too, for its functions' names; torch is for the worker alone.
    from wardround.learning.kinds import learner_of

    bundle = read_bundle(assignment.folder)
    cases = {case.name: case for case in assignment.cohort.read(bundle)[0]}
    if len(cases) < 2:
        raise LessonRefused("fewer than two patients of the cohort have a usable case with a label")
    if assignment.terms.patient_privacy is None:
        parts = split({name: case.rank for name, case in cases.items()}, seed=assignment.plan.seed)
    else:
        parts = apart(cases, seed=assignment.plan.seed)
    if not parts.training:
        raise LessonRefused("every patient of the cohort with a usable case with a label is held out")
    if bundle.own_code:
        bounds = replace(assignment.jail, threads=assignment.threads)
        return JailedLearner(assignment.folder, bounds, assignment.plan.setting), parts, cases
    return learner_of(bundle, threads=assignment.threads, setting=assignment.plan.setting), parts, cases


def _ensemble(assignment: Assignment, members: int) -> Teacher:
    """A learner of so many networks of the approved package side by side."""
    from wardround.learning.kinds import learner_of

    bundle = read_bundle(assignment.folder)
    if bundle.own_code:
        raise LessonRefused("a package with Python of its own is no ensemble", code="own-code")
    return learner_of(replace(bundle, members=members), threads=assignment.threads, setting=assignment.plan.setting)


def _steps(teacher: Teacher, plan: RunPlan) -> int:
    # The same at every site: what is on the ledger for all to read tells nothing of a cohort's size.
    return teacher.setting.local_steps if plan.local_steps is None else plan.local_steps


def _seed(assignment: Assignment, *, personal: bool = False) -> int:
    from wardround.learning.learner import site_seed

    return site_seed(assignment.plan.seed, f"{assignment.site} personal" if personal else assignment.site)


def _pick(cases: dict[str, Example], names: Sequence[str]) -> list[Example]:
    return [cases[name] for name in names]


@_refusals()
def prepare(assignment: Assignment) -> int:
    """Load the cohort before the first round; returns how many patients can be learned from."""
    return len(_classroom(assignment)[2])


@_refusals()
def learn(
    assignment: Assignment,
    arrays: Held,
    round_number: int,
    total_rounds: int,
    key: bytes,
    own: bytes = b"",
    notes: RunNotes | None = None,
) -> Lesson:
    """Judge the aggregate on the held-out patients, then train from it; the update is what the approved steps leave.

    `key` is the round's secret, from which its noise follows; `own` is what this site kept of the round before.
    In `notes` it is kept how far this got, and what they have of this very round isn't trained again.
    """
    teacher, parts, cases = _classroom(assignment)
    algorithm, sharing = assignment.plan.algorithm, teacher.sharing(assignment.plan)
    told, kept = from_bytes(arrays), from_bytes(own) if own else {}
    owed = {name.removeprefix(OWED): array for name, array in kept.items() if name.startswith(OWED)}
    kept = {name: array for name, array in kept.items() if not name.startswith(OWED)}
    model = _whole(teacher, assignment.plan, weights_told(algorithm, told), kept)
    metric = assignment.plan.metric
    score = over(metric, teacher.evaluate(model, _pick(cases, parts.held_out)))

    guard = guard_of(assignment, arrays, own, key)

    def train(start: Arrays, steering: Steering, *, personal: bool = False) -> Learned:
        checkpoint = None if notes is None else notes.of(assignment, round_number, start, personal=personal)
        work = partial(
            teacher.train,
            start,
            _pick(cases, parts.training),
            steps=_steps(teacher, assignment.plan),
            round_number=round_number,
            total_rounds=total_rounds,
            seed=_seed(assignment, personal=personal),
            steering=steering,
            guard=None if personal else guard,
            checkpoint=checkpoint,
        )
        return _gone_on(work, checkpoint)

    turn = take_turn(algorithm, sharing, told, kept, model, train)
    left = released(Trained(told, turn.update, assignment.terms, key, owed))
    update = _as_it_travels(left.update, assignment.terms)
    following = turn.own | {OWED + name: array for name, array in left.owed.items()}
    return Lesson(
        update=update,
        digest=sha256(update).hexdigest(),
        steps=turn.steps,
        loss=turn.loss,
        metric=metric,
        score=score,
        training=len(parts.training),
        held_out=len(parts.held_out),
        own=to_bytes(following) if following else b"",
    )


def _gone_on(work: Callable[[], Learned], kept: RoundCheckpoint | None) -> Learned:
    """Train from what was kept, or anew where that can't be gone on with."""
    from wardround.learning.resumption import StateRefused

    if kept is None:
        return work()
    try:
        return work()
    except StateRefused:
        kept.forget()
        return work()


def _as_it_travels(update: Arrays, terms: Terms) -> bytes:
    """What leaves is what is on record: its digest and its size are those of the packed bytes."""
    if "mask" in terms.steps:
        return to_bytes(update)
    return packed(update, "8-bit" if "quantise" in terms.steps else "lossless")


def _whole(teacher: Teacher, plan: RunPlan, told: Arrays, own: Arrays) -> Arrays:
    """The model as it is at this site."""
    sharing = teacher.sharing(plan)
    began = teacher.initial(plan.seed) if sharing.at_home or sharing.frozen else {}
    return whole_model(told, own, began, sharing)


@_refusals()
def learn_alone(assignment: Assignment, rounds: int, notes: RunNotes | None = None) -> Lesson:
    """Train from the run's own initial weights on this site's patients alone, for as many steps as `rounds` took.

    In `notes` it is kept how far this got, and what they have of it isn't trained again.
    """
    teacher, parts, cases = _classroom(assignment)
    began, frozen = teacher.initial(assignment.plan.seed), teacher.sharing(assignment.plan).frozen
    kept = None if notes is None else notes.alone(assignment, 1, rounds, began)

    def train() -> Learned:
        trained = Learned(began, 0.0, 0, 0.0)
        for number in range(1 if kept is None else max(1, kept.reached()), rounds + 1):
            trained = teacher.train(
                trained.arrays,
                _pick(cases, parts.training),
                steps=_steps(teacher, assignment.plan),
                round_number=number,
                total_rounds=max(rounds, assignment.plan.rounds),
                seed=_seed(assignment),
                steering=Steering(frozen=frozen),
                checkpoint=None if notes is None else notes.alone(assignment, number, rounds, began),
            )
        return trained

    trained = _gone_on(train, kept)
    update = to_bytes(trained.arrays)
    return Lesson(
        update=update,
        digest=sha256(update).hexdigest(),
        steps=rounds * trained.steps,
        loss=trained.loss,
        metric=assignment.plan.metric,
        score=over(assignment.plan.metric, teacher.evaluate(trained.arrays, _pick(cases, parts.held_out))),
        training=len(parts.training),
        held_out=len(parts.held_out),
    )


@_refusals()
def estimate(assignment: Assignment, arrays: bytes) -> bytes:
    """What this site's training patients make the statistics of a model's normalisation layers, as safetensors."""
    teacher, parts, cases = _classroom(assignment)
    if isinstance(teacher, JailedLearner):
        raise LessonRefused("statistics are taken of no package with Python of its own", code="own-code")
    training = _pick(cases, parts.training)
    return to_bytes(teacher.statistics(from_bytes(arrays), training, batches=BATCHES, seed=_seed(assignment)))


@_refusals()
def judge(
    assignment: Assignment, arrays: bytes, own: bytes = b"", personal: bool = False, membership: bool = False
) -> Judged:
    """How a model does on each held-out patient, with this site's own layers where some stay at home.

    `own` is what this site kept of the model's round; `personal` asks for the site's own model in it.
    `membership` asks how well it betrays those whom it was trained on, too.
    """
    teacher, parts, cases = _classroom(assignment)
    told, kept, sharing = from_bytes(arrays), from_bytes(own) if own else {}, teacher.sharing(assignment.plan)
    members = members_of(told.keys())
    if members > 1:
        teacher = _ensemble(assignment, members)
    alone = not sharing.at_home and told.keys() != sharing.travelling  # a model trained alone, or several, come whole
    model = told if alone else _whole(teacher, assignment.plan, told, kept)
    if personal and not (model := personal_model(kept)):
        raise LessonRefused("this site has no personal model of that round", code="no-personal-model")
    metric, outcomes = assignment.plan.metric, teacher.evaluate(model, _pick(cases, parts.held_out))
    if not membership:
        return Judged(metric, outcomes, training=len(parts.training))
    trained = teacher.evaluate(model, _pick(cases, parts.training))
    tested = (*sorted(trained), *sorted(outcomes))
    return Judged(metric, outcomes, len(parts.training), tested, betrayal(metric, trained, outcomes))
