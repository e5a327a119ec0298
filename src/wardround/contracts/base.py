"""The ground of every contract: frozen, closed models and the few scalar types that they share."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

import rfc8785
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

SLUG = r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$"

SiteName = Annotated[str, StringConstraints(pattern=SLUG)]
"""A site's short name: 2 to 40 lower-case letters, digits and hyphens."""

ProjectId = Annotated[str, StringConstraints(pattern=SLUG)]
RunId = Annotated[str, StringConstraints(pattern=SLUG)]

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest in lower-case hexadecimal."""

ReasonCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,60}$")]
"""Why something was refused or failed, as one word of a closed vocabulary: the only form in which a
reason leaves a node (exception texts can hold paths and identifiers)."""


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its offset from UTC")
    return value.astimezone(UTC)


Utc = Annotated[datetime, AfterValidator(_utc)]
"""A moment with a time zone, kept in UTC."""


class Frozen(BaseModel):
    """A contract: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    def canonical(self) -> bytes:
        """The model as canonical JSON (RFC 8785), the same bytes on every machine."""
        document: Any = self.model_dump(mode="json", by_alias=True)
        return rfc8785.dumps(document)

    def content_digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        return sha256(self.canonical()).hexdigest()
