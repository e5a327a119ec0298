"""What of a cohort question a PACS can be asked: C-FIND knows modality, body part, sex, age and labels."""

from __future__ import annotations

from dataclasses import dataclass

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.cohort_tree import AgeAt, All, Criterion, Imaging, SexIs
from wardround.foundation.errors import WardroundError

_CAN = "a PACS can be asked for sex, and for images by modality, body part, age and label, all together"


class NotAskable(WardroundError):
    """A question that a PACS can't answer; says which part of it."""

    code = "not-askable"


@dataclass(frozen=True, slots=True)
class StudyConditions:
    """All conditions hold for one study; ages in whole years at it, bounds included."""

    sexes: frozenset[str] | None = None
    modality: str | None = None
    body_part: str | None = None
    has_label: bool | None = None
    min_age: int | None = None
    max_age: int | None = None

    @property
    def sex(self) -> str | None:
        """The one sex that is asked for; None where there are more or none."""
        return next(iter(self.sexes)) if self.sexes is not None and len(self.sexes) == 1 else None


def study_conditions(question: CohortQuestion) -> StudyConditions:
    """The question as conditions on a study.

    Raises:
        NotAskable: it asks for more than a PACS can tell.
    """
    if question.index is not None:
        raise NotAskable(f"index: {_CAN}; leave the index event out of what is pulled")
    where = question.where
    parts: tuple[Criterion, ...] = () if where is None else where.of if isinstance(where, All) else (where,)
    found: dict[str, object] = {}
    for number, part in enumerate(parts):
        place = f"where.of[{number}]" if isinstance(where, All) else "where"
        event = part.at if isinstance(part, AgeAt) else part
        if isinstance(part, SexIs):
            asked: dict[str, object] = {"sexes": frozenset(part.any_of)}
        elif isinstance(event, Imaging):
            asked = event.model_dump(exclude={"kind"}, exclude_none=True)
            if isinstance(part, AgeAt):
                bounds = {"min_age": part.min, "max_age": part.max}
                asked |= {name: age for name, age in bounds.items() if age is not None}
        else:
            raise NotAskable(f"{place}: {_CAN}; leave `{part.kind}` out of what is pulled")
        for name, value in asked.items():
            if name not in StudyConditions.__slots__:
                raise NotAskable(f"{place}.{name}: {_CAN}; leave it out of what is pulled")
            if found.setdefault(name, value) != value:
                raise NotAskable(f"{place}.{name}: differs from the same condition before it; pull them one by one")
    return StudyConditions(**found)  # type: ignore[arg-type] # the names were checked, their types are the tree's
