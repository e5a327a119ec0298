"""Why a record isn't taken in: a closed table, each reason with its words and its mend."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Reason(StrEnum):
    """Why a record was rejected."""

    NO_PERSON = "no-person"
    NOT_LINKED = "not-linked"
    TWO_PERSONS = "two-persons-one-number"
    OPTED_OUT = "opted-out"
    NO_DATE = "no-date"
    BAD_DATE = "bad-date"
    FUTURE_DATE = "date-in-the-future"
    BEFORE_BIRTH = "date-before-birth"
    ENDS_BEFORE_START = "ends-before-it-begins"
    NO_CODE = "no-code"
    BAD_CODE = "bad-code"
    UNKNOWN_CONCEPT = "unknown-concept"
    BAD_VALUE = "bad-value"
    UNIT_UNKNOWN = "unit-unknown"
    UNIT_MISFIT = "unit-does-not-fit"
    NOT_FINAL = "not-final"
    ENTERED_IN_ERROR = "entered-in-error"
    UNSUPPORTED = "unsupported"
    UNKNOWN_COLUMN = "unknown-column"
    DUPLICATE = "duplicate"
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"


WORDS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.NO_PERSON: "names no person; give each record its patient's identifier",
        Reason.NOT_LINKED: "its patient isn't in the link file; add a line, or leave the record out",
        Reason.TWO_PERSONS: "one number stands for two persons (two birth dates or two sexes); correct the number",
        Reason.OPTED_OUT: "the patient opted out of research",
        Reason.NO_DATE: "has no date; name the date's column, or state one",
        Reason.BAD_DATE: "its date isn't one; check the date's format",
        Reason.FUTURE_DATE: "its date lies in the future; correct it at the source",
        Reason.BEFORE_BIRTH: "its date lies before the person's birth; correct either at the source",
        Reason.ENDS_BEFORE_START: "ends before it begins; correct either date at the source",
        Reason.NO_CODE: "says nothing by a code; free text isn't taken",
        Reason.BAD_CODE: "its code isn't a vocabulary's name and a code without blanks; correct it",
        Reason.UNKNOWN_CONCEPT: "names a concept that the loaded vocabulary doesn't have; load the newer vocabulary",
        Reason.BAD_VALUE: "a value isn't of its column's kind; correct it, or declare it as a missing marker",
        Reason.UNIT_UNKNOWN: "its unit isn't a known one (UCUM); correct it at the source",
        Reason.UNIT_MISFIT: "its unit isn't one that was declared for it; correct it, or declare the unit",
        Reason.NOT_FINAL: "isn't final yet; load it again when it is",
        Reason.ENTERED_IN_ERROR: "was entered in error",
        Reason.UNSUPPORTED: "is of a kind that isn't taken",
        Reason.UNKNOWN_COLUMN: "is a column that isn't known; what it says isn't loaded",
        Reason.DUPLICATE: "has the name of another record before it; give each its own, or leave one out",
        Reason.MALFORMED: "can't be read; mend its form",
        Reason.TOO_LARGE: "is larger than one record may be",
    }
)
