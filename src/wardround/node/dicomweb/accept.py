"""Which representation a client accepts: the Accept header (RFC 9110 12.5.1) with DICOM's parameters (PS3.18 8.7)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from wardround.node.dicomweb.failure import bad_request, not_acceptable

MULTIPART = "multipart/related"
DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
JSON = "application/json"
OCTETS = "application/octet-stream"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
AS_STORED = "*"
_LONGEST = 4000
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a grammar's rule (RFC 9110 5.6.2)
_PARAMETER = re.compile(rf'\s*;\s*({_TOKEN})\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*)')
_TYPE = re.compile(rf"\s*({_TOKEN}/{_TOKEN}|\*)")


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One accepted kind, lower case. For `multipart/related` it is `part` that says what the parts are.

    `syntax` is the transfer syntax asked for: a UID, `*` for any, empty where none is named.
    """

    kind: str
    part: str = ""
    syntax: str = ""
    quality: float = 1.0

    def takes(self, kind: str, part: str = "") -> bool:
        """Whether it covers a kind; for multipart also that of its parts, where both sides name one."""
        if not _covers(self.kind, kind):
            return False
        return self.kind != MULTIPART or not self.part or not part or _covers(self.part, part)


def parse_accept(text: str) -> list[MediaRange]:
    """The ranges of an Accept header, the most wanted first; those of quality 0 are left out.

    Raises:
        WebFailure: 400, it can't be read.
    """
    if len(text) > _LONGEST:
        raise bad_request("the Accept header is too long")
    ranges = [one for one in _ranges(text) if one.quality > 0]
    return sorted(ranges, key=lambda one: -one.quality)


def _ranges(text: str) -> Iterator[MediaRange]:
    position = 0
    while position < len(text):
        found = _TYPE.match(text, position)
        if found is None:
            if text[position:].strip(" ,") == "":
                return
            raise bad_request("the Accept header can't be read")
        kind = "*/*" if found[1] == "*" else found[1].lower()
        position = found.end()
        parameters: dict[str, str] = {}
        while (parameter := _PARAMETER.match(text, position)) is not None:
            parameters.setdefault(parameter[1].lower(), _unquoted(parameter[2]))
            position = parameter.end()
        yield MediaRange(
            kind,
            parameters.get("type", "").lower(),
            parameters.get("transfer-syntax", ""),
            _quality(parameters.get("q", "1")),
        )
        rest = text[position:].lstrip()
        if rest and not rest.startswith(","):
            raise bad_request("the Accept header can't be read")
        position = len(text) - len(rest) + 1 if rest else len(text)


def accepted(headers: Iterable[str], query: str | None) -> list[MediaRange]:
    """What a request accepts: its `accept` query parameter before its headers (PS3.18 8.3.3.1); all if it says none."""
    text = query if query else ", ".join(headers)
    return parse_accept(text) or ([] if text.strip(" ,") else [MediaRange("*/*")])


def choose(wanted: Sequence[MediaRange], offered: Sequence[str]) -> str:
    """The first of `offered` (single-part kinds) that the most wanted range covers.

    Raises:
        WebFailure: 406, none of them.
    """
    for one in wanted:
        for kind in offered:
            if one.takes(kind):
                return kind
    raise not_acceptable(f"this is given as {' or '.join(offered)}")


def _covers(pattern: str, kind: str) -> bool:
    if pattern in ("*/*", kind):
        return True
    return pattern.endswith("/*") and kind.startswith(pattern[:-1])


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0
