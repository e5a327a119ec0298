"""An Accept header is read as RFC 9110 has it, with DICOM's parameters; what isn't one is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.node.dicomweb.accept import MULTIPART, MediaRange, accepted, choose, parse_accept
from wardround.node.dicomweb.failure import WebFailure
from wardround.node.dicomweb.offers import frame_form, object_form

PLAIN, RLE, J2K = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"
OCTETS, DICOM = "application/octet-stream", "application/dicom"


@given(st.text(alphabet='abc/*;=,".q01 \\\t+-', max_size=60))
def test_any_text_is_ranges_or_refused(text: str) -> None:
    try:
        ranges = parse_accept(text)
    except WebFailure as failure:
        assert failure.status == 400
    else:
        assert all("/" in one.kind and 0 < one.quality <= 1 for one in ranges)
        assert [one.quality for one in ranges] == sorted((one.quality for one in ranges), reverse=True)


def test_parameters_and_weights_are_read() -> None:
    text = 'text/html;q=0.2, multipart/Related; type="Application/DICOM"; transfer-syntax=* ;q=0.9, image/png;q=0'
    assert parse_accept(text) == [
        MediaRange(MULTIPART, DICOM, "*", 0.9),
        MediaRange("text/html", quality=0.2),
    ]
    assert parse_accept('a/b; x="q=0, c/d; \\" "') == [MediaRange("a/b")]


def test_no_header_takes_all_and_the_query_goes_before_it() -> None:
    assert accepted([], None) == [MediaRange("*/*")]
    assert accepted(["text/html"], "image/png") == [MediaRange("image/png")]
    assert accepted(["a/b", "c/d"], None) == [MediaRange("a/b"), MediaRange("c/d")]
    assert accepted(["a/b;q=0"], None) == []


def test_the_most_wanted_that_is_offered_is_chosen() -> None:
    assert choose(parse_accept("image/*;q=0.5, image/png"), ("image/jpeg", "image/png")) == "image/png"
    assert choose(parse_accept("*/*"), ("image/jpeg", "image/png")) == "image/jpeg"
    for text in ("text/html", "image/jpeg;q=0"):
        with pytest.raises(WebFailure) as refused:
            choose(accepted([text], None), ("image/jpeg",))
        assert refused.value.status == 406


@pytest.mark.parametrize(
    ("accept", "stored", "given"),
    [
        ("*/*", PLAIN, (OCTETS, PLAIN, True)),
        ("*/*", RLE, (OCTETS, PLAIN, True)),
        (OCTETS, RLE, (OCTETS, PLAIN, False)),
        (f'multipart/related; type="{OCTETS}"', RLE, (OCTETS, PLAIN, True)),
        (f'multipart/related; type="{OCTETS}"; transfer-syntax={J2K}', J2K, ("image/jp2", J2K, True)),
        ("image/jp2", J2K, ("image/jp2", J2K, False)),
        ('multipart/related; type="image/jp2"', RLE, None),
        (f"{OCTETS}; transfer-syntax={J2K}", PLAIN, None),
        ("application/json", PLAIN, None),
    ],
)
def test_frames_take_the_form_that_is_asked(accept: str, stored: str, given: tuple[str, str, bool] | None) -> None:
    wanted = parse_accept(accept)
    if given is None:
        with pytest.raises(WebFailure):
            frame_form(wanted, stored, single=True)
        return
    form = frame_form(wanted, stored, single=True)
    # Octets that are a codestream are told by their own media type or by the syntax; either is right.
    assert (form.syntax, form.multipart) == given[1:]
    assert form.kind in (given[0], OCTETS)


def test_several_frames_never_come_without_an_envelope() -> None:
    with pytest.raises(WebFailure):
        frame_form(parse_accept(OCTETS), PLAIN, single=False)
    assert frame_form(parse_accept(f"{OCTETS}, multipart/related;q=0.1"), PLAIN, single=False).multipart


def test_an_object_without_a_syntax_asked_is_explicit_little_endian() -> None:
    for accept, syntax in (
        (DICOM, PLAIN),
        (f"{DICOM}; transfer-syntax=*", RLE),
        (f"{DICOM}; transfer-syntax={RLE}", RLE),
    ):
        form = object_form(parse_accept(accept), RLE)
        assert form is not None and form.syntax == syntax and not form.multipart
    assert object_form(parse_accept(f"{DICOM}; transfer-syntax={J2K}"), RLE) is None
    assert object_form(parse_accept('multipart/related; type="image/png"'), PLAIN) is None
