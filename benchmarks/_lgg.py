"""Hospitals with patients of their own that train the glioma package together, over this project's own run protocol.

A run is carried by the engine of one process, its rounds are stepped by `wardround.learning.strategies`, and each
hospital does what a node's learning process does. Every whole round lies on the disk, so a run that was broken off goes
on from there; only the optimisers' moments begin afresh then.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wardround.contracts.algorithm import Algorithm, Ditto
from wardround.contracts.run_plan import RunPlan
from wardround.contracts.turns import Turns
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.federation.engine import (
    LegRequest,
    LegStart,
    LegState,
    Next,
    RoundResult,
    RoundTask,
    RoundUpdate,
    UpdateHeader,
)
from wardround.federation.inprocess import InProcessEngine
from wardround.foundation.files import write_whole
from wardround.learning.arrays import Arrays, difference, from_bytes, to_bytes
from wardround.learning.bundle import bundle_digest, packaged
from wardround.learning.case import Case
from wardround.learning.learner import site_seed
from wardround.learning.score import patients, read_case
from wardround.learning.segmenter import Segmenter
from wardround.learning.split import split
from wardround.learning.steering import Steering
from wardround.learning.strategies.choice import strategy_of
from wardround.learning.strategies.site import Trained, personal_model, take_turn, weights_told, whole_model
from wardround.node.training.own import OwnArrays

PACKAGE = "brain-mri-glioma"
RUN = "lgg"


@dataclass(frozen=True)
class Parts:
    """One hospital's patients: those trained on, and those held out from every model."""

    training: tuple[Case, ...]
    held_out: tuple[Case, ...]


def read(folder: Path, seed: int, most: int | None = None) -> dict[str, Parts]:
    """Each hospital's patients, held out as a node holds them out. `most`: so many of each hospital at most.

    Raises `wardround.learning.score.DataRefused`.
    """
    found = {}
    for site, names in patients(folder).items():
        cases = {name: read_case(folder / site, name) for name in names[:most]}
        parts = split({name: case.rank for name, case in cases.items()}, seed=seed)
        found[site] = Parts(*(tuple(cases[name] for name in part) for part in (parts.training, parts.held_out)))
    return found


def plan_of(algorithm: Algorithm, rounds: int, steps: int, seed: int, sites: int) -> RunPlan:
    return RunPlan(
        package=PACKAGE,
        package_digest=bundle_digest(packaged(PACKAGE)),
        algorithm=algorithm,
        rounds=rounds,
        local_steps=steps,
        quorum=sites,
        deadline_seconds=86_400,
        compare_alone=False,
        seed=seed,
    )


@dataclass
class Hospital:
    """Implements `Participant` over one hospital's patients; `folder` keeps what is its own."""

    site: str
    parts: Parts
    plan: RunPlan
    folder: Path
    teacher: Segmenter = field(init=False)

    def __post_init__(self) -> None:
        self.teacher = Segmenter(packaged(PACKAGE))
        self.sharing = self.teacher.sharing(self.plan)
        self.began = self.teacher.initial(self.plan.seed)
        self.own = OwnArrays(self.folder, PseudonymKeys(bytes(32)))

    def take_part(self, task: RoundTask) -> RoundUpdate:
        told, kept = from_bytes(task.arrays), self._kept(task.round)

        def train(start: Arrays, steering: Steering, *, personal: bool = False) -> Trained:
            return self.teacher.train(
                start,
                self.parts.training,
                steps=self.plan.local_steps or 1,
                round_number=task.round,
                total_rounds=task.total_rounds,
                seed=site_seed(self.plan.seed, f"{self.site} personal" if personal else self.site),
                steering=steering,
            )

        turn = take_turn(self.plan.algorithm, self.sharing, told, kept, self._whole(told, kept), train)
        if turn.own:
            self.own.keep(RUN, task.round, to_bytes(turn.own))
        update = to_bytes(difference(turn.update, told))
        return RoundUpdate(weight=float(len(self.parts.training)), metrics={}, steps=turn.steps, update=update)

    def models(self, aggregate: Arrays) -> dict[str, Arrays]:
        """What a finished run left here: the model of all as it is at this hospital, and its personal one."""
        kept = self._kept(self.plan.rounds + 1)
        found = {"": whole_model(aggregate, kept, self.began, self.sharing)}
        if isinstance(self.plan.algorithm, Ditto):
            found[", the personal models"] = personal_model(kept)
        return found

    def _kept(self, before: int) -> Arrays:
        own = self.own.before(RUN, before)
        return from_bytes(own) if own else {}

    def _whole(self, told: Arrays, kept: Arrays) -> Arrays:
        return whole_model(weights_told(self.plan.algorithm, told), kept, self.began, self.sharing)

    def finish(self, leg_id: str, reason: str) -> None:
        """Nothing is held."""

    def abort(self, leg_id: str, reason: str) -> None:
        """The process ends with the benchmark."""


class Hub:
    """Implements `Coordinator` over a folder: the newest whole round is in it, model and state in one file."""

    def __init__(self, plan: RunPlan, sites: Iterable[str], initial: Arrays, folder: Path) -> None:
        self.plan, self._sites, self._folder = plan, tuple(sites), folder
        self._strategy = strategy_of(plan.algorithm)
        self.model, self._state, self.round = initial, self._strategy.begin(initial), 0
        newest = max(folder.glob("round-*.safetensors"), default=None)
        if newest is not None:
            kept = from_bytes(newest.read_bytes())
            self.model = {name.removeprefix("model:"): one for name, one in kept.items() if name.startswith("model:")}
            self._state = {name.removeprefix("state:"): one for name, one in kept.items() if name.startswith("state:")}
            self.round = int(newest.stem.removeprefix("round-"))

    def begin(self, leg_id: str) -> LegStart:
        algorithm = self.plan.algorithm
        turns = Turns(order=algorithm.order, seed=self.plan.seed).model_dump() if algorithm.name == "cyclic" else {}
        return LegStart(
            run_id=RUN,
            leg_id=leg_id,
            first_round=self.round + 1,
            total_rounds=self.plan.rounds,
            sites=self._sites,
            quorum=self.plan.quorum,
            deadline_seconds=self.plan.deadline_seconds,
            plan={},
            arrays=self._told(),
            update_kind="delta",
            turns=turns,
        )

    def admit(self, header: UpdateHeader) -> None:
        """Every update that is sound counts."""

    def commit(self, result: RoundResult) -> Next:
        step = self._strategy.step(self.model, self._state, from_bytes(result.arrays))
        self.model, self._state, self.round = step.model, step.state, result.round
        named = {f"model:{name}": one for name, one in step.model.items()}
        named |= {f"state:{name}": one for name, one in step.state.items()}
        before = list(self._folder.glob("round-*.safetensors"))
        write_whole(self._folder / f"round-{result.round:04}.safetensors", to_bytes(named))
        for file in before:
            file.unlink()
        print(f"  round {result.round} of {self.plan.rounds}: {result.seconds:.0f} s", flush=True)
        return Next(go_on=True, arrays=self._told())

    def _told(self) -> bytes:
        return to_bytes(self._strategy.told(self.model, self._state))


def together(plan: RunPlan, hospitals: Mapping[str, Parts], folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Carry a run to its end. By model, the Dice of each held-out patient of each hospital.

    Raises `RuntimeError` where the run doesn't come to its end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sites = {name: Hospital(name, parts, plan, folder / name) for name, parts in hospitals.items()}
    any_site = next(iter(sites.values()))
    hub = Hub(plan, sites, any_site.sharing.travelling_of(any_site.began), folder)
    if hub.round < plan.rounds:
        engine = InProcessEngine(hub, sites)
        try:
            engine.start_leg(LegRequest(f"{RUN}.1", RUN, tuple(sites), quorum=plan.quorum))
            status = engine.wait(f"{RUN}.1")
        finally:
            engine.close()
        if status.state is not LegState.FINISHED:
            raise RuntimeError(f"the run ended early: {status.reason}")
    judged: dict[str, dict[str, dict[str, float]]] = {}
    for name, site in sites.items():
        for model, arrays in site.models(hub.model).items():
            judged.setdefault(model, {})[name] = dice(site.teacher, arrays, site.parts.held_out)
    return judged


def in_one_place(
    name: str, cases: Sequence[Case], rounds: int, steps: int, seed: int, hospitals: Mapping[str, Parts], folder: Path
) -> dict[str, dict[str, float]]:
    """Train on these patients alone. The Dice of each held-out patient of each hospital."""
    teacher = Segmenter(packaged(PACKAGE))
    weights, begun = teacher.initial(seed), 0
    file = folder / "weights.safetensors"
    if file.exists():
        weights, begun = from_bytes(file.read_bytes()), json.loads((folder / "round.json").read_text())
    for number in range(begun + 1, rounds + 1):
        weights = teacher.train(
            weights, cases, steps=steps, round_number=number, total_rounds=rounds, seed=site_seed(seed, name)
        ).arrays
        write_whole(file, to_bytes(weights))
        write_whole(folder / "round.json", json.dumps(number).encode())
    return {site: dice(teacher, weights, parts.held_out) for site, parts in hospitals.items()}


def dice(teacher: Segmenter, arrays: Arrays, cases: Sequence[Case]) -> dict[str, float]:
    return {name: outcome[0] for name, outcome in teacher.evaluate(arrays, cases).items()}


def mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found)
