"""What a de-identification did, told without a single value, and who the patient was, for the vault alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Statement:
    """How one object was de-identified: safe to keep beside it and to send.

    ``counts`` has the number of elements per action: ``removed``, ``emptied``, ``replaced``, ``remapped`` (UIDs),
    ``shifted`` (dates), ``kept`` and ``private`` (removed private elements, counted apart).
    """

    profile: str
    options: tuple[str, ...]
    edition: str
    software: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose object it was. Belongs into the vault and nowhere else; ``repr`` shows nothing of it."""

    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    name: str = field(repr=False)
    birth_date: str = field(repr=False)
    accession_number: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    sop_uid: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Deidentified:
    """A de-identified object.

    ``data`` is a whole DICOM Part 10 file (PS3.10 section 7) in the transfer syntax that it came in (deflated data
    come out as Explicit VR Little Endian). The three UIDs are the new ones; the old are in ``identity``.
    """

    data: bytes = field(repr=False)
    pseudonym: str
    identity: Identity
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    statement: Statement
