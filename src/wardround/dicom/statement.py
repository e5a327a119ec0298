"""What a de-identification did, told without a single value, and who the patient was, for the vault alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Statement:
    """How one object was de-identified: safe to keep beside it and to send.

    ``profile`` and ``options`` are the standard's names (PS3.16 CID 7050) of what was applied to this object;
    ``profile_name`` and ``profile_digest`` say which profile file or built-in name chose them.

    ``counts`` has the number of elements per action: ``removed``, ``emptied``, ``replaced``, ``remapped`` (UIDs),
    ``shifted`` (dates), ``cleaned`` (text, of which only known words stay), ``capped`` (ages), ``kept``, ``private``
    (removed private elements) and ``private_kept``.
    """

    profile: str
    options: tuple[str, ...]
    edition: str
    software: str
    counts: Mapping[str, int]
    profile_name: str = ""
    profile_digest: str = ""


@dataclass(frozen=True, slots=True)
class PixelWork:
    """What was done about the pixels of an object before its header is cleaned, told by whoever did it.

    Args:
        screened: they were looked at, and nothing that identifies is left in them.
        cleaned: something was blackened (Clean Pixel Data Option, PS3.15 E.3.1).
        defaced: features of a face were removed (Clean Recognizable Visual Features Option, E.3.2).
        approved: a person looked, and let the object pass whatever its header says of its pixels.
        pending: a person is still to look. The header is cleaned, and says that the identity is not removed.
    """

    screened: bool = False
    cleaned: bool = False
    defaced: bool = False
    approved: bool = False
    pending: bool = False

    @property
    def looked_at(self) -> bool:
        """Whether the pixels were found to tell nobody, by whatever means."""
        return (self.screened or self.cleaned or self.approved) and not self.pending


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
