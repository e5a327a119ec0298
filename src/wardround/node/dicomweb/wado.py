"""WADO-RS: retrieve objects, metadata, frames, bulk data and pictures out of the enclave (PS3.18 10.4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wardround.node.dicomweb.accept import DICOM_JSON, JSON, MULTIPART, OCTETS, MediaRange, choose
from wardround.node.dicomweb.catalogue import Catalogue, Shown
from wardround.node.dicomweb.failure import WebFailure, bad_request, not_acceptable, not_found
from wardround.node.dicomweb.header import PIXELS, unpack, with_links
from wardround.node.dicomweb.multipart import PartWriter
from wardround.node.dicomweb.offers import Form, frame_form, object_form
from wardround.node.dicomweb.pixels import (
    PixelsUnreadable,
    as_explicit_little,
    bulk_value,
    is_compressed,
    plain_frame,
    plain_pixels,
    stored_frame,
)
from wardround.node.dicomweb.rendering import THUMBNAIL, View, read_view, rendered

PIECE = 1 << 20
MOST_FRAMES = 10_000
_PICTURES = ("image/jpeg", "image/png")
_PIXEL_TAGS = frozenset(f"{tag:08X}" for tag in PIXELS)


@dataclass(frozen=True, slots=True)
class Answer:
    """A body in pieces, made as they are sent. `length` in bytes where it is known."""

    content_type: str
    pieces: Iterator[bytes] = field(repr=False)
    status: int = 200
    length: int | None = None


class Retrievals:
    """Retrievals from the enclave; `link` makes an address of a path below the service's own."""

    def __init__(self, catalogue: Catalogue, link: Callable[[str], str]) -> None:
        self._catalogue = catalogue
        self._link = link

    def objects(self, wanted: Sequence[MediaRange], study: str, series: str | None, instance: str | None) -> Answer:
        """The objects themselves. One alone may come without a multipart envelope if the client asks so.

        Raises:
            WebFailure: 404; 406, none can be given in an accepted transfer syntax. Where some can't, they are left
                out and the status is 206 (PS3.18 Table 10.4.3-1).
        """
        # One that a purge has just destroyed is not there any more, though its row may be.
        found = [one for one in self._found(study, series, instance) if one.file.is_file()]
        if not found:
            raise not_found()
        forms = [(one, form) for one in found if (form := object_form(wanted, one.transfer_syntax)) is not None]
        if not forms:
            raise not_acceptable("objects are given as stored (transfer-syntax=*) or as Explicit VR Little Endian")
        status = 200 if len(forms) == len(found) else 206
        first, form = forms[0]
        if instance is not None and not form.multipart:
            if form.as_stored:
                return Answer(form.content_type, _file(first.file), length=first.file.stat().st_size)
            data = _made(lambda: as_explicit_little(first.file))
            return Answer(form.content_type, iter([data]), length=len(data))
        writer = PartWriter("application/dicom")
        return Answer(writer.content_type, self._parts(writer, forms), status)

    def metadata(self, wanted: Sequence[MediaRange], study: str, series: str | None, instance: str | None) -> Answer:
        """The headers as DICOM JSON, bulk data by reference.

        Raises:
            WebFailure: 404; 406, the client takes no JSON.
        """
        kind = choose(wanted, (DICOM_JSON, JSON))
        return Answer(kind, self._metadata(self._found(study, series, instance)))

    def frames(self, wanted: Sequence[MediaRange], study: str, series: str, instance: str, numbers: str) -> Answer:
        """Frames by their numbers, from 1, joined by commas.

        Raises:
            WebFailure: 400; 404, no such object or frame; 406, no accepted form.
        """
        [one] = self._found(study, series, instance)
        asked = _frame_numbers(numbers, one)
        self._has_pixels(one)
        form = frame_form(wanted, one.transfer_syntax, single=len(asked) == 1)
        get = stored_frame if form.as_stored else plain_frame
        # The first is made before the answer begins, so that what can't be decoded is told by the status.
        first = _made(lambda: get(one.file, asked[0]))
        if not form.multipart:
            return Answer(form.content_type, iter([first]), length=len(first))
        writer = PartWriter(form.kind)
        base = self._address(one)

        def parts() -> Iterator[bytes]:
            for number in asked:
                yield writer.head(form.content_type, location=f"{base}/frames/{number}")
                yield first if number == asked[0] else get(one.file, number)
            yield writer.tail()

        return Answer(writer.content_type, parts())

    def bulk(self, wanted: Sequence[MediaRange], study: str, series: str, instance: str, place: str) -> Answer:
        """A bulk value of a header by its place, as `metadata` names it.

        Raises:
            WebFailure: 404; 406, no accepted form.
        """
        [one] = self._found(study, series, instance)
        way = _place(place)
        form: Form | None = None
        if len(way) == 1 and way[0] in _PIXEL_TAGS:
            self._has_pixels(one)
            numbers = range(1, one.frames + 1)
            form = frame_form(wanted, one.transfer_syntax, single=True)
            if form.as_stored and is_compressed(one.transfer_syntax):
                return self.frames(wanted, study, series, instance, ",".join(str(number) for number in numbers))
            data = _made(lambda: plain_pixels(one.file, numbers))
            kind, multipart = form.content_type, form.multipart
        else:
            data = _made(lambda: bulk_value(one.file, way))
            kind = OCTETS
            taken = next((one for one in wanted if one.takes(MULTIPART, OCTETS) or one.takes(OCTETS)), None)
            if taken is None:
                raise not_acceptable(f"this is given as {OCTETS}")
            multipart = taken.takes(MULTIPART, OCTETS)
        if not multipart:
            return Answer(kind, iter([data]), length=len(data))
        writer = PartWriter(OCTETS)
        head = writer.head(kind, location=f"{self._address(one)}/bulkdata/{place}")
        return Answer(writer.content_type, iter([head, data, writer.tail()]))

    def picture(
        self,
        wanted: Sequence[MediaRange],
        parameters: Mapping[str, str],
        study: str,
        series: str | None,
        instance: str | None,
        numbers: str = "",
        *,
        thumbnail: bool = False,
    ) -> Answer:
        """A frame as JPEG or PNG; of several objects the one in the middle, of several frames the first.

        Raises:
            WebFailure: 400; 404, nothing there that can be shown; 406, the client takes neither.
        """
        kind = choose(wanted, _PICTURES)
        view = read_view(parameters)
        if thumbnail and view.size is None:
            view = View(view.window, (THUMBNAIL, THUMBNAIL), view.quality)
        found = [one for one in self._found(study, series, instance) if self._pixels_of(one)]
        if not found:
            raise not_found()
        one = found[len(found) // 2]
        asked = _frame_numbers(numbers, one) if numbers else [1]
        if len(asked) != 1:
            raise bad_request("one frame at a time is rendered")
        data = _made(lambda: rendered(one.file, asked[0], view, kind))
        return Answer(kind, iter([data]), length=len(data))

    def _found(self, study: str, series: str | None, instance: str | None) -> list[Shown]:
        found = self._catalogue.instances(study, series, instance)
        if not found:
            raise not_found()
        return found

    def _parts(self, writer: PartWriter, forms: Sequence[tuple[Shown, Form]]) -> Iterator[bytes]:
        for one, form in forms:
            yield writer.head(form.content_type, location=self._address(one))
            if form.as_stored:
                yield from _file(one.file)
            else:
                yield as_explicit_little(one.file)
        yield writer.tail()

    def _metadata(self, found: Sequence[Shown]) -> Iterator[bytes]:
        mark = b"["
        for one in found:
            header = with_links(unpack(one.header), self._address(one))
            yield mark + json.dumps(header, separators=(",", ":")).encode()
            mark = b","
        yield b"]"

    def _address(self, one: Shown) -> str:
        return self._link(f"studies/{one.study}/series/{one.series}/instances/{one.uid}")

    def _has_pixels(self, one: Shown) -> None:
        if not self._pixels_of(one):
            raise not_found()

    @staticmethod
    def _pixels_of(one: Shown) -> bool:
        return not _PIXEL_TAGS.isdisjoint(unpack(one.header))


def _frame_numbers(text: str, one: Shown) -> list[int]:
    parts = text.split(",")
    if len(parts) > MOST_FRAMES or not all(part.isascii() and part.isdigit() and len(part) < 8 for part in parts):
        raise bad_request("frames are numbers from 1, joined by commas")
    numbers = [int(part) for part in parts]
    if 0 in numbers:
        raise bad_request("frames are numbers from 1, joined by commas")
    if max(numbers) > one.frames:
        raise not_found()
    return numbers


def _place(text: str) -> list[str]:
    """`tag` or `tag/item/tag` and so on, checked."""
    way = text.split("/")
    good = len(way) % 2 == 1 and len(way) < 64
    for index, part in enumerate(way):
        hexadecimal = len(part) == 8 and set(part) <= set("0123456789ABCDEF")
        good = good and (hexadecimal if index % 2 == 0 else part.isascii() and part.isdigit() and len(part) < 7)
    if not good:
        raise not_found()
    return way


def _made(make: Callable[[], bytes]) -> bytes:
    try:
        return make()
    except PixelsUnreadable:
        raise WebFailure(404, "the object holds no such data, or it can't be decoded here") from None
    except OSError:
        raise not_found() from None


def _file(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece
