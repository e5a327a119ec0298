"""The parts of a model package's configuration, and whether they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wardround.contracts.metric import MetricName
from wardround.learning.case import Preparation
from wardround.learning.fact import METRICS_OF, Target
from wardround.learning.table import TablePreparation
from wardround.learning.volume import VolumePreparation

AnyPreparation = Preparation | VolumePreparation | TablePreparation
_WIDEST, _DEEPEST = 4096, 16


class BundleRefused(ValueError):
    """A model package that can't be used; `reason` is a short code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def preparation_of(values: Any) -> AnyPreparation:
    """How cases are brought to the network. Raises `ValueError` where it says no such thing."""
    if not isinstance(values, Mapping):
        raise ValueError("preparation is not an object")
    match values.get("kind", "slices"):
        case "slices":
            return Preparation.from_mapping(values)
        case "volume":
            return VolumePreparation.from_mapping(values)
        case "table":
            return TablePreparation.from_mapping(values)
        case other:
            raise ValueError(f"preparation.kind is {other!r}; known are slices, volume and table")


def patterns_of(values: Any) -> tuple[str, ...]:
    """Patterns of names of arrays. Raises `ValueError` where these aren't any."""
    if not isinstance(values, list) or len(values) > 100 or not all(isinstance(one, str) and one for one in values):
        raise ValueError("train.json: fresh is not a list of at most 100 patterns of names")
    return tuple(values)


def metric_of(evaluate: Mapping[str, Any], target: Target | None) -> MetricName:
    """How models are judged. Raises `ValueError` where that isn't for this kind of task."""
    metric = evaluate.get("metric")
    name = metric.get("name") if isinstance(metric, Mapping) else None
    fitting: frozenset[MetricName] = frozenset({"dice"}) if target is None else METRICS_OF[target.kind]
    for known in fitting:
        if name == known:
            return known
    raise ValueError(
        f"evaluate.json: metric.name is {name!r}; for this kind of task it is {' or '.join(sorted(fitting))}"
    )


def check_kind(preparation: AnyPreparation, target: Target | None) -> None:
    """Raises `BundleRefused` (`wrong-config`) where there is no such kind of task."""
    if isinstance(preparation, TablePreparation) is (target is None) and not isinstance(preparation, VolumePreparation):
        raise BundleRefused("wrong-config", "inference.json: a table needs a target, and slices have none")


def _check_sizes(network: Mapping[str, Any]) -> None:
    for key, value in network.items():
        listed = value if isinstance(value, list | tuple) else [value]
        numbers = [number for number in listed if isinstance(number, int) and not isinstance(number, bool)]
        most = _DEEPEST if key.startswith("blocks") or key in ("depths", "num_res_units") else _WIDEST
        if len(listed) > 16 or not all(0 <= number <= most for number in numbers):
            raise BundleRefused("wrong-network", f"network_def: {key} is not up to 16 sizes from 0 to {most}")


def check_network(network: Mapping[str, Any], preparation: AnyPreparation) -> None:
    """Refuse a network that doesn't fit the preparation, or whose size is beyond any sense."""
    _check_sizes(network)
    if isinstance(preparation, TablePreparation):
        told = tuple(network.get(f"{way}_features", network.get(f"{way}_channels")) for way in ("in", "out"))
        if told != (preparation.inputs, 1):
            raise BundleRefused(
                "wrong-network", f"network_def: {told} inputs and outputs; the table has {preparation.inputs} and 1"
            )
        return
    if isinstance(preparation, VolumePreparation):
        if network.get("spatial_dims", 3) != 3 or network.get("in_channels", 1) != 1:
            raise BundleRefused("wrong-network", "network_def: a volume has 3 spatial_dims and 1 in_channels")
        if network.get("out_channels", 1) not in (1, 2):
            raise BundleRefused("wrong-network", "network_def: out_channels is neither 1 nor, of an outline, 2")
        return
    wanted = {"spatial_dims": 2, "in_channels": preparation.inputs, "out_channels": preparation.outputs}
    for key, value in wanted.items():
        if network.get(key) != value:
            raise BundleRefused("wrong-network", f"network_def: {key} is {network.get(key)!r}, must be {value}")
    widths, depths = network.get("channels", network.get("init_filters")), network.get("blocks_down", [])
    levels = len(widths) if isinstance(widths, list) else len(depths)
    factor = preparation.fold * 2 ** max(levels - 1, 0)
    if any(extent % factor or not 0 < extent <= 1024 for extent in preparation.grid):
        raise BundleRefused("wrong-network", f"the grid {preparation.grid} is not made of multiples of {factor}")
