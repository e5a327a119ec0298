"""Messages of several parts, cut anywhere, are read as they were written; what is none is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.node.dicomweb.failure import WebFailure
from wardround.node.dicomweb.multipart import LONGEST_HEADER, Part, PartReader, PartWriter, boundary_of, media_type

BODY = st.lists(st.sampled_from([b"\r\n", b"--", b"\r\n--", b"cut", b"\r\n--cu", b"\0", b"\xff", b"a"])).map(b"".join)


def read(
    message: bytes, cuts: list[int] | None = None, *, boundary: bytes = b"cut", largest: int = 10_000
) -> list[Part]:
    reader = PartReader(boundary, largest=largest)
    places = sorted({min(cut, len(message)) for cut in cuts or []} | {0, len(message)})
    parts = [part for start, end in pairwise(places) for part in reader.feed(message[start:end])]
    assert reader.ended
    return parts


@given(st.lists(BODY, min_size=1, max_size=4), st.lists(st.integers(0, 400)))
def test_what_is_written_is_read_however_it_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    writer = PartWriter("application/dicom")
    message = b"".join(
        piece for body in bodies for piece in (writer.head("application/dicom; q=1", location="http://x/y"), body)
    )
    boundary = boundary_of(media_type(writer.content_type)[1])
    assert [part.body for part in read(message + writer.tail(), cuts, boundary=boundary)] == bodies
    assert {part.kind for part in read(message + writer.tail(), cuts, boundary=boundary)} == {"application/dicom"}


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_any_bytes_are_parts_or_are_refused(message: bytes, cuts: list[int]) -> None:
    reader = PartReader(b"c", largest=100)
    try:
        for cut in [0, *cuts]:
            for part in reader.feed(message[cut : cut + 50]):
                assert len(part.body) <= 100
    except WebFailure as failure:
        assert failure.status in (400, 413)


def test_a_preamble_and_an_epilogue_are_no_parts_and_a_header_may_be_empty() -> None:
    message = b"hello\r\n--cut\r\n\r\none\r\n--cut \t\r\nContent-Type: A/B\r\n\r\n\r\n--cut--\r\nbye"
    assert read(message) == [Part("", b"one"), Part("a/b", b"")]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"--cut\r\nContent-Type: a/b\r\nno end of header\r\n--cut--", 400),
        (b"--cut\r\n\r\nbody\r\n--cutter\r\n\r\n\r\n--cut--", 400),
        (b"--cut" + b" " * (LONGEST_HEADER + 10), 400),
        (b"--cut\r\n\r\n" + b"x" * 10_001 + b"\r\n--cut--", 413),
        (b"--cut\r\n\r\n" + b"x" * 30_000, 413),
    ],
)
def test_what_is_no_message_is_refused(message: bytes, status: int) -> None:
    with pytest.raises(WebFailure) as refused:
        read(message)
    assert refused.value.status == status


def test_a_boundary_has_to_be_one() -> None:
    assert (
        boundary_of(media_type('multipart/related; type="a/b"; Boundary="a b?=;"')[1] | {"boundary": "a b"}) == b"a b"
    )
    for header in (
        "multipart/related",
        "m/r; boundary=",
        'm/r; boundary="a "',
        f"m/r; boundary={'x' * 71}",
        "m/r; boundary=é",
    ):
        with pytest.raises(WebFailure):
            boundary_of(media_type(header)[1])
