"""Facts of health records that a model package names: what it learns from, and what it learns to tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from wardround.contracts.metric import MetricName

EventKind = Literal["measurement", "condition", "procedure", "drug", "observation", "death"]
FactKind = Literal["age", "sex"] | EventKind
_CODED = frozenset({"measurement", "condition", "procedure", "drug", "observation"})
_KINDS = frozenset({"age", "sex", *get_args(EventKind)})


@dataclass(frozen=True)
class Fact:
    """One fact of a person, as a number.

    of: `age` in whole years on the day of the last measurement that the package names; `sex`, 1 for male and 0 for
        female; `measurement`, the last one's number; any other is 1 where the records have it, and 0 where not.
    code: `VOCABULARY:CODE`, as in LOINC:8480-6; of all but age, sex and death.
    unit: UCUM; a measurement in another unit is turned into this one where that can be done, and unknown otherwise.
        Without it numbers are taken as they are.
    """

    of: FactKind
    code: str = ""
    unit: str = ""

    @classmethod
    def from_mapping(cls, values: Any) -> Fact:
        """From a JSON object. Raises `ValueError` where it isn't a fact."""
        if not isinstance(values, Mapping) or not all(isinstance(value, str) for value in values.values()):
            raise ValueError(f"{values!r} is no fact: an object with `of`, `code` and `unit`, all texts")
        if unknown := sorted(values.keys() - {"of", "code", "unit"}):
            raise ValueError(f"a fact holds unknown names: {', '.join(unknown)}")
        fact = cls(**values)
        if fact.of not in _KINDS:
            raise ValueError(f"a fact is of {fact.of!r}; known are {', '.join(sorted(_KINDS))}")
        vocabulary, _, code = fact.code.partition(":")
        if (fact.of in _CODED) is not bool(vocabulary and code):
            raise ValueError(f"a fact of {fact.of} has the code {fact.code!r}; it is VOCABULARY:CODE, or none at all")
        if fact.unit and fact.of != "measurement":
            raise ValueError(f"a fact of {fact.of} has no unit")
        return fact

    def in_words(self) -> str:
        return " ".join(part for part in (self.of, self.code, f"in {self.unit}" if self.unit else "") if part)


TargetKind = Literal["class", "number", "survival"]

METRICS_OF: Mapping[TargetKind, frozenset[MetricName]] = {
    "class": frozenset({"auc", "accuracy"}),
    "number": frozenset({"mae"}),
    "survival": frozenset({"c_index"}),
}


@dataclass(frozen=True)
class Target:
    """What a package learns to tell of a person.

    kind: `class`, whether `fact` is so; `number`, the value of `fact`; `survival`, how long after the first `since` the
        first `fact` came, in days, or how long it is known not to have.
    mean, scale: of a `number`, so that the network learns it around 0; scores are in the fact's own unit.
    """

    kind: TargetKind
    fact: Fact
    since: Fact | None = None
    mean: float = 0.0
    scale: float = 1.0

    @classmethod
    def from_mapping(cls, values: Any) -> Target:
        """From a JSON object. Raises `ValueError` where it isn't a target."""
        if not isinstance(values, Mapping):
            raise ValueError("target is not an object")
        if unknown := sorted(values.keys() - {"kind", "fact", "since", "mean", "scale"}):
            raise ValueError(f"target holds unknown names: {', '.join(unknown)}")
        kind: Any = values.get("kind")
        if kind not in METRICS_OF:
            raise ValueError(f"target is of the kind {kind!r}; known are {', '.join(METRICS_OF)}")
        since = Fact.from_mapping(values["since"]) if "since" in values else None
        fact = Fact.from_mapping(values.get("fact"))
        mean, scale = finite(values.get("mean", 0.0), "mean"), finite(values.get("scale", 1.0), "scale")
        if scale <= 0:
            raise ValueError("the target's scale isn't above 0")
        events = [fact, since] if kind == "survival" else [fact] if kind == "class" else []
        if kind == "number" and fact.of not in ("measurement", "age"):
            raise ValueError(f"a number is a measurement or an age, not {fact.of}")
        if any(one is None or one.of in ("age", "measurement") for one in events):
            raise ValueError(f"a target of the kind {kind} is of things that are there or not, or came on a day")
        if (kind == "survival") is not (since is not None) or (kind == "survival" and fact.of == "sex"):
            raise ValueError("a target names `since` if it is survival, and only then")
        return cls(kind, fact, since, mean, scale)

    @property
    def width(self) -> int:
        """How many numbers a person's target is: the class, the number, or time and whether the event came."""
        return 2 if self.kind == "survival" else 1

    def rank(self, values: tuple[float, ...]) -> float:
        """Where somebody with that target stands among others: those with the event first."""
        return values[0] - 1e9 * values[1] if self.kind == "survival" else values[0]


def finite(value: Any, name: str) -> float:
    """A finite number of a JSON object. Raises `ValueError` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a finite number")
    return float(value)
