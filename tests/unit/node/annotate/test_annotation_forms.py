"""Forms as annotation clients send them, and results as they read them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.node.annotate.form import read_form, read_params, write_result
from wardround.node.dicomweb.failure import WebFailure

SLICER = "----------lImIt_of_THE_fIle_eW_$"  # with a letter that RFC 2046 doesn't allow, as its client sends it


def sent(boundary: str, *parts: tuple[str, bytes]) -> bytes:
    lines = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + body + b"\r\n" for head, body in parts]
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def test_slicers_form_is_read() -> None:
    body = sent(
        SLICER,
        ('Content-Disposition: form-data; name="params"', b'{"foreground": [[1, 2, 3]]}'),
        (
            'Content-Disposition: form-data; name="label"; filename="/tmp/tmp1.nii.gz"\r\nContent-Type: a/b',
            b"\x1f\x8b\r\n--\r\n\x00",
        ),
    )
    form = read_form(body, f"multipart/form-data; boundary={SLICER}")
    assert form.params == {"foreground": [[1, 2, 3]]}
    label = form.file("label")
    assert label is not None
    assert (label.name, label.data) == ("tmp1.nii.gz", b"\x1f\x8b\r\n--\r\n\x00")


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_come_through(data: bytes) -> None:
    body = sent("cut-0123456789", ('Content-Disposition: form-data; name="file"; filename="a.nii"', data))
    form = read_form(body, 'multipart/form-data; boundary="cut-0123456789"')
    file = form.file("file")
    assert file is not None and (file.data == data or b"\r\n--cut-0123456789" in data)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300))
def test_what_is_no_form_is_refused(data: bytes) -> None:
    with pytest.raises(WebFailure):
        read_form(data, "multipart/form-data; boundary=cut")


@pytest.mark.parametrize("body", [b"[1]", b'"a"', b"{", b"[" * 100_000])
def test_parameters_that_are_no_object_are_refused(body: bytes) -> None:
    with pytest.raises(WebFailure):
        read_params(body)


def test_a_result_has_its_parameters_first_and_octets_after_them() -> None:
    body, kind = write_result({"label_names": {"glioma": 1}}, "clicks.nrrd", b"NRRD")
    assert kind.startswith("multipart/form-data; boundary=")
    first, second = body.split(b"--" + kind.partition("boundary=")[2].encode())[1:3]
    assert b'name="params"' in first and b"Content-Type: application/json" in first
    assert b'name="image"; filename="clicks.nrrd"' in second
    assert b"\r\nContent-Type: application/octet-stream\r\n\r\nNRRD\r\n" in second
