"""Keeps this site connected to the engine for each run that it takes part in, through crashes and restarts."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wardround.contracts.outbound import JobRefused
from wardround.contracts.task import EndRun, JoinLeg
from wardround.federation.engine import Participant
from wardround.federation.flare.site import FlareSite, JobRefusal
from wardround.federation.provisioning import Identity
from wardround.federation.remote import ParticipantPort
from wardround.foundation.clock import Clock, now
from wardround.foundation.errors import NotAllowed
from wardround.foundation.files import write_whole
from wardround.node import audit
from wardround.node.gateway.gateway import Gateway
from wardround.node.gateway.relay import Relay, engine_relay
from wardround.node.home import NodeHome
from wardround.node.link import outbox
from wardround.node.projects.allowance import end_run
from wardround.node.training.assignment import Assignment, Assignments, ManifestNotSettled
from wardround.node.training.checkpoint import forget

_log = logging.getLogger(__name__)

FINAL = frozenset({"not-approved", "withdrawn", "expired"})
"""Why a run is left for good; other refusals may pass."""

HUB_NAME = "hub"
"""The name in the certificate of the engine's server."""


@dataclass
class _Seat:
    task: JoinLeg
    relay: Relay
    site: FlareSite
    certificate: int


class Legs:
    """Does the tasks `JoinLeg` and `EndRun`. A run that was joined is joined again when the node restarts.

    Args:
        on_join: called with the run and what is to be learned once the engine's client has been told to connect, so
            that the cohort can be loaded meanwhile.
    """

    def __init__(
        self,
        home: NodeHome,
        gateway: Gateway,
        assignments: Assignments,
        participant: Participant,
        on_join: Callable[[str, Assignment], object],
        clock: Clock = now,
    ) -> None:
        self._home = home
        self._gateway = gateway
        self._assignments = assignments
        self._participant = participant
        self._on_join = on_join
        self._clock = clock
        self._port: ParticipantPort | None = None
        self._seats: dict[str, _Seat] = {}
        self._joining: set[str] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Serve the participant, and go back to the runs that were under way."""
        self._home.runs.mkdir(parents=True, exist_ok=True)
        self._port = ParticipantPort(self._participant, self._port_file)
        for file in sorted(self._home.runs.glob("*/leg.json")):
            task = JoinLeg.model_validate_json(file.read_bytes())
            try:
                self.join(task)
            except (NotAllowed, ManifestNotSettled) as error:
                _log.warning("run %s is not joined again: %s", task.run, error.code)
                if error.code in FINAL:
                    self._free(task.run)

    def stop(self) -> None:
        """Leave the engine; the runs stay joined for the next start."""
        with self._lock:
            seats, self._seats = list(self._seats.values()), {}
        for seat in seats:
            seat.site.stop()
            seat.relay.stop()
        if self._port is not None:
            self._port.close()

    def join(self, task: JoinLeg) -> None:
        """Connect the engine's client for the run, unless it is connected there already.

        Raises:
            NotAllowed: this hospital hasn't approved exactly that project, or its policy forbids it (any more).
        """
        with self._lock:
            others = (self._joining | set(self._seats)) - {task.run}
            self._assignments.check_room(len(others))
            self._joining.add(task.run)
        try:
            self._join(task)
        finally:
            with self._lock:
                self._joining.discard(task.run)

    def _join(self, task: JoinLeg) -> None:
        # To be connected isn't work: a run waits for the hour at which this hospital works.
        assignment = self._assignments.begin(task.project, task.project_digest, task.run, to_work=False)
        with self._lock:
            seat = self._seats.get(task.run)
            # The engine's client reads its certificate when it starts: a renewed one needs a new start.
            certificate = self._home.certificate.stat().st_mtime_ns
            same = seat is not None and _address(seat.task) == _address(task) and seat.certificate == certificate
            if seat is not None and same and seat.relay.alive:
                seat.task = task
                return
        if seat is not None:
            self._leave(task.run)
        folder = self._home.runs / task.run
        write_whole(folder / "leg.json", task.model_dump_json().encode())
        relay = engine_relay(self._gateway, task.run, (task.engine_host, task.engine_port))
        port = relay.start()
        site = FlareSite(
            folder / "engine",
            Identity(
                name=self._home.site,
                key=self._home.key,
                certificate=self._home.certificate,
                root=self._home.root_certificate,
            ),
            host="127.0.0.1",
            port=port,
            hub_name=HUB_NAME,
            participant_port=self._port_file,
            on_refusal=lambda refusal: self.record_refusal(task.run, refusal),
        )
        with self._lock:
            self._seats[task.run] = _Seat(task, relay, site, certificate)
        site.start()
        if self._assignments.works_now():
            self._on_join(task.run, assignment)
        with self._home.database.writing() as session:
            audit.record(session, "program", "join-leg", task.run, f"leg {task.leg}")

    def end(self, task: EndRun) -> None:
        """Leave the run for good and free what it held."""
        with self._home.database.writing() as session:
            end_run(session, task.run, at=self._clock())
        self._free(task.run)

    def part(self) -> None:
        """Leave the runs whose approval was taken back or ran out. A tick of the node's loop: that nothing is used for
        them any more doesn't depend on it, but the engine's client has nothing more to do."""
        with self._lock:
            tasks = [seat.task for seat in self._seats.values()]
        for task in tasks:
            try:
                self._assignments.check_holds(task.project, task.project_digest)
            except NotAllowed as error:
                if error.code in FINAL:
                    _log.info("run %s is left: %s", task.run, error.code)
                    self._free(task.run)

    def _free(self, run: str) -> None:
        self._leave(run)
        folder = self._home.runs / run
        (folder / "leg.json").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder / "engine")
        forget(folder)

    def running(self) -> list[str]:
        """The runs whose engine client is up."""
        with self._lock:
            return sorted(self._seats)

    def _leave(self, run: str) -> None:
        with self._lock:
            seat = self._seats.pop(run, None)
        if seat is not None:
            seat.site.stop()
            seat.relay.stop()

    def record_refusal(self, run: str, refusal: JobRefusal) -> None:
        """A job that this site's policy forbids: on the record here, and told to the hub."""
        with self._home.database.writing() as session:
            audit.record(session, "program", "refuse-job", run, refusal.reason)
            outbox.post(session, self._home, JobRefused(run=run, reason=refusal.reason))

    @property
    def _port_file(self) -> Path:
        return self._home.runs / "participant.port"


def _address(task: JoinLeg) -> tuple[str, int]:
    return task.engine_host, task.engine_port
