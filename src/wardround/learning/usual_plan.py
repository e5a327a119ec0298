"""A run plan to begin a project with: what a model package says of itself, and an algorithm with its usual numbers."""

from __future__ import annotations

from pathlib import Path

from wardround.contracts.algorithm import Algorithm, AlgorithmName
from wardround.contracts.run_plan import RunPlan
from wardround.learning.bundle import bundle_digest, read_bundle


def usual_plan(
    package: Path,
    *,
    setting: str = "default",
    algorithm: AlgorithmName | Algorithm = "fedavg",
    rounds: int | None = None,
    quorum: int,
) -> RunPlan:
    """The plan of the package in that folder; `rounds` are the setting's own if not given.

    Raises:
        BundleRefused: see `read_bundle`; the package has no such setting.
    """
    bundle = read_bundle(package)
    return RunPlan.model_validate(
        {
            "package": bundle.name,
            "package_digest": bundle_digest(package),
            "algorithm": algorithm,
            "compare_alone": algorithm != "fedbn",
            "setting": setting,
            "reads": bundle.reads,
            "own_code": bundle.own_code,
            "metric": bundle.metric,
            "rounds": rounds or bundle.setting(setting).rounds,
            "quorum": quorum,
        }
    )
