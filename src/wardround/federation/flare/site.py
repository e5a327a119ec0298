"""A node's side of FLARE: supervises the client process. It imports nothing of FLARE itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wardround.federation.children import NODE_PORT, PARTICIPANT_PORT, EngineProcess
from wardround.federation.messages import MessageInvalid
from wardround.federation.port import Answer, Peer, PortServer
from wardround.federation.provisioning import HEARTBEAT_SECONDS, PROJECT, Identity, write_site_kit
from wardround.foundation.stored import Held

log = logging.getLogger(__name__)

RESTART_SECONDS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class JobRefusal:
    """A job of the hub's that this site refused to run. ``reason``: ``custom-code``, ``forbidden-class`` ..."""

    job_id: str
    reason: str


@dataclass(frozen=True)
class SiteStatus:
    """``refusals`` are those since the start, oldest first. ``restarts`` counts client processes that ended
    early.
    """

    running: bool
    connected: bool
    restarts: int = 0
    refusals: tuple[JobRefusal, ...] = field(default_factory=tuple)


class FlareSite:
    """Keeps this site's FLARE client running until :meth:`stop`.

    ``workspace`` is a folder of the client's own: its contents are replaced at every start, ``*.log`` apart, so
    after a renewal of the certificate :meth:`restart` takes the new one up. ``identity.name`` is the site's
    name in its certificate. The client dials ``host``:``port`` (a relay of the node's gateway as a rule) and
    accepts only a server whose certificate names ``hub_name``. ``participant_port`` is the address file that
    the training process's :class:`wardround.federation.remote.ParticipantPort` writes; it may appear later.
    ``on_refusal`` is called from another thread.
    """

    def __init__(
        self,
        workspace: Path,
        identity: Identity,
        *,
        host: str,
        port: int,
        hub_name: str,
        participant_port: Path,
        on_refusal: Callable[[JobRefusal], None] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.workspace = workspace.resolve()
        self._identity = identity
        self._host, self._port_number, self._hub_name = host, port, hub_name
        self._participant_port = participant_port.resolve()
        self._on_refusal = on_refusal or (lambda refusal: None)
        self._env = dict(env or {})
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._port: PortServer | None = None
        self._process: EngineProcess | None = None
        self._supervisor: threading.Thread | None = None
        self._connected = False
        self._restarts = 0
        self._refusals: list[JobRefusal] = []

    def start(self) -> None:
        """Start the client and return at once; it goes on trying until the hub answers."""
        with self._changed:
            if self._supervisor is not None:
                return
            self.workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._stopping.clear()
            self._port = PortServer(self._answer, self.workspace.parent / f"{self.workspace.name}.port", self._hung_up)
            self._supervisor = threading.Thread(target=self._supervise, name="flare-client", daemon=True)
            self._supervisor.start()

    def stop(self) -> None:
        """End the client process and all that it started. May be called again."""
        self._stopping.set()
        with self._changed:
            process, port, supervisor = self._process, self._port, self._supervisor
            self._port = self._supervisor = None
        if process is not None:
            process.stop()
        if supervisor is not None:
            supervisor.join(10)
        if port is not None:
            port.close()

    def restart(self) -> None:
        """Take up a renewed certificate or a changed address. A running leg loses this site for some seconds."""
        self.stop()
        self.start()

    def wait_connected(self, timeout: float) -> bool:
        """Whether the hub was reached within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._connected, timeout)

    def status(self) -> SiteStatus:
        with self._changed:
            running = self._process is not None and self._process.exit_code is None
            return SiteStatus(running, self._connected, self._restarts, tuple(self._refusals))

    @property
    def pid(self) -> int | None:
        """The client process, for those who watch its memory."""
        return None if self._process is None else self._process.pid

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            process = self._start_process()
            code = process.wait()
            process.stop()
            with self._changed:
                self._connected = False
                if self._stopping.is_set():
                    return
                self._restarts += 1
                pause = RESTART_SECONDS[min(self._restarts, len(RESTART_SECONDS)) - 1]
            log.warning("the engine's client process ended with code %s; starting it again in %s s", code, pause)
            self._stopping.wait(pause)

    def _start_process(self) -> EngineProcess:
        write_site_kit(self.workspace, self._identity, self._host, self._port_number, self._hub_name)
        arguments = ["-m", str(self.workspace), "-s", "fed_client.json", "--set", "secure_train=true"]
        arguments += [f"uid={self._identity.name}", f"org={PROJECT}", "config_folder=config"]
        arguments += [f"heart_beat_interval={HEARTBEAT_SECONDS}"]
        assert self._port is not None  # noqa: S101 - start() made it before this thread began
        environment = {
            **self._env,
            NODE_PORT: str(self._port.address_file),
            PARTICIPANT_PORT: str(self._participant_port),
        }
        with self._changed:
            self._process = EngineProcess(
                "client", arguments, folder=self.workspace, log=self.workspace / "client.log", env=environment
            )
            return self._process

    def _answer(self, peer: Peer, operation: str, meta: dict[str, Any], payload: Held) -> Answer:
        if operation == "refused":
            refusal = JobRefusal(str(meta.get("job_id")), str(meta.get("reason")))
            with self._changed:
                self._refusals.append(refusal)
                self._changed.notify_all()
            self._on_refusal(refusal)
        elif operation in ("connected", "disconnected"):
            with self._changed:
                peer.notes["client"] = True
                self._connected = operation == "connected"
                self._changed.notify_all()
        else:
            raise MessageInvalid("unknown operation")
        return {}, b""

    def _hung_up(self, peer: Peer) -> None:
        if peer.notes.get("client"):
            with self._changed:
                self._connected = False
                self._changed.notify_all()
