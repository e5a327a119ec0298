"""Alembic environment of the vault."""

from wardround.foundation.migration import migrate
from wardround.node.deidentify.vault_tables import VaultTable

migrate([VaultTable.metadata])
