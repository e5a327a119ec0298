"""Sites of the engine's lab that add their step to every weight behind masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.engine_lab import STEPS, FakeRun, Federation

from wardround.contracts.masking import MaskedLeg, MaskedRound, MaskingStep
from wardround.federation.engine import RoundTask, RoundUpdate
from wardround.learning.arrays import Arrays, digest, from_bytes
from wardround.learning.masking.roster import verify_by
from wardround.learning.masking.site import MaskingSite

PROJECT = "a" * 64
LEDGER = "wardround/testing"
BOUND = 10.0


@dataclass
class MaskedRun:
    """A run of masked rounds of the lab's sites. `answers` are what each site gave in each step; `before` may make a
    site fail in one."""

    federation: Federation
    run: FakeRun
    keys: dict[str, Ed25519PrivateKey]
    threshold: int
    answers: dict[tuple[str, int, str], bytes] = field(default_factory=dict)
    before: Callable[[str, RoundTask], None] = lambda site, task: None

    def __post_init__(self) -> None:
        self._verify = verify_by({name: key.public_key().public_bytes_raw() for name, key in self.keys.items()})
        self._sites: dict[str, MaskingSite] = {}
        for name in self.keys:
            self.federation.sites[name].behaviours[self.run.run_id] = self._behaviour(name)

    def _behaviour(self, name: str) -> Callable[[RoundTask], RoundUpdate]:
        def take_part(task: RoundTask) -> RoundUpdate:
            self.before(name, task)
            answer = self._answer(name, task)
            self.answers[name, task.round, task.step] = answer
            if task.step != "input":
                return RoundUpdate(1.0, {}, 0, None, answer)
            return RoundUpdate(STEPS[name], {"dice": 0.5}, 3, 7, answer)

        return take_part

    def _answer(self, name: str, task: RoundTask) -> bytes:
        if task.step == "advertise":
            model = from_bytes(task.arrays)
            about = MaskedRound(
                ledger=LEDGER,
                run=task.run_id,
                leg=task.leg_id,
                round=task.round,
                project=PROJECT,
                model=digest(model),
                threshold=self.threshold,
            )
            self._sites[name] = MaskingSite(
                name, about, weight=STEPS[name], bound=BOUND, sign=self.keys[name].sign, verify=self._verify
            )
            self.size = sum(array.size for array in model.values())
            return self._sites[name].advertise()
        site = self._sites[name]
        if task.step == "input":
            return site.input(task.arrays, np.full(self.size, STEPS[name], np.float32))
        steps: dict[MaskingStep, Callable[[bytes], bytes]] = {
            "share": site.share,
            "confirm": site.confirm,
            "reveal": site.reveal,
        }
        return steps[task.step](task.arrays)  # type: ignore[index]  # the two others are done above


def masked_run(
    federation: Federation, model: Arrays, sites: Sequence[str], *, threshold: int, rounds: int, quorum: int = 2
) -> MaskedRun:
    keys = {name: Ed25519PrivateKey.generate() for name in sites}
    told = {name: key.public_key().public_bytes_raw().hex() for name, key in keys.items()}
    leg = MaskedLeg(ledger=LEDGER, project=PROJECT, threshold=threshold, keys=told)
    run = federation.hub.add(
        model, sites=sites, quorum=quorum, rounds=rounds, kind="delta", masking=leg.model_dump(mode="json")
    )
    return MaskedRun(federation, run, keys, threshold)
