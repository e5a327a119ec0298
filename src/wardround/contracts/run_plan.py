"""What a run is to do. It is data, not code: a node runs the code of its own installed package."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from wardround.contracts.algorithm import Algorithm, Cyclic, FedAvg, FedBN, Merge
from wardround.contracts.base import Digest, Frozen
from wardround.contracts.layers import Layers
from wardround.contracts.masking import Masking
from wardround.contracts.metric import MetricName, Value, check_value
from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.contracts.plateau import Plateau
from wardround.contracts.privacy import Privacy, chosen
from wardround.contracts.robust import Robust
from wardround.contracts.steps import StepName, in_order

Reads = Literal["images", "records", "images-and-records"]
"""What a package learns from: images with what was drawn on them, health records, or images with what records say."""

PackageName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,60}$")]


class RunPlan(Frozen):
    """A federated training run.

    `reads` is what a site reads of its cohort's people, and `own_code` whether Python runs there that the package
    brings, in a jail; both have to be as the package is.
    `metric` is how models are judged on each site's held-out patients, and `target` ends the run early once the mean of
    the aggregate over the sites is as good as that, `plateau` once that mean gets no better.
    `quorum` is how many sites a round needs; `deadline_seconds` is how long a round waits for the others.
    `local_steps` is the number of optimiser steps per round, the same at every site; `None` takes the setting's own.
    With `compare_alone`, each site also trains the same model on its own patients alone, for as many steps as the run
    took there, and every model is judged at every site. `privacy` is what each site does to an update before it leaves.
    `patient_privacy` is how little all rounds may tell of any one patient; how good a round is stays home then.
    `layers` are the arrays of the model that don't travel: what is the hospitals' own, and what nobody trains.
    `masking` has the hub see the sum of a round's updates and no single one.
    `robust` is how the hub keeps a few hostile updates from moving the model far; without it the mean is plain, of all
    updates but those that change the model more than `largest_change` times as much as the middle one of their round,
    where updates are seen and a round has three of them.
    With `quantise` a site sends eight bits for each weight, and adds to its next update what was lost of this one.
    """

    package: PackageName
    package_digest: Digest
    algorithm: Algorithm = FedAvg()
    layers: Layers = Layers()
    setting: str = Field(default="default", pattern=r"^[a-z][a-z0-9_-]{0,40}$")
    rounds: int = Field(ge=1, le=1000)
    reads: Reads = "images"
    own_code: bool = False
    metric: MetricName = "dice"
    target: Value | None = None
    plateau: Plateau | None = Field(default=None, exclude_if=lambda value: value is None)
    local_steps: int | None = Field(default=None, ge=1, le=100_000)
    quorum: int = Field(ge=1, le=1000)
    deadline_seconds: float = Field(default=600, gt=0, le=86_400)
    compare_alone: bool = True
    privacy: Privacy | None = None
    patient_privacy: PatientPrivacy | None = None
    masking: Masking | None = None
    robust: Robust | None = None
    largest_change: float = Field(default=8, ge=2, le=1e6, allow_inf_nan=False)
    quantise: bool = False
    seed: int = Field(default=0, ge=0, lt=2**31)

    @property
    def steps(self) -> tuple[StepName, ...]:
        """What the plan has done to an update before it leaves, in order."""
        return in_order(chosen(self.privacy, masked=self.masking is not None, quantised=self.quantise))

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_version(cls, said: Any) -> Any:
        """Plans of version 0.1 have `target_dice`, and are kept for as long as their runs."""
        if isinstance(said, dict) and "target_dice" in said:
            return {name: value for name, value in said.items() if name != "target_dice"} | {
                "target": said["target_dice"]
            }
        return said

    @model_validator(mode="after")
    def _one_mind(self) -> RunPlan:
        if self.target is not None:
            check_value(self.metric, self.target)
        if self.privacy is not None and self.compare_alone:
            raise ValueError(
                "with `privacy` a model that a site trained alone would leave without it; set `compare_alone` to false"
            )
        if self.patient_privacy is not None and self.compare_alone:
            raise ValueError(
                "with `patient_privacy` a model that a site trained alone would leave without it; set `compare_alone` "
                "to false"
            )
        ends_early = self.target is not None or self.plateau is not None
        if self.patient_privacy is not None and ends_early:
            raise ValueError(
                "with `patient_privacy` no site tells how good a round is, so neither `target` nor `plateau` can end a "
                "run; take them out"
            )
        if self.compare_alone and (self.layers.at_home or isinstance(self.algorithm, FedBN)):
            raise ValueError(
                "with layers that stay at home a model that a site trained alone would leave with its own; set "
                "`compare_alone` to false"
            )
        self._check_masking()
        once = self.robust is None and self.masking is None and not ends_early
        if isinstance(self.algorithm, Merge) and not (self.compare_alone and once):
            raise ValueError(
                "a merge is of models that hospitals train alone, once: set `compare_alone` to true, and take "
                "`robust`, `masking`, `target` and `plateau` out"
            )
        if isinstance(self.algorithm, Merge) and self.algorithm.ensemble and self.own_code:
            raise ValueError("a package with Python of its own is no ensemble; take `ensemble` out of the algorithm")
        if isinstance(self.algorithm, Cyclic) and (self.robust is not None or self.masking is not None):
            raise ValueError(
                "in a cyclic run each update goes to the next hospital as it is: there are no others to hold it "
                "against, or to hide it among; take `robust` and `masking` out, or choose another algorithm"
            )
        if self.masking is not None and self.quantise:
            raise ValueError("masks need all bits of an update; set `quantise` to false")
        if self.robust is not None and self.quorum < self.robust.least_updates:
            raise ValueError(
                f"`robust` by {self.robust.name} needs {self.robust.least_updates} updates in every round; raise "
                f"`quorum` to that, or choose another"
            )
        return self

    def _check_masking(self) -> None:
        if self.masking is None:
            return
        if self.privacy is None:
            raise ValueError(
                "with `masking` nobody but the hospital itself can bound an update; give `privacy` with a `clip_norm`"
            )
        if self.robust is not None:
            raise ValueError(
                f"with `masking` the hub sees no single update, so that `robust` by {self.robust.name} can't be done "
                "there; take it out: `privacy.clip_norm` bounds each update at its hospital"
            )
        if self.quorum < self.masking.threshold:
            raise ValueError(
                f"`masking` needs {self.masking.threshold} updates in every round; raise `quorum` to that, or lower "
                "its `threshold`"
            )
