"""An object as it was received, read once for all who look at it: its elements, and how they are written."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from wardround.dicom.deidentify_elements import Element, ElementReader, Encoding, malformed
from wardround.dicom.errors import Reason, Refused
from wardround.dicom.header_meta import read_file_meta

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN})
_LARGEST_INFLATED = 2**31


@dataclass(frozen=True, slots=True)
class Original:
    """A Part 10 file that was read. Whoever uses it changes none of the elements.

    sent_as: the transfer syntax of the file. transfer_syntax: that of `elements`, which deflated data come inflated
    to.
    """

    part10: bytes = field(repr=False)
    elements: list[Element] = field(repr=False)
    sent_as: str
    transfer_syntax: str

    @classmethod
    def read(cls, part10: bytes, accepted: frozenset[str] | None = None) -> Original:
        """Read a Part 10 file (PS3.10 section 7, PS3.5 section 7).

        Args:
            accepted: transfer syntaxes that are taken; any if not given.

        Raises:
            Refused: it is no such file, breaks PS3.5, can't be inflated, or isn't in one of `accepted`.
        """
        meta, start = read_file_meta(part10)
        sent_as = meta.get(0x00020010, "")
        if accepted is not None and sent_as not in accepted:
            raise Refused(Reason.TRANSFER_SYNTAX, "the transfer syntax isn't on the list; store it in another one")
        syntax = EXPLICIT if sent_as == DEFLATED else sent_as
        data = _inflated(part10[start:]) if sent_as == DEFLATED else part10[start:]
        encoding = Encoding(syntax == IMPLICIT, syntax == BIG_ENDIAN)
        return cls(part10, ElementReader(data, encoding).data_set(0, len(data)), sent_as, syntax)

    @property
    def encoding(self) -> Encoding:
        return Encoding(self.transfer_syntax == IMPLICIT, self.transfer_syntax == BIG_ENDIAN)

    def by_tag(self) -> dict[int, Element]:
        """The elements of the top level."""
        return {element.tag: element for element in self.elements}


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, _LARGEST_INFLATED)
    except zlib.error:
        raise malformed("the deflated data set can't be inflated") from None
    if inflater.unconsumed_tail or not inflater.eof:
        raise Refused(Reason.TOO_LARGE, "the deflated data set is cut off or too large")
    return inflated
