"""A PDF of one page (ISO 32000-1): lines of text and a picture, the same bytes for the same content every time."""

from __future__ import annotations

import textwrap
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT, _MARGIN = 595, 842, 50
"""A4 in points."""
_ADVANCE = 0.6
"""The width of every letter of Courier, one of the fonts that each reader of PDF has, in its size."""
_LEADING = 1.35


@dataclass(frozen=True, slots=True)
class Line:
    """A paragraph, wrapped where the page ends. size: in points; colour: red, green and blue, 0 to 1."""

    text: str
    size: int = 10
    bold: bool = False
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)


def write_page(title: str, above: Sequence[Line], picture: NDArray[np.uint8], below: Sequence[Line]) -> bytes:
    """A page of A4: paragraphs, a picture as large as there is room for, and paragraphs again.

    Letters that Windows-1252 doesn't have are written as question marks, since no font is embedded.

    Args:
        title: of the document, shown by readers in their window.
        picture: (rows, columns, 3), uint8, RGB; it keeps its proportions.
    """
    rows, columns = picture.shape[:2]
    room = _HEIGHT - 2 * _MARGIN - _height(above) - _height(below) - 20
    scale = min((_WIDTH - 2 * _MARGIN) / columns, max(room, 50) / rows)
    wide, high = columns * scale, rows * scale
    drawn, y = _paragraphs(above, _HEIGHT - _MARGIN)
    y -= high + 10
    drawn.append(f"q {wide:.2f} 0 0 {high:.2f} {_MARGIN} {y:.2f} cm /P Do Q".encode())
    drawn += _paragraphs(below, y - 10)[0]
    image = (
        f"/Type /XObject /Subtype /Image /Width {columns} /Height {rows} /ColorSpace /DeviceRGB /BitsPerComponent 8"
    ).encode()
    font = "/Type /Font /Subtype /Type1 /Encoding /WinAnsiEncoding /BaseFont "
    return _file(
        [
            b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /DisplayDocTitle true >> >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {_WIDTH} {_HEIGHT}] /Contents 4 0 R /Resources << /Font "
            "<< /R 5 0 R /B 6 0 R >> /XObject << /P 7 0 R >> >> >>".encode(),
            _stream(b"", b"\n".join(drawn)),
            f"<< {font} /Courier >>".encode(),
            f"<< {font} /Courier-Bold >>".encode(),
            _stream(image, np.ascontiguousarray(picture).tobytes()),
            b"<< /Title " + _text(title) + b" >>",
        ]
    )


def _wrapped(line: Line) -> list[str]:
    letters = int((_WIDTH - 2 * _MARGIN) / (_ADVANCE * line.size))
    return textwrap.wrap(line.text, letters) or [""]


def _height(lines: Sequence[Line]) -> float:
    return sum(len(_wrapped(line)) * line.size * _LEADING for line in lines)


def _paragraphs(lines: Sequence[Line], top: float) -> tuple[list[bytes], float]:
    """What draws them from `top` down, and where they end."""
    drawn, y = [], top
    for line in lines:
        red, green, blue = line.colour
        for text in _wrapped(line):
            y -= line.size * _LEADING
            how = f"BT /{'B' if line.bold else 'R'} {line.size} Tf {red:g} {green:g} {blue:g} rg {_MARGIN} {y:.2f} Td "
            drawn.append(how.encode() + _text(text) + b" Tj ET")
    return drawn, y


def _text(text: str) -> bytes:
    """A literal string (7.3.4.2)."""
    written = text.encode("cp1252", "replace")
    for special in (b"\\", b"(", b")"):
        written = written.replace(special, b"\\" + special)
    return b"(" + written.replace(b"\r", b" ").replace(b"\n", b" ") + b")"


def _stream(about: bytes, content: bytes) -> bytes:
    packed = zlib.compress(content, 9)
    return b"<< %b /Filter /FlateDecode /Length %d >>\nstream\n%b\nendstream" % (about, len(packed), packed)


def _file(objects: Sequence[bytes]) -> bytes:
    """Header, numbered objects, cross-reference table and trailer (7.5); the first is the catalogue, the last tells
    about the document."""
    out, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    known_by = sha256(out).hexdigest()[:32].encode()
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for place in places:
        out += b"%010d 00000 n \n" % place
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R /ID [<%b> <%b>] >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        len(objects),
        known_by,
        known_by,
        table,
    )
    return bytes(out)
