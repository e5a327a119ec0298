"""Data-use terms: the codes of the GA4GH Data Use Ontology, and what each needs beside it.

Source: https://github.com/EBISPOT/DUO, `duo.csv` (CC BY 4.0): its terms that say how data may be used, without the two
that only group others. The meanings are in our own words.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from wardround.contracts.base import Frozen

DuoCode = Literal[
    "DUO:0000004",
    "DUO:0000006",
    "DUO:0000007",
    "DUO:0000011",
    "DUO:0000012",
    "DUO:0000015",
    "DUO:0000016",
    "DUO:0000018",
    "DUO:0000019",
    "DUO:0000020",
    "DUO:0000021",
    "DUO:0000022",
    "DUO:0000024",
    "DUO:0000025",
    "DUO:0000026",
    "DUO:0000027",
    "DUO:0000028",
    "DUO:0000029",
    "DUO:0000042",
    "DUO:0000043",
    "DUO:0000044",
    "DUO:0000045",
    "DUO:0000046",
]

LABELS: dict[DuoCode, str] = {
    "DUO:0000004": "no restriction",
    "DUO:0000006": "health or medical or biomedical research",
    "DUO:0000007": "disease specific research",
    "DUO:0000011": "population origins or ancestry research only",
    "DUO:0000012": "research specific restrictions",
    "DUO:0000015": "no general methods research",
    "DUO:0000016": "genetic studies only",
    "DUO:0000018": "not for profit, non commercial use only",
    "DUO:0000019": "publication required",
    "DUO:0000020": "collaboration required",
    "DUO:0000021": "ethics approval required",
    "DUO:0000022": "geographical restriction",
    "DUO:0000024": "publication moratorium",
    "DUO:0000025": "time limit on use",
    "DUO:0000026": "user specific restriction",
    "DUO:0000027": "project specific restriction",
    "DUO:0000028": "institution specific restriction",
    "DUO:0000029": "return to database or resource",
    "DUO:0000042": "general research use",
    "DUO:0000043": "clinical care use",
    "DUO:0000044": "population origins or ancestry research prohibited",
    "DUO:0000045": "not for profit organisation use only",
    "DUO:0000046": "non-commercial use only",
}
"""The ontology's own label of each code."""

PERMISSIONS: frozenset[DuoCode] = frozenset({"DUO:0000004", "DUO:0000006", "DUO:0000007", "DUO:0000011", "DUO:0000042"})
"""The data use permissions, of which a project states one; all others are modifiers of it."""

FORMS: dict[DuoCode, tuple[str, str]] = {
    "DUO:0000007": (r"MONDO:[0-9]{7}", "a disease of the Mondo ontology, as in MONDO:0021042 (glioma)"),
    "DUO:0000012": (r"[a-z][a-z0-9-]{1,60}", "the kind of research as one word, as in paediatric-research"),
    "DUO:0000022": (r"[A-Z]{2}(,[A-Z]{2}){0,29}", "countries by ISO 3166-1 alpha-2, as in GB,IE"),
    "DUO:0000024": (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "a date, as in 2028-01-31"),
    "DUO:0000025": (r"[1-9][0-9]{0,2}", "whole months, as in 12"),
    "DUO:0000028": (r"[a-z][a-z0-9-]{1,60}", "the institution as one word, as in st-elsewhere"),
}
"""What a code needs beside it: the form, and the form in words. A code that isn't here takes nothing."""


class DataUse(Frozen):
    """One data-use term: a code of the ontology, with what it needs beside it (`FORMS`)."""

    code: DuoCode
    detail: str | None = Field(default=None, max_length=120)

    @model_validator(mode="after")
    def _whole(self) -> DataUse:
        form = FORMS.get(self.code)
        if form is None:
            if self.detail is not None:
                raise ValueError(f"{self.code} ({LABELS[self.code]}) takes no detail; leave it out")
            return self
        if self.detail is None or not re.fullmatch(form[0], self.detail):
            raise ValueError(f"{self.code} ({LABELS[self.code]}) needs a detail: {form[1]}")
        if self.code == "DUO:0000024":
            date.fromisoformat(self.detail)
        return self

    def in_words(self) -> str:
        """The label, the detail and the code, for people."""
        detail = "" if self.detail is None else f": {self.detail}"
        return f"{LABELS[self.code]}{detail} ({self.code})"
