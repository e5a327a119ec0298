"""Which SOP classes and transfer syntaxes a receiver takes (PS3.4 Annex B.5, PS3.6 Annex A)."""

from __future__ import annotations

from collections.abc import Collection

from wardround.dicom.dictionary import UIDS
from wardround.dicom.network_pdu import UID

VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
UNCOMPRESSED = frozenset({IMPLICIT, EXPLICIT, BIG_ENDIAN})

# What has "Storage" in its name and stores nothing: it commits, keeps media, or names a service.
_OTHER_STORAGE = ("Storage Commitment", "Media Storage Directory", "Storage Service")
# Newer than pydicom's dictionary: waveform presentation states, label and height map segmentations.
_NEWER = frozenset(f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("9.100.1", "9.100.2", "66.7", "66.8"))

STORAGE_CLASSES = _NEWER | {
    uid
    for uid, (name, kind, *_) in UIDS.items()
    if kind == "SOP Class" and "Storage" in name and not name.startswith(_OTHER_STORAGE)
}
"""Every SOP class of the Storage Service that PS3.6 names, retired ones too."""
TRANSFER_SYNTAXES = frozenset(uid for uid, (_, kind, *_) in UIDS.items() if kind == "Transfer Syntax")
_NAMED = frozenset(UIDS)


class StorageClasses:
    """What counts as a SOP class to store.

    Args:
        extra: private or newer SOP classes to take too.
        accept_unknown: whether to take any that PS3.6 doesn't name; those of other services stay out.

    Raises:
        ValueError: one of ``extra`` is no UID.
    """

    def __init__(self, extra: Collection[str] = (), *, accept_unknown: bool = False) -> None:
        for uid in extra:
            if not well_formed(uid):
                raise ValueError("an extra SOP class isn't a UID: digits and dots, at most 64 characters")
        self._taken = STORAGE_CLASSES | frozenset(extra)
        self._accept_unknown = accept_unknown

    def __contains__(self, uid: object) -> bool:
        if uid in self._taken:
            return True
        return self._accept_unknown and isinstance(uid, str) and uid not in _NAMED and well_formed(uid)


def well_formed(uid: str) -> bool:
    """Whether ``uid`` has the form of a UID (PS3.5 section 9.1), leading zeros let pass."""
    return len(uid) <= 64 and UID.fullmatch(uid) is not None
