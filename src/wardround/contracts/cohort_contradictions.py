"""Finds parts of a question that nobody can meet, or everybody: what was asked isn't what was meant.

It finds what can be seen in the tree (a criterion beside its own opposite, two sexes or two ranges of age at once); it
doesn't prove that a question can be met.
"""

from __future__ import annotations

from collections.abc import Sequence

from wardround.contracts.cohort_tree import AgeAt, All, Any_, AtIndex, Criterion, Death, Not, SexIs


def impossible(criterion: Criterion, path: str) -> str | None:
    """What is wrong below `path`, where and the mend; None where nothing is seen."""
    if isinstance(criterion, Not):
        if isinstance(criterion.of, Not):
            return f"{path}: a `not` of a `not`; take both away"
        return impossible(criterion.of, f"{path}.of")
    if not isinstance(criterion, All | Any_):
        return None
    for number, part in enumerate(criterion.of):
        if (found := impossible(part, f"{path}.of[{number}]")) is not None:
            return found
    return _opposites(criterion, path) or (_nobody(criterion.of, path) if isinstance(criterion, All) else None)


def _opposites(criterion: All | Any_, path: str) -> str | None:
    places = {part: number for number, part in enumerate(criterion.of)}
    for number, part in enumerate(criterion.of):
        if isinstance(part, Not) and part.of in places:
            whom = "nobody" if isinstance(criterion, All) else "everybody"
            return (
                f"{path}: of[{places[part.of]}] and its opposite of[{number}] stand in one `{criterion.kind}`, "
                f"which finds {whom}; take one away"
            )
    return None


def _nobody(parts: Sequence[Criterion], path: str) -> str | None:
    sexes: set[str] | None = None
    low: dict[object, int] = {}
    high: dict[object, int] = {}
    for number, part in enumerate(parts):
        where = f"{path}.of[{number}]"
        if isinstance(part, SexIs):
            sexes = set(part.any_of) if sexes is None else sexes & set(part.any_of)
            if not sexes:
                return f"{where}: with the sexes asked beside it nobody is left; put them into one `sex` with `any_of`"
        if isinstance(part, AgeAt) and isinstance(part.at, AtIndex | Death):
            low[part.at] = max(low.get(part.at, 0), part.min or 0)
            high[part.at] = min(high.get(part.at, 1000), 1000 if part.max is None else part.max)
            if low[part.at] > high[part.at]:
                return f"{where}: with the ages asked beside it nobody is left; put them into one `age`"
    return None
