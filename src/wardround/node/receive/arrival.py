"""One instance as it came over the network, and the little that the front door reads of it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from wardround.dicom.errors import Refused
from wardround.dicom.header_meta import read_file_meta
from wardround.dicom.volume_geometry import DAMAGE

_TRANSFER_SYNTAX = 0x00020010
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_LONGEST_UID = 64


@dataclass(frozen=True, slots=True)
class Arrival:
    """A DICOM Part 10 file (PS3.10 section 7) and who sent it to whom.

    `sop_uid` is the Affected SOP Instance UID of the C-STORE request where there was one.
    """

    part10: bytes = field(repr=False)
    called_title: str = ""
    calling_title: str = ""
    sop_uid: str | None = field(default=None, repr=False)


class Unreadable(ValueError):
    """The bytes aren't a DICOM instance that this node can tell from others; `reason_code` says why."""

    def __init__(self, reason_code: str) -> None:
        super().__init__(reason_code)
        self.reason_code = reason_code


@dataclass(frozen=True, slots=True)
class Keys:
    """An instance's place in the patient's records, as keyed digests: nobody without the site's secret can tell
    whose they are. `digest` is SHA-256 over transfer syntax and data set, so that the same object sent by another
    peer, under another file meta header, is the same."""

    study: str
    series: str
    instance: str
    digest: str


class KeyMaker:
    """Turns the identifiers of an arrival into keys, by HMAC-SHA-256 (RFC 2104) under the site's secret.

    Args:
        secret: at least 16 bytes that never leave the site.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the secret of the front door needs at least 16 bytes")
        self._secret = hmac.digest(secret, b"wardround receive v1", "sha256")

    def key(self, kind: str, uid: str) -> str:
        return hmac.digest(self._secret, f"{kind}\0{uid}".encode(), "sha256")[:16].hex()

    def unread(self, arrival: Arrival) -> Keys:
        """The keys of something that can't be read: by what the sender called it, else by its bytes."""
        digest = sha256(arrival.part10).hexdigest()
        return Keys("", "", self.key("instance", arrival.sop_uid or digest), digest)

    def keys(self, arrival: Arrival) -> Keys:
        """The keys of `arrival`.

        Raises:
            Unreadable: it isn't Part 10, lacks one of its four UIDs, or isn't the instance that the sender named.
        """
        try:
            meta, start = read_file_meta(arrival.part10)
            ds = pydicom.dcmread(BytesIO(arrival.part10), stop_before_pixels=True, specific_tags=list(_UIDS))
            uids = {name: _uid(ds, name) for name in _UIDS}
        except Refused as refused:
            raise Unreadable(refused.reason_code) from None
        except DAMAGE:
            raise Unreadable("malformed") from None
        if not all(0 < len(uid) <= _LONGEST_UID for uid in uids.values()):
            raise Unreadable("uid-missing")
        if arrival.sop_uid is not None and arrival.sop_uid.strip(" \0") != uids["SOPInstanceUID"]:
            raise Unreadable("uid-mismatch")
        content = sha256(meta.get(_TRANSFER_SYNTAX, "").encode())
        content.update(memoryview(arrival.part10)[start:])
        return Keys(
            study=self.key("study", uids["StudyInstanceUID"]),
            series=self.key("series", uids["SeriesInstanceUID"]),
            instance=self.key("instance", uids["SOPInstanceUID"]),
            digest=content.hexdigest(),
        )


def _uid(ds: Dataset, keyword: str) -> str:
    """The value as it was sent. pydicom's own conversion would warn of a malformed one by quoting it."""
    element = ds.get_item(keyword)
    value = element.value if isinstance(element, RawDataElement) else None
    return value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else ""
