"""What a validation's cases show: each measure with its interval, over all of them and in each subgroup."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from wardround.contracts.validation import Axis, JudgedCase, LocalValidation, Measure
from wardround.learning.intervals import Interval
from wardround.learning.statistics.calibration import Calibration, calibration
from wardround.learning.statistics.diagnosis import Diagnosis
from wardround.learning.statistics.resampling import resampled
from wardround.learning.statistics.roc import area


@dataclass(frozen=True)
class Findings:
    """Of some cases: `positive` of `cases` have the finding. Shares have exact intervals, the area DeLong's, what is
    measured of outlines the bootstrap's. What these cases can't tell isn't there.

    average_mm, hd95_mm: means over the cases in which both surfaces are there, which `outlined` counts.
    """

    cases: int
    positive: int
    measures: Mapping[Measure, Interval]
    precision: Interval | None
    outlined: int
    average_mm: Interval | None
    hd95_mm: Interval | None


def findings(cases: Collection[JudgedCase], threshold: float) -> Findings:
    """What these cases show at a threshold."""
    scores, truth = [case.score for case in cases], [case.positive for case in cases]
    told = Diagnosis.of(scores, truth, threshold)
    measures: dict[Measure, Interval | None] = {
        "sensitivity": told.sensitivity(),
        "specificity": told.specificity(),
        "auc": area(scores, truth) if min(sum(truth), len(truth) - sum(truth)) >= 2 else None,
        "dice": resampled([case.dice for case in cases if case.dice is not None and case.positive]),
    }
    average = [case.average_mm for case in cases if case.average_mm is not None]
    return Findings(
        cases=len(truth),
        positive=sum(truth),
        measures={name: one for name, one in measures.items() if one is not None},
        precision=told.precision(),
        outlined=len(average),
        average_mm=resampled(average),
        hd95_mm=resampled([case.hd95_mm for case in cases if case.hd95_mm is not None]),
    )


def by_group(cases: Collection[JudgedCase], threshold: float) -> dict[Axis, dict[str, Findings]]:
    """The same of each subgroup of each axis, in the order of their names."""
    groups: dict[Axis, dict[str, list[JudgedCase]]] = defaultdict(lambda: defaultdict(list))
    for case in cases:
        for axis, name in case.groups.items():
            groups[axis][name].append(case)
    return {
        axis: {name: findings(one, threshold) for name, one in sorted(found.items())}
        for axis, found in sorted(groups.items())
    }


def calibrated(record: LocalValidation) -> Calibration | None:
    """How well its probabilities are calibrated; None where its scores aren't probabilities, or there is none."""
    if record.scores != "probability" or not record.cases:
        return None
    cases = list(record.cases.values())
    return calibration([case.score for case in cases], [case.positive for case in cases])


def missed(found: Findings, least: Mapping[Measure, float]) -> dict[Measure, tuple[float | None, float]]:
    """The measures that stay below what a plan asked for at least: the lower bound, None where these cases can't tell
    it, and what was asked."""
    lows = {name: found.measures[name].low if name in found.measures else None for name in least}
    return {name: (lows[name], asked) for name, asked in least.items() if (low := lows[name]) is None or low < asked}
