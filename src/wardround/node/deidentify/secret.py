"""The site's secret, from which all pseudonyms are made: a file that must not be lost."""

from __future__ import annotations

import secrets
from pathlib import Path

from sqlalchemy import select

from wardround.foundation.database import Database
from wardround.foundation.errors import WardroundError
from wardround.foundation.files import write_whole
from wardround.node.receive.tables import ReceivedInstance

SECRET_BYTES = 32


class SecretLost(WardroundError):
    """The secret's file is gone or damaged, and things depend on it."""

    code = "secret-lost"


def site_secret(path: Path, database: Database) -> bytes:
    """The site's secret for pseudonyms, 32 random bytes that never leave the node; made for a node that has received
    nothing yet.

    Another secret would give every patient who is here already a second pseudonym, and match no opt-out.

    Raises:
        SecretLost: the file is gone although something was received, or doesn't hold 32 bytes.
    """
    if not path.exists():
        with database.reading() as session:
            if session.scalar(select(ReceivedInstance.id).limit(1)) is not None:
                raise SecretLost(
                    "identity/pseudonyms.key is gone, and studies were received under it; restore that file from a "
                    "backup (with identity/vault.key and vault/, if they are gone too) and start again"
                )
        write_whole(path, secrets.token_bytes(SECRET_BYTES), mode=0o600)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise SecretLost(
            f"identity/pseudonyms.key has {len(secret)} bytes, not {SECRET_BYTES}; restore that file from a backup"
        )
    return secret
