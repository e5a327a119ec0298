"""The head of a DICOM Part 10 file: preamble, prefix and file meta information (PS3.10 section 7.1)."""

from __future__ import annotations

import struct

from wardround import __version__
from wardround.dicom.deidentify_elements import Element, ElementReader, ElementWriter, Encoding
from wardround.dicom.errors import Reason, Refused

IMPLEMENTATION_CLASS_UID = "2.25.254862103954871203669541870236541789512"
IMPLEMENTATION_VERSION = f"WARDROUND_{__version__}"[:16]


def file_meta(sop_class: str, sop_uid: str, transfer_syntax: str) -> bytes:
    """Zeroed preamble, prefix and file meta information that tells nothing of its origin (PS3.10 7.1)."""
    elements = [
        Element(0x00020001, b"OB", b"\0\x01"),
        Element(0x00020002, b"UI", sop_class.encode()),
        Element(0x00020003, b"UI", sop_uid.encode()),
        Element(0x00020010, b"UI", transfer_syntax.encode()),
        Element(0x00020012, b"UI", IMPLEMENTATION_CLASS_UID.encode()),
        Element(0x00020013, b"SH", IMPLEMENTATION_VERSION.encode()),
    ]
    writer = ElementWriter(Encoding(implicit=False))
    body = writer.data_set(elements)
    length = writer.data_set([Element(0x00020000, b"UL", struct.pack("<L", len(body)))])
    return b"".join((bytes(128), b"DICM", length, body))


def read_file_meta(data: bytes) -> tuple[dict[int, str], int]:
    """The UIDs and texts of the file meta information of ``data`` by tag, and where the data set begins.

    Raises:
        Refused: ``data`` is no Part 10 file, or its file meta information is cut off.
    """
    if data[128:132] != b"DICM":
        raise Refused(Reason.NOT_PART10, "this is no DICOM Part 10 file; export it with file meta information")
    elements, start = ElementReader(data, Encoding(implicit=False)).file_meta(132)
    texts = {
        element.tag: element.value.strip(b" \0").decode("latin-1")
        for element in elements
        if isinstance(element.value, bytes) and element.vr not in (b"OB", b"UL")
    }
    return texts, start
