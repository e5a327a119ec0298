"""A learner over a model package that brings Python of its own: everything that runs that code does so in a jail.

What comes back is read with distrust: weights of the names and shapes that went in and finite, outcomes of the cases
that were asked about, numbers where there have to be numbers. What no jail can keep back is what the weights themselves
were made to say; so a package of this kind runs only where somebody approved its very digest.
"""

from __future__ import annotations

import json
import math
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from wardround.compute.jail import Bounds, JailEnded, plain, run_jailed
from wardround.compute.room import room_beside
from wardround.contracts.run_plan import RunPlan
from wardround.learning.arrays import Arrays, check, from_bytes
from wardround.learning.bundle import BundleRefused, load_bundle
from wardround.learning.case import Example
from wardround.learning.layers import Sharing, sharing
from wardround.learning.metrics import WIDTH, Outcome
from wardround.learning.steering import Steering
from wardround.learning.strategies.site import Trained

ANSWER, ARRAYS = "answer.json", "arrays.safetensors"
"""What `compute.inmate` leaves."""
_LARGEST_ANSWER = 16 * 1024 * 1024


class JailedLearner:
    """Does what `learning.learner.Learner` does, for a package with `own_code`, one jail for each call.

    Its optimiser begins afresh with every round, and a round that was broken off begins anew.

    Args:
        package: the package's folder; cases are laid beside it, for as long as this object lives.
        bounds: of one call.

    Raises:
        BundleRefused, ArraysRefused: the package, or the weights that it brings, can't be used.
    """

    def __init__(self, package: Path, bounds: Bounds, setting: str = "default") -> None:
        self.bundle, self._weights = load_bundle(package)
        self.setting = self.bundle.setting(setting)
        self._setting = setting
        self._package = package
        self._bounds = bounds
        self._room = room_beside(package)
        self._laid: dict[tuple[int, ...], Path] = {}

    def initial(self, seed: int) -> Arrays:
        """The weights that the package brings, whatever the seed."""
        return self._weights

    def sharing(self, plan: RunPlan) -> Sharing:
        """As `Learner.sharing`; of such a network it isn't known which layers normalise."""
        return sharing(self._weights.keys(), frozenset(), plan)

    def train(
        self,
        arrays: Arrays,
        cases: Sequence[Example],
        *,
        steps: int,
        round_number: int,
        total_rounds: int,
        seed: int,
        steering: Steering = Steering(),
        guard: object | None = None,
        checkpoint: object | None = None,
    ) -> Trained:
        """As `Learner.train`.

        Raises:
            JailUnavailable: this machine can't make a jail; nothing was run.
            JailEnded: the package's code took too much, or failed.
            BundleRefused: `own-code`, a patient's privacy can't be guarded in code that isn't ours.
            ArraysRefused: what came back isn't sound.
        """
        if guard is not None:
            raise BundleRefused("own-code", "a package with Python of its own can't be trained under patient privacy")
        said: dict[str, Any] = {
            "steps": steps,
            "round_number": round_number,
            "total_rounds": total_rounds,
            "seed": seed,
            "steering": steering,
        }
        with TemporaryDirectory(prefix="out-", dir=self._room.name) as folder:
            output = Path(folder)
            answer = self._call("train", arrays, cases, said, output)
            trained = from_bytes(plain(output / ARRAYS, self._bounds.output_bytes))
        check(trained, like=arrays)
        loss, rates = (_number(answer, name) for name in ("loss", "rates"))
        return Trained({**trained, **{name: arrays[name] for name in steering.frozen}}, loss, steps, rates)

    def evaluate(self, arrays: Arrays, cases: Sequence[Example]) -> dict[str, Outcome]:
        """As `Learner.evaluate`. Raises as `train`."""
        with TemporaryDirectory(prefix="out-", dir=self._room.name) as folder:
            answer = self._call("evaluate", arrays, cases, {}, Path(folder))
        outcomes = answer.get("outcomes")
        if not isinstance(outcomes, dict) or outcomes.keys() != {case.name for case in cases if case.labelled}:
            raise JailEnded("the package's code judged other cases than it was asked about")
        return {name: _outcome(one, WIDTH[self.bundle.metric]) for name, one in sorted(outcomes.items())}

    def _call(
        self, what: str, arrays: Arrays, cases: Sequence[Example], said: dict[str, Any], output: Path
    ) -> dict[str, Any]:
        with TemporaryDirectory(prefix="in-", dir=self._room.name) as folder:
            (Path(folder) / "call").write_bytes(pickle.dumps({"do": what, "arrays": arrays, "with": said}))
            run_jailed(
                [sys.executable, "-I", "-m", "wardround.compute.inmate", str(self._bounds.threads), self._setting],
                inputs={"call": Path(folder), "cases": self._laid_out(cases), "package": self._package},
                output=output,
                bounds=self._bounds,
                python=True,
            )
        return _read(output / ANSWER)

    def _laid_out(self, cases: Sequence[Example]) -> Path:
        """The folder with these cases, which the jail may read; the same cases lie there once."""
        which = tuple(id(case) for case in cases)
        if which not in self._laid:
            folder = Path(self._room.name) / f"cases-{len(self._laid)}"
            folder.mkdir()
            (folder / "cases").write_bytes(pickle.dumps(list(cases)))
            self._laid[which] = folder
        return self._laid[which]


def _read(file: Path) -> dict[str, Any]:
    try:
        answer = json.loads(plain(file, _LARGEST_ANSWER))
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise JailEnded("the package's code left no answer that can be read")
    if "refused" in answer:
        raise JailEnded("in the jail the package, its weights or the cases were refused")
    return answer


def _number(answer: dict[str, Any], name: str) -> float:
    value = answer.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise JailEnded(f"the package's code left no {name}")
    return float(value)


def _outcome(value: object, width: int) -> Outcome:
    if isinstance(value, list) and len(value) == width:
        numbers = [one for one in value if isinstance(one, int | float) and math.isfinite(one)]
        if len(numbers) == width:
            return tuple(float(one) for one in numbers)
    raise JailEnded("the package's code left a judgement that isn't one")
