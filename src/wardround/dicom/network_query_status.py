"""What a PACS answers to a query or a retrieval that it doesn't carry out, as named errors.

Statuses are those of PS3.4 Tables C.4-1 (C-FIND), C.4-2 (C-MOVE) and C.4-3 (C-GET), and of PS3.7 Annex C.
"""

from __future__ import annotations

from wardround.dicom.errors import DicomError

SUCCESS = 0x0000
CANCELLED = 0xFE00
PENDING = frozenset({0xFF00, 0xFF01})
SOME_FAILED = 0xB000


class QueryFailed(DicomError):
    """A query or a retrieval that didn't come to its end.

    `status` is the peer's answer, None where there was none. `text` says in words what it means and the mend; it names
    no identifier, host or title. `again` says whether the same request may do better later.
    """

    again = False

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text if status is None else f"{text} (status 0x{status:04X})")
        self.text = text
        self.status = status


class OutOfResources(QueryFailed):
    """0xA7xx: the peer hasn't the means now, to count the matches (0xA701) or to send (0xA702)."""

    again = True


class DestinationUnknown(QueryFailed):
    """0xA801: the peer doesn't know the AE title that a C-MOVE names as its destination."""


class NotMatching(QueryFailed):
    """0xA900: the peer says that the identifier doesn't fit the information model."""


class UnableToProcess(QueryFailed):
    """0xCxxx, or another failure of the peer's own."""

    again = True


class NotServed(QueryFailed):
    """The peer doesn't offer this service or model to us (0x0122, 0x0124, or no presentation context accepted)."""


class Cancelled(QueryFailed):
    """0xFE00: the request was cancelled, by us or by the peer."""

    again = True


class ConnectionLost(QueryFailed):
    """The association ended, or nothing came for too long, before the request was answered."""

    again = True


class TooManyAnswers(QueryFailed):
    """The peer found more than can be meant by one question."""


class KeyRefused(QueryFailed):
    """A key that can't be asked for: empty, too long, or with a character that would match more than itself."""


def failure(status: int) -> QueryFailed:
    """The error for the status of a final answer that is neither success nor warning."""
    if status == 0xA701:
        return OutOfResources("the PACS has no means now to count what matches; it is asked again later", status)
    if status == 0xA702:
        return OutOfResources("the PACS has no means now to send; it is asked again later", status)
    if status >> 8 == 0xA7:
        return OutOfResources("the PACS is out of resources; it is asked again later", status)
    if status == 0xA801:
        return DestinationUnknown(
            "the PACS doesn't know the destination; add this node's AE title, host and port to the PACS", status
        )
    if status >> 8 == 0xA9:
        return NotMatching("the PACS can't match these keys in its information model; set the other query root", status)
    if status == CANCELLED:
        return Cancelled("the request was cancelled before its end", status)
    if status in (0x0122, 0x0112):
        return NotServed("the PACS doesn't offer this service; use the other method", status)
    if status == 0x0124:
        return NotServed("the PACS doesn't allow this node to ask; grant its AE title query and retrieve", status)
    return UnableToProcess("the PACS couldn't process the request; its log says why", status)
