"""A hub and sites for tests of the federated engine: a small certificate authority, and participants that add a
constant.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wardround.federation.engine import (
    FederationEngine,
    LegRequest,
    LegStart,
    LegStatus,
    Next,
    RoundResult,
    RoundTask,
    RoundUpdate,
    UpdateHeader,
    UpdateKind,
)
from wardround.federation.flare.hub import FlareEngine
from wardround.federation.flare.site import FlareSite, JobRefusal
from wardround.federation.inprocess import InProcessEngine
from wardround.federation.provisioning import Identity
from wardround.federation.remote import ParticipantPort
from wardround.foundation.stored import content
from wardround.learning.arrays import Arrays, from_bytes, to_bytes
from wardround.node.gateway.relay import Relay

PATIENCE = 60.0
STEPS = {"alpha": 1.0, "beta": 2.0, "gamma": 6.0}

Behaviour = Callable[[RoundTask], RoundUpdate]


class Authority:
    """A root and the leaves that it signs, as PEM files."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True)
        self._key = rsa.generate_private_key(65537, 2048)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        root = (
            self._builder(self._name, self._key, days=30)
            .add_extension(x509.BasicConstraints(True, 0), True)
            .add_extension(usage, True)
            .sign(self._key, hashes.SHA256())
        )
        (home / "root.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> Identity:
        key = rsa.generate_private_key(65537, 2048)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        leaf = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, days=1)
            .add_extension(x509.SubjectAlternativeName(names), False)
            .add_extension(x509.KeyUsage(True, False, True, False, False, False, False, False, False), True)
            .add_extension(x509.ExtendedKeyUsage(both), False)
            .sign(self._key, hashes.SHA256())
        )
        certificate, private = self.home / f"{name}.crt", self.home / f"{name}.key"
        certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        private.chmod(0o600)
        return Identity(name, private, certificate, self.home / "root.pem")

    def _builder(self, name: x509.Name, key: rsa.RSAPrivateKey, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )


class FakeRun:
    """A run as the hub's database would keep it: what was committed outlives every leg."""

    def __init__(
        self,
        run_id: str,
        arrays: Arrays,
        *,
        sites: Sequence[str],
        quorum: int,
        rounds: int,
        deadline: float = PATIENCE,
        kind: UpdateKind = "weights",
        robust: Mapping[str, object] | None = None,
        masking: Mapping[str, object] | None = None,
        turns: Mapping[str, object] | None = None,
    ) -> None:
        self.run_id, self.sites, self.quorum, self.rounds = run_id, tuple(sites), quorum, rounds
        self.deadline, self.kind, self.robust = deadline, kind, dict(robust or {})
        self.masking = dict(masking or {})
        self.turns = dict(turns or {})
        self.arrays = to_bytes(arrays)
        self.results: list[RoundResult] = []
        self.admitted: list[UpdateHeader] = []
        self.legs = 0
        self.on_admit: Callable[[UpdateHeader], None] = lambda header: None
        self.on_commit: Callable[[RoundResult], Next] = lambda result: Next(True)

    def next_leg(self) -> LegRequest:
        self.legs += 1
        return LegRequest(f"{self.run_id}-leg-{self.legs}", self.run_id, self.sites, self.quorum)

    @property
    def model(self) -> Arrays:
        return from_bytes(self.arrays)


class FakeHub:
    """The Coordinator over :class:`FakeRun` objects."""

    def __init__(self) -> None:
        self.runs: dict[str, FakeRun] = {}
        self._count = 0

    def add(self, arrays: Arrays, **settings: object) -> FakeRun:
        self._count += 1
        run = FakeRun(f"run{self._count}", arrays, **settings)  # type: ignore[arg-type]  # passed through
        self.runs[run.run_id] = run
        return run

    def begin(self, leg_id: str) -> LegStart:
        run = self.runs[leg_id.split("-")[0]]
        done = run.results[-1].round if run.results else 0
        return LegStart(
            run_id=run.run_id,
            leg_id=leg_id,
            first_round=done + 1,
            total_rounds=run.rounds,
            sites=run.sites,
            quorum=run.quorum,
            deadline_seconds=run.deadline,
            plan={"package": "test", "seed": 7},
            arrays=run.arrays,
            update_kind=run.kind,
            robust=run.robust,
            masking=run.masking,
            turns=run.turns,
        )

    def admit(self, header: UpdateHeader) -> None:
        run = self.runs[header.run_id]
        run.on_admit(header)
        run.admitted.append(header)

    def commit(self, result: RoundResult) -> Next:
        run = self.runs[result.run_id]
        # A file is the leg's and goes with it.
        run.arrays = content(result.arrays)
        kept = replace(result, arrays=run.arrays)
        run.results.append(kept)
        return run.on_commit(kept)


class FakeSite:
    """A participant that adds its step to every weight, unless a run is given another behaviour."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.behaviours: dict[str, Behaviour] = {}
        self.tasks: list[RoundTask] = []
        self.finished: list[str] = []
        self.aborted: list[str] = []
        self.heard = threading.Condition()

    def take_part(self, task: RoundTask) -> RoundUpdate:
        task = replace(task, arrays=content(task.arrays))
        with self.heard:
            self.tasks.append(task)
            self.heard.notify_all()
        return self.behaviours.get(task.run_id, self.add_step)(task)

    def add_step(self, task: RoundTask) -> RoundUpdate:
        step = np.float32(STEPS[self.name])
        base = from_bytes(task.arrays)
        arrays = {name: (value * 0 if task.update_kind == "delta" else value) + step for name, value in base.items()}
        return RoundUpdate(STEPS[self.name], {"dice": 0.5}, 3, len(self.tasks), to_bytes(arrays))

    def finish(self, leg_id: str, reason: str) -> None:
        with self.heard:
            self.finished.append(leg_id)
            self.heard.notify_all()

    def abort(self, leg_id: str, reason: str) -> None:
        with self.heard:
            self.aborted.append(leg_id)
            self.heard.notify_all()

    def wait_for(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        with self.heard:
            assert self.heard.wait_for(condition, seconds)

    def rounds_of(self, run: FakeRun) -> list[int]:
        return [task.round for task in self.tasks if task.run_id == run.run_id]


class Federation:
    """An engine, the hub behind it and the sites before it."""

    def __init__(self, names: Sequence[str]) -> None:
        self.hub = FakeHub()
        self.sites = {name: FakeSite(name) for name in names}
        self.engine: FederationEngine

    def run_leg(self, run: FakeRun) -> LegStatus:
        request = run.next_leg()
        self.engine.start_leg(request)
        return self.engine.wait(request.leg_id, PATIENCE)


class InProcessFederation(Federation):
    def __init__(self, home: Path, names: Sequence[str]) -> None:
        super().__init__(names)
        self.engine = InProcessEngine(self.hub, self.sites)

    def close(self) -> None:
        self.engine.close()


class Wire:
    """A site's way to the hub, which can be cut, or lose what it carries without a word, and be mended; it listens at
    the same port all along."""

    def __init__(self, target: int) -> None:
        self._target = ("127.0.0.1", target)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lost: set[socket.socket] = set()
        self._whole = True
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                try:
                    if not self._whole:
                        raise OSError("the wire is cut")
                    far = socket.create_connection(self._target)
                except OSError:
                    near.close()
                    continue
                self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while piece := one.recv(65536):
                if one not in self._lost:
                    other.sendall(piece)
        if one not in self._lost:
            self._hang_up({one, other})

    def _hang_up(self, which: set[socket.socket]) -> None:
        for one in which:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        with self._lock:
            self._open -= which

    def cut(self) -> None:
        with self._lock:
            self._whole, gone = False, set(self._open)
        self._hang_up(gone)

    def lose(self) -> None:
        """As where a firewall forgets: through what is open nothing passes any more, not even that it was closed. New
        connections are refused until the wire is mended."""
        with self._lock:
            self._whole, self._lost = False, set(self._open)

    def mend(self) -> None:
        self._whole = True

    def close(self) -> None:
        self.cut()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


class FlareFederation(Federation):
    """The real processes: a FLARE server, and a FLARE client for each site, over mutual TLS on loopback; and of each
    site its node's relay."""

    def __init__(self, home: Path, names: Sequence[str]) -> None:
        super().__init__(names)
        self.home = home
        self.authority = Authority(home / "pki")
        self.refusals: list[tuple[str, JobRefusal]] = []
        self.refused = threading.Condition()
        self._open = ExitStack()
        self.flare = FlareEngine(home / "hub/flare", self.authority.issue("hub"), self.hub, port=free_port())
        self.engine = self.flare
        self.clients: dict[str, FlareSite] = {}
        self.wires: dict[str, Wire] = {}
        self._open.callback(self.flare.close)
        try:
            self.flare.start()
            for name in names:
                self.join(name)
            for client in self.clients.values():
                assert client.wait_connected(PATIENCE)
        except BaseException:
            self.close()
            raise

    def join(self, name: str) -> None:
        address = self.home / name / "participant.port"
        port = ParticipantPort(self.sites[name], address)
        self._open.callback(port.close)

        def note(refusal: JobRefusal) -> None:
            with self.refused:
                self.refusals.append((name, refusal))
                self.refused.notify_all()

        wire = self.wires[name] = Wire(self.flare.port)
        self._open.callback(wire.close)
        relay = Relay(("127.0.0.1", wire.port), lambda up, down: None)
        self._open.callback(relay.stop)
        client = self.clients[name] = FlareSite(
            self.home / name / "flare",
            self.authority.issue(name),
            host="127.0.0.1",
            port=relay.start(),
            hub_name="hub",
            participant_port=address,
            on_refusal=note,
        )
        self._open.callback(client.stop)
        client.start()

    def close(self) -> None:
        self._open.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def small_model() -> Arrays:
    return {"bias": np.zeros(3, np.float32), "weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
