"""A frame reads the same in whatever pieces it comes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.contracts.frame import FrameRefused, pack, unpack
from wardround.foundation.framing import FrameReader


@given(st.binary(max_size=60), st.binary(max_size=60), st.lists(st.integers(0, 130), max_size=8))
def test_any_cut_gives_the_same_frame(header: bytes, attachment: bytes, cuts: list[int]) -> None:
    body = pack(header, attachment)
    reader = FrameReader(len(body))
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    for start, end in pairwise(places):
        reader.feed(body[start:end])
    assert reader.finish() == unpack(body) == (header, attachment)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_refused(body: bytes) -> None:
    reader = FrameReader(1000)
    try:
        reader.feed(body)
        frame = reader.finish()
    except FrameRefused:
        with pytest.raises(FrameRefused):
            unpack(body)
    else:
        assert frame == unpack(body)


def test_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(FrameRefused, match="too large"):
        FrameReader(100).feed((101).to_bytes(4, "big"))
    reader = FrameReader(100)
    reader.feed(pack(b"{}"))
    reader.tighten(50)
    with pytest.raises(FrameRefused, match="larger than 50"):
        reader.feed(bytes(60))
