"""How often a model that says yes or no is right: of those who have the finding, and of those who haven't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wardround.learning.intervals import Interval
from wardround.learning.statistics.share import exact


@dataclass(frozen=True)
class Diagnosis:
    """Counts of cases: found and missed of those with the finding, cleared and alarmed of those without."""

    found: int
    missed: int
    cleared: int
    alarmed: int

    @classmethod
    def of(cls, scores: Sequence[float], positive: Sequence[bool], threshold: float) -> Diagnosis:
        """Of scores of which those from `threshold` on say yes.

        Raises:
            ValueError: there aren't as many scores as answers.
        """
        pairs = [(score >= threshold, bool(truth)) for score, truth in zip(scores, positive, strict=True)]
        return cls(
            found=pairs.count((True, True)),
            missed=pairs.count((False, True)),
            cleared=pairs.count((False, False)),
            alarmed=pairs.count((True, False)),
        )

    @property
    def cases(self) -> int:
        return self.found + self.missed + self.cleared + self.alarmed

    def sensitivity(self, level: float = 0.95) -> Interval | None:
        """Of those with the finding, the share that it found, with the exact interval; None where there is none."""
        return _share(self.found, self.found + self.missed, level)

    def specificity(self, level: float = 0.95) -> Interval | None:
        """Of those without it, the share that it cleared."""
        return _share(self.cleared, self.cleared + self.alarmed, level)

    def precision(self, level: float = 0.95) -> Interval | None:
        """The positive predictive value: of those of whom it said yes, the share that has the finding. It holds for the
        prevalence among these cases, and for no other."""
        return _share(self.found, self.found + self.alarmed, level)

    def alarm_share(self, level: float = 0.95) -> Interval | None:
        """Of all cases, the share of which it said yes: how often somebody is called."""
        return _share(self.found + self.alarmed, self.cases, level)


def precision_at(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    """The positive predictive value at another prevalence, by Bayes' rule; None where nobody is flagged."""
    right, wrong = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return right / (right + wrong) if right + wrong > 0 else None


def _share(part: int, whole: int, level: float) -> Interval | None:
    return exact(part, whole, level) if whole else None
