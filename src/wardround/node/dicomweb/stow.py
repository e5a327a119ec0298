"""STOW-RS: store objects at the front door (PS3.18 10.5). Nothing stored here goes to the enclave by itself."""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass, field

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from wardround.dicom.damage import DAMAGE
from wardround.dicom.errors import Refused
from wardround.dicom.header_meta import read_file_meta
from wardround.dicom.network import Accepted, Landing, RefusedStorage, StoreHeader
from wardround.node.dicomweb.accept import DICOM
from wardround.node.dicomweb.header import Json, is_uid
from wardround.node.dicomweb.multipart import Part

OTHER_STUDY = 0xC409
"""The object isn't of the study that the address names: cannot understand (Cxxx, PS3.18 Table I.2-2)."""
OTHER_KIND = 0x0122
NOT_UNDERSTOOD = 0xC000
NO_ROOM = 0xA700
_SYNTAX = 0x00020010
_FIELDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")
_UNREADABLE: tuple[type[Exception], ...] = (Refused, *DAMAGE)
_numbers = itertools.count(1 << 41)


@dataclass(slots=True)
class Stored:
    """What became of one message's objects: pairs of SOP class and instance, and for those refused the reason."""

    taken: list[tuple[str, str]] = field(default_factory=list, repr=False)
    failed: list[tuple[str, str, int]] = field(default_factory=list, repr=False)

    @property
    def status(self) -> int:
        """200 all taken, 202 some, 409 none (PS3.18 Table 10.5.3-1)."""
        if not self.failed:
            return 200
        return 202 if self.taken else 409

    def answer(self) -> Json:
        """The Store Instances Response Module (PS3.18 Annex I.2). No Retrieve URL: what was stored can't be retrieved
        here, only its de-identified copy, under another name."""
        answer: Json = {"00081190": {"vr": "UR"}}
        if self.taken:
            answer["00081199"] = {
                "vr": "SQ",
                "Value": [_reference(kind, uid) | {"00081190": {"vr": "UR"}} for kind, uid in self.taken],
            }
        if self.failed:
            answer["00081198"] = {
                "vr": "SQ",
                "Value": [
                    _reference(kind, uid) | {"00081197": {"vr": "US", "Value": [reason]}}
                    for kind, uid, reason in self.failed
                ],
            }
        return dict(sorted(answer.items()))


class Storing:
    """Takes the parts of one message, one at a time.

    Args:
        landing: the front door.
        called: the AE title of ours that the objects count as sent to; it decides their route.
        calling: who sends, as an AE title of at most 16 characters.
        study: the study that all of them have to be of, if the address names one.
    """

    def __init__(self, landing: Landing, *, called: str, calling: str, study: str | None) -> None:
        self._landing = landing
        self._called = called
        self._calling = calling
        self._study = study
        self._association = next(_numbers)
        self.stored = Stored()

    def take(self, part: Part) -> None:
        """Store one part, durably before this returns; what can't be stored is noted with its reason."""
        if part.kind not in (DICOM, ""):
            self.stored.failed.append(("", "", OTHER_KIND))
            return
        try:
            meta, start = read_file_meta(part.body)
            kind, uid, study = _uids(part.body)
        except _UNREADABLE:
            self.stored.failed.append(("", "", NOT_UNDERSTOOD))
            return
        if self._study is not None and study != self._study:
            self.stored.failed.append((kind, uid, OTHER_STUDY))
            return
        header = StoreHeader(
            called_ae=self._called,
            calling_ae=self._calling,
            sop_class_uid=kind,
            sop_instance_uid=uid,
            transfer_syntax_uid=meta.get(_SYNTAX, ""),
            peer="dicomweb",
            association=self._association,
        )
        status = self._land(header, memoryview(part.body)[start:])
        if status == 0:
            self.stored.taken.append((kind, uid))
        else:
            self.stored.failed.append((kind, uid, status))

    def _land(self, header: StoreHeader, data_set: memoryview) -> int:
        try:
            incoming = self._landing.open(header)
        except OSError:
            return NO_ROOM
        if isinstance(incoming, RefusedStorage):
            return incoming.status
        try:
            incoming.write(data_set)
        except OSError:
            incoming.abandon()
            return NO_ROOM
        try:
            answer = incoming.commit()
        except OSError:
            return NO_ROOM
        return 0 if isinstance(answer, Accepted) else answer.status


def _uids(part10: bytes) -> tuple[str, str, str]:
    """SOP class, instance and study as the object itself says; empty where it doesn't."""
    ds = pydicom.dcmread(io.BytesIO(part10), stop_before_pixels=True, specific_tags=list(_FIELDS))
    kind, uid, study = (_uid(ds, name) for name in _FIELDS)
    return kind, uid, study


def _uid(ds: Dataset, keyword: str) -> str:
    element = ds.get_item(keyword)
    value = element.value if isinstance(element, RawDataElement) else None
    return value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else ""


def _reference(kind: str, uid: str) -> Json:
    reference: Json = {"00081150": {"vr": "UI"}, "00081155": {"vr": "UI"}}
    for tag, value in (("00081150", kind), ("00081155", uid)):
        if is_uid(value):
            reference[tag]["Value"] = [value]
    return reference
