"""`[report]` of `node.toml`: where results go beside the PACS, and whether the PACS has to commit itself to them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from wardround.foundation.settings import Settings

AE_TITLE = r"^[!-\[\]-~][ -\[\]-~]{0,15}$"
"""1 to 16 characters, no backslash (PS3.5 Table 6.2-1, VR AE)."""


ReportedStage = Literal["prioritisation", "triage", "second-reader", "primary-reader"]
"""Those whose results reach the ward."""
_HERE = frozenset({"127.0.0.1", "::1", "localhost"})


class CommitmentSettings(Settings):
    """Ask the PACS for storage commitment of every result, from an AE title and a port of their own, which the PACS has
    to know: it reports there.

    within_minutes: after how long a result that the PACS didn't commit itself to is sent again. tls: in TLS both ways,
    with the files under `[wire]`.
    """

    ae_title: str = Field(default="WARDREPORT", pattern=AE_TITLE)
    host: str = "127.0.0.1"
    port: int = Field(default=11114, ge=0, le=65535)
    within_minutes: float = Field(default=60, gt=0, le=10_080)
    tls: bool = False


class _WebSettings(Settings):
    """What every server of the hospital's that is called over the web has: how it is trusted, and what is shown to it.

    trusted (PEM): who signed its certificate, if no public authority did. certificate, key (PEM): this node's own, for
    a server that asks. token_file: what is shown as a bearer token.
    """

    trusted: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token_file: Path | None = None

    @model_validator(mode="after")
    def _has_both_of_a_pair(self) -> Self:
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("certificate and key go together")
        return self


def _check_private(url: str, name: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _HERE:
        raise ValueError(f"{name} names patients over the network; begin it with https://")


class StowSettings(_WebSettings):
    """Send DICOM results over the web (STOW-RS) to the base `url` of the PACS's DICOMweb service, instead of by C-STORE
    to `[pacs]`. examiners_url: another one, where nobody looks who treats the patient; there go results of models in
    shadow use, which stay at the node without it. trusted, certificate, key, token_file: as under `[report.fhir]`.
    """

    url: str = Field(pattern=r"^https?://[^\s]+$")
    examiners_url: str = Field(default="", pattern=r"^(https?://[^\s]+)?$")

    @model_validator(mode="after")
    def _goes_somewhere_safe(self) -> Self:
        _check_private(self.url, "url")
        _check_private(self.examiners_url, "examiners_url")
        if self.examiners_url.rstrip("/") == self.url.rstrip("/"):
            raise ValueError("examiners_url is url, where the ward looks; name another one, or none")
        return self


class FhirSettings(_WebSettings):
    """Send findings as FHIR R4 bundles: to the base `url` of a server of the hospital, or into a `folder` (in the home
    if its path isn't absolute), one of them.

    patient_system: the URI of the hospital's patient numbers. trusted (PEM): who signed the server's certificate, if no
    public authority did. certificate, key (PEM): this node's own, for a server that asks. token_file: what is shown as
    a bearer token. from_stage: the lowest stage of a model whose findings go there.
    """

    url: str = Field(default="", pattern=r"^(https?://[^\s]+)?$")
    folder: str = ""
    patient_system: str = Field(default="urn:wardround:patient-number", min_length=1)
    from_stage: ReportedStage = "second-reader"

    @model_validator(mode="after")
    def _goes_somewhere_safe(self) -> Self:
        if bool(self.url) == bool(self.folder):
            raise ValueError("set url or folder, one of them")
        _check_private(self.url, "url")
        return self


class Hl7Settings(Settings):
    """Send findings as HL7 v2 messages, ORU^R01, over MLLP to `host` and `port`.

    application, facility: MSH-5 and MSH-6. assigner: of the patient numbers, where an image names no issuer. trusted,
    certificate, key (PEM): TLS with these, all or none. from_stage: the lowest stage whose findings go there.
    """

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65535)
    application: str = Field(default="", max_length=180)
    facility: str = Field(default="", max_length=180)
    assigner: str = Field(default="", max_length=180)
    trusted: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    from_stage: ReportedStage = "second-reader"

    @model_validator(mode="after")
    def _has_all_of_tls(self) -> Self:
        if len({self.trusted is None, self.certificate is None, self.key is None}) > 1:
            raise ValueError("TLS needs all of trusted, certificate and key")
        return self


class ReportSettings(Settings):
    """What is left out isn't done. tls: send results by C-STORE in TLS, with the files under `[wire]`."""

    tls: bool = False
    commitment: CommitmentSettings | None = None
    dicomweb: StowSettings | None = None
    fhir: FhirSettings | None = None
    hl7: Hl7Settings | None = None
