"""What every kind of task has in common: one network, its training, and how it is judged. Needs torch and MONAI."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from wardround.contracts.run_plan import RunPlan
from wardround.learning import network, prediction
from wardround.learning.arrays import Arrays, ArraysRefused, check, from_bytes
from wardround.learning.bundle import Bundle, read_bundle
from wardround.learning.case import CaseRefused, Example
from wardround.learning.layers import Sharing, sharing
from wardround.learning.metrics import Outcome
from wardround.learning.moments import Moments
from wardround.learning.resumption import Checkpoint, Halfway, take_up_moments
from wardround.learning.runtime import Fastest, Run, reference_of
from wardround.learning.steered import Steered, normalisation
from wardround.learning.steering import Steering
from wardround.learning.strategies.site import Trained

if TYPE_CHECKING:
    from wardround.learning.guard import Guard

Progress = Callable[[int, int, float], None]
"""Called after each step with the steps done, the steps asked for, and the mean loss so far."""

CaseT = TypeVar("CaseT", bound=Example)
PreparedT = TypeVar("PreparedT")


class Stopped(RuntimeError):
    """Training was asked to stop; there are no weights."""


@contextmanager
def _chance_of_its_own() -> Iterator[None]:
    """Layers such as dropout draw from the process's generator: it is seeded for a round, and afterwards as before."""
    with torch.random.fork_rng(devices=[]):
        yield


class Learner(ABC, Generic[CaseT, PreparedT]):
    """The network of one model package, in this process: a subclass for each kind of task.

    `threads` sets torch's number of threads for the whole process. Prepared cases are kept for as long as the objects
    that they were made of live, so hand in the same objects.
    """

    def __init__(self, bundle: Bundle | Path, threads: int = 1, setting: str = "default") -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
        self.setting = self.bundle.setting(setting)
        torch.set_num_threads(threads)
        self._module = network.built_for(self.bundle)
        self._runs: Run = self._module
        self._served: Arrays | None = None
        self._threads = threads
        self._kept: tuple[int, int, torch.optim.Optimizer] | None = None
        self._fast_bfloat16 = network.has_fast_bfloat16()
        self._prepared: WeakKeyDictionary[CaseT, PreparedT] = WeakKeyDictionary()

    def initial(self, seed: int) -> Arrays:
        """The weights that training begins with, the same for the same seed: fresh ones and, where the package holds
        weights, those instead, but for the arrays that its patterns `fresh` name.

        Raises:
            ArraysRefused: the package's weights aren't this network's.
            BundleRefused: see `Bundle.check_trainable`.
        """
        self.bundle.check_trainable()
        module = network.build(self.bundle.network, seed)
        self._begin(module)
        fresh = network.weights(module)
        if self.bundle.weights is None:
            return fresh
        anew = {name for name in fresh if any(fnmatchcase(name, pattern) for pattern in self.bundle.fresh)}
        held = {name: one for name, one in from_bytes(self.bundle.weights.read_bytes()).items() if name not in anew}
        check(held, like={name: fresh[name] for name in fresh if name not in anew})
        return {**fresh, **held}

    def sharing(self, plan: RunPlan) -> Sharing:
        """How a plan parts this network's arrays. Raises `ArraysRefused`, see `layers.sharing`."""
        names = network.named(self._module).keys()
        return sharing(names, normalisation(self._module) & names, plan)

    @_chance_of_its_own()
    def train(
        self,
        arrays: Arrays,
        cases: Sequence[CaseT],
        *,
        steps: int,
        round_number: int,
        total_rounds: int,
        seed: int,
        steering: Steering = Steering(),
        guard: Guard | None = None,
        checkpoint: Checkpoint | None = None,
        stop: Callable[[], bool] | None = None,
        progress: Progress | None = None,
    ) -> Trained:
        """Train from `arrays` for `steps` steps as round `round_number` (from 1) of `total_rounds`.

        The learning rate follows one cosine over all rounds. The optimiser's moments go on from the round before
        where `checkpoint` has them, or, without one, where this object trained that round with the same seed, and begin
        afresh otherwise. So the same calls give the same weights on the same machine.

        Args:
            steering: what an algorithm adds to that. Arrays that are frozen come back as they came.
            guard: what keeps the steps from telling much of any one patient; the moments always begin afresh then, so
                that all that a round tells follows from its own weights.
            checkpoint: where the state is kept on the way; of a round that was broken off only the steps after it are
                done, and of one that was whole none.

        Raises:
            Stopped: `stop` answered true between two steps.
            CaseRefused: `no-labels`, no case has a label; or a case can't be prepared.
            ArraysRefused: the weights aren't this network's; `not-finite`, training diverged.
            BundleRefused: `mixes-patients`, this network can't be trained under a guard; see `Bundle.check_trainable`.
            StateRefused: what `checkpoint` has can't be gone on with.
        """
        if steps < 1 or not 1 <= round_number <= total_rounds:
            raise ValueError(f"{steps} steps in round {round_number} of {total_rounds} make no sense")
        self.bundle.check_trainable()
        prepared = [self._ready(case) for case in cases if case.labelled]
        if not prepared:
            raise CaseRefused("no-labels", "none of the cases has a label to train on")
        self._load(arrays)
        if guard is not None:
            self._check_guarded(guard)
        optimiser = self._optimiser(seed, round_number, checkpoint, steering, fresh=guard is not None)
        rates = [self._learning_rate(step, steps, round_number, total_rounds, steering) for step in range(steps)]
        # Moments that a round which is broken off here has moved belong to no round.
        self._kept = None
        draws = np.random.default_rng([seed, round_number] if guard is None else guard.entropy)
        generator = torch.Generator().manual_seed(int(draws.integers(2**62)))
        torch.manual_seed(generator.initial_seed())
        self._module.train()
        steered = Steered(self._module, arrays, steering)
        state = Halfway(self._module, optimiser, draws, generator)
        begun = None if checkpoint is None else checkpoint.begun()
        if begun is not None:
            state.take_up(begun)

        def backward(of: Sequence[PreparedT]) -> float:
            inputs, targets = self._batch(of, draws, generator)
            with torch.autocast("cpu", torch.bfloat16, enabled=self._fast_bfloat16):
                outputs = self._outputs(inputs)
            loss = self._loss(outputs, targets)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            return float(loss.detach())

        for step in range(state.step, steps):
            if stop is not None and stop():
                raise Stopped("training was asked to stop")
            for group in optimiser.param_groups:
                group["lr"] = rates[step]
            loss = backward(prepared) if guard is None else guard.gradients(self._module, prepared, backward, step)
            steered.hold()
            if guard is None:
                torch.nn.utils.clip_grad_norm_(self._module.parameters(), 5.0)
            steered.correct()
            optimiser.step()
            state.step, state.losses = step + 1, state.losses + loss
            if not math.isfinite(state.losses):
                raise ArraysRefused("not-finite", "training diverged: the loss is no longer finite")
            if progress is not None:
                progress(step + 1, steps, state.losses / (step + 1))
            if checkpoint is not None and (step + 1 == steps or checkpoint.due()):
                checkpoint.keep(state.packed(), whole=step + 1 == steps)
        self._kept = None if steering.descent is not None else (seed, round_number, optimiser)
        trained = network.weights(self._module) | {name: arrays[name] for name in steering.frozen}
        return Trained(trained, state.losses / steps, steps, math.fsum(rates))

    def evaluate(
        self, arrays: Arrays, cases: Sequence[CaseT], *, stop: Callable[[], bool] | None = None
    ) -> dict[str, Outcome]:
        """What the package's metric needs of each labelled case, by the case's name; see `metrics.over`.

        Raises:
            Stopped: `stop` answered true between two cases.
            CaseRefused, ArraysRefused: as `train`.
        """
        self._load(arrays)
        self._module.eval()
        found = {}
        for case in cases:
            if not case.labelled:
                continue
            if stop is not None and stop():
                raise Stopped("evaluation was asked to stop")
            found[case.name] = self._judge(case)
        return found

    @_chance_of_its_own()
    def statistics(self, arrays: Arrays, cases: Sequence[CaseT], *, batches: int, seed: int) -> Arrays:
        """The mean and variance of what enters each layer that keeps statistics, over batches drawn as for training
        (Izmailov, Podoprikhin, Garipov, Vetrov, Wilson: Averaging weights leads to wider optima and better
        generalization, UAI 2018, section 3.2: averaged weights need statistics of their own). No weight changes.

        Raises:
            CaseRefused: as `train`.
            ArraysRefused: as `train`; `empty`, the network has no such layer.
        """
        prepared = [self._ready(case) for case in cases if case.labelled]
        if not prepared:
            raise CaseRefused("no-labels", "none of the cases has a label to train on")
        self._load(arrays)
        draws = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(int(draws.integers(2**62)))
        self._module.eval()
        moments = Moments(self._module)
        with moments.counting(), torch.no_grad():
            for _ in range(batches):
                self._outputs(self._batch(prepared, draws, generator)[0])
        return moments.told()

    def predict(self, arrays: Arrays, case: CaseT) -> NDArray[Any]:
        """What the network makes of a case, labelled or not, as `prediction.predict` has it.

        Raises:
            CaseRefused: the case can't be prepared.
            ArraysRefused: the weights aren't this network's.
        """
        if arrays is not self._served:
            self._load(arrays)
            self._module.eval()
        return self._predict(case)

    def serve(self, arrays: Arrays) -> None:
        """Have `predict` with these very arrays run in the fastest runtime that agrees with PyTorch (`runtime`).

        Raises:
            ArraysRefused: the weights aren't this network's.
        """
        self._load(arrays)
        self._module.eval()
        self._runs, self._served = Fastest(self._module, self._threads), arrays
        # So that it is compiled and checked before any case came, where the shape of a case is known by then.
        if (shape := prediction.input_shape(self.bundle)) is not None:
            self._run(np.zeros(shape, np.float32))

    @property
    def runtime(self) -> str:
        """What ran the network last, and how that was checked."""
        return self._runs.said if isinstance(self._runs, Fastest) else reference_of(self._module)

    def _load(self, arrays: Arrays) -> None:
        """Other weights are run by PyTorch."""
        self._runs, self._served = self._module, None
        network.load_weights(self._module, arrays)

    def _check_guarded(self, guard: Guard) -> None:
        """Raises `BundleRefused` (`mixes-patients`) where this can't be trained under a guard."""
        guard.check(self._module)

    def _begin(self, module: torch.nn.Module) -> None:
        """Set what fresh weights shouldn't leave to chance."""

    @abstractmethod
    def _prepare(self, case: CaseT) -> PreparedT:
        """What is drawn from in training; made once for a case."""

    @abstractmethod
    def _batch(
        self, prepared: Sequence[PreparedT], draws: np.random.Generator, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The inputs and targets of one step; all chance comes from the two generators."""

    def _outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the network makes of a batch, as float32."""
        found: torch.Tensor = self._runs(inputs)
        return found.float()

    @abstractmethod
    def _loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of one batch, a scalar."""

    @abstractmethod
    def _judge(self, case: CaseT) -> Outcome:
        """What the metric needs of a labelled case, by the weights that are loaded."""

    def _predict(self, case: CaseT) -> NDArray[Any]:
        """As `predict`, by the weights that are loaded."""
        return prediction.predict(self.bundle, self._run, case)

    def _run(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network makes of a batch."""
        with torch.inference_mode():
            found: NDArray[np.float32] = self._runs(torch.from_numpy(inputs)).float().numpy()
        return found

    def _ready(self, case: CaseT) -> PreparedT:
        if case not in self._prepared:
            self._prepared[case] = self._prepare(case)
        return self._prepared[case]

    def _optimiser(
        self, seed: int, round_number: int, checkpoint: Checkpoint | None, steering: Steering, *, fresh: bool
    ) -> torch.optim.Optimizer:
        """The last round's optimiser with its moments, as far as they are known and not `fresh`; else a new one.

        Moments that begin anew with every round cost a federated model the first steps of each.
        """
        if steering.descent is not None:
            return torch.optim.SGD(self._module.parameters(), lr=steering.descent)
        if not fresh and checkpoint is None and self._kept is not None and self._kept[:2] == (seed, round_number - 1):
            return self._kept[2]
        rate, decay = self.setting.learning_rate, self.setting.weight_decay
        optimiser = torch.optim.AdamW(self._module.parameters(), lr=rate, weight_decay=decay, fused=True)
        before = None if fresh or checkpoint is None else checkpoint.before()
        if before is not None:
            take_up_moments(optimiser, before)
        return optimiser

    def _learning_rate(self, step: int, steps: int, round_number: int, total_rounds: int, steering: Steering) -> float:
        setting = self.setting
        done = (round_number - 1 + step / steps) / total_rounds
        fall = (1 + math.cos(math.pi * done)) / 2
        rate = setting.final_learning_rate + (setting.learning_rate - setting.final_learning_rate) * fall
        if steering.descent is not None:
            return rate * steering.descent / setting.learning_rate  # it has no moments that would have to settle
        return rate * min(1.0, (step + 1) / (setting.warmup_steps + 1))


def site_seed(seed: int, site: str) -> int:
    """A run's seed for one site, so that sites draw different slices: 62 bits of a hash of both."""
    return int.from_bytes(sha256(f"{seed}\n{site}".encode()).digest()[:8], "big") >> 2
