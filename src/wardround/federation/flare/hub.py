"""The hub's side of FLARE: supervises the server process and carries legs. It imports nothing of FLARE itself."""

from __future__ import annotations

import io
import json
import logging
import math
import socket
import threading
import time
import uuid
import zipfile
from collections.abc import Mapping, Set
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from wardround.federation.children import HUB_PORT, EngineProcess
from wardround.federation.engine import Coordinator, EngineError, LegRequest, LegState, LegStatus
from wardround.federation.flare.carried import CarriedLeg
from wardround.federation.messages import MessageInvalid, unpack
from wardround.federation.port import Answer, Peer, PortClosed, PortServer
from wardround.federation.provisioning import PROJECT, Identity, leg_job, write_hub_kit
from wardround.federation.remote import answer_coordinator
from wardround.federation.spool import Spool
from wardround.foundation.stored import Held

log = logging.getLogger(__name__)

START_SECONDS = 60.0
RESTART_SECONDS = 1.0
COMING_SECONDS = 30.0
"""A site that was asked into a leg has so long for its process to come up before it is asked again."""
ENDS_AT_ONCE = 5.0
"""A process that ended sooner after it was asked for isn't asked for again before the round is over."""


class FlareEngine:
    """:class:`wardround.federation.engine.FederationEngine` over NVIDIA FLARE.

    ``workspace`` is a folder of the engine's own: its contents are replaced at every start, ``*.log`` apart.
    ``identity`` is the hub's certificate, good for TLS servers and clients. Sites dial ``host``:``port``, the one
    port of the engine. If the server process ends, its legs have failed and it is started again at once.
    ``connect_seconds`` is how long a leg waits for its quorum to connect.
    """

    name = "flare"

    def __init__(
        self,
        workspace: Path,
        identity: Identity,
        coordinator: Coordinator,
        *,
        host: str = "127.0.0.1",
        port: int,
        connect_seconds: float = 60.0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.workspace = workspace.resolve()
        self.version = version("nvflare")
        self.host, self.port = host, port
        self._identity = identity
        self._coordinator = coordinator
        self._connect_seconds = connect_seconds
        self._env = dict(env or {})
        self._changed = threading.Condition()
        self._legs: dict[str, CarriedLeg] = {}
        self._sites: frozenset[str] = frozenset()
        self._server: Peer | None = None
        self._process: EngineProcess | None = None
        self._port: PortServer | None = None
        self._closing = threading.Event()
        self._ever_up = self._stillborn = False

    # Life of the server process

    def start(self) -> None:
        """Start the server process and return when it listens. Raises :class:`EngineError` if it doesn't."""
        with self._changed:
            if self._port is not None:
                return
            self._check_address()
            self.workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._port = PortServer(self._answer, self.workspace.parent / f"{self.workspace.name}.port", self._hung_up)
        threading.Thread(target=self._supervise, name="flare-server", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._server is not None or self._stillborn, START_SECONDS)
            if self._server is not None:
                return
        self.close()
        raise EngineError(
            "the federated engine's server didn't start: are the hub's key and certificate good? "
            f"{self.workspace.name}/server.log says more"
        )

    def _check_address(self) -> None:
        """FLARE goes on without a listener when it can't have its port, so ask first."""
        try:
            socket.create_server((self.host, self.port)).close()
        except OSError as error:
            raise EngineError(
                f"the federated engine can't listen at {self.host}:{self.port} ({error.strerror}): choose another port "
                "or stop the program that has it"
            ) from error

    def restart(self) -> None:
        """Take up a renewed certificate. Legs that run have failed then, so call it between legs."""
        with self._changed:
            process, server = self._process, self._server
        if process is not None:
            process.stop()
        if server is not None:
            with self._changed:
                self._server_gone(server)

    def _supervise(self) -> None:
        while not self._closing.is_set():
            process = self._start_process()
            code = process.wait()
            process.stop()
            with self._changed:
                self._stillborn = not self._ever_up
                self._changed.notify_all()
            if self._closing.is_set() or self._stillborn:
                return
            log.warning("the engine's server process ended with code %s; starting it again", code)
            self._closing.wait(RESTART_SECONDS)

    def _start_process(self) -> EngineProcess:
        write_hub_kit(self.workspace, self._identity, self.host, self.port)
        assert self._port is not None  # noqa: S101 - start() made it before this thread began
        arguments = ["-m", str(self.workspace), "-s", "fed_server.json", "--set"]
        arguments += ["secure_train=true", "config_folder=config", f"org={PROJECT}"]
        with self._changed:
            self._process = EngineProcess(
                "server",
                arguments,
                folder=self.workspace,
                log=self.workspace / "server.log",
                env={**self._env, HUB_PORT: str(self._port.address_file)},
            )
            return self._process

    def _server_gone(self, server: Peer) -> None:
        """Legs that were handed to this server process are over; those still waiting for sites wait for the next."""
        for leg in self._legs.values():
            if leg.server is server:
                self._over(leg, LegState.FAILED, "the engine's server process ended")
        if self._server is server:
            self._server = None
            self._sites = frozenset()
        self._changed.notify_all()

    def close(self) -> None:
        self._closing.set()
        with self._changed:
            for leg in self._legs.values():
                self._tell_leg(leg, {"do": "abort", "reason": "the engine was closed"})
                self._over(leg, LegState.ABORTED, "the engine was closed")
            process, port = self._process, self._port
        if process is not None:
            process.stop()
        if port is not None:
            port.close()

    @property
    def pid(self) -> int | None:
        """The server process, for those who watch its memory."""
        return None if self._process is None else self._process.pid

    # Legs

    def connected(self) -> frozenset[str]:
        with self._changed:
            return self._sites

    def start_leg(self, request: LegRequest) -> None:
        leg = CarriedLeg(request, LegStatus(request.leg_id, LegState.STARTING), str(uuid.uuid4()))
        with self._changed:
            self._legs[request.leg_id] = leg
        threading.Thread(target=self._bring_up, args=(leg,), name="leg-start", daemon=True).start()

    def _bring_up(self, leg: CarriedLeg) -> None:
        while (server := self._gather(leg)) is not None:
            try:
                self.submit(server, leg.job_id, leg.present, leg_job(leg.request.leg_id))
                break
            except PortClosed:
                with self._changed:
                    leg.server = None
                    self._changed.wait_for(lambda server=server: self._server is not server, START_SECONDS)  # type: ignore[misc]
        with self._changed:
            self._changed.wait_for(lambda: leg.status.state.over or leg.begun, START_SECONDS)
            if not leg.begun:
                self._over(leg, LegState.FAILED, "the leg's process didn't start")
                self._stop_job(leg.job_id)

    def _gather(self, leg: CarriedLeg) -> Peer | None:
        """Wait for the sites of a leg. Returns the server to hand it to, or None if it is over before it began."""
        wanted, quorum = leg.request.sites, leg.request.quorum
        with self._changed:
            self._changed.wait_for(
                lambda: leg.status.state.over or self._there(wanted) >= quorum, self._connect_seconds
            )
            self._changed.wait_for(lambda: leg.status.state.over or not self._coming(leg), leg.request.gather_seconds)
            leg.present = tuple(site for site in wanted if site in self._sites)
            leg.absent = {site: leg.excused.get(site, "not-connected") for site in wanted if site not in self._sites}
            leg.status = replace(leg.status, absent=dict(leg.absent))
            if len(leg.present) < quorum or self._server is None:
                self._over(leg, LegState.FAILED, f"{len(leg.present)} of the {quorum} sites needed are connected")
            if leg.status.state.over:
                return None
            leg.server = self._server
            return leg.server

    def excuse(self, leg_id: str, site: str, reason: str) -> None:
        with self._changed:
            self._legs[leg_id].excused[site] = reason
            self._changed.notify_all()

    def _coming(self, leg: CarriedLeg) -> bool:
        """Whether any of a leg's sites may still connect."""
        return self._server is None or bool(set(leg.request.sites) - self._sites - set(leg.excused))

    def _there(self, wanted: tuple[str, ...]) -> int:
        return 0 if self._server is None else len(self._sites & set(wanted))

    def submit(self, server: Peer, job_id: str, sites: tuple[str, ...], config: dict[str, dict[str, Any]]) -> None:
        """Hand a job to the server process: configuration files and nothing else."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, body in config.items():
                archive.writestr(f"leg/app/config/{name}", json.dumps(body))
            archive.writestr("leg/meta.json", "{}")
        server.send({"do": "submit", "job_id": job_id, "sites": list(sites)}, content.getvalue())

    def status(self, leg_id: str) -> LegStatus:
        with self._changed:
            return self._legs[leg_id].status

    def wait(self, leg_id: str, timeout: float | None = None) -> LegStatus:
        with self._changed:
            leg = self._legs[leg_id]
            self._changed.wait_for(lambda: leg.status.state.over, timeout)
            return leg.status

    def abort(self, leg_id: str, reason: str) -> None:
        with self._changed:
            leg = self._legs[leg_id]
            if leg.status.state.over:
                return
            if not self._tell_leg(leg, {"do": "abort", "reason": reason}):
                self._over(leg, LegState.ABORTED, reason)
                self._stop_job(leg.job_id)

    def _over(self, leg: CarriedLeg, state: LegState, reason: str) -> None:
        if self._port is not None and state is not LegState.FINISHED:
            # A process that was killed leaves its files.
            Spool(self._port.folder, leg.job_id).close()
        if not leg.status.state.over:
            leg.status = replace(leg.status, state=state, reason=reason)
            self._changed.notify_all()

    def _tell_leg(self, leg: CarriedLeg, command: dict[str, Any]) -> bool:
        if leg.watch is None:
            return False
        try:
            leg.watch.send(command)
        except PortClosed:
            return False
        return True

    def _stop_job(self, job_id: str) -> None:
        if self._server is not None:
            try:
                self._server.send({"do": "abort", "job_id": job_id})
            except PortClosed:
                log.info("a job was to be stopped, but the engine's server is gone")

    # What the server's processes say over the port

    def _answer(self, peer: Peer, operation: str, meta: dict[str, Any], payload: Held) -> Answer:
        if operation in ("begin", "admit", "commit"):
            return self._ask_hub(peer, operation, meta, payload)
        with self._changed:
            self._changed.notify_all()
            if operation == "server":
                self._server, self._ever_up = peer, True
                peer.notes["role"] = "server"
            elif operation == "sites":
                self._note_sites(frozenset(str(site) for site in meta["sites"]))
            elif operation == "process-gone":
                self._lose(str(meta.get("job_id")), str(meta.get("site")))
            elif operation == "process-there":
                self._found(str(meta.get("job_id")), str(meta.get("site")))
            elif operation == "job-ended":
                self._job_ended(str(meta.get("job_id")))
            elif operation == "leg":
                leg = self._legs[str(meta["leg_id"])]
                peer.notes["leg"] = leg
                leg.begun = True
                if not leg.status.state.over:
                    leg.status = replace(leg.status, state=LegState.RUNNING)
                return {"absent": self._absent_from(leg, meta["present"])}, b""
            elif operation == "watch":
                leg = self._legs[str(meta["leg_id"])]
                leg.watch = peer
                if leg.status.state.over:
                    threading.Thread(target=self._tell_leg, args=(leg, {"do": "abort", "reason": ""})).start()
            elif operation == "ended":
                self._ended(peer, unpack(LegStatus, meta))
            else:
                raise MessageInvalid("unknown operation")
        return {}, b""

    def _absent_from(self, leg: CarriedLeg, present: list[str]) -> dict[str, str]:
        """Sites that were wanted and aren't in the job: not connected, or they refused to have it deployed. They are
        asked in after the round."""
        leg.absent |= {site: "refused-job" for site in leg.present if site not in present}
        leg.present = tuple(site for site in leg.present if site in present)
        leg.status = replace(leg.status, absent=dict(leg.absent))
        return leg.absent

    def _ask_hub(self, peer: Peer, operation: str, meta: dict[str, Any], payload: Held) -> Answer:
        leg = peer.notes.get("leg")
        if not isinstance(leg, CarriedLeg) or leg.status.state.over:
            raise EngineError("this leg is over")
        answer = answer_coordinator(self._coordinator, operation, meta, payload)
        if operation == "commit":
            with self._changed:
                leg.status = replace(leg.status, last_round=int(meta["round"]))
                late = time.monotonic() - COMING_SECONDS
                self._ask_in(leg, {site for site in self._sites if leg.asked.get(site, -math.inf) < late})
        return answer

    def _ended(self, peer: Peer, status: LegStatus) -> None:
        leg = peer.notes.get("leg")
        if isinstance(leg, CarriedLeg) and not leg.status.state.over:
            leg.status = replace(status, leg_id=leg.request.leg_id, last_round=leg.status.last_round)

    def _note_sites(self, sites: frozenset[str]) -> None:
        for site in self._sites - sites:
            for leg in self._legs.values():
                if site in leg.present and not leg.status.state.over:
                    self._tell_leg(leg, {"do": "lose", "site": site, "reason": "disconnected"})
        for leg in self._legs.values():
            self._ask_in(leg, sites - self._sites)
        self._sites = sites

    def _ask_in(self, leg: CarriedLeg, connected: Set[str]) -> None:
        """Have those of the connected sites take part that are wanted and have no process in the leg: when they
        connect, when their process ends, and after each round; a process that dies at its start is no loop.
        """
        if leg.status.state is not LegState.RUNNING or self._server is None:
            return
        for site in sorted(connected & set(leg.request.sites)):
            if site in leg.present and site not in leg.gone:
                continue
            leg.asked[site] = time.monotonic()
            self._tell_leg(leg, {"do": "welcome", "site": site})
            try:
                self._server.send({"do": "ask-in", "job_id": leg.job_id, "site": site})
            except PortClosed:
                return

    def _lose(self, job_id: str, site: str) -> None:
        for leg in self._legs.values():
            if leg.job_id == job_id and not leg.status.state.over:
                leg.gone.add(site)
                asked = leg.asked.pop(site, -math.inf)
                self._tell_leg(leg, {"do": "lose", "site": site, "reason": "process-ended"})
                if asked < time.monotonic() - ENDS_AT_ONCE:
                    self._ask_in(leg, self._sites & {site})

    def _found(self, job_id: str, site: str) -> None:
        for leg in self._legs.values():
            if leg.job_id == job_id:
                leg.gone.discard(site)
                if site not in leg.present:
                    leg.present = (*leg.present, site)

    def _job_ended(self, job_id: str) -> None:
        for leg in self._legs.values():
            if leg.job_id == job_id:
                self._over(leg, LegState.FAILED, "the engine ended the job")

    def _hung_up(self, peer: Peer) -> None:
        with self._changed:
            leg = peer.notes.get("leg")
            if isinstance(leg, CarriedLeg) and not leg.status.state.over:
                self._over(leg, LegState.FAILED, "the leg's process ended")
                self._stop_job(leg.job_id)
            if peer.notes.get("role") == "server":
                self._server_gone(peer)
