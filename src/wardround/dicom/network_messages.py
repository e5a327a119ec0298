"""What passes between the DICOM network and the rest of the program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from wardround.dicom.header_meta import file_meta

OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
NO_SUCH_OBJECT = 0x0112


@dataclass(frozen=True, slots=True)
class StoreHeader:
    """What is known of an object before its data set comes: the association's and the C-STORE request's word for it.

    The UIDs are as the sender wrote them, so they may hold anything that fits into 64 bytes of text, ``../`` as well;
    whoever makes a name of one has to check it. ``association`` is a number that is unique in this process.
    """

    called_ae: str
    calling_ae: str
    sop_class_uid: str
    sop_instance_uid: str = field(repr=False)
    transfer_syntax_uid: str
    peer: str = field(repr=False)
    association: int


@dataclass(frozen=True, slots=True)
class Received:
    """One object as it came: ``dataset_bytes`` is the data set in its transfer syntax, untouched."""

    called_ae: str
    calling_ae: str
    sop_class_uid: str
    sop_instance_uid: str = field(repr=False)
    transfer_syntax_uid: str
    dataset_bytes: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The object is safely stored; the sender may forget it."""


@dataclass(frozen=True, slots=True)
class RefusedStorage:
    """The object isn't stored. ``status`` goes to the sender (PS3.4 B.2.3), 0xA700 meaning: try again later."""

    status: int = CANNOT_UNDERSTAND


Sink = Callable[[Received], Accepted | RefusedStorage]


class Incoming(Protocol):
    """An object on its way in. One thread uses it, and it ends with exactly one `commit` or `abandon`."""

    def write(self, piece: memoryview | bytes) -> None:
        """Take the next piece of the data set, as it came. The piece is valid during this call only.

        If this raises OSError, the rest of the object is read and dropped, `abandon` follows, and the sender is told
        0xA700 (out of resources).
        """

    def commit(self) -> Accepted | RefusedStorage:
        """The last byte is in. Returns `Accepted` only once the object is durable, by whatever the setting says.

        If this raises OSError, the sender is told 0xA700; `abandon` isn't called after it.
        """

    def abandon(self) -> None:
        """The object won't be whole: the connection was lost, or a piece couldn't be written. Leave nothing of it."""


class Landing(Protocol):
    """Where objects stream to. `open` is called from many threads at once."""

    def open(self, header: StoreHeader) -> Incoming | RefusedStorage:
        """Begin an object; a refusal is sent once its data set has been read and dropped. OSError means 0xA700."""


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """A request that we take responsibility for instances (N-ACTION of Storage Commitment Push, PS3.4 Annex J.3.2).

    ``instances`` are pairs of SOP Class UID and SOP Instance UID.
    """

    calling_ae: str
    called_ae: str
    transaction_uid: str
    instances: tuple[tuple[str, str], ...] = field(repr=False)
    peer: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What we take responsibility for and what not (N-EVENT-REPORT of Storage Commitment Push, PS3.4 Annex J.3.3).

    ``done`` are pairs of SOP Class UID and SOP Instance UID, ``failed`` have a reason of PS3.4 J.3.3.1.1 in addition,
    such as `NO_SUCH_OBJECT`.
    """

    transaction_uid: str
    done: tuple[tuple[str, str], ...] = field(repr=False)
    failed: tuple[tuple[str, str, int], ...] = field(repr=False)


class Commitments(Protocol):
    """Who answers storage commitment. Called from many threads at once."""

    def request(self, request: CommitmentRequest) -> CommitmentReport | RefusedStorage | None:
        """Answer a request. A report goes out at once, over the same association; None: it follows over another one.

        OSError means status 0x0213 (resource limitation).
        """

    def delivered(self, request: CommitmentRequest, *, taken: bool) -> None:
        """Whether the requestor took the report that `request` returned. If not, send it over another association."""


class Receiver(Protocol):
    """A Storage SCP, as the node sees it."""

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""

    def start(self) -> None:
        """Listen. Raises OSError if the address is taken."""

    def stop(self) -> None:
        """Stop listening and end what is going on. Harmless if it isn't running."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A DICOM application entity to talk to."""

    host: str
    port: int
    ae_title: str


@dataclass(frozen=True, slots=True)
class RefusedObject:
    """An object that the peer didn't take. ``status`` is its answer, None if there was none; ``text`` says why."""

    sop_instance_uid: str = field(repr=False)
    status: int | None
    text: str


@dataclass(frozen=True, slots=True)
class SendReport:
    """How a transfer went: SOP Instance UIDs that the peer took, in order, and what it didn't take."""

    accepted: tuple[str, ...] = field(repr=False)
    refused: tuple[RefusedObject, ...]

    @property
    def complete(self) -> bool:
        """Whether the peer took everything."""
        return not self.refused


def write_part10(received: Received) -> bytes:
    """The object as a DICOM Part 10 file (PS3.10 section 7), its data set byte for byte as received."""
    meta = file_meta(received.sop_class_uid, received.sop_instance_uid, received.transfer_syntax_uid)
    return meta + received.dataset_bytes
