"""Follows the hub's ledger: mirrors it, checks that it only grew, and cosigns."""

from __future__ import annotations

import logging
import threading

from wardround.contracts.outbound import MirrorBatch, MirrorRequest, WitnessCosignature
from wardround.foundation.clock import Clock
from wardround.foundation.errors import Unreachable, WardroundError
from wardround.ledger.checkpoint import open_checkpoint
from wardround.ledger.mirror import Mirror
from wardround.ledger.note import Verifier
from wardround.ledger.trust import MirrorRefused
from wardround.node.gateway.gateway import Gateway

_log = logging.getLogger(__name__)


class Witness:
    """One site's witness: `catch_up` when the hub asks for it, `tick` now and then without being asked, so that a hub
    that asks no more, or a node whose backup was put back, changes nothing. Calls wait for each other."""

    def __init__(self, mirror: Mirror, hub: Verifier, gateway: Gateway, clock: Clock) -> None:
        self._mirror = mirror
        self._hub = hub
        self._gateway = gateway
        self._clock = clock
        self._one_at_a_time = threading.Lock()

    def tick(self) -> None:
        """Catch up; what is wrong with the ledger is the mirror's to keep and to log.

        Raises:
            HubUnreachable: try again later.
        """
        if self._mirror.state().forked is not None:
            return
        try:
            self.catch_up()
        except Unreachable:
            raise
        except WardroundError as error:
            _log.info("the mirror of the ledger didn't catch up: %s", error.code)

    def catch_up(self) -> int:
        """Fetch what is new, check it, keep it, and send the cosignature; returns the size cosigned.

        Raises:
            LedgerForked: the hub contradicts itself. The mirror is stopped, and so is all training here.
            MirrorRefused: what came doesn't fit, or is less than was signed for; the next tick asks again.
            HubUnreachable: try again later.
        """
        with self._one_at_a_time:
            return self._catch_up()

    def _catch_up(self) -> int:
        while True:
            start = self._mirror.state().received
            batch, _ = self._gateway.send(MirrorRequest(start=start))
            assert isinstance(batch, MirrorBatch)  # noqa: S101 - the gateway returns the message's reply type
            if batch.yours is not None:
                self._mirror.observe(batch.yours, self._clock())
            entries = [line.encode() for line in batch.entries]
            line = self._mirror.take(batch.start, entries, batch.checkpoint, self._clock())
            if line is not None:
                size = open_checkpoint(batch.checkpoint, self._hub).size
                self._gateway.send(WitnessCosignature(size=size, line=line))
                return size
            if not entries:
                raise MirrorRefused("the hub keeps back entries of its own checkpoint", code="withheld")
