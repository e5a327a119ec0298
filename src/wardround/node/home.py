"""A node's home: one folder with its settings, identity, database and data."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from wardround.foundation.errors import NotFound
from wardround.foundation.settings import read_settings
from wardround.foundation.signing import read_signing_key
from wardround.ledger.note import SignatureType, Signer
from wardround.node.settings import NodeSettings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from wardround.foundation.database import Database
    from wardround.node.policy.file import PolicyFile

MIGRATIONS = "wardround.node.migrations"


class NodePaths:
    """Where things lie in a node's home, whether it has joined or not."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def settings_file(self) -> Path:
        return self.path / "node.toml"

    @property
    def policy_file(self) -> Path:
        """What this hospital allows."""
        return self.path / "policy.toml"

    @property
    def pathways(self) -> Path:
        """A file for each pathway of the clinic."""
        return self.path / "pathways"

    @property
    def identity(self) -> Path:
        return self.path / "identity"

    @property
    def key(self) -> Path:
        """The node's RSA key; it never leaves this folder."""
        return self.identity / "node.key"

    @property
    def certificate(self) -> Path:
        return self.identity / "node.crt"

    @property
    def root_certificate(self) -> Path:
        """The hub's root: the only one that this node trusts for its hub."""
        return self.identity / "root.crt"

    @property
    def ledger_key_file(self) -> Path:
        return self.identity / "ledger.key"

    @property
    def quarantine(self) -> Path:
        return self.path / "quarantine"

    @property
    def vault(self) -> Path:
        return self.path / "vault"

    @property
    def enclave(self) -> Path:
        return self.path / "enclave"

    @property
    def clinical(self) -> Path:
        return self.path / "clinical"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def packages(self) -> Path:
        """Model packages that somebody added, by digest."""
        return self.path / "packages"

    @property
    def outbox(self) -> Path:
        """Attachments of reports that wait to be handed in."""
        return self.path / "outbox"

    @property
    def log(self) -> Path:
        return self.path / "log"

    def open_database(self, url: str = "") -> Database:
        from wardround.foundation.database import Database

        return Database(url or f"sqlite:///{self.path / 'node.db'}", migrations=MIGRATIONS)


class NodeHome(NodePaths):
    """A node that has joined a federation.

    Raises:
        NotFound: the folder isn't such a home.
        SettingsRefused: its `node.toml` can't be used.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not self.settings_file.is_file():
            if (path / "hub.toml").is_file():
                raise NotFound(f"{path} is a hub's home; this is for a hospital's node: name the node's home")
            raise NotFound(
                f"{path} isn't a node's home (no node.toml); join with `wardround node join TOKEN --home {path}`"
            )
        self.settings = read_settings(self.settings_file, NodeSettings)

    @property
    def site(self) -> str:
        return self.settings.site

    @property
    def federation(self) -> str:
        return self.settings.federation

    @cached_property
    def ledger_key(self) -> Ed25519PrivateKey:
        return read_signing_key(self.ledger_key_file)

    @property
    def ledger_signer(self) -> Signer:
        """Signs this site's entries; the hub learned its verifier when the site joined."""
        return Signer(self.site, SignatureType.NOTE, self.ledger_key)

    @cached_property
    def database(self) -> Database:
        """The node's database; `upgrade()` it once before use, as `node join` and `node serve` do."""
        return self.open_database(self.settings.database)

    @cached_property
    def policy(self) -> PolicyFile:
        """What this hospital allows, as its file says whenever it is asked."""
        from wardround.node.policy.adoption import was_there
        from wardround.node.policy.file import PolicyFile

        return PolicyFile(self.policy_file, lambda: was_there(self.database))

    def close(self) -> None:
        if "database" in self.__dict__:
            self.database.close()
