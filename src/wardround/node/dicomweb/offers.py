"""What can be offered of an object's pixels and bytes, and which of it a client accepts (PS3.18 8.7.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wardround.node.dicomweb.accept import AS_STORED, DICOM, EXPLICIT_LITTLE, MULTIPART, OCTETS, MediaRange
from wardround.node.dicomweb.failure import not_acceptable
from wardround.node.dicomweb.pixels import MEDIA, can_be_plain, is_compressed

_PLAIN = ("", EXPLICIT_LITTLE)


@dataclass(frozen=True, slots=True)
class Form:
    """How something is given. `as_stored`: without touching its bytes. `multipart`: in parts, even if it is one."""

    kind: str
    syntax: str
    as_stored: bool
    multipart: bool

    @property
    def content_type(self) -> str:
        return f"{self.kind}; transfer-syntax={self.syntax}"


def object_form(wanted: Sequence[MediaRange], stored: str) -> Form | None:
    """How an object stored in `stored` is given as `application/dicom`; None if no accepted form can be made.

    Where a client names no transfer syntax it means Explicit VR Little Endian (PS3.18 8.7.3.1).
    """
    for one in wanted:
        multipart = one.takes(MULTIPART, DICOM)
        if not multipart and not one.takes(DICOM):
            continue
        if one.syntax in (AS_STORED, stored) or (one.syntax in _PLAIN and stored == EXPLICIT_LITTLE):
            return Form(DICOM, stored, as_stored=True, multipart=multipart)
        if one.syntax in _PLAIN and can_be_plain(stored):
            return Form(DICOM, EXPLICIT_LITTLE, as_stored=False, multipart=multipart)
    return None


def frame_form(wanted: Sequence[MediaRange], stored: str, *, single: bool) -> Form:
    """How frames of an object stored in `stored` are given.

    Args:
        single: whether one frame is asked for, which may come without a multipart envelope if the client asks so.

    Raises:
        WebFailure: 406, no accepted form can be made.
    """
    compressed = is_compressed(stored)
    media = MEDIA.get(stored, OCTETS)
    for one in wanted:
        multipart = one.takes(MULTIPART)
        kind = one.part or "*/*" if one.kind == MULTIPART else one.kind
        if not multipart and not single:
            continue
        if one.kind == "*/*":
            kind = "*/*"
        part = MediaRange(kind)
        as_is = one.syntax in (AS_STORED, stored)
        # A client that names an image's type without a transfer syntax takes the one that there is.
        by_type = media != OCTETS and kind != "*/*" and one.syntax == ""
        if compressed and part.takes(media) and (as_is or by_type):
            return Form(media, stored, as_stored=True, multipart=multipart)
        if compressed and part.takes(OCTETS) and as_is:
            return Form(OCTETS, stored, as_stored=True, multipart=multipart)
        if part.takes(OCTETS) and (one.syntax in _PLAIN or as_is) and (can_be_plain(stored) or not compressed):
            return Form(OCTETS, EXPLICIT_LITTLE, as_stored=False, multipart=multipart)
    raise not_acceptable("frames are given as application/octet-stream, or compressed as they are stored")
