"""What a researcher may ask of a cohort. The question is data, never SQL; a node compiles it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from wardround.contracts.base import Frozen

Sex = Literal["F", "M", "O"]
"""Patient's Sex (0010,0040), PS3.3 C.7.1.1."""


class CohortQuestion(Frozen):
    """All conditions hold together; one that is left out asks nothing.

    Ages are whole years at the study, bounds included. `modality` and `body_part` are the Defined Terms of
    Modality (0008,0060) and Body Part Examined (0018,0015).
    """

    min_age: int | None = Field(default=None, ge=0, le=130)
    max_age: int | None = Field(default=None, ge=0, le=130)
    sex: Sex | None = None
    modality: str | None = Field(default=None, pattern=r"^[A-Z0-9]{2,16}$")
    body_part: str | None = Field(default=None, pattern=r"^[A-Z0-9 _]{2,16}$")
    has_label: bool | None = None

    @model_validator(mode="after")
    def _ages_in_order(self) -> Self:
        if self.min_age is not None and self.max_age is not None and self.min_age > self.max_age:
            raise ValueError(f"min_age {self.min_age} is above max_age {self.max_age}; swap them")
        return self

    def in_words(self) -> str:
        """The question as a sentence that a data controller can read."""
        parts = ["patients"]
        if self.sex is not None:
            parts.append({"F": "who are female", "M": "who are male", "O": "of other sex"}[self.sex])
        if self.min_age is not None and self.max_age is not None:
            parts.append(f"aged {self.min_age} to {self.max_age} at the study")
        elif self.min_age is not None:
            parts.append(f"aged {self.min_age} or more at the study")
        elif self.max_age is not None:
            parts.append(f"aged {self.max_age} or less at the study")
        if self.modality is not None or self.body_part is not None:
            kind = "an imaging series" if self.modality is None else f"imaging of modality {self.modality}"
            where = "" if self.body_part is None else f" of the {self.body_part.lower()}"
            parts.append(f"with {kind}{where}")
        if self.has_label is not None:
            parts.append("with a reference label" if self.has_label else "without a reference label")
        return " ".join(parts)
