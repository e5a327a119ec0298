"""The vault's tables. What a row says about a person is in `sealed`; the rest is pseudonyms."""

from __future__ import annotations

from sqlalchemy import Index, LargeBinary, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from wardround.node.base import NodeTable


class VaultTable(DeclarativeBase):
    """A table of the vault, which is a database of its own."""

    metadata = MetaData(naming_convention=NodeTable.metadata.naming_convention)


class VaultKey(VaultTable):
    """What the key of this vault answers to a fixed question, so that another key is noticed before it writes."""

    __tablename__ = "vault_key"

    id: Mapped[int] = mapped_column(primary_key=True)
    check: Mapped[bytes] = mapped_column(LargeBinary(32))


class VaultEntry(VaultTable):
    """One sealed fact: a patient under the pseudonym, or an original UID under the new one."""

    __tablename__ = "vault_entries"
    __table_args__ = (Index("ix_vault_entries_pseudonym", "pseudonym"),)

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(64), primary_key=True)
    nonce: Mapped[bytes] = mapped_column(LargeBinary(12))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
