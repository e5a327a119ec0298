"""Damaged and hostile objects: each ends de-identified or refused with a reason, never passed unclean."""

import io
import random
import struct

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.confidentiality_zoo import CANARY, CANARY_UID, filled

from wardround.dicom.confidentiality import Profile
from wardround.dicom.deidentify import Deidentifier
from wardround.dicom.errors import Refused
from wardround.dicom.statement import PixelWork

CLASSES = {
    "ct": "1.2.840.10008.5.1.4.1.1.2",
    "enhanced-mr": "1.2.840.10008.5.1.4.1.1.4.1",
    "us": "1.2.840.10008.5.1.4.1.1.6.1",
    "seg": "1.2.840.10008.5.1.4.1.1.66.4",
    "sr": "1.2.840.10008.5.1.4.1.1.88.33",
    "pr": "1.2.840.10008.5.1.4.1.1.11.1",
    "rtstruct": "1.2.840.10008.5.1.4.1.1.481.3",
}
SOURCES = {name: filled(uid) for name, uid in CLASSES.items()}
DEIDENTIFIERS = [Deidentifier(Profile.named(name), b"a secret of the fuzz") for name in ("research", "descriptive")]
MARKS = (CANARY.encode(), CANARY_UID.encode(), b"19311223")


def ends_well(data: bytes) -> None:
    for deidentifier in DEIDENTIFIERS:
        try:
            result = deidentifier.deidentify(data, PixelWork(screened=True))
        except Refused as refused:
            assert refused.reason_code
            continue
        assert not [mark for mark in MARKS if mark in result.data]
        assert pydicom.dcmread(io.BytesIO(result.data)).PatientIdentityRemoved == "YES"


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(SOURCES)), st.integers(0, 2**32), st.integers(1, 3))
def test_truncated_and_lying_objects_end_well(kind: str, seed: int, times: int) -> None:
    """Lengths and VRs that lie where an element begins, and files that end too early; text stays what it was."""
    chance = random.Random(seed)  # noqa: S311 - damage that can be repeated
    data = bytearray(SOURCES[kind])
    for _ in range(times):
        places = [at for at in range(132, len(data) - 8) if bytes(data[at + 4 : at + 6]).isalpha()]
        at = chance.choice(places)
        match chance.randrange(4):
            case 0:
                struct.pack_into("<H", data, at + 6, chance.choice((0, 1, 7, 0xFFFF, chance.randrange(65536))))
            case 1:
                data[at + 4 : at + 6] = chance.choice((b"UN", b"SQ", b"OB", b"CS", b"DS", b"UI", b"LO", b"US", b"XX"))
            case 2:
                struct.pack_into("<HH", data, at, chance.randrange(65536), chance.randrange(65536))
            case _:
                del data[chance.randrange(132, len(data)) :]
                if len(data) < 200:
                    break
    ends_well(bytes(data))


def test_depth_without_end_is_refused() -> None:
    inner = b""
    for _ in range(2000):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(inner)) + inner
        inner = struct.pack("<HH2sHL", 0x0008, 0x2218, b"SQ", 0, len(item)) + item
    head = SOURCES["ct"][: SOURCES["ct"].index(b"\x08\x00\x05\x00CS")]
    with pytest.raises(Refused):
        DEIDENTIFIERS[0].deidentify(head + inner)
