"""Whose files an erasure looks for, among those that no index knows by person."""

from __future__ import annotations

from dataclasses import dataclass, field

from wardround.node.optout.identifier import PatientIds, canonical, nhs_number


@dataclass
class Wanted:
    """Whose files are looked for: exactly by what is known of the person, and as loosely as a given id is."""

    pairs: set[tuple[str, str]] = field(default_factory=set)
    anybodys: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)

    def given(self, patient_id: str, issuer: str) -> None:
        """An id that somebody gave; without an issuer it is the id of whatever issuer."""
        number = nhs_number(patient_id)
        if number is not None:
            self.numbers.add(number)
        if issuer:
            self.pairs.add(_pair(patient_id, issuer))
        else:
            self.anybodys.add(canonical(patient_id))

    def known(self, patient: PatientIds) -> None:
        self.pairs |= {_pair(text, issuer) for text, issuer in patient.ids}

    def names(self, patient_id: str) -> bool:
        """Whether an id that names no issuer is theirs, of whatever issuer."""
        text = canonical(patient_id)
        return (
            text in self.anybodys
            or any(text == known for known, _ in self.pairs)
            or (nhs_number(patient_id) in self.numbers)
        )

    def has(self, patient: PatientIds) -> bool:
        return any(
            _pair(text, issuer) in self.pairs or canonical(text) in self.anybodys or nhs_number(text) in self.numbers
            for text, issuer in patient.ids
        )


def _pair(text: str, issuer: str) -> tuple[str, str]:
    return canonical(text), issuer.strip(" \0").upper()
