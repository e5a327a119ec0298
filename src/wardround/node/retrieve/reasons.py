"""Why a study could not be had: one word for the record, one sentence with the mend for people."""

from __future__ import annotations

from wardround.dicom.network_query_status import (
    Cancelled,
    ConnectionLost,
    DestinationUnknown,
    KeyRefused,
    NotMatching,
    NotServed,
    OutOfResources,
    QueryFailed,
    TooManyAnswers,
)

ABSENT = "not-in-the-pacs"
AWAY = "pacs-away"
REFUSES = "pacs-refuses"
INCOMPLETE = "incomplete"
SOME_FAILED = "some-failed"
MANY = "several-studies"
UNREADABLE = "ask-unreadable"
FAULT = "failed"
CRASHED = "node-crashed"
ERASED = "patient-erased"

_CODES: dict[type[QueryFailed], str] = {
    OutOfResources: "pacs-out-of-resources",
    DestinationUnknown: "destination-unknown",
    NotMatching: "not-matching",
    NotServed: "not-served",
    Cancelled: "cancelled-by-the-pacs",
    ConnectionLost: "connection-lost",
    TooManyAnswers: "too-many-answers",
    KeyRefused: "key-refused",
}

IN_WORDS = {
    ERASED: "the patient was erased from this node; nothing to do",
    ABSENT: "the PACS has no such study; check the number, or whether it was archived elsewhere",
    AWAY: "the PACS doesn't answer; it is tried again by itself",
    REFUSES: "the PACS refuses the association; allow this node's AE title there",
    INCOMPLETE: "the PACS says that it sent more than came; look for network faults or for a rule that refuses",
    SOME_FAILED: "the PACS failed to send some instances (status 0xBxxx); its log and `wardround node intake` say why",
    MANY: "several studies answer to it; each is listed for itself",
    UNREADABLE: "what was asked can't be read any more; ask for it again",
    "pacs-out-of-resources": "the PACS lacked the means (0xA7xx); pull it again at a quieter hour",
    "destination-unknown": "the PACS doesn't know this node as a destination (0xA801); add its AE title, host and port",
    "not-matching": "the PACS can't match these keys (0xA900); set another `root` under [retrieve]",
    "not-served": "the PACS doesn't offer or allow this (0x0122, 0x0124); set the other `method`, or ask for the right",
    "cancelled-by-the-pacs": "the PACS cancelled the request; pull it again",
    "connection-lost": "the connection ended in the middle, each time; look into the PACS's log",
    "too-many-answers": "too many studies answer to it; narrow the dates",
    "key-refused": "it can't be asked for; correct the identifier",
    "pacs-unable": "the PACS couldn't process it (0xCxxx); its log says why",
    FAULT: "a fault of this program; its log says where",
    CRASHED: "this node ended while it pulled the study, each time; look into its log, then pull again",
    "cancelled": "the pull was cancelled before its turn",
}


def reason_of(error: QueryFailed) -> str:
    """The reason code of an error."""
    return _CODES.get(type(error), "pacs-unable")
