"""A hub's home: one folder with its settings, identity, database and objects."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from wardround.foundation.certificates import (
    CertificateRefused,
    Root,
    certificate_in,
    due_for_renewal,
    make_key,
    pem,
    read_key,
)
from wardround.foundation.clock import now as present
from wardround.foundation.errors import Conflict, NotFound
from wardround.foundation.files import ObjectStore, write_whole
from wardround.foundation.settings import read_settings, write_toml
from wardround.foundation.signing import make_signing_key, read_signing_key
from wardround.hub.settings import HubSettings
from wardround.ledger.note import SignatureType, Signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from wardround.foundation.database import Database

SERVER_NAME = "hub"
"""Common name of the hub's certificate, and the engine server's identity."""
ADMIN_NAME = "wardround-admin"
SERVER_LASTS = timedelta(days=90)
MIGRATIONS = "wardround.hub.migrations"


class HubHome:
    """An existing hub's home.

    Raises:
        NotFound: the folder isn't a hub's home.
        SettingsRefused: its `hub.toml` can't be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        if not (self.path / "hub.toml").is_file():
            raise NotFound(f"{path} isn't a hub's home (no hub.toml); make one with `wardround hub init --home {path}`")
        self.settings = read_settings(self.path / "hub.toml", HubSettings)

    @property
    def federation(self) -> str:
        return self.settings.federation

    @property
    def identity(self) -> Path:
        return self.path / "identity"

    @property
    def root_certificate(self) -> Path:
        return self.identity / "root.crt"

    @property
    def server_key(self) -> Path:
        return self.identity / "server.key"

    @property
    def server_certificate(self) -> Path:
        return self.identity / "server.crt"

    @property
    def admin_key(self) -> Path:
        return self.identity / "admin.key"

    @property
    def admin_certificate(self) -> Path:
        return self.identity / "admin.crt"

    @property
    def engine(self) -> Path:
        """The federated engine's working folder."""
        return self.path / "engine"

    @property
    def packages(self) -> Path:
        """Model packages that somebody added, by digest."""
        return self.path / "packages"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @cached_property
    def objects(self) -> ObjectStore:
        return ObjectStore(self.path / "objects")

    @cached_property
    def root(self) -> Root:
        return Root.open(self.root_certificate, self.identity / "root.key")

    @cached_property
    def ledger_key(self) -> Ed25519PrivateKey:
        return read_signing_key(self.identity / "ledger.key")

    @property
    def ledger_origin(self) -> str:
        """The ledger's origin, which is the name of the key that signs its checkpoints."""
        return f"wardround/{self.federation}"

    @property
    def ledger_signer(self) -> Signer:
        return Signer(self.ledger_origin, SignatureType.NOTE, self.ledger_key)

    @cached_property
    def database(self) -> Database:
        """The hub's database; `upgrade()` it once before use, as `hub init` and `hub serve` do."""
        from wardround.foundation.database import Database

        return Database(self.settings.database or f"sqlite:///{self.path / 'hub.db'}", migrations=MIGRATIONS)

    def issue_own_certificates(self, now: datetime) -> None:
        """Make or renew the hub's server and console certificates where half of their life is over."""
        settings = self.settings
        hosts = ["localhost", "127.0.0.1", settings.host]
        if _due(self.server_certificate, now):
            key = read_key(self.server_key).public_key()
            certificate = self.root.issue_server(key, SERVER_NAME, hosts, now, SERVER_LASTS)
            chain = pem(certificate) + pem(self.root.certificate)
            write_whole(self.server_certificate, chain.encode(), mode=0o644)
        if _due(self.admin_certificate, now):
            key = read_key(self.admin_key).public_key()
            certificate = self.root.issue_engine_admin(key, ADMIN_NAME, now, SERVER_LASTS)
            write_whole(self.admin_certificate, pem(certificate).encode(), mode=0o644)

    def close(self) -> None:
        if "database" in self.__dict__:
            self.database.close()


def make_hub_home(path: Path, settings: HubSettings, *, now: datetime | None = None) -> HubHome:
    """A new hub's home: root, server and console certificates, ledger key, a database with the founded ledger.

    `hub.toml` is written last, so that a home that was cut short isn't taken for whole.

    Raises:
        Conflict: there is a hub in `path`, or something else.
    """
    if (path / "hub.toml").exists():
        raise Conflict(f"{path} is a hub's home already; serve it with `wardround hub serve --home {path}`")
    if path.exists() and any(path.iterdir()):
        raise Conflict(f"{path} isn't empty; name an empty or a new folder with --home")
    moment = now or present()
    identity = path / "identity"
    identity.mkdir(parents=True, mode=0o700)
    path.chmod(0o700)
    for folder in ("objects", "engine", "log"):
        (path / folder).mkdir()
    Root.make(settings.federation, identity / "root.crt", identity / "root.key", moment)
    make_key(identity / "server.key")
    make_key(identity / "admin.key")
    make_signing_key(identity / "ledger.key")
    document: dict[str, object] = settings.model_dump(mode="json", exclude_none=True)
    write_whole(path / "hub.toml", write_toml(document).encode())
    home = HubHome(path)
    home.issue_own_certificates(moment)
    home.database.upgrade()
    _found(home, moment)
    return home


def _found(home: HubHome, moment: datetime) -> None:
    # The ledger loads far more than most commands need of a home.
    from wardround.hub.record.membership import found_once
    from wardround.ledger.log import Log

    with home.database.writing() as session:
        found_once(session, Log(home.ledger_origin, home.ledger_key), faults=home.settings.faults, at=moment)


def _due(certificate: Path, now: datetime) -> bool:
    try:
        return due_for_renewal(certificate_in(certificate), now)
    except CertificateRefused:
        return True
