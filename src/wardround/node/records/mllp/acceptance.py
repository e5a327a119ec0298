"""Whether a message that came is taken: kept first, answered then."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from wardround.foundation.clock import Clock
from wardround.node.records.hl7.conventions import Conventions
from wardround.node.records.hl7.er7 import Message, NotAMessage, parse
from wardround.node.records.hl7.taking import refusal
from wardround.node.records.mllp.acknowledgement import Verdict, acknowledgement
from wardround.node.records.mllp.spool import Spool

log = logging.getLogger(__name__)

_INTERNAL = 207
_LENGTH = 102


class Acceptance:
    """Answers messages. AA: it is on the disk, flushed, and will be loaded. AE: it can't be understood. AR: it isn't
    taken, or can't be kept just now."""

    def __init__(self, spool: Spool, conventions: Conventions, site: str, clock: Clock) -> None:
        self._spool = spool
        self._conventions = conventions
        self._site = site
        self._clock = clock
        self._counts: Counter[str] = Counter()

    def counts(self) -> Mapping[str, int]:
        """How many messages were `taken`, `again`, `error`, `rejected` since the start."""
        return dict(self._counts)

    def answer(self, raw: bytes) -> bytes:
        """The acknowledgement of a message, which is durable by then if it was taken."""
        try:
            message = parse(raw)
        except NotAMessage as refused:
            return self._said(Verdict.ERROR, None, 100, str(refused))
        refused_for = refusal(message, self._conventions)
        if refused_for is not None:
            verdict = Verdict.ERROR if refused_for.error else Verdict.REJECTED
            return self._said(verdict, message, refused_for.number, refused_for.text)
        try:
            new = self._spool.put(raw, message)
        except OSError as error:
            log.error("a message couldn't be kept: %s", type(error).__name__)
            return self._said(Verdict.REJECTED, message, _INTERNAL, "it can't be stored at the moment; send it again")
        self._counts["taken" if new else "again"] += 1
        return acknowledgement(Verdict.ACCEPTED, message, site=self._site, at=self._clock())

    def too_large(self, head: bytes, largest: int) -> bytes:
        """The answer to a message that begins with `head` and is longer than agreed."""
        try:
            message = parse(head.split(b"\r")[0])
        except NotAMessage:
            message = None
        return self._said(Verdict.REJECTED, message, _LENGTH, f"longer than {largest} bytes")

    def _said(self, verdict: Verdict, message: Message | None, number: int, text: str) -> bytes:
        self._counts["error" if verdict is Verdict.ERROR else "rejected"] += 1
        log.warning("a message wasn't taken: A%s, %d", verdict, number)
        return acknowledgement(verdict, message, site=self._site, at=self._clock(), number=number, text=text)
