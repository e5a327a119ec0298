"""Storing results over the web: STOW-RS, one object a message (PS3.18 10.5)."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterable
from typing import Any

import httpx
from pydicom import dcmread

from wardround.dicom.errors import PeerUnreachable
from wardround.dicom.json_model import first, sequence
from wardround.dicom.network import RefusedObject, SendReport

ANSWER = "application/dicom+json"
NOT_UNDERSTOOD = 0xC000
"""Cannot understand (PS3.18 Table I.2-2): what a server that refuses a whole message says of its object."""
_TAKEN, _FAILED, _INSTANCE, _REASON = "00081199", "00081198", "00081155", "00081197"
_NOT_NOW = frozenset({401, 403, 404, 407, 408, 425, 429})
"""It is no answer to this object: the token, the address or the moment is wrong, and a person may mend that."""


class Stow:
    """The Studies Service of a PACS, as a way to send objects there.

    Args:
        client: with its trust, its token and its patience.
        url: the base of the service, of which `/studies` is a part.
    """

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = f"{url.rstrip('/')}/studies"

    def __call__(self, files: Iterable[bytes]) -> SendReport:
        """Store Part 10 files in their order. One a message, so that one that is refused takes no other with it.

        Raises:
            PeerUnreachable: the service doesn't answer, or not to this node, or not now. What was taken before is
                stored, and storing it again changes nothing.
            InvalidDicomError: one of them is no Part 10 file.
        """
        accepted, refused = [], []
        for data in files:
            instance = str(dcmread(io.BytesIO(data), specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
            failure = self._store(instance, data)
            if failure is None:
                accepted.append(instance)
            else:
                refused.append(failure)
        return SendReport(tuple(accepted), tuple(refused))

    def _store(self, instance: str, data: bytes) -> RefusedObject | None:
        boundary = uuid.uuid4().hex
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        body = b"".join(
            (
                f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode(),
                data,
                f"\r\n--{boundary}--\r\n".encode(),
            )
        )
        try:
            answer = self._client.post(self._url, content=body, headers={"Content-Type": kind, "Accept": ANSWER})
        except httpx.HTTPError:
            raise PeerUnreachable(
                "the PACS doesn't answer at its address for DICOMweb; check it and the network"
            ) from None
        status = answer.status_code
        if status >= 500 or status in _NOT_NOW or 300 <= status < 400:
            raise PeerUnreachable("the PACS takes nothing over DICOMweb now; check address, token and certificates")
        return _judged(instance, status, answer.content)


def _judged(instance: str, status: int, content: bytes) -> RefusedObject | None:
    """What became of the one object; None if it was taken. What the answer says of it goes before the answer's status,
    since servers are known that answer 200 to a message of which they stored nothing."""
    said = _said(content)
    for one in sequence(said, _FAILED):
        if first(one, _INSTANCE) in (instance, None):
            reason = first(one, _REASON)
            return RefusedObject(instance, reason if isinstance(reason, int) else NOT_UNDERSTOOD, "refused by the PACS")
    if any(first(one, _INSTANCE) == instance for one in sequence(said, _TAKEN)):
        return None
    if status == 200 and not said:
        return None
    if 400 <= status < 500:
        return RefusedObject(instance, NOT_UNDERSTOOD, "refused by the PACS")
    return RefusedObject(instance, None, "the PACS doesn't say what became of it")


def _said(content: bytes) -> dict[str, Any]:
    """The Store Instances Response (PS3.18 Annex I.2); nothing where the answer holds none."""
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    return said if isinstance(said, dict) else {}
