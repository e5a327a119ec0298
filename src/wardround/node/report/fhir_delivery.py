"""Findings go to a FHIR server of the hospital's, or into a folder of it, as transaction bundles."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import httpx

from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.files import write_whole
from wardround.node.report.document import OutputKind
from wardround.node.report.fhir import bundle_of
from wardround.node.report.sending import Due, Outbox
from wardround.node.report.states import OutputState

_log = logging.getLogger(__name__)

TYPE = "application/fhir+json"
_LATER = frozenset({408, 425, 429})
Post = Callable[[bytes], int]
"""Sends a bundle; the HTTP status of the answer. Raises `httpx.HTTPError` where there is none."""


class FhirDelivery:
    """`tick` sends what is due. A server that is away ends it for now, and is tried until it answers; one that refuses,
    a few times.

    Args:
        patient_system: see `fhir.bundle_of`.
        to: a server, or a folder that bundles are written to.
    """

    def __init__(
        self,
        database: Database,
        results: Path,
        clock: Clock,
        *,
        patient_system: str,
        to: Post | Path,
    ) -> None:
        self._outbox = Outbox(database, results, [OutputKind.FHIR], clock)
        self._patient_system = patient_system
        self._to = to

    def tick(self) -> int:
        """Returns how many findings were sent."""
        sent = 0
        for one, record in self._outbox.records():
            bundle = bundle_of(record, patient_system=self._patient_system)
            try:
                sent += self._send(one, json.dumps(bundle, ensure_ascii=False).encode())
            except httpx.HTTPError as error:
                _log.info("findings wait for the FHIR server: %s", type(error).__name__)
                self._outbox.again(one, "fhir-unreachable", refused=False)
                return sent
        return sent

    def _send(self, one: Due, data: bytes) -> bool:
        if isinstance(self._to, Path):
            try:
                write_whole(self._to / f"{one.output.id:08d}.json", data)
            except OSError as error:
                _log.error("a finding can't be written: %s", type(error).__name__)
                self._outbox.again(one, "fhir-folder", refused=False)
                return False
        else:
            status = self._to(data)
            if not 200 <= status < 300:
                for_good = 400 <= status < 500 and status not in _LATER
                self._outbox.again(one, "fhir-refused" if for_good else "fhir-busy", refused=for_good)
                return False
        self._outbox.end(one, OutputState.SENT)
        return True
