"""Joining a federation and staying in it."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from wardround.contracts.outbound import CertificateIssued, CertificateRenewal, Joined, JoinRequest
from wardround.foundation.certificates import (
    CertificateRefused,
    certificate_in,
    check_issued,
    due_for_renewal,
    fingerprint,
    make_key,
    make_request,
    read_certificate,
    read_key,
)
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import Conflict
from wardround.foundation.files import write_whole
from wardround.foundation.settings import write_toml
from wardround.foundation.signing import make_signing_key, read_signing_key
from wardround.foundation.token import Token, TokenRefused
from wardround.ledger.note import NoteRefused, SignatureType, Signer, Verifier
from wardround.node import audit
from wardround.node.gateway.enrolment import fetch_root, request_join
from wardround.node.gateway.errors import HubRefused
from wardround.node.gateway.gateway import Gateway
from wardround.node.home import NodeHome, NodePaths
from wardround.node.membership.tables import Membership
from wardround.node.policy.adoption import put_on_audit, write_first
from wardround.node.policy.file import read_policy
from wardround.node.settings import DicomSettings, PacsSettings


def join(
    token: Token,
    path: Path,
    *,
    actor: str,
    dicom: DicomSettings | None = None,
    pacs: PacsSettings | None = None,
    database: str = "",
    clock: Clock = now,
) -> NodeHome:
    """Make the keys here, have the hub sign, and write a node's home to `path`.

    A home whose join was cut short goes on with the keys that it made. One whose certificate expired, is
    gone or can't be read joins anew with a new token, keys and all else kept.

    Raises:
        Conflict: it has joined and its certificate is valid, or it is another site's home, or holds other things.
        TokenRefused: the token expired.
        HubUnreachable, HubUntrusted, HubRefused, ClockSkewed: see `node.gateway`.
        CertificateRefused: the hub sent a certificate that isn't for this node.
        SettingsRefused: somebody wrote a policy beforehand, and it can't be used.
    """
    home = NodePaths(path)
    joined_before = _may_join(home, path, token, clock())
    if clock() >= token.expires:
        raise TokenRefused(
            f"this token expired at {token.expires:%Y-%m-%d %H:%M}Z (it is {clock():%Y-%m-%d %H:%M}Z here); "
            "ask the operator for a new one",
            code="token-expired",
        )
    root = fetch_root(token, clock)
    key, ledger_key = _keys(home)
    signer = Signer(token.site, SignatureType.NOTE, ledger_key)
    request = JoinRequest(
        secret=token.secret,
        csr=make_request(key, token.site),
        ledger_verifier=str(signer.verifier),
        version=version("wardround"),
    )
    opened = home.open_database(joined_before.settings.database if joined_before else database)
    try:
        opened.upgrade()
        joined = request_join(token, root, request, opened, clock)
        certificate = _checked(joined, token, root, key)
        write_whole(home.root_certificate, root.encode(), mode=0o644)
        write_whole(home.certificate, joined.certificate.encode(), mode=0o644)
        _remember(opened, joined, certificate, token, actor=actor, clock=clock)
        if joined_before is None:
            write_first(home.policy_file)
            put_on_audit(read_policy(home.policy_file), opened, joined.site, actor=actor, clock=clock)
    finally:
        opened.close()
    if joined_before is None:
        _write_settings(home, joined, dicom or DicomSettings(), pacs, database)
    return NodeHome(path)


def renewal_is_due(home: NodeHome, moment: datetime) -> bool:
    """Whether half of the certificate's life is over, or its file can't be read: a node that is connected still
    is given another."""
    try:
        return due_for_renewal(certificate_in(home.certificate), moment)
    except CertificateRefused:
        return True


def renew(home: NodeHome, gateway: Gateway, *, clock: Clock = now) -> datetime:
    """Have the hub sign anew over mutual TLS; gives until when the new certificate is valid.

    The key stays. The certificate's file is replaced whole, and every gateway of this node uses it from then on.

    Raises:
        HubUnreachable, HubUntrusted, HubRefused: see `Gateway.send`.
        CertificateRefused: the hub sent a certificate that isn't for this node, or this node's key or the hub's root
            can't be read.
    """
    key = read_key(home.key)
    reply, _ = gateway.send(CertificateRenewal(csr=make_request(key, home.site)))
    if not isinstance(reply, CertificateIssued):
        raise HubRefused("the hub's answer can't be read by this version", code="answer-not-understood")
    certificate = read_certificate(reply.certificate)
    check_issued(certificate, root=certificate_in(home.root_certificate), key=key, name=home.site)
    write_whole(home.certificate, reply.certificate.encode(), mode=0o644)
    until = certificate.not_valid_after_utc
    with home.database.writing() as session:
        row = session.get(Membership, 1)
        if row is not None:
            row.certificate_until = until
        detail = f"certificate {fingerprint(certificate)[:16]}"
        audit.record(session, "program", "renew-certificate", home.site, detail, clock=clock)
    return until


def _may_join(home: NodePaths, path: Path, token: Token, moment: datetime) -> NodeHome | None:
    """The home that joins anew, or none for a first join."""
    if home.settings_file.exists():
        joined = NodeHome(path)
        if joined.site != token.site:
            raise Conflict(
                f"{path} is the home of site {joined.site!r} and the token is for {token.site!r}; "
                "name another folder with --home"
            )
        until = _valid_until(home.certificate)
        if until is not None and moment < until:
            raise Conflict(
                f"{path} has joined federation {joined.federation!r} and its certificate is valid until "
                f"{until:%Y-%m-%d %H:%M}Z; serve it with `wardround node serve --home {path}`"
            )
        return joined
    if home.path.exists() and any(home.path.iterdir()) and not home.identity.is_dir():
        raise Conflict(f"{path} isn't empty; name an empty or a new folder with --home")
    return None


def _valid_until(certificate: Path) -> datetime | None:
    try:
        return certificate_in(certificate).not_valid_after_utc
    except CertificateRefused:
        return None


def _keys(home: NodePaths) -> tuple[RSAPrivateKey, Ed25519PrivateKey]:
    home.identity.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.path.chmod(0o700)
    key = read_key(home.key) if home.key.exists() else make_key(home.key)
    file = home.ledger_key_file
    return key, read_signing_key(file) if file.exists() else make_signing_key(file)


def _checked(joined: Joined, token: Token, root: str, key: RSAPrivateKey) -> x509.Certificate:
    certificate = read_certificate(joined.certificate)
    check_issued(certificate, root=read_certificate(root), key=key, name=token.site)
    try:
        Verifier.parse(joined.ledger_verifier)
    except NoteRefused as error:
        raise HubRefused("the hub's ledger key can't be read", code="answer-not-understood") from error
    if joined.site != token.site:
        raise HubRefused("the hub joined another site than the token names", code="answer-not-understood")
    return certificate


def _remember(
    database: Database, joined: Joined, certificate: x509.Certificate, token: Token, *, actor: str, clock: Clock
) -> None:
    with database.writing() as session:
        row = session.get(Membership, 1)
        if row is not None and row.hub_ledger_verifier != joined.ledger_verifier:
            raise Conflict(
                "the hub's ledger key isn't the one that this node knows; ask the operator why, and join with a "
                "new home only if the ledger was started anew"
            )
        if row is None:
            session.add(
                Membership(
                    id=1,
                    site=joined.site,
                    federation=joined.federation,
                    joined_at=clock(),
                    root_fingerprint=token.root,
                    hub_ledger_verifier=joined.ledger_verifier,
                    certificate_until=certificate.not_valid_after_utc,
                )
            )
        else:
            row.certificate_until = certificate.not_valid_after_utc
            row.root_fingerprint = token.root
        audit.record(session, actor, "join", joined.federation, f"as site {joined.site}", clock=clock)


def _write_settings(
    home: NodePaths, joined: Joined, dicom: DicomSettings, pacs: PacsSettings | None, database: str
) -> None:
    for folder in (home.quarantine, home.enclave, home.clinical, home.ledger, home.runs, home.log):
        folder.mkdir(exist_ok=True)
    document: dict[str, object] = {
        "site": joined.site,
        "federation": joined.federation,
        "database": database,
        "hub": {"host": joined.api_host, "api_port": joined.api_port},
        "dicom": dicom.model_dump(mode="json", exclude={"peers"}),
    }
    if pacs is not None:
        document["pacs"] = pacs.model_dump(mode="json")
    write_whole(home.settings_file, write_toml(document).encode())
