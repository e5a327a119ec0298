"""One of four hospitals sends what harms: what is left of the model under unchecked FedAvg, and under ours.

Fed-Heart-Disease (FLamby) with the setting that `flamby_heart.py` chose: a linear model, units in common, FedAvg at
0.01. In each round the last hospital trains on labels the wrong way round, or sends the opposite of what it learned,
ten times the opposite, a thousand times what it learned, values that aren't numbers, or another model's shape.
Accuracy: mean over the three honest hospitals' test sets, then over seeds.

Unchecked FedAvg is the mean of all updates and nothing else. Ours are rounds of the engine of one process, with a
quorum of three: as a plan has it by itself (`largest_change`), and with each robust rule that works with four.
What was refused is counted from the rounds' own record.

Run as `python benchmarks/hostile.py [--quick] [--json FILE] [--data FOLDER]`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from _bench import machine
from _heart import HOSPITALS, Parts, Rows, asked
from _linear import Hospital, Hub, Local, accuracy, carried, initial, schedule
from flamby_heart import CHOSEN, COMMON, EVERYONE, ROUNDS, SEEDS, STEPS, in_units

from wardround.contracts.robust import Median, NormBound, Robust, TrimmedMean
from wardround.contracts.run_plan import RunPlan
from wardround.federation.engine import Next, RoundResult, RoundTask, RoundUpdate
from wardround.learning.arrays import Arrays, from_bytes, to_bytes
from wardround.learning.strategies.averaging import Averaging

LAST = len(HOSPITALS) - 1
LARGEST_CHANGE: float = RunPlan.model_fields["largest_change"].default
Attack = Callable[[Arrays, Arrays], Arrays]
"""From what the hospital was told and what it learned to what it sends."""

ATTACKS: dict[str, Attack | None] = {
    "none": None,
    "labels flipped": lambda told, learned: learned,
    "sign flipped": lambda told, learned: _times(told, learned, -1),
    "sign flipped, ten times": lambda told, learned: _times(told, learned, -10),
    "a thousand times too large": lambda told, learned: _times(told, learned, 1000),
    "not numbers": lambda told, learned: {name: np.full_like(array, np.nan) for name, array in learned.items()},
    "another shape": lambda told, learned: {name: array[..., :1] for name, array in learned.items()},
}
RULES: dict[str, Robust | None] = {
    "ours, by itself": None,
    "ours, norm-bound": NormBound(largest=0.5),
    "ours, trimmed-mean": TrimmedMean(),
    "ours, median": Median(),
}


def _times(told: Arrays, learned: Arrays, factor: float) -> Arrays:
    return {name: told[name] + np.float32(factor) * (learned[name] - told[name]) for name in told}


@dataclass
class Hostile(Hospital):
    """A hospital that sends what `attack` makes of what it learned."""

    attack: Attack = ATTACKS["sign flipped"]  # type: ignore[assignment]  # only `none` has no attack

    def take_part(self, task: RoundTask) -> RoundUpdate:
        honest = super().take_part(task)
        sent = self.attack(from_bytes(task.arrays), from_bytes(honest.update))
        return replace(honest, update=to_bytes(sent))


class Recording(Hub):
    """Counts what each round refused."""

    def __init__(self, model: Arrays, robust: Robust | None) -> None:
        super().__init__(Averaging(), model, ROUNDS, LAST, robust, largest_change=LARGEST_CHANGE)
        self.refused: Counter[str] = Counter()

    def commit(self, result: RoundResult) -> Next:
        self.refused.update(refusal.reason for refusal in result.refused)
        return super().commit(result)


def sites(rows: Sequence[Rows], seed: int, attack: str) -> dict[str, Hospital]:
    drawn = schedule([len(one) for one in rows], seed, EVERYONE, STEPS)
    local = Local(CHOSEN[COMMON][1], STEPS)
    found = {HOSPITALS[place]: Hospital(place, one, local, drawn) for place, one in enumerate(rows)}
    does = ATTACKS[attack]
    if does is not None:
        own = replace(rows[LAST], labels=1 - rows[LAST].labels) if attack == "labels flipped" else rows[LAST]
        found[HOSPITALS[LAST]] = Hostile(LAST, own, local, drawn, attack=does)
    return found


def unchecked(model: Arrays, hospitals: dict[str, Hospital]) -> Arrays:
    """The weighted mean of whatever was sent; what doesn't fit the model ends it where it is."""
    for number in range(1, ROUNDS + 1):
        task = RoundTask("heart", "heart.1", number, ROUNDS, {}, to_bytes(model))
        updates = [site.take_part(task) for site in hospitals.values()]
        total = sum(update.weight for update in updates)
        with np.errstate(over="ignore", invalid="ignore"):
            sent = [(update.weight / total, from_bytes(update.update)) for update in updates]
            if any(array.shape != model[name].shape for _, arrays in sent for name, array in arrays.items()):
                return model
            model = {name: np.sum([w * arrays[name] for w, arrays in sent], 0).astype(np.float32) for name in model}
        if not all(np.isfinite(array).all() for array in model.values()):
            return model
    return model


def judged(model: Arrays, hospitals: Sequence[Parts]) -> float:
    with np.errstate(all="ignore"):
        return float(np.mean([accuracy(model, one.test) for one in hospitals[:LAST]]))


def row(raw: Sequence[Parts], attack: str, seeds: Sequence[int]) -> dict[str, object]:
    hospitals = in_units(raw, COMMON)
    rows = [one.train for one in hospitals]
    reached: dict[str, list[float]] = {}
    refused: Counter[str] = Counter()
    for seed in seeds:
        reached.setdefault("unchecked FedAvg", []).append(
            judged(unchecked(initial(seed), sites(rows, seed, attack)), hospitals)
        )
        for name, rule in RULES.items():
            hub = Recording(initial(seed), rule)
            reached.setdefault(name, []).append(judged(carried(hub, sites(rows, seed, attack))[-1], hospitals))
            if rule is None:
                refused += hub.refused
    return {
        "attack": attack,
        "accuracy": {name: round(float(np.mean(values)), 4) for name, values in reached.items()},
        "refused": dict(refused),
        "updates": ROUNDS * len(seeds),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    options, hospitals = asked(__doc__, "two seeds rather than five", arguments)
    if hospitals is None:
        return 0
    torch.set_num_threads(1)
    began = machine()
    rows = [row(hospitals, attack, list(SEEDS)[: 2 if options.quick else 5]) for attack in ATTACKS]
    names = ["unchecked FedAvg", *RULES]
    print(f"{'one of four sends':30}" + "".join(f"{name:>20}" for name in names) + "  refused by ours, by itself")
    for one in rows:
        reached = one["accuracy"]
        assert isinstance(reached, dict)  # noqa: S101 - `row` makes it
        told = ", ".join(f"{count} of {one['updates']} {reason}" for reason, count in dict(one["refused"]).items())  # type: ignore[call-overload]
        print(f"{one['attack']:30}" + "".join(f"{reached[name]:20.4f}" for name in names) + f"  {told or 'none'}")
    print(f"{began} to {machine()}")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
