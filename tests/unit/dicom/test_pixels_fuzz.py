"""Damaged objects end in a verdict or a refusal, never in another error, and never by passing unread."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pydicom
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEGLSLossless, RLELossless
from tests.unit.dicom.pixels_lab import WHO, fan, head, stored

from wardround.dicom.errors import Refused
from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_facts import read_facts
from wardround.dicom.pixels_redaction import redact
from wardround.dicom.pixels_screening import Screener, Verdict
from wardround.dicom.pixels_text import TextReader

BLIND = Screener(reader=TextReader(program="no-such-program-here"))


@cache
def seeds() -> list[bytes]:
    """Objects in several forms."""
    small = head(size=48)
    found = [stored(small), stored(np.stack([small, small, small])), stored(fan(1, 40, 50)[:, :, None].repeat(3, 2))]
    for syntax in (RLELossless, JPEGLSLossless):
        ds = pydicom.dcmread(io.BytesIO(stored(np.stack([small, small]))))
        ds.compress(syntax)
        out = io.BytesIO()
        pydicom.dcmwrite(out, ds, enforce_file_format=True)
        found.append(out.getvalue())
    return found


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 4))):
        # Most damage goes where the header is: the pixels are most of the bytes and forgive it.
        place = draw(st.integers(128, min(1200, len(data) - 1)) | st.integers(0, len(data) - 1))
        data[place] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.none() | st.integers(0, len(data)))])


@settings(max_examples=150, deadline=None)
@given(damaged())
def test_a_damaged_object_gets_a_verdict_and_none_passes_unread(part10: bytes) -> None:
    screening = BLIND.screen(part10, WHO)
    facts = read_facts(part10)
    if screening.verdict is Verdict.CLEAR:
        assert facts.sound
        assert BLIND.by_header(facts) == screening
    else:
        assert screening.reasons


@settings(max_examples=150, deadline=None)
@given(damaged())
def test_a_damaged_object_is_redacted_or_refused(part10: bytes) -> None:
    try:
        changed = redact(part10, [Box(1, 1, 3, 3)])
    except Refused:
        return
    except ValueError as error:
        assert "outside of the picture" in str(error)
        return
    assert read_facts(changed).burned_in == "NO"
