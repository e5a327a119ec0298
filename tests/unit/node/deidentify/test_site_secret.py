"""The two secrets of a site: made once, never silently again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.front_door import FrontDoor, studies

from wardround.node.deidentify.secret import SecretLost, site_secret
from wardround.node.deidentify.vault import Vault, VaultLocked


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path)
    yield made
    made.close()


def test_a_new_node_makes_its_secret_and_finds_it_again(door: FrontDoor) -> None:
    key = door.home / "identity" / "pseudonyms.key"
    secret = site_secret(key, door.database)
    assert len(secret) == 32 and site_secret(key, door.database) == secret
    assert key.stat().st_mode & 0o077 == 0


def test_a_lost_secret_is_not_made_anew_once_something_was_received(door: FrontDoor) -> None:
    key = door.home / "identity" / "pseudonyms.key"
    site_secret(key, door.database)
    door.give_study(studies()[0])
    door.complete()
    key.unlink()
    with pytest.raises(SecretLost, match=r"identity/pseudonyms\.key .*restore"):
        site_secret(key, door.database)
    assert not key.exists()
    key.write_bytes(b"short")
    with pytest.raises(SecretLost, match="5 bytes"):
        site_secret(key, door.database)


def test_another_sites_secret_is_noticed(door: FrontDoor) -> None:
    door.vault.bind(bytes(32))
    door.vault.bind(bytes(32))
    with pytest.raises(VaultLocked, match=r"pseudonyms\.key"):
        door.vault.bind(bytes(31) + b"\1")


def test_a_vault_that_was_lost_with_its_key_is_not_begun_again(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path)
    door.give_study(studies()[0])
    door.tick()
    door.vault.close()
    for file in tmp_path.glob("vault*"):
        file.unlink()
    shutil.rmtree(tmp_path / "identity")
    with pytest.raises(VaultLocked, match=r"restore vault/vault\.db and identity/vault\.key"):
        Vault(tmp_path / "vault", tmp_path / "identity" / "vault.key", audit=door.database)
    assert not (tmp_path / "identity" / "vault.key").exists()
    door.database.close()
