"""No reason code is shown to an engineer without words that say what it means."""

from __future__ import annotations

import re
from pathlib import Path

import wardround.dicom
from wardround.dicom.errors import Reason
from wardround.dicom.pixels_rules import ScreeningReason
from wardround.dicom.segmentation_reading import SegmentationReason
from wardround.dicom.volume_refusal import VolumeReason
from wardround.node.deidentify import crew, work
from wardround.node.enclave import room
from wardround.node.optout import register as optout
from wardround.node.receive import importing, index, parcels, register
from wardround.node.receive.landing import Answer
from wardround.node.receive.reasons import ANSWERS, WORDS, explained
from wardround.node.review import gate

SOURCES = Path(wardround.dicom.__file__).parent.parent / "node"
RAISED = re.compile(
    r"(?:Unreadable|IndexConflict|Undescribed|_turn_away|_fail|CaseUnusable\([^)]*code=)\(?\"([a-z0-9-]*[a-z0-9])\""
)


def test_every_reason_has_words() -> None:
    codes = {reason.value for reason in (*Reason, *ScreeningReason)}
    codes |= {reason.value.replace("_", "-") for reason in VolumeReason}
    codes |= {"label-" + reason.value.replace("_", "-") for reason in SegmentationReason}
    codes |= {index.CONFLICT, index.NOT_ROUTED, register.DISCARDED_BY_RULE, optout.REASON}
    codes |= {crew.KILLED, crew.TOO_SLOW, work.FAILED, work.FILE_MISSING, gate.REFUSED_BY_A_PERSON}
    codes |= {room.OVER_QUOTA, room.BELOW_RESERVE}
    codes |= {importing.NOT_DICOM, importing.DICOMDIR, importing.MALFORMED}
    codes |= {value for name, value in vars(parcels).items() if name.isupper() and isinstance(value, str)}
    named = {
        code
        for folder in ("receive", "deidentify", "enclave")
        for file in (SOURCES / folder).glob("*.py")
        for code in RAISED.findall(file.read_text())
    }
    assert {"uid-missing", "disk-reserve", "study-of-another-patient", "not-indexable"} <= named
    assert (codes | named) - WORDS.keys() == set()


def test_every_answer_to_a_sender_has_words() -> None:
    assert ANSWERS.keys() == set(Answer)


def test_a_code_of_another_version_is_shown_as_it_is() -> None:
    assert explained("made-up") == "made-up"
