"""What a sender is answered.

Source: HL7 2.5.1, 2.9 (original and enhanced mode), 2.14.8 (MSA), 2.14.5 (ERR), tables 0008, 0155, 0357.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from wardround.node.records.hl7.er7 import Delimiters, Message

_STANDARD = Delimiters("|", "^", "~", "\\", "&")
_LONGEST_ID = 199
_WITH_ERROR_CODES = frozenset({"2.5", "2.5.1"})
_ENHANCED = frozenset({"AL", "ER", "SU"})


class Verdict(StrEnum):
    """Accepted; an error in the message; rejected for another reason."""

    ACCEPTED = "A"
    ERROR = "E"
    REJECTED = "R"


def acknowledgement(
    verdict: Verdict, message: Message | None, *, site: str, at: datetime, number: int = 0, text: str = ""
) -> bytes:
    """An ACK, in the delimiters of standard use.

    Args:
        message: what is answered; None where it couldn't be understood.
        number: of table 0357, and `text`: what is wrong, in words of ours that name no value.
    """

    def said(value: str) -> str:
        plain = "".join(letter for letter in value[:_LONGEST_ID] if letter.isprintable())
        return _STANDARD.escape_text(plain)

    header = None if message is None else message.header
    to = ("", "") if header is None else (said(header[3][1]), said(header[4][1]))
    version = "2.5.1" if header is None or not header[12][1] else said(header[12][1])
    control = "" if message is None else said(message.control_id)
    event = "" if message is None or not message.kind[1] else f"^{said(message.kind[1])}"
    # Who asks to be told that it was stored is told in the codes of that mode; the meaning is the same.
    mode = "C" if header is not None and header[15][1].upper() in _ENHANCED else "A"
    stamp = f"{at:%Y%m%d%H%M%S}"
    mark = "P" if header is None or not header[11][1] else said(header[11][1])
    lines = [
        rf"MSH|^~\&|WARDROUND|{said(site)}|{to[0]}|{to[1]}|{stamp}||ACK{event}|{stamp}{at:%f}|{mark}|{version}"
        "||||||UNICODE UTF-8",
        f"MSA|{mode}{verdict}|{control}|{said(text)}".rstrip("|"),
    ]
    if number and version in _WITH_ERROR_CODES:
        lines.append(f"ERR|||{number}^{said(text)}^HL70357|E")
    return ("\r".join(lines) + "\r").encode()
