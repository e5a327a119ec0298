"""What WADO-RS gives: objects, headers, frames and pictures of the enclave, in the form that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from io import BytesIO

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless, RLELossless
from tests.web_lab import Web, enlarged, many_frames, segmentation, slices

OCTETS = 'multipart/related; type="application/octet-stream"'
LEVELS = (0, 10, 20)


class Stock:
    """Addresses of what the enclave holds: a slice as it came and three compressed ones, and objects of many frames."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.sent = slices()
        enlarged(self.sent[2])
        self.pixels = [one.pixel_array for one in self.sent]
        self.sent[1].compress(RLELossless, generate_instance_uid=False)
        self.sent[2].compress(JPEG2000Lossless, generate_instance_uid=False)
        self.frames = [np.full((16, 16), level, dtype=np.uint16) for level in LEVELS]
        many, compressed = many_frames(self.frames), many_frames(self.frames)
        compressed.compress(RLELossless, generate_instance_uid=False)
        web.hold([*self.sent, many, compressed, segmentation()])
        self.slices, self.many = [], {}
        for address in web.instances():
            [header] = web.get(f"{address}/metadata").json()
            if header["00080016"]["Value"] == [self.sent[0].SOPClassUID]:
                self.slices.append(address)
            elif header["00080060"]["Value"] == ["MR"]:
                self.many[header["00083002"]["Value"][0] == RLELossless] = address
            else:
                self.segmentation = address
        self.study = self.segmentation.split("/series/")[0]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    web = Web(tmp_path_factory.mktemp("web"))
    yield Stock(web)
    web.close()


def parts(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """Media type with its parameters, and bytes, of each part; read by Python's own parser of messages."""
    assert answer.status_code == 200, answer.text
    kind = answer.headers["content-type"].encode()
    message = message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + answer.content)
    boundary = b"\r\n--" + str(message.get_boundary()).encode()
    # That parser changes line ends within a body, so bodies are cut out of the message itself.
    bodies = [one.split(b"\r\n\r\n", 1)[1] for one in answer.content.split(boundary)[1:-1]]
    return [(part["Content-Type"], body) for part, body in zip(message.get_payload(), bodies, strict=True)]


def picture(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(BytesIO(answer.content)))


def test_metadata_of_study_series_and_instance_agree_and_tell_nobody(stock: Stock) -> None:
    web = stock.web
    whole = web.get(f"{stock.study}/metadata").json()
    assert len(whole) == 7
    series = stock.slices[0].split("/instances/")[0]
    assert [one for one in whole if one["0020000E"]["Value"][0] in series] == web.get(f"{series}/metadata").json()
    [one] = web.get(f"{stock.slices[0]}/metadata", "application/json").json()
    assert one in whole
    text = web.get(f"{stock.study}/metadata").text
    sent = stock.sent[0]
    for told in (sent.PatientID, str(sent.PatientName).split("^")[0], sent.StudyInstanceUID, sent.SOPInstanceUID):
        assert str(told) not in text


@pytest.mark.parametrize("index", [0, 1, 2], ids=["plain", "rle", "jpeg2000"])
def test_a_frame_is_given_decoded_however_it_is_stored(stock: Stock, index: int) -> None:
    answer = stock.web.get(f"{stock.slices[index]}/frames/1", OCTETS)
    [(kind, body)] = parts(answer)
    assert kind == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    assert body == stock.pixels[index].astype("<u2").tobytes()


@pytest.mark.parametrize(
    ("index", "accept", "kind"),
    [
        (1, f"{OCTETS}; transfer-syntax=*", "image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5"),
        (2, 'multipart/related; type="image/jp2"', "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90"),
    ],
)
def test_a_compressed_frame_is_given_as_it_is_stored_where_it_is_taken(
    stock: Stock, index: int, accept: str, kind: str
) -> None:
    [(given, body)] = parts(stock.web.get(f"{stock.slices[index]}/frames/1", accept))
    assert given.split(";")[1] == kind.split(";")[1]
    stored = pydicom.encaps.get_frame(stock.sent[index].PixelData, 0, number_of_frames=1)
    assert body == stored


@pytest.mark.parametrize("compressed", [False, True])
def test_frames_of_one_object_come_in_the_order_asked(stock: Stock, compressed: bool) -> None:
    address = stock.many[compressed]
    bodies = [body for _, body in parts(stock.web.get(f"{address}/frames/3,1", OCTETS))]
    assert bodies == [stock.frames[2].tobytes(), stock.frames[0].tobytes()]
    assert stock.web.get(f"{address}/frames/4").status_code == 404
    assert stock.web.get(f"{address}/frames/0").status_code == 400


def test_frames_of_single_bits_are_packed_each_for_itself(stock: Stock) -> None:
    [(_, body)] = parts(stock.web.get(f"{stock.segmentation}/frames/1", OCTETS))
    ds = segmentation()
    first = ds.pixel_array.reshape(-1, 16, 16)[0]
    assert body == np.packbits(first.ravel(), bitorder="little").tobytes()


def test_an_object_comes_decompressed_or_as_stored(stock: Stock) -> None:
    web, address = stock.web, stock.slices[1]
    [(_, body)] = parts(web.get(address, 'multipart/related; type="application/dicom"'))
    plain = pydicom.dcmread(BytesIO(body))
    assert plain.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert np.array_equal(plain.pixel_array, stock.pixels[1])
    stored = web.get(address, "application/dicom; transfer-syntax=*")
    ds = pydicom.dcmread(BytesIO(stored.content))
    assert ds.file_meta.TransferSyntaxUID == RLELossless
    assert ds.PixelData == stock.sent[1].PixelData
    assert len(parts(web.get(stock.study, 'multipart/related; type="application/dicom"'))) == 7


def test_pixels_come_by_their_reference(stock: Stock) -> None:
    client = stock.web.client(stock.web.read)
    for index, address in enumerate(stock.slices[:3]):
        [header] = stock.web.get(f"{address}/metadata").json()
        uri = header["7FE00010"]["BulkDataURI"]
        for asked in (None, (("application/octet-stream", "1.2.840.10008.1.2.1"),)):
            assert client.retrieve_bulkdata(uri, asked) == [stock.pixels[index].astype("<u2").tobytes()]
    [header] = stock.web.get(f"{stock.many[True]}/metadata").json()
    answer = stock.web.get(header["7FE00010"]["BulkDataURI"], "application/octet-stream")
    assert answer.content == b"".join(frame.tobytes() for frame in stock.frames)


def test_a_window_decides_what_is_black_and_white(stock: Stock) -> None:
    address, pixels = f"{stock.slices[0]}/rendered", stock.pixels[0].astype(float)
    middle = float(np.median(pixels))
    shown = picture(stock.web.get(address, "image/png", window=f"{middle},200,linear"))
    expected = np.clip((pixels - (middle - 0.5)) / 199 + 0.5, 0, 1) * 255
    assert np.abs(shown - expected).max() <= 0.5
    own = picture(stock.web.get(address, "image/png"))
    center, width = float(stock.sent[0].WindowCenter), float(stock.sent[0].WindowWidth)
    assert np.abs(own - np.clip((pixels - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255).max() <= 0.5
    for wrong in ("1", "1,2,3,4", "a,b", "1,0", "nan,5", "1,2,cubic"):
        assert stock.web.get(address, "image/png", window=wrong).status_code == 400


@pytest.mark.parametrize("compressed", [False, True])
def test_each_frame_is_shown_by_its_own_rescale(stock: Stock, compressed: bool) -> None:
    for number, level in enumerate(LEVELS, 1):
        answer = stock.web.get(f"{stock.many[compressed]}/frames/{number}/rendered", "image/png")
        assert set(picture(answer).ravel()) == {number * level}


@pytest.mark.parametrize("index", [0, 1, 2], ids=["plain", "rle", "jpeg2000"])
def test_pictures_are_jpeg_unless_png_is_wanted_and_fit_the_viewport(stock: Stock, index: int) -> None:
    web, address = stock.web, stock.slices[index]
    jpeg = web.get(f"{address}/rendered")
    assert (jpeg.headers["content-type"], Image.open(BytesIO(jpeg.content)).format) == ("image/jpeg", "JPEG")
    assert picture(web.get(f"{address}/rendered", "image/png", viewport="40,30")).shape == (30, 30)
    for place in (address, address.split("/instances/")[0], stock.study):
        assert max(picture(web.get(f"{place}/thumbnail")).shape[:2]) == 128
    assert web.get(f"{address}/rendered", "video/mp4").status_code == 406
    assert web.get(f"{address}/rendered", viewport="9999999,1").status_code == 400


def test_dicomweb_client_gets_pictures_and_frames(stock: Stock) -> None:
    client = stock.web.client(stock.web.read)
    study, series, uid = stock.many[False].split("/")[-5::2]
    shown = client.retrieve_instance_frames_rendered(study, series, uid, [2], media_types=("image/png",))
    assert set(np.asarray(Image.open(BytesIO(shown))).ravel()) == {2 * LEVELS[1]}
    assert client.retrieve_instance_frames(study, series, uid, [1, 3]) == [
        stock.frames[0].tobytes(),
        stock.frames[2].tobytes(),
    ]
    assert client.retrieve_instance_rendered(study, series, uid, media_types=("image/jpeg",))[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/studies/1.2.826.0.1.3680043.8.498.404", 404),
        ("/studies/1.2.826.0.1.3680043.8.498.404/metadata", 404),
        ("/studies/1.2.826.0.1.3680043.8.498.404/rendered", 404),
        ("/studies/secret-name", 400),
        ("/studies/1.2/series/3/x", 404),
        ("/patients", 404),
        ("/studies/1.2/series/3/instances/4/bulkdata/00100010", 404),
        ("/studies/1.2/series/3/instances/4/frames/x", 404),
    ],
)
def test_what_is_not_there_is_told_in_one_short_line(stock: Stock, path: str, status: int) -> None:
    answer = stock.web.get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"} and "secret-name" not in answer.text


def test_a_form_that_cannot_be_given_is_refused(stock: Stock) -> None:
    address = stock.slices[0]
    for path, accept in (
        (address, "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90"),
        (f"{address}/metadata", "application/dicom+xml"),
        (f"{address}/frames/1", 'multipart/related; type="image/jp2"'),
        (f"{address}/bulkdata/7FE00010", "image/png"),
        (f"{address}/metadata", "application/dicom+json; q=0"),
    ):
        assert stock.web.get(path, accept).status_code == 406, (path, accept)
    assert stock.web.get(f"{address}/metadata", "()").status_code == 400
    for place in ("00100010", "7FE00010/0/00100010", "0008", "00081140/9/00081155"):
        assert stock.web.get(f"{address}/bulkdata/{place}").status_code == 404, place
