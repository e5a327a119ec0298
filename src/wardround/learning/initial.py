"""A run's first weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from wardround.contracts.run_plan import RunPlan
from wardround.learning.arrays import to_bytes
from wardround.learning.bundle import packaged
from wardround.learning.segmenter import Segmenter


@dataclass(frozen=True)
class Beginning:
    """What a run begins with, as safetensors: `whole`, every array of the network, and of those what travels."""

    whole: bytes = field(repr=False)
    travelling: bytes = field(repr=False)


def beginning(plan: RunPlan) -> Beginning:
    """Fresh weights of the plan's installed model package, the same for the same plan. Imports torch.

    Raises:
        BundleRefused: there is no such package or setting.
        ArraysRefused: the plan's layers aren't those of this network.
    """
    segmenter = Segmenter(packaged(plan.package), setting=plan.setting)
    arrays = segmenter.initial(plan.seed)
    return Beginning(to_bytes(arrays), to_bytes(segmenter.sharing(plan).travelling_of(arrays)))
