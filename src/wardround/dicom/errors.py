"""What the DICOM part refuses, and why. No text here carries a value, an identifier or a path."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an object was refused: stable codes for logs, counts and pages."""

    NOT_PART10 = "not-part10"
    MALFORMED = "malformed"
    TRANSFER_SYNTAX = "transfer-syntax"
    SOP_CLASS = "sop-class"
    SOP_CLASS_UNKNOWN = "sop-class-unknown"
    STRUCTURED_REPORT = "structured-report"
    PRESENTATION_STATE = "presentation-state"
    ENCAPSULATED_DOCUMENT = "encapsulated-document"
    WAVEFORM = "waveform"
    SPECTROSCOPY = "spectroscopy"
    MEASUREMENT = "measurement"
    RADIOTHERAPY_RECORD = "radiotherapy-record"
    PHOTOGRAPH = "photograph"
    AUDIO = "audio"
    VIDEO = "video"
    SURFACE_SCAN = "surface-scan"
    RAW_DATA = "raw-data"
    PIXELS_NOT_SCREENED = "pixels-not-screened"
    BURNED_IN = "burned-in-annotation"
    SCREEN_CAPTURE = "screen-capture"
    OVERLAY_IN_PIXELS = "overlay-in-pixels"
    PIXEL_LENGTH = "pixel-length"
    TEXT_IN_PIXELS = "text-in-pixels"
    IDENTITY_MISSING = "identity-missing"
    IDENTITY_REMAINS = "identity-remains"
    TOO_LARGE = "too-large"


class DicomError(Exception):
    """Base of the errors of :mod:`wardround.dicom`."""


class Refused(DicomError):
    """An object that can't be de-identified with certainty.

    ``reason`` is the code to count and to show, ``text`` one plain sentence with the mend. Neither holds a value
    of the object, so both may be logged.
    """

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(f"{reason.value}: {text}")
        self.reason = reason
        self.text = text

    @property
    def reason_code(self) -> str:
        """The code as a plain string, e.g. ``burned-in-annotation``."""
        return self.reason.value


class ProfileInvalid(DicomError):
    """A confidentiality profile that isn't known, isn't readable or contradicts itself; one line with the mend."""


class FolderRefused(DicomError):
    """A folder that can't be de-identified, or not into that one; one line with the mend."""


class PeerUnreachable(DicomError):
    """No association with a DICOM peer. ``text`` says what to check; it names no host and no AE title."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class AssociationRefused(DicomError):
    """The peer answered and refused the association. ``text`` says on what ground and what to change there."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
