"""The engine inside one process: participants are objects, each in a thread. For simulation, tests and
benchmarks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from wardround import __version__
from wardround.federation.engine import (
    Coordinator,
    Declined,
    EngineError,
    LegEnd,
    LegRequest,
    LegState,
    LegStatus,
    Participant,
    UpdateRefused,
)
from wardround.federation.leg import Leg
from wardround.federation.spool import discard

log = logging.getLogger(__name__)


@dataclass
class _Running:
    request: LegRequest
    driver: threading.Thread
    leg: Leg | None = None
    failure: str = ""
    stop: str = ""
    excused: dict[str, str] = field(default_factory=dict)


class InProcessEngine:
    """Carries legs among objects in this process by the same rounds as the engine between hospitals.

    ``participants`` may change while the engine lives: a site that is in the mapping is connected.
    """

    name = "inprocess"
    version = __version__

    def __init__(self, coordinator: Coordinator, participants: Mapping[str, Participant]) -> None:
        self._coordinator = coordinator
        self._participants = participants
        self._legs: dict[str, _Running] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Nothing to make ready."""

    def connected(self) -> frozenset[str]:
        return frozenset(self._participants)

    def start_leg(self, request: LegRequest) -> None:
        driver = threading.Thread(target=self._drive, args=(request,), name=f"leg-{request.leg_id}", daemon=True)
        with self._lock:
            self._legs[request.leg_id] = _Running(request, driver)
        driver.start()

    def _drive(self, request: LegRequest) -> None:
        running = self._legs[request.leg_id]
        present = {site: self._participants[site] for site in request.sites if site in self._participants}
        if len(present) < request.quorum:
            running.failure = f"{len(present)} of the {request.quorum} sites needed are connected"
            return
        try:
            start = self._coordinator.begin(request.leg_id)
        except EngineError as error:
            running.failure = str(error)
            return
        absent = {site: running.excused.get(site, "not-connected") for site in request.sites if site not in present}
        leg = Leg(start, self._coordinator, tuple(present), absent)
        sites = [
            threading.Thread(target=_attend, args=(leg, request.leg_id, site, participant), daemon=True)
            for site, participant in present.items()
        ]
        with self._lock:
            running.leg = leg
            stop = running.stop
        if stop:
            leg.stop(LegState.ABORTED, stop)
        for thread in sites:
            thread.start()
        try:
            leg.run()
        except Exception:
            # The coordinator is the hub's own code: whatever it raised, the leg is over and the participants must
            # hear of it.
            log.exception("the coordinator failed")
            leg.stop(LegState.FAILED, "the hub failed while it handled the round")
        if leg.status().state is not LegState.FINISHED:
            for participant in present.values():
                participant.abort(request.leg_id, leg.status().reason)

    def excuse(self, leg_id: str, site: str, reason: str) -> None:
        self._legs[leg_id].excused[site] = reason

    def status(self, leg_id: str) -> LegStatus:
        running = self._legs[leg_id]
        if running.leg is not None:
            return running.leg.status()
        if running.failure:
            return LegStatus(leg_id, LegState.FAILED, running.failure)
        return LegStatus(leg_id, LegState.STARTING)

    def wait(self, leg_id: str, timeout: float | None = None) -> LegStatus:
        self._legs[leg_id].driver.join(timeout)
        return self.status(leg_id)

    def abort(self, leg_id: str, reason: str) -> None:
        with self._lock:
            running = self._legs[leg_id]
            running.stop = reason
            leg = running.leg
        if leg is not None:
            leg.stop(LegState.ABORTED, reason)

    def close(self) -> None:
        for leg_id in list(self._legs):
            self.abort(leg_id, "the engine was closed")
        for running in self._legs.values():
            running.driver.join(10)


def _attend(leg: Leg, leg_id: str, site: str, participant: Participant) -> None:
    """One site's thread: take rounds until the leg ends."""
    done = 0
    while True:
        offered = leg.offer(site, done, timeout=3600)
        if isinstance(offered, LegEnd):
            if offered.state is LegState.FINISHED:
                participant.finish(leg_id, offered.reason)
            return
        if offered is None:
            continue
        done = offered.turn
        try:
            update = participant.take_part(offered)
            try:
                leg.deliver(site, offered.turn, update)
            except BaseException:
                discard(update.update)
                raise
        except Declined as declined:
            leg.decline(site, offered.turn, f"declined: {declined.reason}")
        except UpdateRefused as refused:
            log.info("round %d: an update was refused: %s", offered.round, refused.reason)
        except Exception:
            # A participant is somebody else's code; its failure is this site's in this round, as across hospitals.
            log.exception("a participant failed")
            leg.decline(site, offered.turn, "failed")
