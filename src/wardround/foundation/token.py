"""The one-time token by which a site joins: what the hub prints and the node reads."""

from __future__ import annotations

import binascii
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from pydantic import Field, ValidationError

from wardround.contracts.base import Digest, Frozen, SiteName, Utc
from wardround.foundation.errors import WardroundError

PREFIX = "wardround1-"


class TokenRefused(WardroundError):
    """Not a token, or not one that this version reads."""

    code = "token-refused"


class Token(Frozen):
    """Where to enrol, the SHA-256 of the only root to trust there, and 256 bits of secret."""

    site: SiteName
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65535)
    root: Digest
    secret: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$", repr=False)
    expires: Utc

    def __str__(self) -> str:
        """One word to hand over, base64url without padding."""
        return PREFIX + urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @property
    def secret_digest(self) -> str:
        return digest_of(self.secret)

    @classmethod
    def parse(cls, word: str) -> Token:
        """Read a token.

        Raises:
            TokenRefused: it is damaged, or isn't a token.
        """
        word = word.strip()
        body = word.removeprefix(PREFIX)
        try:
            return cls.model_validate_json(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (binascii.Error, ValueError, ValidationError):
            raise TokenRefused(
                f"this isn't a whole Wardround token (it starts with {PREFIX}); copy all of it, on one line"
            ) from None


def new_secret() -> str:
    """256 random bits as 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What the hub keeps of a secret: its SHA-256. (With 256 random bits, no slow hash is needed.)"""
    return sha256(secret.encode()).hexdigest()
